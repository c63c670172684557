"""Peak memory, head against base: a difference of bytes, judged and told in bytes.

A ratio says little of it: of a net that needs next to nothing, a page more is several times as much. Memory rests on no
clock either: its rows hold where a run's times do not.
"""

import statistics
from collections.abc import Mapping, Sequence

from reports.gate.paired import paired
from reports.gate.statistics import (
    ALPHA,
    FEWEST_LAUNCHES,
    Difference,
    Judged,
    Verdict,
    decide,
    detectable,
    interval,
    unpaired,
    upper_p,
)
from reports.gate.verdicts import BEYOND, Bytes, Row

PAGES_BYTES = 4 * 2**20
"""Less than this is how pages and buffers fall: processes of the same code differ by 1 to 3 MiB."""
RATIO_FROM_BYTES = 10 * PAGES_BYTES
"""Over a base of less no ratio is told: what pages explain would be more than 10 % of it."""
Peaks = tuple[Sequence[float], Sequence[float]]
"""Of base and of head, in bytes."""


def paired_rows(peaks: Mapping[str, Peaks], tolerances: Mapping[str, float]) -> list[Row]:
    """Rows of pairs: the n-th peak of base belongs to the n-th of head.

    Args:
        peaks: by case; those of fewer than three pairs are left out.
        tolerances: by case: more by this share is no regression.
    """
    found = {
        case: paired([after - before for before, after in zip(base, head, strict=True)])
        for case, (base, head) in peaks.items()
        if len(base) >= FEWEST_LAUNCHES
    }
    return _rows(found, peaks, tolerances)


def unpaired_rows(peaks: Mapping[str, Peaks], tolerances: Mapping[str, float]) -> list[Row]:
    """Rows of launches that have nothing to do with one another; args as of `paired_rows`."""
    found = {
        case: unpaired(base, head)
        for case, (base, head) in peaks.items()
        if min(len(base), len(head)) >= FEWEST_LAUNCHES
    }
    return _rows(found, peaks, tolerances)


def _rows(found: Mapping[str, Difference], peaks: Mapping[str, Peaks], tolerances: Mapping[str, float]) -> list[Row]:
    """A family of its own, with an error of its own; steady as memory is, one stage is enough."""
    bases = [statistics.fmean(peaks[case][0]) for case in found]
    allowed = [max(tolerances[case] * base, PAGES_BYTES) for case, base in zip(found, bases, strict=True)]
    bounds = [most + BEYOND * base for most, base in zip(allowed, bases, strict=True)]
    verdicts = decide(list(found.values()), allowed, bounds)
    return [
        _row(case, found[case], verdict, base, most, ALPHA / len(found))
        for case, verdict, base, most in zip(found, verdicts, bases, allowed, strict=True)
    ]


def _row(case: str, found: Difference, verdict: Verdict, base: float, allowed: float, alpha: float) -> Row:
    low, high = interval(found)
    told = Bytes(
        difference=found.mean, low=low, high=high, p=upper_p(found, allowed), base=base, tolerance=allowed,
        minimum_detectable=detectable(found, allowed, alpha), launches=found.launches,
    )  # fmt: skip
    if base < RATIO_FROM_BYTES:
        return Row(case, "memory", verdict, bytes=told)
    return Row(case, "memory", verdict, _ratios(told, verdict), tolerance=allowed / base, bytes=told)


def _ratios(told: Bytes, verdict: Verdict) -> Judged:
    def ratio(difference: float) -> float:
        return max(0.0, 1 + difference / told.base)

    return Judged(
        verdict=verdict, ratio=ratio(told.difference), low=ratio(told.low), high=ratio(told.high), p=told.p,
        minimum_detectable=ratio(told.minimum_detectable), launches=told.launches,
    )  # fmt: skip
