"""How far a machine's runs scatter, and how great a gain must be that chance does not make it more often than asked.

All of it from the store's own series: each point's error as it was measured, and what the runs scatter beyond it.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np

from reports.history.segmentation import SHORTEST, Floats, changes, greatest_gains, lengths, levels, tamed

NORMAL_MAD = 1.4826
REMEMBERED_RUNS = 8
"""What all series of the machine scatter weighs, in each, as so many runs of its own."""
USUAL_PARTS = 2
"""Of three, in a point's variance: what is usual in its series; its own, of a few launches, is known too badly alone
(moderated as in Smyth 2004, doi 10.2202/1544-6115.1027)."""
FIRST_PENALTY = 40.0
"""Of the segmentation that residuals are taken of: what is plain, for where it follows slow noise that is lost."""
BLOCK = 40
"""Runs drawn together, with the autocorrelation that they have; of shorter series half of the longest."""
SIMULATED = 2000
SCATTER_LOOKS = 8
"""So often the scatter of a simulated series is told anew while it grows."""
NIGHTS = 365.25
TAIL = 0.1
"""Of the simulated gains; beyond what they reach, an exponential is fitted to it."""
FEWEST_BEYOND = 20
SMALLEST = 1e-9
"""Nobody knows the tail so far out that a smaller share meant anything."""
SEED = 20121122
TINY = 1e-12
"""A variance: so that a series without any scatter can be divided by it."""


def scatter(values: Floats, errors: Floats) -> Floats:
    """Variance of each point: of its own error, moderated, and what its series scatters from run to run beyond it.

    From the differences of neighbouring runs, in which a change of level is one of many; the median of all series
    stands in where there are few runs.

    Args:
        values: logarithms, a row a series.
        errors: standard errors of these; 0 where unknown.
    """
    differences = np.diff(values, axis=1)
    own = np.where(np.isnan(values), np.nan, errors**2)
    own = (own + USUAL_PARTS * _middle(own)[:, None]) / (1 + USUAL_PARTS)
    between = (own[:, 1:] + own[:, :-1]) / 2
    counts = np.maximum(lengths(differences), 0)
    with np.errstate(all="ignore"):
        spread = (NORMAL_MAD * _middle(np.abs(differences))) ** 2 / 2
        extra = np.maximum(spread - _middle(between), 0.0)
    there = counts > 0
    pooled = float(np.median(extra[there])) if there.any() else 0.0
    extra = np.where(there, extra, pooled)
    mixed = (counts * extra + REMEMBERED_RUNS * pooled) / (counts + REMEMBERED_RUNS)
    found: Floats = np.maximum(own + mixed[:, None], TINY)
    return found


def _middle(rows: Floats) -> Floats:
    found = np.full(len(rows), np.nan)
    there = ~np.isnan(rows).all(axis=1)
    found[there] = np.nanmedian(rows[there], axis=1)
    return found


@dataclass(frozen=True)
class Chance:
    """What gains come about where nothing has changed.

    Attributes:
        gains: the greatest of each simulated series, ascending.
        runs: at whose ends they were looked for.
    """

    gains: Floats
    runs: int

    def penalty(self, share: float) -> float:
        """The gain that no more than this share of series without a change ever reach."""
        if share * len(self.gains) >= FEWEST_BEYOND:
            return float(np.quantile(self.gains, 1 - share))
        start, excess = self._tail()
        return start + excess * math.log(TAIL / share)

    def p(self, gain: float) -> float:
        """The share of series without a change that reach this gain at any time."""
        beyond = int((self.gains >= gain).sum())
        if beyond >= FEWEST_BEYOND:
            return beyond / len(self.gains)
        start, excess = self._tail()
        found = TAIL * math.exp(-(gain - start) / excess) if excess else float(gain <= start)
        return min(1.0, max(found, SMALLEST))

    def _tail(self) -> tuple[float, float]:
        start = float(np.quantile(self.gains, 1 - TAIL))
        beyond = self.gains[self.gains > start]
        return start, float((beyond - start).mean()) if len(beyond) else 0.0

    def penalty_for(self, alarms: float, series: int) -> float:
        """For so many false alarms a year, of `series` series together that grow by a run a night."""
        return self.penalty(min(0.5, alarms * self.runs / NIGHTS / max(series, 1)))


def chance(values: Floats, errors: Floats, runs: int, seed: int = SEED) -> Chance:
    """Simulate series without a change, of blocks of the residuals of these; then treat them as these are treated."""
    found = gains(_drawn(residuals(values, errors), runs, np.random.default_rng(seed)))
    return Chance(np.maximum(found, _normal_gains(runs)), runs - _young(runs))


@functools.cache
def _normal_gains(runs: int) -> Floats:
    """Of independent normal noise: the least to reckon with, for few runs may happen to have been calmer."""
    return gains(np.random.default_rng(SEED).standard_normal((SIMULATED, runs)))


def _young(runs: int) -> int:
    """Runs that a series had when it was half as long: how far it scatters was known less well then."""
    return max(runs // 2, 2 * SHORTEST - 1)


def gains(drawn: Floats) -> Floats:
    """The greatest of each series while the later half of its runs come, ascending; its scatter as known then."""
    runs = drawn.shape[1]
    ends = np.arange(_young(runs) + 1, runs + 1)
    looked = ends[:: max(1, len(ends) // SCATTER_LOOKS)]
    known = [np.sqrt(scatter(own, np.zeros_like(own))[:, 0]) for own in (drawn[:, :end] for end in looked)]
    scales = np.stack(known, axis=1)[:, np.searchsorted(looked, ends, side="right") - 1]
    return np.sort(greatest_gains(drawn, scales))


def residuals(values: Floats, errors: Floats) -> Floats:
    """In standard deviations, of the levels that a first segmentation finds; spikes and all."""
    variances = scatter(values, errors)
    calm, _ = tamed(values, np.sqrt(variances))
    found = np.full_like(values, np.nan)
    for row, places in enumerate(changes(calm, variances, FIRST_PENALTY)):
        end = int((~np.isnan(values[row])).sum())
        level = levels(calm[row, :end], variances[row, :end], places)
        parts = len(places) + 1
        freedom = math.sqrt(end / (end - parts)) if end > parts else 1.0  # a level fits its own noise a little
        found[row, :end] = (values[row, :end] - level) / np.sqrt(variances[row, :end]) * freedom
    return found


def _drawn(found: Floats, runs: int, rng: np.random.Generator) -> Floats:
    ends = lengths(found)
    block = min(BLOCK, int(ends.max(initial=0)) // 2)
    usable = np.flatnonzero(ends >= max(block, 2))
    if not len(usable):
        return rng.standard_normal((SIMULATED, runs))
    blocks = -(-runs // block)
    rows = rng.choice(usable, size=(SIMULATED, blocks))
    starts = np.floor(rng.random((SIMULATED, blocks)) * (ends[rows] - block + 1)).astype(np.int64)
    picked = found[rows[..., None], starts[..., None] + np.arange(block)]
    signs = rng.choice((-1.0, 1.0), size=(SIMULATED, blocks, 1))
    series: Floats = (picked * signs).reshape(SIMULATED, blocks * block)[:, :runs]
    return series
