"""Why a measurement is noisy: pure functions of what was recorded, each reason in plain words."""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence

from bench.records.record import Launch, Record
from bench.records.summary import median_interval, summarise
from suites.case import Budget

OTHER_CORES = 0.1
"""Others may use the cores that the case leaves free, and this much more: ticks of 10 ms tell no less."""
TICK_SECONDS = 0.01
FEWEST_TICKS = 3
"""The kernel counts whole ticks: in a short window one or two of them look like co-running processes."""
FEWEST_SWITCHES = 20
"""In a short window a few say nothing of a rate."""
SWITCHES_PER_THREAD = 150.0
"""A second. In 530 launches with two threads on a quiet machine of two cores a thread made 23 in the middle, 77 at the
99th percentile and 118 at most; beside a busy process as many, and that is seen by the cores it uses, or 780."""
FEWEST_FOR_DRIFT = 18
"""Six in a third, which is what an interval needs."""
FEWEST_FOR_MODES = 60
SMALLER_MODE = 0.2
"""With less than this in the smaller mode, the median is firmly in the larger."""
VALLEY = 0.05
"""Two modes have no more of all samples than this in the middle third between them; one wide mode has 17 %."""


def imprecision(record: Record, budget: Budget) -> str:
    """How well the median is known, where that is less well than was asked for; empty elsewhere.

    It is a number, and no evidence that anything else had a hand in it.
    """
    found = summarise(record)
    if found.half_width is None:
        return f"{len(record.seconds)} samples are too few for an interval"
    if found.half_width <= budget.precision:
        return ""
    where = f" between {found.launches} launches" if found.launches > 1 else ""
    return f"the median is known to ±{100 * found.half_width:.1f}% only{where}, wanted ±{100 * budget.precision:g}%"


def disturbances(record: Record, budget: Budget, cores: int) -> dict[str, str]:
    """What disturbed a record of one launch: kind -> reason.

    Args:
        cores: that the process could use.
    """
    assert record.sampling is not None
    (launch,) = record.sampling.launches
    window = sum(record.seconds) * launch.steps_per_sample
    threads = record.case["threads"] if record.case["device"] == "cpu" else 1  # one feeds an accelerator
    # A case's own processes cannot be told from others': with two and gloo's threads, on two cores that did nothing
    # else, they took turns 200 to 3800 times a second (28 of 28 launches of `all_reduce` and `scaling`).
    alone = record.case.get("processes", 1) == 1
    found = {
        "steal": _stolen(launch, budget),
        "quota": throttled(launch, budget.precision),
        "load": co_running(launch, cores - threads, window) if alone else "",
        "switches": _switches(launch, threads, window) if alone else "",
        "drift": _drift(record.seconds, budget),
        "modes": _modes(record.seconds, budget),
    }
    return {kind: reason for kind, reason in found.items() if reason}


def over_launches(found: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """The reasons of all launches, each kind once, and in how many launches it was seen."""
    kinds = dict.fromkeys(kind for reasons in found for kind in reasons)
    seen = {kind: [reasons[kind] for reasons in found if kind in reasons] for kind in kinds}
    if len(found) == 1:
        return tuple(reasons[0] for reasons in seen.values())
    return tuple(f"{reasons[0]} (in {len(reasons)} of {len(found)} launches)" for reasons in seen.values())


def drift(seconds: Sequence[float]) -> float:
    """How much slower the last third was than the first, as a share; 0 where their medians' intervals meet."""
    if len(seconds) < FEWEST_FOR_DRIFT:
        return 0.0
    third = len(seconds) // 3
    first, last = seconds[:third], seconds[-third:]
    before, after = median_interval(first), median_interval(last)
    if before is None or after is None or (before[0] <= after[1] and after[0] <= before[1]):
        return 0.0
    return statistics.median(last) / statistics.median(first) - 1


def two_modes(seconds: Sequence[float]) -> tuple[float, float, float] | None:
    """(median of the faster mode, median of the slower, share of samples in the slower); None if there are no two.

    The split with the least variance of logarithms within its sides (Otsu's, doi 10.1109/TSMC.1979.4310076) always
    finds two sides; they are modes if both are populous and next to nothing lies between them.
    """
    count = len(seconds)
    if count < FEWEST_FOR_MODES or min(seconds) <= 0:
        return None
    logs = sorted(map(math.log, seconds))
    split = _least_variance_split(logs)
    low, high = statistics.median(logs[:split]), statistics.median(logs[split:])
    third = (high - low) / 3
    between = sum(low + third < value < high - third for value in logs)
    if min(split, count - split) < SMALLER_MODE * count or between > VALLEY * count:
        return None
    return math.exp(low), math.exp(high), (count - split) / count


def _least_variance_split(ordered: Sequence[float]) -> int:
    """How many of `ordered` are on the lower side; both sides hold at least one."""
    count, total = len(ordered), math.fsum(ordered)
    sums = itertools.islice(itertools.accumulate(ordered), count - 1)
    # least variance within is most variance between: of two sides, by their means alone
    between = [(total * k - count * below) ** 2 / (k * (count - k)) for k, below in enumerate(sums, start=1)]
    return between.index(max(between)) + 1


def _stolen(launch: Launch, budget: Budget) -> str:
    share = launch.stolen_share
    if share is None or share <= budget.precision:
        return ""
    return steal(share)


def steal(share: float) -> str:
    """What a stolen share of the cores' time is called."""
    return f"steal {100 * share:.0f}%: the hypervisor gave that share of the cores' time to others"


def throttled(launch: Launch, allowed: float) -> str:
    """For how long the quota of a cgroup stopped the process; empty where that is little."""
    share = launch.throttled_share
    if share is None or share <= allowed:
        return ""
    return f"the cgroup's CPU quota stopped the process for {100 * share:.0f}% of the time"


def co_running(launch: Launch, free_cores: int, window_seconds: float) -> str:
    """What other processes used of the cores beyond `free_cores`; empty where that is little."""
    others = launch.other_cores
    tick = TICK_SECONDS / window_seconds if window_seconds else 0.0
    if others is None or others <= max(0, free_cores) + max(OTHER_CORES, FEWEST_TICKS * tick):
        return ""
    return f"co-running processes used {others:.1f} cores meanwhile"


def _switches(launch: Launch, threads: int, window_seconds: float) -> str:
    rate = launch.switches_per_second
    if rate is None or rate <= SWITCHES_PER_THREAD * threads or rate * window_seconds < FEWEST_SWITCHES:
        return ""
    return f"{rate:.0f} involuntary context switches/s"


def _drift(seconds: Sequence[float], budget: Budget) -> str:
    share = drift(seconds)
    if abs(share) <= budget.precision:
        return ""
    return f"steps became {100 * abs(share):.0f}% {'slower' if share > 0 else 'faster'} while they were measured"


def _modes(seconds: Sequence[float], budget: Budget) -> str:
    modes = two_modes(seconds)
    if modes is None or modes[1] / modes[0] - 1 <= 2 * budget.precision:
        return ""
    low, high, share = modes
    return f"two modes: {100 * share:.0f}% of the samples take {100 * (high / low - 1):.0f}% longer than the others"
