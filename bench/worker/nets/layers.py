"""Where the time of a step goes: each operator timed by itself, and charged to the layer that asked for it.

Timed in Python, between the dispatcher and the kernel; what lies above (views, autograd, hooks, Python) is what the
whole step, timed without any of this, has left over. On an accelerator each operator is waited for, so that nothing
overlaps and short kernels look long.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bench.worker import settings
from bench.worker.events import Events
from bench.worker.nets import correctness, flops, workload
from bench.worker.nets.correctness import Unsuitable
from bench.worker.nets.measure import no_garbage_collection
from bench.worker.nets.reference import Reference
from bench.worker.nets.traffic import by_size, moves_data, touched_bytes
from bench.worker.nets.workload import Workload
from bench.worker.timing.clock import clock_for
from bench.worker.timing.sampling import warm_up
from suites.case import Budget, Case

ROUNDS = 7
"""Turns of steps that are not watched and steps that are: what the machine does meanwhile, it does to both."""
ROUND_SECONDS = 0.3
MOST = 50
"""Steps in a turn of either kind."""


@dataclass(frozen=True)
class Operator:
    """One call of one operator: the layer and phase that it is charged to, and what it did."""

    layer: str
    phase: str
    name: str
    seconds: float
    flops: int
    bytes: int


class Places:
    """Which layer and phase the code is in.

    In the backward pass a node tells by its number, which it was given while the layer that made it ran.
    """

    def __init__(self, work: Workload) -> None:
        self._work = work
        self._inside: list[tuple[str, int]] = []
        self._spans: list[tuple[int, int, str]] = []
        self._default = "loss"
        self._hooks: list[Any] = []
        self.kinds = {name: type(module).__name__ for name, module in work.net.named_modules()}

    def __enter__(self) -> None:
        for name, module in self._work.net.named_modules():
            self._hooks.append(module.register_forward_pre_hook(self._enter(name)))
            self._hooks.append(module.register_forward_hook(self._leave))
        if (optimizer := self._work.optimizer) is not None:
            self._hooks.append(optimizer.register_step_pre_hook(lambda *_: self._now("optimizer")))
            self._hooks.append(optimizer.register_step_post_hook(lambda *_: self._now("loss")))

    def __exit__(self, *_: object) -> None:
        while self._hooks:
            self._hooks.pop().remove()

    def forget(self) -> None:
        """Numbers grow from step to step: those of the last one are not needed any more."""
        self._spans.clear()

    def __call__(self) -> tuple[str, str]:
        """(layer, phase); the layer is empty outside of all of them."""
        node: Any = torch._C._current_autograd_node()
        if node is not None:
            return self._maker(node._sequence_nr()), "backward"
        return (self._inside[-1][0], "forward") if self._inside else ("", self._default)

    def _maker(self, number: int) -> str:
        around = [(end - begin, name) for begin, end, name in self._spans if begin <= number < end]
        return min(around)[1] if around else ""

    def _enter(self, name: str) -> Callable[..., None]:
        return lambda *_: self._inside.append((name, _next_number()))

    def _leave(self, *_: Any) -> None:
        name, begin = self._inside.pop()
        self._spans.append((begin, _next_number(), name))

    def _now(self, phase: str) -> None:
        self._default = phase


class OperatorTimes(TorchDispatchMode):
    """While it is active, `spent` collects what each operator did and took."""

    def __init__(self, place: Callable[[], tuple[str, str]], wait: Callable[[], object]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.spent: list[Operator] = []
        self._place, self._wait = place, wait

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not moves_data(func):
            return func(*args, **(kwargs or {}))
        layer, phase = self._place()
        begin = time.perf_counter()
        out = func(*args, **(kwargs or {}))
        self._wait()
        seconds = time.perf_counter() - begin
        octets, done = touched_bytes(args, kwargs, out), flops.of_operator(func, args, kwargs, out)
        self.spent.append(Operator(layer, phase, func._overloadpacket.__name__, seconds, done, octets))
        return out


def layers(events: Events, case: Case, budget: Budget, reference: Reference) -> dict[str, Any]:
    """The rows of the table; for each round the medians of whole steps, of watched ones, and of their operators' sums.

    Raises:
        Unsuitable: the case is compiled: its layers are not there any more.
    """
    if case.compile_mode != "eager":
        raise Unsuitable("a compiled or recorded net has no layers left to look at; look at the eager one")
    with events.phase("building"):
        torch.set_num_threads(case.threads)
        if case.device != "cpu":
            torch.accelerator.set_device_index(torch.device(case.device))
        workload.set_precision(case.precision)
        workload.set_cudnn_benchmark(case.cudnn_benchmark)
        wanted = settings.snapshot()
        work = workload.workload(case, correctness.load(reference.path))
        settings.restore(wanted)
    clock = clock_for(case.device, work.refresh)
    with events.phase("warming up"), work.context():
        step_seconds = warm_up(work.step, clock, budget.warmup_seconds).step_seconds
    count = min(MOST, max(1, math.ceil(ROUND_SECONDS / step_seconds)))
    places = Places(work)
    _instrumented(work, places, 1)  # the first one pays for the FLOP counter's imports
    rounds = []
    with events.phase("looking at layers"), no_garbage_collection():
        for _ in range(ROUNDS):
            with work.context():
                whole = statistics.median(clock.samples(work.step, 1, count))
            rounds.append((whole, *_instrumented(work, places, count)))
    steps = [step for _, _, watched in rounds for step in watched]
    return {
        "case": case.to_json(),
        "rows": list(_rows(steps, places.kinds)),
        "whole_seconds": [whole for whole, _, _ in rounds],
        "watched_seconds": [seconds for _, seconds, _ in rounds],
        "sum_seconds": [statistics.median(map(_total, watched)) for _, _, watched in rounds],
        "steps": len(steps),
    }


def _total(step: list[Operator]) -> float:
    return math.fsum(operator.seconds for operator in step)


def _instrumented(work: Workload, places: Places, count: int) -> tuple[float, list[list[Operator]]]:
    """The median time of a watched step, and what each of `count` steps did."""
    timer = OperatorTimes(places, _waiting(work.case.device))
    steps: list[list[Operator]] = []
    took: list[float] = []
    with _without_inference_mode(work), places:
        for _ in range(count):
            if work.refresh:
                work.refresh()
            begin = time.perf_counter()
            with timer:
                work.step()
            took.append(time.perf_counter() - begin)
            steps.append(timer.spent)
            timer.spent = []
            places.forget()
    return statistics.median(took), steps


def _waiting(device: str) -> Callable[[], object]:
    return (lambda: None) if device == "cpu" else (lambda: torch.accelerator.synchronize(device))


@contextmanager
def _without_inference_mode(work: Workload) -> Iterator[None]:
    """Under inference mode some operators are not taken apart, and so not those that the step is made of."""
    with torch.no_grad() if work.case.mode == "inference" else torch.enable_grad():
        yield


def _next_number() -> int:
    """Of the next autograd node that this thread makes."""
    return int(torch.autograd._get_sequence_nr())  # type: ignore[attr-defined]


def _rows(steps: list[list[Operator]], kinds: dict[str, str]) -> Iterator[dict[str, Any]]:
    """A row for each layer and phase, in the order of the first step; times are medians over the steps."""
    for layer, phase in dict.fromkeys((operator.layer, operator.phase) for operator in steps[0]):
        found = [[each for each in step if (each.layer, each.phase) == (layer, phase)] for step in steps]
        first = found[0]
        yield {
            "layer": layer,
            "kind": kinds.get(layer, "") if layer else "",
            "phase": phase,
            "operators": [each.name for each in first],
            "seconds": statistics.median(sum(each.seconds for each in each_step) for each_step in found),
            "flops": sum(each.flops for each in first),
            "bytes": sum(each.bytes for each in first),
            "by_size": by_size([each.bytes for each in first]),
        }
