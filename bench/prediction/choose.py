"""Which cases to measure, so that the rest can be predicted.

A random set first, which alone can say how good the predictions are; then, one after the other, the case that makes
the sum of all variances smallest for what it costs (an A-optimal design, greedily: Krause, Singh, Guestrin (2008), JMLR
9, section 4.1, with this sum instead of theirs). Measured times play no part: the design can be made beforehand.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.prediction.facts import Facts
from bench.prediction.intervals import FEWEST
from bench.prediction.mean import Array
from bench.prediction.model import NOISE, covariance

COST_EXPONENT = 0.5
"""Of a case's cost, in what it is worth for its cost: 1 would measure small nets alone."""


@dataclass(frozen=True)
class Choice:
    """Case ids: those drawn at random, and those that were chosen beside them, the most telling first."""

    random: tuple[str, ...]
    chosen: tuple[str, ...]


def choose(
    candidates: Sequence[Facts], costs: Mapping[str, float], budget_seconds: float, *, seed: int = 0,
    draw: int = FEWEST,
) -> Choice:  # fmt: skip
    """Choose for a budget; at most half of it is spent on the random set.

    Args:
        candidates: of one device, each with its work.
        costs: case id -> seconds that measuring it is expected to take.
        draw: how many to draw at random; fewer than `FEWEST` give no interval.
    """
    drawn = _draw(candidates, costs, budget_seconds / 2, seed, draw)
    left = budget_seconds - sum(costs[candidates[number].case.id] for number in drawn)
    chosen = _greedy(candidates, costs, left, drawn)
    ids = [each.case.id for each in candidates]
    return Choice(tuple(ids[number] for number in drawn), tuple(ids[number] for number in chosen))


def _draw(
    candidates: Sequence[Facts], costs: Mapping[str, float], budget_seconds: float, seed: int, draw: int
) -> list[int]:
    """In random order, until the number or the budget is reached: to skip the dear ones would not be random."""
    order = list(range(len(candidates)))
    random.Random(seed).shuffle(order)  # noqa: S311 - a draw, no secret
    found: list[int] = []
    for number in order[:draw]:
        budget_seconds -= costs[candidates[number].case.id]
        if budget_seconds < 0:
            break
        found.append(number)
    return found


def _greedy(
    candidates: Sequence[Facts], costs: Mapping[str, float], budget_seconds: float, drawn: Sequence[int]
) -> list[int]:
    left = covariance(candidates, candidates)
    for number in drawn:
        left = _without(left, number)
    price = np.array([max(costs[each.case.id], 1e-9) for each in candidates])
    open_ = np.ones(len(candidates), dtype=bool)
    open_[list(drawn)] = False
    found: list[int] = []
    while (possible := open_ & (price <= budget_seconds)).any():
        gain = (left**2).sum(axis=0) / (np.diag(left) + NOISE) / price**COST_EXPONENT
        best = int(np.argmax(np.where(possible, gain, -1.0)))
        found.append(best)
        open_[best] = False
        budget_seconds -= price[best]
        left = _without(left, best)
    return found


def _without(covariances: Array, number: int) -> Array:
    """What is left of the covariances when one case has been measured."""
    column = covariances[:, number]
    return np.asarray(covariances - np.outer(column, column) / (column[number] + NOISE))
