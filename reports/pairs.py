"""The statistics of pairs measured side by side: two stages, fresh pairs for the second, shared knowledge of noise.

A pair gives one log ratio a case. Stage 1 looks at all cases and names candidates; stage 2 measures these anew and
decides on the new pairs alone, so that the family-wise error is a union bound over independent stages.
"""

import math
import statistics
from collections.abc import Sequence

from reports.judging import ALPHA, POWER, Difference, upper_p

CANDIDATE = 0.05
"""The level of stage 1."""
MOST_BORROWED = 8.0
"""Degrees of freedom that a case may borrow from the others: a wrong prior is then still outvoted by ten pairs."""


def paired(log_ratios: Sequence[float]) -> Difference:
    """One case: head over base, a log ratio a pair; two pairs or more."""
    count = len(log_ratios)
    error = statistics.stdev(log_ratios) / math.sqrt(count)
    return Difference(statistics.fmean(log_ratios), error, count - 1, (count, count))


def moderated(found: Sequence[Difference]) -> list[Difference]:
    """Each case's variance drawn towards the one that all cases of this run share, as far as they do share one.

    Empirical Bayes on variances (Smyth, 2004, doi 10.2202/1544-6115.1027): prior and its weight are fitted to the
    spread of the cases' own variances; the weight is no more than `MOST_BORROWED`. Cases that do not vary at all, and
    runs of fewer than three cases, borrow nothing.
    """
    varying = [each for each in found if each.error > 0]
    if len(varying) < 3:
        return list(found)
    prior, weight = _prior(varying)
    return [_drawn(each, prior, weight) if each.error > 0 else each for each in found]


def _drawn(found: Difference, prior: float, weight: float) -> Difference:
    count = found.launches[0]
    variance = found.error**2 * count
    freedom = found.freedom + weight
    drawn = (weight * prior + found.freedom * variance) / freedom
    return Difference(found.mean, math.sqrt(drawn / count), freedom, found.launches)


def _prior(found: Sequence[Difference]) -> tuple[float, float]:
    """(variance that the cases share, its degrees of freedom), by the moments of the logarithms of their variances."""
    from scipy.special import digamma, polygamma

    logs = [math.log(each.error**2 * each.launches[0]) for each in found]
    halves = [each.freedom / 2 for each in found]
    centred = [log - float(digamma(half)) + math.log(half) for log, half in zip(logs, halves, strict=True)]
    excess = statistics.variance(centred) - statistics.fmean(float(polygamma(1, half)) for half in halves)
    weight = MOST_BORROWED if excess <= 0 else min(MOST_BORROWED, 2 * _inverse_trigamma(excess))
    shift = float(digamma(weight / 2)) - math.log(weight / 2)
    return math.exp(statistics.fmean(centred) + shift), weight


def _inverse_trigamma(value: float) -> float:
    from scipy.optimize import brentq
    from scipy.special import polygamma

    low, high = 1e-8, 1e8
    return float(brentq(lambda x: float(polygamma(1, x)) - value, low, high))


def candidates(found: Sequence[Difference], tolerance: float) -> list[int]:
    """Places of the cases that stage 2 has to look at."""
    return [index for index, each in enumerate(found) if upper_p(each, math.log1p(tolerance)) <= CANDIDATE]


def confirms(found: Difference, tolerance: float, cases: int) -> bool:
    """Whether fresh pairs confirm a candidate of a suite of so many cases.

    A case of the same code becomes a candidate with the chance of stage 1; times the level here, times the number of
    cases, that is the suite's error, whatever the cases have to do with one another.
    """
    return upper_p(found, math.log1p(tolerance)) <= confirmation_level(cases)


def confirmation_level(cases: int) -> float:
    """Of stage 2, for each candidate; never above that of stage 1."""
    return min(CANDIDATE, ALPHA / (cases * CANDIDATE))


def seen_by(pairs: int, sd: float, tolerance: float, alpha: float) -> float:
    """The slowdown, as a ratio, that so many pairs of this noise show with 80 % power."""
    return (1 + tolerance) * math.exp(reach(pairs, alpha) * sd)


def reach(pairs: int, alpha: float) -> float:
    """The same beyond the tolerance, in standard deviations of a pair: from the noncentral t distribution."""
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    critical = float(t.ppf(1 - alpha, pairs - 1))
    shift = brentq(lambda shift: float(nct.sf(critical, pairs - 1, shift)) - POWER, 0.0, 10 * (critical + 1))
    return float(shift / math.sqrt(pairs))


def pairs_needed(sd: float, tolerance: float, detect: float, alpha: float, most: int = 200) -> int | None:
    """The fewest pairs that show a slowdown of `detect`, as 0.05, with 80 % power; None where `most` do not."""
    wanted = math.log1p(detect) - math.log1p(tolerance)
    if wanted <= 0:
        return None
    return next((pairs for pairs in range(3, most + 1) if reach(pairs, alpha) * sd <= wanted), None)
