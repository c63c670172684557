"""Where the level of a series has changed: exact, each point with an error of its own. Pure numpy.

Rows are series, columns their runs in the order of time; what is behind a series' last run is no number (NaN). The
steps of the recursion are taken for all rows at once.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SHORTEST = 3
"""Runs on each side of a change: one alone may be a spike. With two, outliers that happen to be neighbours set the
penalty, and +5 % takes longer to be found (docs/history-validation.md)."""
WINDOW = 5
SPIKE = 2.5
"""Standard deviations from the median of five runs, beyond which a run has no more weight than there."""
CERTAIN = 0.95


@dataclass(frozen=True)
class Step:
    """A change of level.

    Attributes:
        place: the likeliest first run after it.
        first, last: the first run after it is one of these, with 95 %.
        size: of the logarithm, and its standard `error`.
        gain: by how much the fit is better with it; twice the log likelihood ratio.
    """

    place: int
    first: int
    last: int
    size: float
    error: float
    gain: float


def tamed(values: Floats, deviations: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """(the series with its spikes cut, which runs were spikes).

    A level that holds for three of five runs is no spike.
    """
    middle = _running_median(values)
    off = values - middle
    spike = np.abs(off) > SPIKE * deviations
    return np.where(spike, middle + np.sign(off) * SPIKE * deviations, values), spike


def _running_median(values: Floats) -> Floats:
    """Of the five runs around each; at an end of the series of the last five."""
    count, length = values.shape
    if length < WINDOW:
        middle: Floats = np.broadcast_to(np.nanmedian(values, axis=1)[:, None], values.shape)
        return middle
    ends = lengths(values)
    starts = np.clip(np.arange(length) - WINDOW // 2, 0, np.maximum(ends - WINDOW, 0)[:, None])
    picked = values[np.arange(count)[:, None, None], starts[:, :, None] + np.arange(WINDOW)]
    return np.where(np.isnan(values), np.nan, _median(picked))


def _median(picked: Floats) -> Floats:
    """Over the last axis; NaN are put last by sorting, and passed over."""
    known = (~np.isnan(picked)).sum(-1)
    ordered = np.sort(picked, axis=-1)
    low, high = (np.maximum(known - 1, 0) // 2, known // 2)
    high = np.minimum(high, np.maximum(known - 1, 0))
    found = [np.take_along_axis(ordered, place[..., None], -1)[..., 0] for place in (low, high)]
    middle: Floats = (found[0] + found[1]) / 2
    return middle


def lengths(values: Floats) -> NDArray[np.int64]:
    """How many runs each series has."""
    return np.asarray((~np.isnan(values)).sum(axis=1), dtype=np.int64)


class Sums:
    """What a level costs over any stretch of the runs, from sums up to each."""

    def __init__(self, values: Floats, variances: Floats) -> None:
        there = ~np.isnan(values)
        weights = np.where(there, 1 / np.where(there, variances, 1.0), 0.0)
        first = np.where(there, values, 0.0)[:, :1]
        centred = np.where(there, values - first, 0.0)
        self.weights, self.firsts, self.seconds = (
            np.pad(np.cumsum(part, axis=1), ((0, 0), (1, 0)))
            for part in (weights, weights * centred, weights * centred**2)
        )

    def cost(self, begin: NDArray[np.int64] | int, end: int) -> Floats:
        """Of a level from `begin` up to, without, `end`: squares about its mean, in variances."""
        weight = self.weights[:, [end]] - self.weights[:, begin]
        first = self.firsts[:, [end]] - self.firsts[:, begin]
        second = self.seconds[:, [end]] - self.seconds[:, begin]
        cost: Floats = second - first**2 / np.where(weight > 0, weight, 1.0)
        return cost


def changes(values: Floats, variances: Floats, penalty: float) -> list[list[int]]:
    """The first runs after each change, of each series: the segmentation that costs least, a change `penalty`.

    Optimal partitioning (Jackson et al. 2005, doi 10.1109/LSP.2001.838216), and beginnings of segments that can no more
    be the best are left out (PELT: Killick, Fearnhead and Eckley 2012, doi 10.1080/01621459.2012.737745), as soon as
    that is so in all rows. A change has `SHORTEST` runs on either side.
    """
    count, length = values.shape
    sums = Sums(values, variances)
    best = np.full((count, length + 1), np.inf)
    best[:, 0] = -penalty
    before = np.zeros((count, length + 1), dtype=np.int64)
    begins = np.array([0])
    waiting: list[NDArray[np.int64]] = []
    for end in range(SHORTEST, length + 1):
        costs = best[:, begins] + sums.cost(begins, end) + penalty
        chosen = np.argmin(costs, axis=1)
        best[:, end] = np.take_along_axis(costs, chosen[:, None], 1)[:, 0]
        before[:, end] = begins[chosen]
        waiting.append(begins[(costs - penalty > best[:, [end]]).all(axis=0)])
        if len(waiting) >= SHORTEST:  # until then a segment that began at `end` would be too short to do better
            begins = np.setdiff1d(begins, waiting.pop(0), assume_unique=True)
        if end + 1 >= 2 * SHORTEST:
            begins = np.append(begins, end + 1 - SHORTEST)
    return [_traced(before[row], int(end)) for row, end in enumerate(lengths(values))]


def _traced(before: NDArray[np.int64], end: int) -> list[int]:
    found: list[int] = []
    while end > 0 and (end := int(before[end])) > 0:
        found.insert(0, end)
    return found


def steps(values: Floats, variances: Floats, places: Sequence[int]) -> list[Step]:
    """What is known of each change of one series: `values` and `variances` of its runs alone."""
    bounds = [0, *places, len(values)]
    sums = Sums(values[None], variances[None])
    return [
        _step(sums, values, variances, bounds[number], place, bounds[number + 2])
        for number, place in enumerate(places)
    ]  # fmt: skip


def _step(sums: Sums, values: Floats, variances: Floats, begin: int, place: int, end: int) -> Step:
    inside = np.arange(begin + 1, end)
    left = np.array([sums.cost(begin, int(middle))[0, 0] for middle in inside])
    both = left + sums.cost(inside, end)[0]
    likely = np.exp(-(both - both.min()) / 2)
    ordered = np.argsort(-likely)
    enough = np.cumsum(likely[ordered]) / likely.sum() >= CERTAIN
    kept = inside[ordered[: int(np.argmax(enough)) + 1]]
    weights = 1 / variances
    parts = [slice(begin, place), slice(place, end)]
    means = [float(np.average(values[part], weights=weights[part])) for part in parts]
    error = float(np.sqrt(sum(1 / weights[part].sum() for part in parts)))
    gain = float(sums.cost(begin, end)[0, 0] - both[place - begin - 1])
    return Step(place, min(int(kept.min()), place), max(int(kept.max()), place), means[1] - means[0], error, gain)


def levels(values: Floats, variances: Floats, places: Sequence[int]) -> Floats:
    """The level at each run of one series."""
    found = np.empty(len(values))
    bounds = [0, *places, len(values)]
    for begin, end in itertools.pairwise(bounds):
        if end > begin:
            found[begin:end] = np.average(values[begin:end], weights=1 / variances[begin:end])
    return found


def greatest_gains(values: Floats, scales: Floats) -> Floats:
    """Of each series the greatest gain that one change has at the later ends, as it grows, run by run, and is tamed.

    Args:
        values: no series has gaps.
        scales: the standard deviation of each series, as it is known at each of its last ends.
    """
    count, length = values.shape
    usual = scales[:, -1:]
    sums = np.cumsum(tamed(values, usual)[0].T, axis=0)  # of each run side by side: a step is a block
    newest = WINDOW // 2  # runs that are held against the last five, until others come after them
    greatest = np.zeros(count)
    for end, scale in zip(range(length - scales.shape[1] + 1, length + 1), scales.T, strict=True):
        last, limit = values[:, end - WINDOW : end], SPIKE * usual
        middle = np.median(last, axis=1, keepdims=True)
        total = sums[end - newest - 1] + np.clip(last[:, -newest:], middle - limit, middle + limit).sum(axis=1)
        begins = np.arange(SHORTEST, end - SHORTEST + 1)[:, None]
        off = sums[SHORTEST - 1 : end - SHORTEST] - total * (begins / end)
        np.maximum(greatest, (off**2 * (end / (begins * (end - begins)))).max(axis=0) / scale**2, out=greatest)
    return greatest
