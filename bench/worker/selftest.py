"""What only a measuring process can tell `dlhw selftest`: each check returns plain facts, and judges nothing."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.utils.benchmark import Timer

from bench.worker import memory
from bench.worker.events import Events
from bench.worker.nets import correctness, workload
from bench.worker.nets.correctness import Unsuitable
from bench.worker.nets.measure import no_garbage_collection
from bench.worker.outcomes import outcome_of
from bench.worker.timing import sampling
from bench.worker.timing.clock import Clock, Step, clock_for
from suites.case import Case, Precision

Operate = Callable[..., torch.Tensor]
STEP_SECONDS = 2e-3
"""A product that takes the device this long leaves nothing to what the host does beside it."""
LARGEST_PRODUCT = 16384
TURN_SECONDS = 0.1
OPERAND = 256
PEAKS_BYTES = (96 * 2**20, 32 * 2**20)
"""The larger first: a peak that is not reset is then seen in the smaller one."""
ROOM_BYTES = 256 * 2**20
"""What a process on the host may have beside what it has, to be out of memory without harm to the machine."""


def agreement(events: Events, device: str, turns: int) -> dict[str, Any]:
    """Seconds of one matrix product by dlhw's clock, torch.utils.benchmark and two bare events, by turns.

    Means over the same number of steps; the product is of a size that keeps the device busy. On the CPU no events.
    """
    _make_current(device)
    with torch.inference_mode(), no_garbage_collection(), events.phase("agreement"):
        size, step = _product_that_lasts(device)
        clock = clock_for(device)
        warm = sampling.warm_up(step, clock, limit_seconds=1.0)
        steps = max(3, math.ceil(TURN_SECONDS / max(warm.step_seconds, 1e-6)))
        timer = Timer("step()", globals={"step": step}, num_threads=1)
        instruments: dict[str, Callable[[], float]] = {
            "dlhw": lambda: statistics.fmean(clock.samples(step, 1, steps)),
            "torch.utils.benchmark": lambda: float(timer.timeit(steps).mean),
        }
        if device != "cpu":
            instruments["events"] = lambda: _between_events(step, device, steps)
        found: dict[str, list[float]] = {name: [] for name in instruments}
        for turn in range(turns):
            for name in [*instruments] if turn % 2 == 0 else [*instruments][::-1]:
                found[name].append(instruments[name]())
    return {"size": size, "steps": steps, "seconds": found}


def _make_current(device: str) -> None:
    torch.set_num_threads(1)  # the instrument is in question, not the scheduler
    if device != "cpu":
        torch.accelerator.set_device_index(torch.device(device))


def _product_that_lasts(device: str) -> tuple[int, Step]:
    """A square matrix product that takes STEP_SECONDS or more, and its size."""
    clock, size = clock_for(device), 64
    while True:
        left, right = torch.randn(2, size, size, device=device)

        def step(left: torch.Tensor = left, right: torch.Tensor = right) -> torch.Tensor:
            return left @ right

        step()  # the first one loads libraries
        if min(_waited_for(step, clock) for _ in range(3)) >= STEP_SECONDS or size >= LARGEST_PRODUCT:
            return size, step
        size *= 2


def _waited_for(step: Step, clock: Clock) -> float:
    start = clock.now()
    step()
    return clock.now() - start


def _between_events(step: Step, device: str, steps: int) -> float:
    """By torch's own events around all steps, without any code of the clock's."""
    first, last = (torch.Event(device, enable_timing=True) for _ in range(2))
    stream = torch.accelerator.current_stream(device)
    step()
    first.record(stream)
    for _ in range(steps):
        step()
    last.record(stream)
    last.synchronize()
    return float(first.elapsed_time(last)) / 1e3 / steps


def precisions(events: Events, device: str, names: Sequence[Precision]) -> dict[str, Any]:
    """Relative errors against fp64 of a product and a convolution under each label; a reason where there are none."""
    _make_current(device)
    generator = torch.Generator().manual_seed(0)
    matrices = [torch.randn(OPERAND, OPERAND, generator=generator) for _ in range(2)]
    images = [torch.randn(4, 64, 16, 16, generator=generator), torch.randn(64, 64, 3, 3, generator=generator)]
    works: tuple[tuple[str, Operate, list[torch.Tensor]], ...] = (
        ("product", torch.matmul, matrices), ("convolution", functional.conv2d, images),
    )  # fmt: skip
    exact = {what: operate(*(each.double() for each in operands)) for what, operate, operands in works}
    found: dict[str, Any] = {}
    for name in names:
        with events.phase(f"precision {name}"):
            try:
                workload.set_precision(name)
                results = {what: _labelled(operate, operands, name, device) for what, operate, operands in works}
                found[name] = {what: _error(results[what], exact[what]) for what, _, _ in works}
            except (RuntimeError, TypeError) as error:
                outcome = outcome_of(error)
                found[name] = {"status": outcome.status, "reason": outcome.reason}
    return found


def _labelled(operate: Operate, operands: Sequence[torch.Tensor], name: Precision, device: str) -> torch.Tensor:
    placed = [each.to(device=device, dtype=workload.cast_dtype(name)) for each in operands]
    with torch.inference_mode(), workload.autocast(name, device):
        return operate(*placed)


def _error(result: torch.Tensor, exact: torch.Tensor) -> float:
    return float((result.cpu().double() - exact).norm() / exact.norm())


def memory_peaks(events: Events, device: str) -> dict[str, Any]:
    """What the instrument for memory makes of known sizes, one after the other, each after a reset."""
    gauge = memory.host_peak()
    torch.ones(2**20, device=device)  # what a first allocation brings along, threads and context, is not part of it
    seen = []
    for octets in PEAKS_BYTES:
        gauge.reset()
        memory.reset_accelerator(device)
        before = memory.resident_bytes() if device == "cpu" else torch.accelerator.memory_allocated(device)
        held = torch.ones(octets // 4, device=device)
        del held
        peak = gauge.peak_bytes() if device == "cpu" else memory.accelerator_peak(device)[0] or 0
        seen.append(peak - before)
    source = gauge.source if device == "cpu" else "torch's allocator"
    return {"expected_bytes": list(PEAKS_BYTES), "seen_bytes": seen, "source": source}


def out_of_memory(events: Events, device: str, memory_bytes: int | None) -> dict[str, Any]:
    """What asking for more memory than there is leads to, and the error of a product afterwards.

    Args:
        memory_bytes: of the device. On the CPU this process limits itself instead.
    """
    left, right = torch.ones(2, 64, 64, device=device)
    wanted = _more_than_allowed() if device == "cpu" else memory_bytes
    if wanted is None:
        raise Unsuitable(f"how much memory {device} has is not known")
    status, reason = "", ""
    try:
        torch.empty(wanted, dtype=torch.uint8, device=device)
    except Exception as error:  # noqa: BLE001 - which one it is, is the question
        outcome = outcome_of(error)
        status, reason = str(outcome.status), outcome.reason
    after = _error(left @ right, torch.full((64, 64), 64.0, dtype=torch.float64))
    return {"wanted_bytes": wanted, "status": status, "reason": reason, "error_afterwards": after}


def _more_than_allowed() -> int:
    """Limit this process, and tell a size that is beyond the limit."""
    status = Path("/proc/self/status")
    if not status.exists():
        raise Unsuitable("only Linux can hold a process to a limit of its memory, and without one nothing is tried")
    private = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmData:"))
    memory.limit(private * 1024 + ROOM_BYTES)
    return 4 * ROOM_BYTES


def channels_last(events: Events, case: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, Any]:
    """Names of a net's convolutions, and of those whose weights, input or output are not channels_last in a step."""
    chosen = Case.from_json(case)
    _make_current(chosen.device)
    work = workload.workload(chosen, correctness.load(reference["path"]))
    convolutions = {name: each for name, each in work.net.named_modules() if isinstance(each, torch.nn.Conv2d)}
    lost: set[str] = set()

    def watch(name: str, module: torch.nn.Conv2d, given: Any, output: torch.Tensor) -> None:
        tensors = (given[0], module.weight, output)
        if not all(each.is_contiguous(memory_format=torch.channels_last) for each in tensors):
            lost.add(name)

    for name, module in convolutions.items():
        module.register_forward_hook(partial(watch, name))
    with work.context(), events.phase("channels_last"):
        work.step()
    return {"convolutions": list(convolutions), "lost": sorted(lost)}


def hold(events: Events, device: str, octets: int, seconds: float) -> dict[str, Any]:
    """Hold nothing for a while, then `octets`, while the controller watches the driver's figures."""
    torch.ones(1, device=device)
    with events.phase("without"):
        torch.accelerator.synchronize(device)
        time.sleep(seconds)
    with events.phase("with"):
        held = torch.ones(octets // 4, device=device)
        torch.accelerator.synchronize(device)
        time.sleep(seconds)
    with events.phase("reporting"):
        return {"held_bytes": held.numel() * held.element_size()}


CHECKS: dict[str, Callable[..., dict[str, Any]]] = {
    "agreement": agreement,
    "precisions": precisions,
    "memory_peaks": memory_peaks,
    "out_of_memory": out_of_memory,
    "channels_last": channels_last,
    "hold": hold,
}
