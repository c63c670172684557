"""What the raw samples say, and how surely: pure functions, standard library only, nothing stored.

Samples of one launch share that launch's luck (where memory lay, which threads met which cores), so the interval of
their median tells only how well that one launch is known. With several launches each gives one number, its median,
and the interval is that of these.
"""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from bench.records.record import Record

STUDENT_975 = {2: 12.7062, 3: 4.30265, 4: 3.18245, 5: 2.77645}
"""Number of launches -> the 97.5 % quantile of Student's t with one degree of freedom less."""
PERCENTILE_CONFIDENCE = 0.99
MUCH_KERNEL, FEWEST_KERNEL_SECONDS, FEWEST_FAULTS = 0.05, 0.03, 100
"""Of a step's time, that the kernel takes: less is not worth a line. It is told by ticks of 10 ms: one or two are none.
And of a step: with fewer the kernel does something else, such as waking threads (LeNet: 7 % with one fault a step)."""


@dataclass(frozen=True)
class Summary:
    """Times in seconds, half widths as a share of the median; None where there are too few samples or launches.

    Attributes:
        median_seconds: median of the launches' medians; of the samples where there is one launch.
        low_seconds, high_seconds: its 95 % interval: between launches, or within the one.
        half_width: half of that interval's width.
        within_half_width: of the interval that the samples of one launch give by themselves, the middle launch's.
        launches: how many there were.
    """

    median_seconds: float
    low_seconds: float | None
    high_seconds: float | None
    half_width: float | None
    within_half_width: float | None
    launches: int


def summarise(record: Record) -> Summary:
    """Sum up a measured record."""
    series = by_launch(record)
    medians = [statistics.median(seconds) for seconds in series]
    median = statistics.median(medians)
    intervals = [launch_interval(seconds) for seconds in series]
    within = sorted(map(_half_width, intervals, medians))[len(series) // 2]
    low, high = (intervals[0] if len(series) == 1 else launch_interval(medians)) or (None, None)
    return Summary(
        median_seconds=median,
        low_seconds=low,
        high_seconds=high,
        half_width=None if low is None or high is None else (high - low) / 2 / median,
        within_half_width=None if math.isinf(within) else within,
        launches=len(series),
    )


@dataclass(frozen=True)
class Value:
    """A figure in the unit of its metric, and its 95 % interval, None where it is not known."""

    metric: str
    value: float
    low: float | None
    high: float | None


def value_of(record: Record, found: Summary | None = None) -> Value:
    """What a measured record says in its own metric; of a net, images a second, or samples that are no images.

    Args:
        found: its summary, where that is there already.
    """
    work = record.work
    metric, amount = (_rate_of(record), record.case["batch_size"]) if work is None else (work.metric, work.amount)
    found = found or summarise(record)
    low, high = found.low_seconds, found.high_seconds
    if metric == "steps":
        return Value(metric, amount, None, None)
    if metric == "seconds":
        bounds = None if low is None or high is None else (low / amount, high / amount)
        return Value(metric, found.median_seconds / amount, *(bounds or (None, None)))
    bounds = None if low is None or high is None else (amount / high, amount / low)
    return Value(metric, amount / found.median_seconds, *(bounds or (None, None)))


def across_machines(found: Summary, value: Value, offset: float | None) -> tuple[Summary, Value]:
    """The same with intervals that hold, too, how far the machine may be from others of its kind.

    Args:
        offset: a share, the 95 % bound of that; None: nothing is known of it, or it does not matter.
    """
    if not offset or found.low_seconds is None or found.high_seconds is None:
        return found, value
    low, high = _wider(found.low_seconds, found.median_seconds, found.high_seconds, offset)
    wider = replace(found, low_seconds=low, high_seconds=high, half_width=(high - low) / 2 / found.median_seconds)
    if value.low is None or value.high is None:
        return wider, value
    low, high = _wider(value.low, value.value, value.high, offset)
    return wider, replace(value, low=low, high=high)


def _wider(low: float, middle: float, high: float, share: float) -> tuple[float, float]:
    """Both are of independent causes: their logarithms add by squares."""
    below, above = (math.hypot(math.log(end / middle), math.log1p(share)) for end in (low, high))
    return middle * math.exp(-below), middle * math.exp(above)


def _rate_of(record: Record) -> str:
    """Images have channels, height and width; a net without an `input_shape` has other inputs, or several."""
    return "images_per_second" if len(record.case.get("input_shape") or ()) == 3 else "samples_per_second"


def by_launch(record: Record) -> tuple[tuple[float, ...], ...]:
    """The samples of each launch; all in one where the record does not tell them apart."""
    counts = [launch.samples for launch in record.sampling.launches] if record.sampling else []
    if sum(counts) != len(record.seconds) or 0 in counts:
        return (record.seconds,)
    ends = list(itertools.accumulate(counts, initial=0))
    return tuple(record.seconds[begin:end] for begin, end in itertools.pairwise(ends))


def half_width(seconds: Sequence[float]) -> float:
    """Half the median's 95 % interval, as a share of the median; infinite with too few samples."""
    interval = median_interval(seconds)
    if interval is None:
        return math.inf
    return (interval[1] - interval[0]) / 2 / statistics.median(seconds)


def _half_width(interval: tuple[float, float] | None, median: float) -> float:
    return math.inf if interval is None else (interval[1] - interval[0]) / 2 / median


def launch_interval(medians: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of the launches' median, or of a few samples of one launch; None for a single one.

    Six and more: by order statistics, which assume nothing but independence. Fewer have none of 95 %: then by
    Student's t on the logarithms, for a launch that is off is off by a factor.
    """
    if len(medians) not in STUDENT_975 or min(medians) <= 0:
        return median_interval(medians)
    logs = [math.log(median) for median in medians]
    middle = statistics.fmean(logs)
    half = STUDENT_975[len(logs)] * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(middle - half), math.exp(middle + half)


def median_interval(samples: Sequence[float], confidence: float = 0.95) -> tuple[float, float] | None:
    """Bounds of the median by order statistics; no distribution is assumed, only independence.

    None where there are too few samples for the confidence (fewer than 6 for 95 %).
    Source: David & Nagaraja, Order Statistics, section 7.1.
    """
    rank = _interval_rank(len(samples), confidence)
    if rank is None:
        return None
    ordered = sorted(samples)
    return ordered[rank], ordered[-1 - rank]


def percentile(seconds: Sequence[float], share: float) -> float | None:
    """The sample that `share` of all are not above, by nearest rank; None where too few samples stand behind it.

    Enough: were the true percentile above all of them, they would have less than one chance in a hundred to be so
    low; 45 for the 90th, 460 for the 99th. Source: MLPerf LoadGen, early_stopping.cc.
    """
    if len(seconds) < math.ceil(math.log(1 - PERCENTILE_CONFIDENCE) / math.log(share)) + 1:
        return None
    return sorted(seconds)[math.ceil(share * len(seconds)) - 1]


@lru_cache(maxsize=4096)
def _interval_rank(count: int, confidence: float) -> int | None:
    """Largest r such that [x_(r), x_(count-1-r)], counted from 0, holds the median with `confidence`.

    Each end may miss with (1 - confidence) / 2: P(B <= r) for B binomial(count, 1/2).
    """
    miss = (1 - confidence) / 2
    if count > 1000:  # the normal approximation is then within one rank of the exact one
        return math.floor((count - statistics.NormalDist().inv_cdf(1 - miss) * math.sqrt(count)) / 2) - 1
    rank, term, below = -1, 1, 1
    while below <= miss * 2**count:
        rank += 1
        term = term * (count - rank) // (rank + 1)
        below += term
    return rank if rank >= 0 else None


@dataclass(frozen=True)
class PageFaults:
    """Minor ones of a step, and the kernel's time for the process as a share of the step's, over all launches."""

    a_step: float
    kernel_share: float


def page_faults(record: Record) -> PageFaults | None:
    """On the CPU, where mapping memory took a good part of a step; None elsewhere, and where nobody knows."""
    launches = record.sampling.launches if record.sampling and record.case["device"] == "cpu" else ()
    steps = window = faults = kernel = 0.0
    for launch in launches:
        if launch.page_faults_per_second is None or launch.system_cores is None:
            return None
        of_launch = launch.samples * launch.steps_per_sample
        seconds = of_launch * launch.median_seconds
        steps, window = steps + of_launch, window + seconds
        faults, kernel = faults + launch.page_faults_per_second * seconds, kernel + launch.system_cores * seconds
    if kernel < FEWEST_KERNEL_SECONDS or kernel < MUCH_KERNEL * window or faults < FEWEST_FAULTS * steps:
        return None
    return PageFaults(faults / steps, kernel / window)
