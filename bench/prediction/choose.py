"""Which cases to measure, so that the rest can be predicted.

A random set first, which says best how good the predictions are; then, one after the other, the case that makes
the sum of all variances smallest for what it costs (an A-optimal design, greedily: Krause, Singh, Guestrin (2008), JMLR
9, section 4.1, with this sum instead of theirs). Measured times play no part: the design can be made beforehand.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.prediction.facts import Facts
from bench.prediction.intervals import FEWEST
from bench.prediction.model import NOISE, covariance

LEAST_COST = 1e-9


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
        draw: how many to draw at random.
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
    design = Design(candidates)
    for number in drawn:
        design.add(candidates[number].case.id)
    open_ = {each.case.id: number for number, each in enumerate(candidates) if number not in set(drawn)}
    found: list[int] = []
    while True:
        best = design.best({name: costs[name] for name in open_ if costs[name] <= budget_seconds})
        if best is None:
            return found
        design.add(best)
        budget_seconds -= costs[best]
        found.append(open_.pop(best))


class Design:
    """What is left to be learnt of cases, as more and more of them are measured.

    Args:
        candidates: of one device or several, each with its work.
    """

    def __init__(self, candidates: Sequence[Facts]) -> None:
        self._number = {each.case.id: number for number, each in enumerate(candidates)}
        self._left = covariance(candidates, candidates)

    def add(self, case_id: str) -> None:
        """It was measured; a case that is no candidate tells nothing."""
        number = self._number.get(case_id)
        if number is not None:
            column = self._left[:, number].copy()
            self._left -= np.outer(column, column / (column[number] + NOISE))

    def best(self, costs: Mapping[str, float]) -> str | None:
        """The case that is worth most for what it costs; None where there is none.

        Args:
            costs: seconds, of the cases that may be measured.
        """
        names = [name for name in costs if name in self._number]
        if not names:
            return None
        numbers = [self._number[name] for name in names]
        prices = np.array([max(costs[name], LEAST_COST) for name in names])
        gain = np.einsum("ij,ij->j", self._left, self._left)[numbers]
        worth = gain / (np.diag(self._left)[numbers] + NOISE) / prices
        return names[int(np.argmax(worth))]
