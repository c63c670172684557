"""What a gate comes to, live or stored: a row a case and measure, the exit code for CI."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.records.pair import Entry
from reports.gate.statistics import Judged, Verdict

TOLERANCE = 0.02
BEYOND = 0.03
"""A case passes when it is surely no slower, or larger, than this beyond its tolerance."""
EXIT_CODES = {
    Verdict.REGRESSED: 1, Verdict.MISSING: 1, Verdict.MORE_WORK: 3, Verdict.INCONCLUSIVE: 3,
    Verdict.INCOMPARABLE: 4, Verdict.INVALID: 6,
}  # fmt: skip
NOTHING_COMPARED = 5


@dataclass(frozen=True, kw_only=True)
class Bytes:
    """A case's peak memory, head less base; all in bytes but p.

    Attributes:
        low, high: the two-sided 95 % interval.
        p: that so much is seen though head takes no more than the tolerance beyond base; for this case alone.
        minimum_detectable: what would have been called REGRESSED four times in five.
        base: what base takes, the mean.
        tolerance: more by this is no regression.
        launches: of base and of head.
    """

    difference: float
    low: float
    high: float
    p: float
    minimum_detectable: float
    base: float
    tolerance: float
    launches: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """What a step comes to on both sides, counted and not timed.

    Attributes:
        base, head: name of what is counted -> how much; what either side does not know is in neither.
        growth: the largest growth of any of them, as a share; 0.0 where nothing has grown.
        change: all that differs, in words; empty where both do the same.
    """

    base: Mapping[str, Any]
    head: Mapping[str, Any]
    growth: float
    change: str


@dataclass(frozen=True)
class Row:
    """One case by one measure.

    Attributes:
        figures: None where there was nothing to compute, or where base is so little that no ratio says anything.
        reason: of a verdict that needs one.
        noisy: what makes it less certain: reasons of either record, turns or pairs that do not count.
        tolerance: slower by this share is no regression; None where no figure was judged by it.
        bytes: of memory.
        work: of work.
    """

    case: str
    measure: str
    verdict: Verdict
    figures: Judged | None = None
    reason: str = ""
    noisy: tuple[str, ...] = ()
    tolerance: float | None = None
    bytes: Bytes | None = None
    work: Amounts | None = None

    @property
    def compared(self) -> bool:
        """Whether head was held against base."""
        return self.figures is not None or self.bytes is not None or self.work is not None


@dataclass(frozen=True)
class Gate:
    """All rows, the worst first, and what they come to.

    Attributes:
        shift: (median ratio, low, high) where all cases have moved together: one finding, not many.
        tolerance: of time and memory; the largest of any case.
        controls: of pairs: what was said of differences that are known.
        invalid: why no time of the run may be believed; empty where they may.
        left_out: case -> why neither side can measure it.
        notes: what else a reader must know.
        entries: of pairs: all that was measured.
        ended: why the run ended before its plan did; empty where it did not.
        fail_on_work: MORE_WORK fails the run, as REGRESSED does.
    """

    rows: tuple[Row, ...]
    shift: tuple[float, float, float] | None
    tolerance: float
    method: str
    base: str
    head: str
    controls: tuple[Row, ...] = ()
    invalid: str = ""
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
    ended: str = ""
    fail_on_work: bool = False

    @property
    def counts(self) -> Counter[Verdict]:
        """Of rows by verdict."""
        return Counter(row.verdict for row in self.rows)

    def exit_code(self, *, strict: bool) -> int:
        """0 pass, 1 regressed or missing, 3 more work, or inconclusive if strict, 4 incomparable, 5 nothing compared,
        6 invalid.

        A row that rests on invalid times is INVALID itself; what is REGRESSED or MISSING all the same is certain, and
        measuring again would not make it good.
        """
        counts = self.counts
        for verdict in (Verdict.REGRESSED, Verdict.MISSING):
            if counts[verdict]:
                return EXIT_CODES[verdict]
        if counts[Verdict.MORE_WORK]:
            return EXIT_CODES[Verdict.REGRESSED if self.fail_on_work else Verdict.MORE_WORK]
        if self.invalid or counts[Verdict.INVALID]:
            return EXIT_CODES[Verdict.INVALID]
        if counts[Verdict.INCOMPARABLE]:
            return EXIT_CODES[Verdict.INCOMPARABLE]
        if not self.ended and not any(row.compared for row in self.rows):
            return NOTHING_COMPARED
        return EXIT_CODES[Verdict.INCONCLUSIVE] if strict and counts[Verdict.INCONCLUSIVE] else 0


def in_order(rows: Iterable[Row]) -> tuple[Row, ...]:
    """The worst first; of equal verdicts the slowest, or that which takes the most bytes more."""
    return tuple(sorted(rows, key=lambda row: (list(Verdict).index(row.verdict), *_size(row))))


def _size(row: Row) -> tuple[float, float]:
    ratio = row.figures.ratio if row.figures else row.work.growth if row.work else 0.0
    return -ratio, -row.bytes.difference if row.bytes else 0.0


def no_base(reason: str, base: str) -> Gate:
    """What there is to say where nothing can be held against: no pass."""
    row = Row("all cases", "time", Verdict.INCOMPARABLE, reason=reason)
    return Gate((row,), None, TOLERANCE, "nothing was measured", base, "")
