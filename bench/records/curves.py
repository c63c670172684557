"""What a series of measurements shows: plateaus, half-way points, ratios. Pure functions, standard library only."""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.records.summary import Value

WITHIN = math.sqrt(2)
"""Values of one plateau differ from their geometric mean by no more than this factor."""


@dataclass(frozen=True)
class Plateau:
    """Neighbouring values that are about the same: the first and last size, and their geometric mean."""

    first: float
    last: float
    value: float


@dataclass(frozen=True)
class Ratio:
    """How many times one figure is another, and its interval; None where one of the two has none."""

    value: float
    low: float | None
    high: float | None

    @property
    def certain(self) -> bool:
        """Whether the interval excludes 1: noise does not explain the difference."""
        return self.low is not None and self.high is not None and not self.low <= 1 <= self.high


def plateaus(points: Sequence[tuple[float, float]]) -> list[Plateau]:
    """The fewest plateaus that (size, value) pairs, ascending by size, make; of as many, those of least squares.

    On the logarithms, by dynamic programming (Bellman, 1961).
    """
    logs = [math.log(value) for _, value in points]
    for count in range(1, len(logs) + 1):
        ends = _segments(logs, count)
        cut = [logs[begin:end] for begin, end in itertools.pairwise(ends)]
        if all(abs(value - statistics.fmean(part)) <= math.log(WITHIN) + 1e-12 for part in cut for value in part):
            return [
                Plateau(points[begin][0], points[end - 1][0], math.exp(statistics.fmean(logs[begin:end])))
                for begin, end in itertools.pairwise(ends)
            ]
    return []


def _segments(values: Sequence[float], count: int) -> tuple[int, ...]:
    """Bounds of the `count` segments with the least sum of squares around their means."""
    # best[k][end]: (cost, bounds) of cutting values[:end] into k segments
    best: list[dict[int, tuple[float, tuple[int, ...]]]] = [{0: (0.0, (0,))}]
    for _ in range(count):
        found = {}
        for end in range(1, len(values) + 1):
            ways = [
                (cost + _squares(values[begin:end]), (*bounds, end))
                for begin, (cost, bounds) in best[-1].items()
                if begin < end
            ]
            if ways:
                found[end] = min(ways)
        best.append(found)
    return best[-1][len(values)][1]


def _squares(values: Sequence[float]) -> float:
    mean = statistics.fmean(values)
    return math.fsum((value - mean) ** 2 for value in values)


def crossing(points: Sequence[tuple[float, float]], level: float) -> float | None:
    """The size at which a rising curve passes `level` for good, log-linear between points; None: it never does."""
    for (size, value), (next_size, next_value) in reversed(list(itertools.pairwise(points))):
        if value < level <= next_value:
            share = math.log(level / value) / math.log(next_value / value)
            return math.exp(math.log(size) + share * math.log(next_size / size))
    return None


def ratio(first: Value, second: Value) -> Ratio:
    """How many times `second` `first` is; the interval is the widest that both intervals allow."""
    value = first.value / second.value
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return Ratio(value, None, None)
    return Ratio(value, first.low / second.high, first.high / second.low)
