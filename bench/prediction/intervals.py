"""Intervals that hold whatever the model is worth: cross-conformal, weighted for how cases came to be measured.

Each measured case is predicted without its fold; how far off that was, in the model's own standard deviations, is its
score. The interval of a case that was not measured reaches as far as all but a tenth of the scores, by weight:

- A net of which nothing was measured is predicted worse than one that was: for it, whole nets are left out at a time.
- A case that was drawn by lot is like one that was not measured, whatever the plan went on to choose; a chosen case is
  so only as far as the plan has spread them well. So the drawn ones count `DRAWN_WEIGHT` times.
- Far from what was measured the model is off by more of its standard deviations than near to it. So a score counts the
  more, the more alike its standard deviation was to that of the prediction.

Sources: Vovk, Cross-conformal predictors (2015), arXiv 1208.0806; the score is normalised as in Lei et al. (2018),
arXiv 1604.04173; weights: Tibshirani et al. (2019), arXiv 1904.06019, and Guan, Localized conformal prediction (2023),
doi 10.1093/biomet/asac040. With weights of this kind nothing is promised beforehand: docs/prediction.md has what came
of them, whatever the order in which cases were measured.
"""

import random
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from bench.prediction.mean import Array

COVERAGE = 0.9
FEWEST = 20
"""Of measured cases: with fewer the interval would be that of the one or two worst."""
MOST_FOLDS = 20
DRAWN_WEIGHT = 6.0
"""Of 1, 3 and 6 the one with which intervals held best whatever the order was (docs/prediction.md)."""
ALIKE = 0.3
"""Standard deviations that differ by this, in the logarithm, count 0.6 of those that are equal."""
FEWEST_ALIKE = 10.0
"""Scores that an interval rests on, by their weight (Kish's effective number); unlike ones are let in till then."""
WIDEST = 30.0
"""In the logarithm: all standard deviations are alike."""


def folds(groups: Sequence[Hashable]) -> list[list[int]]:
    """The numbers of measured cases in at most `MOST_FOLDS` parts, by chance, each to be predicted without itself.

    Args:
        groups: of each case; those of one group are in one part.
    """
    numbers: dict[Hashable, list[int]] = {}
    for number, group in enumerate(groups):
        numbers.setdefault(group, []).append(number)
    order = list(numbers.values())
    random.Random(0).shuffle(order)  # noqa: S311 - no secret
    parts = min(MOST_FOLDS, len(order))
    return [list(chain(*order[part::parts])) for part in range(parts)]


@dataclass(frozen=True)
class Calibration:
    """Of measured cases that were predicted without themselves.

    Attributes:
        scores: how far off each was, in standard deviations.
        spreads: the standard deviations, of the logarithm.
        weights: how much each counts.
    """

    scores: Array
    spreads: Array
    weights: Array

    def reach(self, spreads: Array, coverage: float = COVERAGE) -> Array:
        """How many standard deviations intervals must reach; not a number with too few scores.

        Args:
            spreads: of the cases that are predicted.
        """
        if len(self.scores) < FEWEST:
            return np.full(len(spreads), np.nan)
        order = np.argsort(self.scores)
        ordered = Calibration(self.scores[order], self.spreads[order], self.weights[order])
        return np.array([ordered._reach(spread, coverage) for spread in spreads])

    def _reach(self, spread: float, coverage: float) -> float:
        weights = self._alike(spread)
        own = weights.sum() / effective(weights)  # of the predicted case itself, whose score may be any
        below = np.cumsum(weights) / (weights.sum() + own)
        place = int(np.searchsorted(below, coverage - 1e-12))
        return float(self.scores[place]) if place < len(below) else np.nan

    def _alike(self, spread: float) -> Array:
        away, width = np.log(self.spreads / spread), ALIKE
        while True:
            weights = self.weights * np.exp(-((away / width) ** 2) / 2)
            if width > WIDEST or effective(weights) >= FEWEST_ALIKE:
                return np.asarray(weights)
            width *= 2


def effective(weights: Array) -> float:
    """How many equal ones would tell as much (Kish, 1965); none where all weigh nothing."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0
