"""One side of a pair: a process that measures short slices when it is told to, so that two can take turns.

Commands come as JSON lines on stdin: `{"load": n, "cores": [...]}` builds, checks and warms up the n-th case, bound to
these cores; `{"slice": steps}` times so many steps of it; the end of stdin ends it all. Each is answered by one event,
`loaded` or `slice`.
"""

import gc
import json
import math
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from bench.machine import host
from bench.records.messages import Event
from bench.records.record import Compile, Outcome, Status
from bench.worker import memory, settings
from bench.worker.events import Events
from bench.worker.nets import compilation, correctness, workload
from bench.worker.nets.correctness import closeness
from bench.worker.nets.reference import Reference
from bench.worker.origins import source
from bench.worker.outcomes import outcome_of
from bench.worker.timing.clock import Clock, Step, clock_for
from bench.worker.timing.sampling import warm_up
from suites import cases as any_case
from suites.architectures import module_of
from suites.case import Case
from suites.cases import AnyCase
from suites.micro import OPERATIONS, Micro

OVERHEAD = 0.01
"""Share of a sample that reading the clock may take; both sides have the same."""


@dataclass(frozen=True)
class Ready:
    """A case that can be stepped.

    Attributes:
        context: makes what has to be around all steps.
        compiled: what the first step took, and what it made, where it compiles.
        source: the file that the net, or the operation, came from.
    """

    step: Step
    clock: Clock
    device: str
    context: Callable[[], AbstractContextManager[Any]]
    source: str
    compiled: Compile | None = None
    group: int = 1
    """Steps of one sample: of very short ones several, so that reading the clock is little of it."""


class Refused(Exception):  # noqa: N818
    """The case cannot be measured here, for an outcome's reason."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.outcome = Outcome(status, reason)


class Slices:
    """Serves commands about `cases`, each `{"case", "reference", "warmup_seconds"}`, one of them loaded at a time.

    Args:
        fresh_cache: called before each compiled case; makes torch.compile find nothing but what all start with.
    """

    def __init__(self, events: Events, cases: Sequence[Mapping[str, Any]], fresh_cache: Callable[[], None]) -> None:
        self._events, self._cases, self._fresh_cache = events, cases, fresh_cache
        self._peak = memory.host_peak()
        self._cores = host.CORES
        self._held_bytes = 0
        self._loaded = ExitStack()
        self._ready: Ready | None = None

    def serve(self, read_line: Callable[[], bytes]) -> None:
        """Answer until there are no more commands."""
        _load_libraries(training=any(wanted["case"].get("mode") == "training" for wanted in self._cases))
        while line := read_line():
            command = json.loads(line)
            if "load" in command:
                host.stay_on(command["cores"] or self._cores)
                self._events.emit(Event.LOADED, **self._load(self._cases[command["load"]]))
            else:
                self._events.emit(Event.SLICE, **self._slice(int(command["slice"]), float(command.get("slower", 0.0))))

    def _load(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """What came of it: `step_seconds`, `steady`, `source` and `compile_seconds`, or an `outcome`."""
        self._ready = None  # its memory goes before the next case's comes
        self._loaded.close()
        gc.enable()
        gc.collect()
        memory.release()
        self._held_bytes = memory.resident_bytes()
        try:
            ready = self._prepare(any_case.from_json(wanted["case"]), wanted["reference"])
            with ready.context():
                state = warm_up(ready.step, ready.clock, wanted["warmup_seconds"])
        except Refused as refusal:
            return {"outcome": asdict(refusal.outcome)}
        except Exception as error:  # noqa: BLE001 - a net may raise anything, and the other side goes on
            traceback.print_exc()
            return {"outcome": asdict(outcome_of(error))}
        group = max(1, math.ceil(ready.clock.overhead_seconds / (OVERHEAD * state.step_seconds)))
        self._ready = replace(ready, group=group)
        gc.collect()
        gc.disable()  # until the next case: slices are too short to collect before each
        self._peak.reset()
        memory.reset_accelerator(ready.device)
        return {
            "outcome": None,
            "step_seconds": state.step_seconds,
            "steady": state.steady,
            "source": ready.source,
            "compile_seconds": ready.compiled and ready.compiled.seconds,
            "compiled": ready.compiled and _made(ready.compiled),
            "cpu_seconds": host.moment().own_seconds,
        }

    def _prepare(self, case: AnyCase, reference: Mapping[str, Any] | None) -> Ready:
        torch.set_num_threads(case.threads)
        if case.device != "cpu":
            torch.accelerator.set_device_index(torch.device(case.device))
        workload.set_precision(case.precision)
        workload.set_cudnn_benchmark("off" if isinstance(case, Micro) else case.cudnn_benchmark)
        if isinstance(case, Micro):
            return self._operation(case)
        assert reference is not None
        return self._net(case, correctness.load(Reference(**reference).path))

    def _net(self, case: Case, tensors: Mapping[str, Any]) -> Ready:
        wanted = settings.snapshot()
        work = workload.workload(case, tensors)
        settings.restore(wanted)
        clock = clock_for(case.device, work.refresh)
        with work.context():
            compiled = self._compile(work, clock, tensors)
            checked = work.compare(tensors)
        if closeness(checked) > 1:
            reason = f"differs from fp64 by {checked.relative_error:.2g} of its size"
            raise Refused(Status.WRONG_RESULT, reason)
        if problem := settings.problem(wanted):
            raise Refused(Status.FAILED, problem)
        return Ready(work.step, clock, case.device, work.context, source(module_of(case.architecture)), compiled)

    def _compile(self, work: workload.Workload, clock: Clock, tensors: Mapping[str, Any]) -> Compile | None:
        if work.case.compile_mode == "eager":
            return None
        torch.compiler.reset()
        self._fresh_cache()
        compiled = compilation.first_step(work, clock) if work.case.compiles else compilation.recorded(work, clock)
        work.net.load_state_dict(tensors["state"])  # the step has moved the weights, which are yet to be checked
        return compiled

    def _operation(self, case: Micro) -> Ready:
        from bench.worker.micro.measure import BUILDERS, INFERENCE
        from bench.worker.micro.prepared import Order, Prepared

        elsewhere = f"{case.operation} measures in processes of its own, or to its own end: it takes no turns"
        if OPERATIONS[case.operation].parallel:
            raise Refused(Status.SKIPPED, elsewhere)
        build = BUILDERS[case.operation]
        prepared = build(Order(case, self._events, self._loaded))
        if not isinstance(prepared, Prepared):
            raise Refused(Status.SKIPPED, elsewhere)
        clock = prepared.clock or clock_for(case.device)
        return Ready(
            prepared.step,
            clock,
            case.device,
            lambda: torch.inference_mode(case.operation in INFERENCE),
            source(build.__module__),
        )

    def _slice(self, steps: int, slower: float) -> dict[str, Any]:
        """The time of each step, involuntary context switches meanwhile, CPU time and peak memory so far."""
        ready = self._ready
        if ready is None:
            return {"outcome": asdict(Outcome(Status.FAILED, "no case is loaded"))}
        with ready.context():
            before = host.moment()
            seconds = _timed(ready, steps, slower)
            after = host.moment()
        allocated, _ = memory.accelerator_peak(ready.device)
        own = max(0, self._peak.peak_bytes() - self._held_bytes)
        return {
            "seconds": seconds,
            "switches": after.own_switches - before.own_switches,
            "cpu_seconds": after.own_seconds,
            "peak_bytes": own if allocated is None else allocated,
        }


def _made(compiled: Compile) -> dict[str, int | None]:
    """What can be counted of a compilation."""
    return {"graphs": compiled.graphs, "graph_breaks": compiled.graph_breaks, "kernels": compiled.kernels}


def _load_libraries(*, training: bool) -> None:
    """Do once what torch does at its first use only: some 100 MiB that are no case's own, and a second of its time."""
    for dtype in (torch.float32, torch.bfloat16):
        layers = (torch.nn.Conv2d(4, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Flatten(), torch.nn.Linear(8, 4))
        net = torch.nn.Sequential(*layers).to(dtype)
        output = net(torch.randn(2, 4, 3, 3, dtype=dtype))
        if training:
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            output.sum().backward()
            optimizer.step()


def _timed(ready: Ready, steps: int, slower: float) -> list[float]:
    """Seconds of each step; `slower` by that share on purpose: by waiting, or on a device by steps too many."""
    if not slower or ready.device == "cpu":
        step = _delayed(ready.step, slower) if slower else ready.step
        return ready.clock.samples(step, ready.group, max(1, steps // ready.group))
    group = max(1, round(1 / slower))  # one step too many in each group of so many
    times = ready.clock.samples(ready.step, group + 1, max(1, steps // group))
    return [seconds * (group + 1) / group for seconds in times]


def _delayed(step: Step, share: float) -> Step:
    def delayed() -> None:
        start = time.perf_counter()
        step()
        end = start + (time.perf_counter() - start) * (1 + share)
        while time.perf_counter() < end:
            pass

    return delayed
