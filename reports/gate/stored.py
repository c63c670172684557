"""Two stored results: the unpaired test over launches.

It is weaker than pairs measured side by side, for the machine may have changed between the two runs; so only results
of the same machine and the same way of measuring are held together.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.records.record import Counts, Launch, Record, Status
from reports.gate import memory, work
from reports.gate.statistics import FEWEST_LAUNCHES, Verdict, common_shift, difference, judge
from reports.gate.verdicts import TOLERANCE, Gate, Row, in_order
from reports.results import frames
from reports.results.frames import Results
from suites.errors import NoBaseError

WORST = 0.05
UNCOUNTED = "measured without being counted"
METHOD = (
    "Welch's test on the launches' medians, family-wise error 5 % by Holm's steps; weaker than pairs measured side by "
    "side: what changed on the machine between the two runs is not told from the code"
    "; MDE: the minimum detectable slowdown, which would have been called REGRESSED four times in five"
)


def judged(base_path: Path, head_path: Path, tolerance: float = TOLERANCE, worst: float = WORST) -> Gate:
    """Judge two results files.

    Raises:
        DlhwError: one cannot be read, or is damaged.
    """
    base, head = frames.results(base_path), frames.results(head_path)
    rows, pairs = list(_unpaired(base, head)), _pairs(base, head)
    with frames.damage_named(head_path):
        counts = {before.id: _counts(before, after) for before, after in pairs if before.work is None}
        amounts = {case: work.amounts(both) for case, both in counts.items()}
        rows = work.explained([*rows, *_times(pairs, tolerance, worst)], amounts)
        rows += [*_memory(pairs, tolerance), *work.rows(amounts, rows, dict.fromkeys(amounts, tolerance))]
    times = [difference(*_medians(pair)) for pair in pairs if _enough(pair)]
    notes = tuple(work.unknown(counts, amounts))
    return Gate(in_order(rows), common_shift(times), tolerance, METHOD, str(base_path), str(head_path), notes=notes)


def incomparable(base: Results, head: Results) -> str:
    """Why no ratio of the two would mean anything; empty where it does."""
    for name, what in (("fingerprint", "another machine, torch or Python"), ("digest", "another way of measuring")):
        first, second = base.common.get(name), head.common.get(name)
        if first != second:
            return f"{what} ({name} {first} and {second})"
    return ""


def _unpaired(base: Results, head: Results) -> Iterator[Row]:
    """Verdicts of cases that cannot be held together."""
    reason = incomparable(base, head)
    first, second = ({record.id: record for record in file.records} for file in (base, head))
    for case in dict.fromkeys([*first, *second]):
        before, after = first.get(case), second.get(case)
        if reason:
            yield Row(case, "time", Verdict.INCOMPARABLE, reason=reason)
        elif _measured(before) and not _measured(after):
            gone = f"{after.outcome.status}: {after.outcome.reason}" if after else "not in head"
            yield Row(case, "time", Verdict.MISSING, reason=gone)
        elif _measured(after) and not _measured(before):
            yield Row(case, "time", Verdict.NEW, reason="not measured in base")
        elif before is not None and after is not None and _measured(before) and not _enough((before, after)):
            counts = " and ".join(str(len(_launches(record))) for record in (before, after))
            yield Row(
                case, "time", Verdict.INCOMPARABLE,
                reason=f"{counts} launches; {FEWEST_LAUNCHES} of each are needed: --launches {FEWEST_LAUNCHES + 2}",
            )  # fmt: skip


def _measured(record: Record | None) -> bool:
    return record is not None and record.outcome.status is Status.MEASURED


def _pairs(base: Results, head: Results) -> list[tuple[Record, Record]]:
    """Cases that both have measured, where the two can be compared at all."""
    if incomparable(base, head):
        return []
    after = {record.id: record for record in head.records if _measured(record)}
    return [(record, after[record.id]) for record in base.records if _measured(record) and record.id in after]


def _times(pairs: Sequence[tuple[Record, Record]], tolerance: float, worst: float) -> Iterator[Row]:
    """Times of all cases: a family of its own, as memory is another."""
    there = [pair for pair in pairs if _enough(pair)]
    differences = [difference(*_medians(pair)) for pair in there]
    found = judge(differences, [tolerance] * len(there), [worst] * len(there))
    for (before, after), figures in zip(there, found, strict=True):
        noisy = tuple(reason for record in (before, after) for reason in _noisy(record))
        yield Row(before.id, "time", figures.verdict, figures, noisy=noisy, tolerance=tolerance)


def _memory(pairs: Sequence[tuple[Record, Record]], tolerance: float) -> list[Row]:
    peaks = {before.id: (_peaks(before), _peaks(after)) for before, after in pairs}
    return memory.unpaired_rows(peaks, dict.fromkeys(peaks, tolerance))


def _counts(*both: Record) -> work.Both:
    """Of base and of head; files of before there was counting have none."""
    base, head = (record.counts or Counts(reasons={"operators": UNCOUNTED}) for record in both)
    return base, head


def _peaks(record: Record) -> list[float]:
    return [float(launch.peak_bytes) for launch in _launches(record) if launch.peak_bytes is not None]


def _launches(record: Record) -> tuple[Launch, ...]:
    return record.sampling.launches if record.sampling else ()


def _noisy(record: Record) -> tuple[str, ...]:
    return record.sampling.noisy if record.sampling else ()


def _medians(pair: tuple[Record, Record]) -> tuple[list[float], list[float]]:
    """One time a launch, of base and of head."""
    first, second = (
        [float(launch.median_seconds) for launch in _launches(record) if launch.median_seconds is not None]
        for record in pair
    )
    return first, second


def _enough(pair: tuple[Record, Record]) -> bool:
    return all(len(values) >= FEWEST_LAUNCHES and min(values) > 0 for values in _medians(pair))


def require_baseline(path: Path) -> None:
    """Fail closed where there is nothing to hold head against.

    Raises:
        NoBaseError: there is no such file.
    """
    if not path.exists():
        raise NoBaseError(
            f"--baseline {path}: no such file; measure it: pytest bench/ --launches 5 --benchmark-json=FILE"
        )
