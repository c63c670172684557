"""Examines a machine for `dlhw doctor`: `examine` is the flow. What the facts mean is in bench.doctor.diagnostics."""

import os
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any

from bench.controller import variables
from bench.controller.launcher import Launcher, outcome_of
from bench.controller.process import Worker
from bench.doctor import diagnostics, gpus
from bench.doctor.diagnostics import Diagnostic
from bench.machine import host, nvml, sensors
from suites import units
from suites.case import Budget, Case

ALTERNATIONS = 20
LAUNCHES = 5
REPEATED = "lenet-inference-b8-fp32-contiguous-eager-cpu-t{threads}"
REPEATED_BUDGET = Budget(launches=LAUNCHES, precision=0.01, min_seconds=0.2, max_seconds=0.3, warmup_seconds=0.5)
ENERGY_SECONDS = 6.0
PROBE_LIMIT_SECONDS = 120.0


def examine(begin: Callable[[str, float], None], devices: Container[str] | None = None) -> Iterator[Diagnostic]:
    """Examine this machine; `begin` is told each step as it begins, and about how many seconds it takes.

    Args:
        devices: the devices to try the instrument on; None: all that work.

    Raises:
        DlhwError: torch cannot be started.
    """
    begin("looking around for others", 1.0)
    idle = _idle()
    begin("starting torch", 8.0)
    with Worker() as worker, Worker(fork=False) as fresh:
        launcher = Launcher(worker, fresh)
        environment = launcher.describe()
        threads = environment["host"]["cores"]
        yield from _machine(environment, idle)
        begin("examining the instrument", 4 * ALTERNATIONS * 0.15 + 4)
        flags = environment["host"]["cpu"]["flags"]
        yield from _probe(worker, "kernels", lambda facts: [diagnostics.kernels(facts, flags)])
        yield from _probe(worker, "flops", lambda facts: [diagnostics.flops(facts)])
        yield from _probe(worker, "clock", lambda facts: [diagnostics.clock(facts)], alternations=2 * ALTERNATIONS)
        yield from _probe(worker, "page_faults", lambda facts: [diagnostics.page_faults(facts)])
        for device in environment["devices"]:
            if not device.get("reason") and (devices is None or device["name"] in devices):
                yield from _device(worker, device, begin)
        for count in sorted({1, threads}):
            begin(f"launching {LAUNCHES} processes with {units.count(count, 'thread')}", LAUNCHES * 4.0)
            record, _ = launcher.measure(Case.parse(REPEATED.format(threads=count)), REPEATED_BUDGET)
            yield diagnostics.repeatability(record, count)


def _device(worker: Worker, device: Mapping[str, Any], begin: Callable[[str, float], None]) -> Iterator[Diagnostic]:
    name = device["name"]
    yield from _probe(
        worker, "known_allocation", lambda facts: [diagnostics.known_allocation(name, facts)], device=name
    )  # fmt: skip
    begin(f"comparing with torch.utils.benchmark on {name}", 3 * ALTERNATIONS * 0.35 + 5)
    yield from _probe(
        worker, "instrument", lambda facts: [diagnostics.agreement(name, *found) for found in facts.items()],
        device=name, alternations=ALTERNATIONS,
    )  # fmt: skip
    yield from _sensors(worker, device, begin)


def _probe(
    worker: Worker, name: str, judge: Callable[[dict[str, Any]], Sequence[Diagnostic]], **arguments: Any
) -> Sequence[Diagnostic]:
    """What `judge` makes of a probe's facts; a probe that fails is a finding too."""
    reply = worker.request("probe", PROBE_LIMIT_SECONDS, name=name, **arguments)
    if reply.result is not None and "facts" in reply.result:
        return judge(dict(reply.result["facts"]))
    return [diagnostics.failed(name, outcome_of(reply, PROBE_LIMIT_SECONDS).reason)]


def _idle(seconds: float = 1.0) -> dict[str, float | None]:
    """What others do while this process sleeps."""
    before = host.moment()
    time.sleep(seconds)
    return host.between(before, host.moment())


def _machine(environment: Mapping[str, Any], idle: Mapping[str, float | None]) -> Iterator[Diagnostic]:
    facts, torch = environment["host"], environment["torch"]
    yield diagnostics.processor(facts)
    yield from (diagnostics.accelerator(device) for device in environment["devices"] if device["name"] != "cpu")
    for device in environment["devices"]:
        yield from gpus.advice(device, torch["cuda"])
    yield diagnostics.torch_build(torch, environment["python"])
    yield diagnostics.precision(torch["default_precision"])
    working = [device["name"] for device in environment["devices"] if not device.get("reason")]
    yield diagnostics.compiler(environment["compile_problems"], working)
    yield diagnostics.cores(facts)
    yield diagnostics.thread_settings(torch["environment"])
    yield diagnostics.shell(variables.set_aside(os.environ), variables.changing_times(os.environ))
    yield diagnostics.governor(facts)
    yield diagnostics.co_running(idle, facts["cores"])
    yield diagnostics.steal(idle)


def _sensors(worker: Worker, device: Mapping[str, Any], begin: Callable[[str, float], None]) -> Iterator[Diagnostic]:
    name, watch = device["name"], sensors.watch_for(device)
    if isinstance(watch, sensors.Nothing):
        yield diagnostics.unsensed(name, watch.summary(None, None)["reason"])
        return
    begin(f"asking the sensors of {name}", ENERGY_SECONDS + 2)
    reply = worker.request("probe", PROBE_LIMIT_SECONDS, watch, name="energy", device=name, seconds=ENERGY_SECONDS)
    steps = ((reply.result or {}).get("facts") or {}).get("steps")
    yield diagnostics.energy(name, watch.summary(steps, reply.pid))
    if name.startswith("cuda"):
        gpu = nvml.gpu_of(device["uuid"])
        readings = {"gpu": gpu} if gpu.reason else {**gpu.value.facts(), **gpu.value.state(), **gpu.value.counters()}
        yield diagnostics.fields(name, *nvml.split(readings))
