"""Where the time of a step goes: each operator timed by itself, and charged to the layer that asked for it.

Timed in Python, between the dispatcher and the kernel; what lies above (views, autograd, hooks, Python) is what the
whole step, timed without any of this, has left over. On an accelerator each operator is waited for, so that nothing
overlaps and short kernels look long.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from bench import check, workload
from bench.check import Reference, Unsuitable
from bench.clock import clock_for
from bench.events import Events
from bench.measure import no_garbage_collection
from bench.sampling import sample
from bench.traffic import by_size, moves_data, touched_bytes
from bench.workload import Workload
from suites.case import Budget, Case

INSTRUMENTED_SECONDS = 2.0
FEWEST, MOST = 5, 100
"""Instrumented steps."""


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
        self._inside: list[tuple[str, int]] = []
        self._spans: list[tuple[int, int, str]] = []
        self._default = "loss"
        self.kinds = {name: type(module).__name__ for name, module in work.net.named_modules()}
        for name, module in work.net.named_modules():
            module.register_forward_pre_hook(self._enter(name))
            module.register_forward_hook(self._leave)
        if work.optimizer is not None:
            work.optimizer.register_step_pre_hook(lambda *_: self._now("optimizer"))
            work.optimizer.register_step_post_hook(lambda *_: self._now("loss"))

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
        octets, count = touched_bytes(args, kwargs, out), flop_registry.get(func._overloadpacket)
        flops = count(*args, **(kwargs or {}), out_val=out) if count else 0
        self.spent.append(Operator(layer, phase, func._overloadpacket.__name__, seconds, flops, octets))
        return out


def layers(events: Events, case: Case, budget: Budget, reference: Reference) -> dict[str, Any]:
    """The rows of the table, the whole step's samples, and how long an instrumented step took.

    Raises:
        Unsuitable: the case is compiled: its layers are not there any more.
    """
    if case.compile_mode != "eager":
        raise Unsuitable("a compiled net has no layers left to look at; look at the eager one")
    with events.phase("building"):
        torch.set_num_threads(case.threads)
        if case.device != "cpu":
            torch.accelerator.set_device_index(torch.device(case.device))
        workload.set_precision(case.precision)
        work = workload.workload(case, check.load(reference.path))
    clock = clock_for(case.device)
    with events.phase("sampling"), work.context(), no_garbage_collection():
        whole = sample(work.step, clock, budget)
    with events.phase("looking at layers"), no_garbage_collection():
        steps, instrumented_seconds, kinds = _instrumented(work)
    return {
        "case": case.to_json(),
        "rows": list(_rows(steps, kinds)),
        "whole_seconds": whole.seconds,
        "instrumented_seconds": instrumented_seconds,
        "steps": len(steps),
    }


def _instrumented(work: Workload) -> tuple[list[list[Operator]], float, dict[str, str]]:
    """What each of several steps did, the median time of one, and each layer's type."""
    places = Places(work)
    timer = OperatorTimes(places, _waiting(work.case.device))
    steps: list[list[Operator]] = []
    took: list[float] = []
    with _without_inference_mode(work):
        while len(took) < FEWEST + 1 or (sum(took) < INSTRUMENTED_SECONDS and len(took) < MOST):
            begin = time.perf_counter()
            with timer:
                work.step()
            took.append(time.perf_counter() - begin)
            steps.append(timer.spent)
            timer.spent = []
            places.forget()
    return steps[1:], statistics.median(took[1:]), places.kinds  # the first one paid for the FLOP counter's imports


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
