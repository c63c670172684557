"""Which of some values is not like the others, where each is known by a few launches, and launches have long tails.

The generalised extreme Studentised deviate test (Rosner 1983, doi 10.1080/00401706.1983.10487848) finds several
outliers that would hide one another. It wants normal noise, and that of launches is not: so a node that its own
launches know badly has that in its distance, and the critical values are those of fleets of machines that are alike,
made of the launches at hand by drawing whole anchors again (a block bootstrap), where these are above Rosner's.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

NULL_ROWS = 20_000
FLEETS, DRAWN = 4000, 4000
"""Of machines that are alike, and machines that they are put together of."""
MOST_VALUES = 2_000_000
"""Of all those fleets at once."""
FEWEST_NODES = 4
"""Fewer have no spread to speak of: what is unlike what cannot be told."""


def middle_of(logs: Array) -> tuple[Array, Array]:
    """A node's figure and its standard error.

    Args:
        logs: logarithms of launches' medians, (..., cases, anchors, launches).

    Returns:
        The mean over the cases of the median over all launches, (...); and the larger of two guesses at its standard
        error: by the launches, whose mood all cases share, and by what the anchors differ. 0 with a single launch.
    """
    *more, cases, anchors, launches = logs.shape
    flat = logs.reshape(*more, cases, anchors * launches)
    medians = np.median(flat, axis=-1)
    rounds = (flat - medians[..., None]).mean(axis=-2)
    count = anchors * launches
    error = rounds.std(axis=-1, ddof=1) / math.sqrt(count) if count > 1 else np.zeros(more)
    if anchors > 1:
        at_once = np.median(logs, axis=-1).mean(axis=-2)
        error = np.maximum(error, np.ptp(at_once, axis=-1) / 2)
    return medians.mean(axis=-1), error


def unlike(nodes: Mapping[str, Array], level: float) -> set[str]:
    """Names of the nodes that are not like the others; one of machines that are alike is named with at most `level`.

    Args:
        nodes: name -> logarithms of its launches' medians, (cases, anchors, launches), at most one in three is unlike.
            Nodes may have different numbers of anchors and launches.
    """
    if len(nodes) < FEWEST_NODES:
        return set()
    found = [middle_of(logs) for logs in nodes.values()]
    values, errors = (np.array(part, dtype=float) for part in zip(*found, strict=True))
    critical = np.maximum(_rosner(len(nodes), level), _drawn(list(nodes.values()), level))
    return _beyond(list(nodes), values, errors, critical)


def outliers(values: Mapping[str, float], level: float) -> set[str]:
    """Names of the values that are not of one normal distribution with the others (Rosner 1983).

    Up to a third of them; the largest number whose statistic is beyond its critical value, so that two bad ones do not
    hide one another.
    """
    if len(values) < FEWEST_NODES:
        return set()
    known = np.array(list(values.values()), dtype=float)
    return _beyond(list(values), known, np.zeros(len(known)), _rosner(len(known), level))


def _beyond(names: Sequence[str], values: Array, errors: Array, critical: Array) -> set[str]:
    removed, distances = _extremes(values[None], errors[None])
    beyond = (distances[0] > critical).nonzero()[0]
    return {names[index] for index in removed[0, : beyond.max() + 1 if beyond.size else 0]}


def _extremes(values: Array, errors: Array) -> tuple[Array, Array]:
    """Of each row, again and again, what is farthest from the mean of those left: its index, its distance in sd.

    A value that is known worse than the middle one of its row has the excess in its standard deviation.
    """
    excess = _excess(errors)
    gone = np.zeros(values.shape, bool)
    removed, distances = [], []
    for _ in range(values.shape[1] // 3):
        distance = np.where(gone, -1.0, _distances(values, excess, ~gone))
        worst = distance.argmax(axis=1)
        removed.append(worst)
        distances.append(distance.max(axis=1))
        gone[np.arange(len(values)), worst] = True
    return np.stack(removed, axis=1), np.stack(distances, axis=1)


def _excess(errors: Array) -> Array:
    squares = errors**2
    return np.asarray(np.maximum(0.0, squares - np.median(squares, axis=1, keepdims=True)))


def _distances(values: Array, excess: Array, left: Array) -> Array:
    count = left.sum(axis=1, keepdims=True)
    off = values - (values * left).sum(axis=1, keepdims=True) / count
    variance = (off**2 * left).sum(axis=1, keepdims=True) / (count - 1) + excess
    return np.asarray(np.abs(off) / np.sqrt(np.where(variance > 0, variance, np.inf)))


@cache
def _rosner(count: int, level: float) -> Array:
    """Critical values of the statistics: Rosner's, all raised alike until of normal rows `level` have one beyond.

    His are right from 25 values on; of 16 alike they find an outlier in 7.5 % where 5 % are meant.
    """
    from scipy.special import stdtrit

    left = count - np.arange(count // 3)
    quantile = stdtrit(left - 2, 1 - level / (2 * left))
    rosner = quantile * (left - 1) / np.sqrt((left - 2 + quantile**2) * left)
    rows = max(1000, min(NULL_ROWS, MOST_VALUES // count))
    null = np.random.default_rng(1).normal(size=(rows, count))
    _, distances = _extremes(null, np.zeros_like(null))
    return np.asarray(rosner * np.quantile((distances / rosner).max(axis=1), 1 - level))


def _drawn(nodes: Sequence[Array], level: float) -> Array:
    """Critical values by fleets of machines that are alike and have these nodes' noise; zeros where none is known.

    Noise is drawn by whole anchors, which keeps together what one moment has done to all cases. A statistic after `k`
    were removed is held against that of fleets of so many less, and all are raised alike until `level` have one beyond.
    """
    anchors, launches = (min(logs.shape[axis] for logs in nodes) for axis in (1, 2))
    steps = range(len(nodes) // 3)
    if anchors * launches < 2:
        return np.zeros(len(steps))
    noise = np.stack(list(_noise(nodes, launches)))
    tossed = np.random.default_rng(2)
    machines = np.moveaxis(noise[tossed.integers(len(noise), size=(DRAWN, anchors))], 1, 2)
    middles, errors = middle_of(machines)
    if not middles.any():  # clocks without noise
        return np.zeros(len(steps))
    fleets = tossed.integers(DRAWN, size=(max(1000, min(FLEETS, MOST_VALUES // len(nodes))), len(nodes)))
    values, errors = middles[fleets], errors[fleets]
    first = np.array([np.quantile(_farthest(values[:, step:], errors[:, step:]), 1 - level) for step in steps])
    _, distances = _extremes(values, errors)
    shares = distances / np.where(first > 0, first, np.inf)
    return np.asarray(first * max(1.0, np.quantile(shares.max(axis=1), 1 - level)))


def _noise(nodes: Sequence[Array], launches: int) -> Iterator[Array]:
    """Each anchor of each node against that node's own figures: (cases, launches)."""
    for logs in nodes:
        flat = logs.reshape(len(logs), -1)
        off = logs - np.median(flat, axis=-1)[:, None, None]
        for anchor in range(logs.shape[1]):
            yield off[:, anchor, :launches]


def _farthest(values: Array, errors: Array) -> Array:
    return np.asarray(_distances(values, _excess(errors), np.ones(values.shape, bool)).max(axis=1))
