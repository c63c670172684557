"""Warm-up, calibration and the stop rule: `sample` is the flow."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.records.summary import half_width
from bench.worker.timing.clock import Clock, Step
from suites.case import Budget

WINDOW_SECONDS = 0.03
"""Warm-up compares windows of this length, or of one step where that is longer."""
STEADY = 0.03
"""Two windows agree when their medians differ by no more than this share."""
OVERHEAD = 1e-3
"""Share of a sample that reading the clock may take; torch.utils.benchmark allows as much."""
BLOCK_SECONDS = 0.02
"""The stop rule is asked once a block, so that asking costs little and no block overshoots the budget."""
SHORTEST_SECONDS = 1e-9
FEWEST_SAMPLES = 2
"""Of a step so slow that its time limit leaves room for no more: a wide interval is more than none."""
LATENCY_STEPS = 50
"""Steps of an accelerator's second, synchronised series."""


@dataclass(frozen=True)
class WarmUp:
    """How warm-up went: steps until now, whether two windows agreed, and the last window's median.

    Attributes:
        every_seconds: from one step to the next, where something that is not timed comes before each; else 0.
    """

    steps: int
    steady: bool
    step_seconds: float
    every_seconds: float = 0.0


@dataclass(frozen=True)
class Samples:
    """All samples in the order of time, in seconds a step, and why there are no more."""

    seconds: tuple[float, ...]
    steps_per_sample: int
    warm_up: WarmUp
    stop_reason: str
    synchronised_seconds: tuple[float, ...]


def sample(
    step: Step, clock: Clock, budget: Budget, limit_seconds: float = math.inf,
    warmed: Callable[[], object] = lambda: None,
) -> Samples:  # fmt: skip
    """Measure `step`: warm it up, then sample until the median is known well enough or the time is up.

    Args:
        warmed: called once, between warm-up and the first sample.

    Raises:
        TimeoutError: warm-up shows that even two samples would take longer than `limit_seconds`.
        RuntimeError: the clock tells that steps, enough of them for its resolution, take no time.
    """
    begin = clock.now()
    state = warm_up(step, clock, budget.warmup_seconds)
    require_time(state.step_seconds, min(FEWEST_SAMPLES, budget.min_samples), limit_seconds - (clock.now() - begin))
    steps_per_sample = calibrate(state.step_seconds, clock.overhead_seconds)
    block = max(1, math.floor(BLOCK_SECONDS / max(state.step_seconds * steps_per_sample, state.every_seconds)))
    seconds: list[float] = []
    warmed()
    start = clock.now()
    reason = ""
    while not reason:
        seconds += clock.samples(step, steps_per_sample, block)
        if statistics.median(seconds) <= 0:
            raise RuntimeError(f"{steps_per_sample} steps take no time by the clock of the device ({clock.name})")
        elapsed = clock.now() - start
        reason = stop_reason(seconds, elapsed, budget)
        if not reason and len(seconds) >= FEWEST_SAMPLES:
            another = elapsed * block / len(seconds)
            reason = "time_limit" if clock.now() - begin + another > limit_seconds else ""
    latencies = clock.synchronised(step, min(LATENCY_STEPS, len(seconds)))
    return Samples(tuple(seconds), steps_per_sample, state, reason, tuple(latencies))


def warm_up(step: Step, clock: Clock, limit_seconds: float) -> WarmUp:
    """Step until two successive windows agree, or for `limit_seconds`; at least two windows."""
    start = clock.now()
    shortest = max(clock.overhead_seconds, SHORTEST_SECONDS)  # a clock may tell 0 s for a step shorter than its tick
    previous = max(shortest, *clock.samples(step, 1, 1))
    steps = 1
    while True:
        every = (clock.now() - start) / steps if clock.alone else 0.0
        window = max(1, math.floor(WINDOW_SECONDS / max(previous, every)))
        median = max(shortest, statistics.median(clock.samples(step, 1, window)))
        steps += window
        if abs(median - previous) <= STEADY * previous:
            return WarmUp(steps, True, median, every)
        if clock.now() - start >= limit_seconds:
            return WarmUp(steps, False, median, every)
        previous = median


def require_time(step_seconds: float, steps: int, left_seconds: float) -> None:
    """Do not begin what cannot end.

    Raises:
        TimeoutError: `steps` steps take longer than there is time left.
    """
    if step_seconds * steps > left_seconds:
        raise TimeoutError(
            f"a step takes about {step_seconds:.2g} s: {steps} more would end after the time limit of the case"
        )


def calibrate(step_seconds: float, overhead_seconds: float) -> int:
    """Steps a sample needs so that reading the clock is less than `OVERHEAD` of it."""
    return max(1, math.ceil(overhead_seconds / (OVERHEAD * step_seconds)))


def stop_reason(seconds: Sequence[float], elapsed_seconds: float, budget: Budget) -> str:
    """Why sampling may end: `precision` or `max_seconds`; empty while it may not."""
    if len(seconds) < budget.min_samples or elapsed_seconds < min(budget.min_seconds, budget.max_seconds):
        return ""
    if half_width(seconds) <= budget.precision:
        return "precision"
    return "max_seconds" if elapsed_seconds >= budget.max_seconds else ""
