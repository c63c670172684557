"""A Gaussian process over the logarithm of time, on what the sum of `mean` leaves over.

Cases of one net differ smoothly over the batch; nets that do similar work differ alike, the more so those of one
family, which are built of the same blocks; precision, memory format and mode shift all of them. The length scales say
how far that reaches; they were chosen once, on one grid, that of families on tables of hundreds of models
(docs/prediction.md). They are not fitted: a seventh of a grid is too little to learn them from, and did worse.
Source: Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), algorithm 2.1.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import cho_factor, cho_solve

from bench.prediction import mean
from bench.prediction.facts import Facts
from bench.prediction.mean import Array

NOISE = 0.003
"""Variance of a measured time's logarithm between runs, over what its own interval says."""
NAME = "sum of work at learnt rates + Gaussian process"
NEVER = 0.3
"""A length over which nothing is shared: exp(-1 / 0.3^2) is 1e-5."""


@dataclass(frozen=True)
class Component:
    """One part of the covariance: a variance, and for each distance how far it reaches."""

    variance: float
    lengths: Mapping[str, float]


COMPONENTS = (
    Component(0.025, {"batch": 0.85, "net": 1.12, "mode": 1.0, "precision": 1.2, "layout": 2.3}),
    Component(0.02, {"mode": 1.4, "precision": 1.2, "layout": 1.4, "work": 1.0}),
    Component(0.02, {"family": NEVER, "mode": 1.4, "precision": 1.2, "layout": 1.4, "work": 1.0}),
    Component(0.004, {"net": NEVER, "precision": 2.0, "batch": 0.8}),
    Component(0.005, {"net": NEVER, "layout": NEVER, "precision": 2.0}),
)
"""Of a net over its batches; of nets that do similar work; of those of one family; a net's own; a net's in one memory
format."""
COMPILED = Component(0.12, {"mode": 1.4, "precision": 1.2, "layout": 1.4, "batch": 1.5, "work": 1.0})
"""What a compile mode makes of a step, beside that: chosen on 351 cases, 98 of them compiled (docs/prediction.md)."""
KEPT = 0.9
"""So much of what is known of eager steps holds of compiled ones."""


def covariance(first: Sequence[Facts], second: Sequence[Facts]) -> Array:
    """(first, second): of what the mean leaves over of the logarithm of their times."""
    apart = _apart(first, second)
    eager = sum(_reach(part, apart) for part in COMPONENTS) * (1 - (1 - KEPT) * apart["compile"])
    compiled = np.outer(_not_eager(first), _not_eager(second)) * (1 - apart["compile"])
    return np.asarray((eager + compiled * _reach(COMPILED, apart)) * np.exp(-apart["threads"]))


def variance(facts: Sequence[Facts]) -> Array:
    """The diagonal of their covariance."""
    return sum(part.variance for part in COMPONENTS) + COMPILED.variance * _not_eager(facts)


def _reach(part: Component, apart: Mapping[str, Array]) -> Array:
    exponent = sum(apart[name] / length**2 for name, length in part.lengths.items())
    return np.asarray(part.variance * np.exp(-exponent))


def _not_eager(facts: Sequence[Facts]) -> Array:
    """1 of what is compiled, and of what a graph replays: either can be far from its eager step."""
    return np.array([each.case.compile_mode != "eager" for each in facts], dtype=float)


def _apart(first: Sequence[Facts], second: Sequence[Facts]) -> dict[str, Array]:
    """Half the squared distances; different names are 1 apart."""
    names = {
        "net": lambda facts: (facts.case.architecture, facts.case.input_shape, facts.case.signature),
        "family": lambda facts: family(facts.case.architecture),
        "mode": lambda facts: facts.case.mode,
        "precision": lambda facts: facts.case.precision,
        "layout": lambda facts: facts.case.memory_format,
        "compile": lambda facts: facts.case.compile_mode,
        "threads": lambda facts: facts.case.threads,
    }
    found = {name: _differ(list(map(of, first)), list(map(of, second))) for name, of in names.items()}
    for name, of in (("batch", _batch), ("work", _work)):
        left, right = np.array(list(map(of, first))), np.array(list(map(of, second)))
        found[name] = ((left[:, None] - right[None]) ** 2).sum(axis=-1) / 2
    return found


def family(architecture: str) -> str:
    """`resnet` of `torchvision:resnet50`: the letters that a net's name begins with."""
    found = re.match(r"[a-z]*", architecture.rpartition(":")[2].lower())
    return found.group() if found else ""


def _differ(first: Sequence[object], second: Sequence[object]) -> Array:
    numbers = {value: number for number, value in enumerate(dict.fromkeys([*first, *second]))}
    left, right = (np.array([numbers[value] for value in values]) for values in (first, second))
    return np.asarray(left[:, None] != right[None], dtype=float)


def _batch(facts: Facts) -> list[float]:
    """Three doublings are one length."""
    return [np.log2(facts.case.batch_size) / 3]


def _work(facts: Facts) -> list[float]:
    """What a net is like, whatever it is called; each about as wide as nets are."""
    work, images = facts.work, facts.case.batch_size
    operators, parameters = work.operators or 1.0, work.parameters or 1.0
    return [
        np.log(max(work.flops, 1) / images) / 5, np.log(max(work.bytes, 1) / operators) / 3,
        np.log(max(work.flops, 1) / max(work.bytes, 1)) / 2, np.log(operators), np.log(parameters) / 3,
        np.log(max(work.bytes, 1)) / 5, np.log(max(work.flops, 1)) / 5,
    ]  # fmt: skip


@dataclass(frozen=True)
class Solution:
    """What was learnt of measured cases, as numbers: rates of the mean, and weights of what it leaves over."""

    rates: Array
    offset: float
    factor: tuple[Array, bool]
    weights: Array

    def predict(self, amounts: Array, shared: Array, own: Array) -> tuple[Array, Array]:
        """(logarithm of the median's seconds, its standard deviation), a measurement's own noise included.

        Args:
            amounts: (wanted, terms) of `mean`.
            shared: (wanted, measured) covariances.
            own: (wanted) variances.
        """
        centre = mean.log_seconds(amounts, self.rates) + self.offset + shared @ self.weights
        explained = np.einsum("ij,ji->i", shared, cho_solve(self.factor, shared.T))
        return centre, np.sqrt(np.maximum(own + NOISE - explained, NOISE))


def solve(
    amounts: Array, shared: Array, seconds: Array, variances: Array, ceilings: Mapping[str, float] | None = None
) -> Solution:
    """Learn from measured cases: `amounts` (cases, terms), `shared` (cases, cases), and as `fit` has it."""
    rates = mean.rates(amounts, seconds, ceilings)
    left = np.log(seconds) - mean.log_seconds(amounts, rates)
    offset = float(np.median(left))
    factor = cho_factor(shared + np.diag(NOISE + variances), lower=True)
    return Solution(rates, offset, factor, cho_solve(factor, left - offset))


@dataclass(frozen=True)
class Model:
    """What was learnt: predicts the logarithm of the time of a step."""

    known: Sequence[Facts]
    solution: Solution

    def predict(self, wanted: Sequence[Facts]) -> tuple[Array, Array]:
        """As `Solution.predict`."""
        return self.solution.predict(mean.terms(wanted), covariance(wanted, self.known), variance(wanted))


def fit(
    known: Sequence[Facts], seconds: ArrayLike, variances: ArrayLike | None = None,
    ceilings: Mapping[str, float] | None = None,
) -> Model:  # fmt: skip
    """Learn from measured cases of one device.

    Args:
        seconds: the median of each.
        variances: of each median's logarithm, by its own interval.
        ceilings: as `mean.rates` has them.
    """
    times = np.asarray(seconds, dtype=float)
    noise = np.zeros(len(times)) if variances is None else np.asarray(variances, dtype=float)
    return Model(known, solve(mean.terms(known), covariance(known, known), times, noise, ceilings))


def without_own_fold(
    known: Sequence[Facts], seconds: Array, variances: Array, folds: Sequence[Sequence[int]],
    ceilings: Mapping[str, float] | None = None,
) -> tuple[Array, Array]:  # fmt: skip
    """What is predicted of each measured case without its fold; zeros of a case in none.

    Args:
        folds: numbers of cases.
    """
    amounts, shared, own = mean.terms(known), covariance(known, known), variance(known)
    centre, spread = np.zeros(len(known)), np.zeros(len(known))
    for fold in map(np.asarray, folds):
        kept = np.setdiff1d(np.arange(len(known)), fold)
        found = solve(amounts[kept], shared[np.ix_(kept, kept)], seconds[kept], variances[kept], ceilings)
        centre[fold], spread[fold] = found.predict(amounts[fold], shared[np.ix_(fold, kept)], own[fold])
    return centre, spread
