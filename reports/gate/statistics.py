"""The gate's statistics: from launches to a verdict. Pure functions; distributions by `scipy.special`, whose functions
cost microseconds where those of `scipy.stats`, which calls them, cost fifty.

Times on logarithms: a slowdown is a factor. Memory in bytes. One number a launch, for samples of a launch
share its luck.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

ALPHA = 0.05
"""Of the whole suite: the chance that any case of the same code is called regressed."""
POWER = 0.8
FEWEST_LAUNCHES = 3


class Verdict(StrEnum):
    """What the gate says of a case, or of a run."""

    REGRESSED = "REGRESSED"
    MISSING = "MISSING"
    MORE_WORK = "MORE_WORK"
    INVALID = "INVALID"
    INCOMPARABLE = "INCOMPARABLE"
    INCONCLUSIVE = "INCONCLUSIVE"
    IMPROVED = "IMPROVED"
    NEW = "NEW"
    PASS = "PASS"  # noqa: S105 - a verdict


@dataclass(frozen=True)
class Difference:
    """Head over base, as logarithms; of memory head less base, in bytes.

    Attributes:
        mean: of the log ratio, or of the bytes.
        error: its standard error.
        freedom: degrees of freedom.
        launches: of base and of head.
    """

    mean: float
    error: float
    freedom: float
    launches: tuple[int, int]


@dataclass(frozen=True)
class Judged:
    """A case's figures: all ratios, head over base.

    Attributes:
        low, high: the two-sided 95 % interval.
        p: that so much is seen though head is no more than the tolerance slower; for this case alone.
        minimum_detectable: the slowdown (MDE) that would have been called REGRESSED four times in five.
    """

    verdict: Verdict
    ratio: float
    low: float
    high: float
    p: float
    minimum_detectable: float
    launches: tuple[int, int]


def difference(base: Sequence[float], head: Sequence[float]) -> Difference:
    """Of logarithms.

    Args:
        base, head: one positive number a launch, three or more each.
    """
    return unpaired([math.log(value) for value in base], [math.log(value) for value in head])


def unpaired(base: Sequence[float], head: Sequence[float]) -> Difference:
    """Of two groups of launches with spreads of their own (Welch, 1947, doi 10.1093/biomet/34.1-2.28)."""
    groups = (base, head)
    means = [statistics.fmean(values) for values in groups]
    shares = [statistics.variance(values) / len(values) for values in groups]
    total = sum(shares)
    parts = sum(share**2 / (len(values) - 1) for share, values in zip(shares, groups, strict=True))
    freedom = total**2 / parts if parts else float(len(base) + len(head) - 2)
    return Difference(means[1] - means[0], math.sqrt(total), freedom, (len(base), len(head)))


def judge(found: Sequence[Difference], tolerances: Sequence[float], worst: Sequence[float]) -> list[Judged]:
    """A verdict with its figures for each case of a suite; of logarithms.

    Args:
        tolerances: slower by this share is not a regression, as 0.02; one a case.
        worst: a case passes when it is surely less slow than this share, as 0.05; one a case.
    """
    verdicts = decide(found, [math.log1p(share) for share in tolerances], [math.log1p(share) for share in worst])
    return [
        figures(each, verdict, tolerance, minimum_detectable(each, tolerance, ALPHA / len(found)))
        for each, verdict, tolerance in zip(found, verdicts, tolerances, strict=True)
    ]


def decide(found: Sequence[Difference], margins: Sequence[float], bounds: Sequence[float]) -> list[Verdict]:
    """A verdict for each case of a suite; the family-wise error of REGRESSED, and of IMPROVED, is held by Holm's steps.

    Args:
        margins: more by this is not a regression; in the unit of the differences, one a case.
        bounds: a case passes when it is surely less than this; likewise.
    """
    regressed = holm([upper_p(each, margin) for each, margin in zip(found, margins, strict=True)])
    improved = _improved(found, margins)
    return [
        Verdict.REGRESSED if regressed[index] else Verdict.IMPROVED if improved[index] else _below(each, bounds[index])
        for index, each in enumerate(found)
    ]


def improvements(found: Sequence[Difference], tolerances: Sequence[float]) -> list[bool]:
    """Which cases are faster by more than their tolerance, the family-wise error held by Holm's steps."""
    return _improved(found, [math.log1p(share) for share in tolerances])


def _improved(found: Sequence[Difference], margins: Sequence[float]) -> list[bool]:
    return holm([upper_p(turned(each), margin) for each, margin in zip(found, margins, strict=True)])


def figures(found: Difference, verdict: Verdict, tolerance: float, detectable: float) -> Judged:
    """A verdict with the numbers behind it."""
    low, high = interval(found)
    return Judged(
        verdict=verdict,
        ratio=math.exp(found.mean),
        low=math.exp(low),
        high=math.exp(high),
        p=upper_p(found, math.log1p(tolerance)),
        minimum_detectable=detectable,
        launches=found.launches,
    )


def interval(found: Difference) -> tuple[float, float]:
    """The two-sided 95 % interval of the mean."""
    reach = quantile(0.975, found.freedom) * found.error
    return found.mean - reach, found.mean + reach


def passed(found: Difference, worst: float, alpha: float = ALPHA) -> Verdict:
    """PASS where a case is less slow than the share `worst`, wrongly with the chance `alpha`; else INCONCLUSIVE."""
    return _below(found, math.log1p(worst), alpha)


def _below(found: Difference, bound: float, alpha: float = ALPHA) -> Verdict:
    highest = found.mean + quantile(1 - alpha, found.freedom) * found.error
    return Verdict.PASS if highest < bound else Verdict.INCONCLUSIVE


def upper_p(found: Difference, margin: float) -> float:
    """One-sided: the chance of a mean so high, were the truth `margin`."""
    from scipy.special import stdtr

    if found.error == 0:
        return 0.0 if found.mean > margin else 1.0
    return float(stdtr(found.freedom, (margin - found.mean) / found.error))


def holm(p_values: Sequence[float], alpha: float = ALPHA) -> list[bool]:
    """Which hypotheses fall, with a chance of at most `alpha` that any falls wrongly (Holm, 1979)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    falls = [False] * len(p_values)
    for step, index in enumerate(order):
        if p_values[index] > alpha / (len(p_values) - step):
            break
        falls[index] = True
    return falls


def minimum_detectable(found: Difference, tolerance: float, alpha: float) -> float:
    """The slowdown, as a ratio, that a test at level `alpha` with this noise would call REGRESSED with 80 % power."""
    return math.exp(detectable(found, math.log1p(tolerance), alpha))


def detectable(found: Difference, margin: float, alpha: float) -> float:
    """The difference that such a test would call more than `margin` with 80 % power, in the differences' own unit."""
    from scipy.optimize import brentq
    from scipy.special import nctdtr

    if found.error == 0:
        return margin
    critical = quantile(1 - alpha, found.freedom)

    def lacking(shift: float) -> float:
        return 1 - float(nctdtr(found.freedom, shift, critical)) - POWER

    return margin + float(brentq(lacking, 0.0, 10.0 * (critical + 1.0))) * found.error


def common_shift(found: Sequence[Difference]) -> tuple[float, float, float] | None:
    """(median, low, high) of all cases' ratios where they have moved together; None where they have not.

    The interval is the median's by ranks, over cases. Together: it excludes 1, and the median is off by more than 1 %.
    """
    from bench.records.summary import median_interval

    ratios = [math.exp(each.mean) for each in found]
    interval = median_interval(ratios)
    if interval is None or interval[0] <= 1 <= interval[1] or abs(statistics.median(ratios) - 1) <= SHIFT:
        return None
    return statistics.median(ratios), *interval


SHIFT = 0.01


def turned(found: Difference) -> Difference:
    """Base over head."""
    return Difference(-found.mean, found.error, found.freedom, found.launches)


def quantile(share: float, freedom: float) -> float:
    """Of Student's t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))
