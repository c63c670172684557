"""Intervals that hold whatever the model is worth: cross-conformal, by cases that were drawn at random.

A case of the random set is predicted without it; how far off that was, in the model's own standard deviations, is its
score. The interval of a case that was not measured reaches as far as all but a tenth of the scores.
Source: Vovk, Cross-conformal predictors (2015), arXiv 1208.0806; the score is normalised as in Lei et al. (2018),
arXiv 1604.04173. Sound only where the set was drawn at random from what is to be predicted.
"""

import math
from collections.abc import Sequence

import numpy as np

from bench.prediction.mean import Array

COVERAGE = 0.9
FEWEST = 20
"""Of random cases: with fewer the interval would be that of the one or two worst."""
MOST_FOLDS = 20


def folds(calibration: Sequence[int]) -> list[list[int]]:
    """The random set in at most `MOST_FOLDS` parts, each to be predicted without itself."""
    count = min(MOST_FOLDS, len(calibration))
    return [list(calibration[number::count]) for number in range(count)]


def reach(scores: Array, coverage: float = COVERAGE) -> float | None:
    """How many standard deviations an interval must reach to hold `coverage`; None with too few scores."""
    rank = math.ceil((len(scores) + 1) * coverage)
    if len(scores) < FEWEST or rank > len(scores):
        return None
    return float(np.sort(scores)[rank - 1])
