"""The statistics of pairs measured side by side: two stages, fresh pairs for the second, shared knowledge of noise.

A pair gives one log ratio a case. Stage 1 looks at all cases and names candidates; stage 2 measures these anew and
decides on the new pairs alone, so that the family-wise error is a union bound over independent stages.
"""

import bisect
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from reports.gate.statistics import ALPHA, POWER, Difference, quantile, upper_p

CANDIDATE = 0.05
"""The level of stage 1."""
MOST_BORROWED = 8.0
"""Degrees of freedom that a case may borrow from the others: a wrong prior is then still outvoted by ten pairs."""
FEWEST_SHARING = 3
"""Variances from which a shared one can be told."""


@dataclass(frozen=True)
class Prior:
    """What the cases of a run share of their noise: a variance of log ratios, worth so many degrees of freedom."""

    variance: float
    weight: float


def paired(differences: Sequence[float]) -> Difference:
    """One case: head against base, a log ratio or a difference a pair; two pairs or more."""
    count = len(differences)
    error = statistics.stdev(differences) / math.sqrt(count)
    return Difference(statistics.fmean(differences), error, count - 1, (count, count))


def shared(found: Sequence[Difference]) -> Prior | None:
    """The variance that all cases of a run share, as far as they do share one; None where that cannot be told.

    Empirical Bayes on variances (Smyth, 2004, doi 10.2202/1544-6115.1027): prior and its weight are fitted to the
    spread of the cases' own variances, by the moments of their logarithms; the weight is no more than `MOST_BORROWED`.
    Cases that do not vary at all tell nothing.
    """
    from scipy.special import digamma, polygamma

    varying = [each for each in found if each.error > 0]
    if len(varying) < FEWEST_SHARING:
        return None
    logs = [math.log(each.error**2 * each.launches[0]) for each in varying]
    halves = [each.freedom / 2 for each in varying]
    centred = [log - float(digamma(half)) + math.log(half) for log, half in zip(logs, halves, strict=True)]
    excess = statistics.variance(centred) - statistics.fmean(float(polygamma(1, half)) for half in halves)
    weight = MOST_BORROWED if excess <= 0 else min(MOST_BORROWED, 2 * _inverse_trigamma(excess))
    shift = float(digamma(weight / 2)) - math.log(weight / 2)
    return Prior(math.exp(statistics.fmean(centred) + shift), weight)


def moderated(found: Sequence[Difference], prior: Prior | None) -> list[Difference]:
    """Each case's variance drawn towards `prior`; cases that do not vary at all borrow nothing."""
    return [_drawn(each, prior) if prior and each.error > 0 else each for each in found]


def _drawn(found: Difference, prior: Prior) -> Difference:
    count = found.launches[0]
    variance = found.error**2 * count
    freedom = found.freedom + prior.weight
    drawn = (prior.weight * prior.variance + found.freedom * variance) / freedom
    return Difference(found.mean, math.sqrt(drawn / count), freedom, found.launches)


def _inverse_trigamma(value: float) -> float:
    from scipy.optimize import brentq
    from scipy.special import polygamma

    low, high = 1e-8, 1e8
    return float(brentq(lambda x: float(polygamma(1, x)) - value, low, high))


def is_candidate(found: Difference, tolerance: float) -> bool:
    """Whether stage 2 has to look at a case."""
    return upper_p(found, math.log1p(tolerance)) <= CANDIDATE


def confirms(found: Difference, tolerance: float, cases: int) -> bool:
    """Whether fresh pairs confirm a candidate of a suite of so many cases.

    A case of the same code becomes a candidate with the chance of stage 1; times the level here, times the number of
    cases, that is the suite's error, whatever the cases have to do with one another.
    """
    return upper_p(found, math.log1p(tolerance)) <= confirmation_level(cases)


def confirmation_level(cases: int) -> float:
    """Of stage 2, for each candidate; never above that of stage 1."""
    return min(CANDIDATE, ALPHA / (cases * CANDIDATE))


def minimum_detectable_confirmed(
    found: Difference, confirm: int, tolerance: float, cases: int, *, certain: bool = False
) -> float:
    """The slowdown, as a ratio, that both stages together call REGRESSED with 80 % power, by this noise.

    How large the noise truly is, six pairs tell only roughly; the power is the mean over what it may be, sd^2 being
    freedom x variance over a chi-squared number (assurance: O'Hagan et al., 2005, doi 10.1002/pst.175). With tails that
    are longer than a normal distribution's a variance is known less well, by `TAILS`.

    Args:
        found: of stage 1, whose noise is stage 2's too.
        confirm: pairs of stage 2.
        certain: the noise is known, from many pairs.
    """
    if certain:
        return _smallest(found, confirm, tolerance, cases, [1.0])
    shares = [(place + 0.5) / QUANTILES for place in range(QUANTILES)]
    freedom = found.freedom * TAILS
    factors = [math.sqrt(freedom / chi_squared(share, freedom)) for share in shares]
    return _smallest(found, confirm, tolerance, cases, factors)


QUANTILES = 12
EXCESS_KURTOSIS = 3.0
"""Of log ratios of the same code, around each case's mean: from 0.4 to 12 in eight cases (docs/gate-validation.md)."""
TAILS = 1 / (1 + EXCESS_KURTOSIS / 2)
"""By this a variance's degrees of freedom shrink (Box, 1953, doi 10.1093/biomet/40.3-4.318)."""


def _smallest(found: Difference, confirm: int, tolerance: float, cases: int, factors: Sequence[float]) -> float:
    """Args: factors: by which the true spread may differ from the one that was found, each as likely."""
    from scipy.optimize import brentq

    if found.error == 0:
        return 1 + tolerance
    pairs = found.launches[0]
    sd = found.error * math.sqrt(pairs)
    borrowed = found.freedom - (pairs - 1)
    levels = ((pairs, CANDIDATE), (confirm, confirmation_level(cases)))
    stages = [(count, count - 1 + borrowed, _critical(count - 1 + borrowed, alpha)) for count, alpha in levels]

    def lacking(shift: float) -> float:
        powers = [_power([shift / factor for factor in factors], *stage) for stage in stages]
        return statistics.fmean(math.prod(both) for both in zip(*powers, strict=True)) - POWER

    highest = 4.0
    while lacking(highest) < 0:
        highest *= 4
    return math.exp(math.log1p(tolerance) + float(brentq(lacking, 0.0, highest, xtol=SHIFT_ERROR)) * sd)


SHIFT_ERROR = 1e-7
"""In standard deviations of a pair; a smallest slowdown is told to a tenth of a percent."""


def _critical(freedom: float, alpha: float) -> float:
    """What a t value has to exceed."""
    return quantile(1 - alpha, freedom)


def chi_squared(share: float, freedom: float) -> float:
    """The quantile of a chi-squared distribution."""
    from scipy.special import gammaincinv

    return 2 * float(gammaincinv(freedom / 2, share))


def _power(shifts: Sequence[float], pairs: int, freedom: float, critical: float) -> list[float]:
    """Of a one-sided t test, for shifts in standard deviations of a pair: from the noncentral t distribution."""
    from scipy.special import nctdtr

    # beyond 30 the noncentral distribution runs out of digits, and nothing is missed any more
    away = [min(30.0, shift * math.sqrt(pairs)) for shift in shifts]
    return [1 - float(nctdtr(freedom, each, critical)) for each in away]


def pairs_needed(sd: float, tolerance: float, detect: float, cases: int, most: int = 200) -> int | None:
    """The fewest pairs, of each stage, that show a slowdown of `detect`, as 0.05, with 80 % power.

    None where `most` do not. Nothing is borrowed: what other cases will tell of noise is not known beforehand.
    """
    if detect <= tolerance:
        return None
    counts = range(3, most + 1)
    place = bisect.bisect_left(counts, True, key=lambda pairs: planned(pairs, sd, tolerance, cases) <= 1 + detect)
    return counts[place] if place < len(counts) else None


def planned(pairs: int, sd: float, tolerance: float, cases: int) -> float:
    """The slowdown, as a ratio, that so many pairs in each stage will let be seen if a pair has just this noise."""
    expected = Difference(0.0, sd / math.sqrt(pairs), pairs - 1, (pairs, pairs))
    return minimum_detectable_confirmed(expected, pairs, tolerance, cases, certain=True)
