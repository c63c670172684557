"""What a person reads when a sweep has ended, on one screen: lines of text, made of records."""

import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from bench.machine.bounds import bounds, classify, work_of
from bench.machine.ceilings import Ceilings
from bench.records.record import Record, Status
from bench.records.summary import MUCH_KERNEL, page_faults, summarise, value_of
from suites import units

MOST_GROUPS, MOST_REASONS = 14, 6
HARDWARE = "what bounds a step is known once this machine's ceilings are: pytest bench/ --suite hardware"
WORDS_OF_STATUS = {
    Status.SKIPPED: "not measured", Status.OUT_OF_MEMORY: "out of memory", Status.TIMEOUT: "out of time",
    Status.CRASHED: "crashed", Status.FAILED: "failed", Status.WRONG_RESULT: "wrong result",
}  # fmt: skip


def undisturbed(records: Iterable[Record]) -> list[Record]:
    """Those that were measured, and that nothing is known to have had a hand in."""
    return [record for record in records if record.outcome.status is Status.MEASURED and not record.disturbed]


def best_settings(records: Iterable[Record], known: Ceilings) -> list[str]:
    """The fastest setting of each net and mode: figure, interval, launches, setting, what bounds it."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.outcome.status is Status.MEASURED and record.work is None:
            case = record.case
            groups.setdefault((case["architecture"], case["mode"]), []).append(record)
    rows = [_best(name, found, known) for name, found in list(groups.items())[:MOST_GROUPS]]
    if len(groups) > MOST_GROUPS:
        rows.append([f"and {len(groups) - MOST_GROUPS} more"])
    table = _aligned([["fastest setting of", "images/s", "95% interval", "launches", "setting", "bound"], *rows])
    return [*table, *([HARDWARE] if any(row[-1] == units.UNKNOWN for row in rows) else [])]


def _best(name: tuple[str, str], found: Sequence[Record], known: Ceilings) -> list[str]:
    """A row; of a disturbed record only where all of them are, and it says so."""
    good = undisturbed(found)
    best = max(good or found, key=lambda record: value_of(record).value)
    value, case = value_of(best), best.case
    setting = f"b{case['batch_size']} {case['precision']} {case['memory_format']} {case['compile_mode']}"
    setting += f" {case['device']} t{case['threads']}" + ("" if good else "  DISTURBED, as all of its settings")
    low, high = units.number(value.low), units.number(value.high)
    launches = str(summarise(best).launches)
    return [" ".join(name), units.number(value.value), f"{low} to {high}", launches, setting, _bound(best, known)]


def _bound(record: Record, known: Ceilings) -> str:
    if record.flops is None or record.traffic is None:
        return units.UNKNOWN
    work = work_of(record)
    bound, faults = classify(work.seconds, bounds(work, known))[0], page_faults(record)
    return (bound or units.UNKNOWN) + (
        f", page faults {units.percent(faults.kernel_share)}" if bound and faults else ""
    )


def not_measured(outcomes: Iterable[Record]) -> list[str]:
    """How many cases have no figure, and why, the most frequent reasons first, each once."""
    groups: dict[tuple[Status, str], list[Record]] = {}
    for record in outcomes:
        if record.outcome.status is not Status.MEASURED:
            groups.setdefault((record.outcome.status, _alike(record)), []).append(record)
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    lines = [
        f"{len(found):4} {WORDS_OF_STATUS[status]}: {reason if len(found) > 1 else found[0].outcome.reason}"
        + (f" ({found[0].id})" if status is not Status.SKIPPED else "")
        for (status, reason), found in ordered[:MOST_REASONS]
    ]
    rest = sum(len(found) for _, found in ordered[MOST_REASONS:])
    return [*lines, *([f"{rest:4} for other reasons: dlhw table tells them"] if rest else [])]


def _alike(record: Record) -> str:
    """A reason without what is this case's alone."""
    reason = record.outcome.reason
    own = record.case.get("operation") or record.case.get("architecture") or ""
    if own and reason.startswith(f"{own} "):
        reason = f"it {reason.removeprefix(own).lstrip()}"
    return re.sub(r"\b(?:batch|size) \S+ of this", "a smaller one of this", re.sub(r"\d+\.\d+", "...", reason))


def spread(records: Sequence[Record]) -> list[str]:
    """How well the figures are known, and what was disturbed."""
    found = [record for record in records if record.outcome.status is Status.MEASURED]
    widths = sorted(width for record in found if (width := summarise(record).half_width) is not None)
    lines = []
    if len(widths) > 1:
        tenth = widths[min(len(widths) - 1, len(widths) * 9 // 10)]
        alone = sum(summarise(record).launches == 1 for record in found)
        said = f"; {alone} of them within a single launch" if alone else ""
        half = units.percent(statistics.median(widths))
        lines.append(f"half of the intervals are within ±{half}, nine in ten within ±{units.percent(tenth)}{said}")
    noisy = Counter(_kind(reason) for record in found for reason in record.disturbed[:1])
    if noisy:
        kinds = ", ".join(f"{count} {kind}" for kind, count in noisy.most_common(4))
        lines.append(f"{noisy.total()} disturbed (NOISY), in no sentence above without saying so: {kinds}")
    aside = sum(bool(record.sampling and record.sampling.set_aside) for record in found)
    if aside:
        lines.append(
            f"{units.count(aside, 'case')} with launches that were disturbed and set aside: they are in the journal"
        )
    return lines


def mapping(records: Iterable[Record]) -> list[str]:
    """Where mapping memory anew took a good part of a step: which no bound tells."""
    nets = [record for record in undisturbed(records) if record.work is None]
    found = [(faults.kernel_share, record.id) for record in nets if (faults := page_faults(record))]
    if not found:
        return []
    share, worst = max(found)
    return [
        f"page faults: in {units.count(len(found), 'case')} the kernel was at work for {units.percent(MUCH_KERNEL)} of "
        f"a step or more, most of all {units.percent(share)} of {worst}: dlhw explain"
    ]


def _kind(reason: str) -> str:
    """`co-running processes used 0.9 cores meanwhile` -> `co-running processes`, and the like."""
    kinds: Mapping[str, str] = {
        "co-running": "by co-running processes", "steal": "by steal", "involuntary": "by context switches",
        "steps became": "drifted", "two modes": "in two modes", "quota": "by a quota",
    }  # fmt: skip
    return next((name for word, name in kinds.items() if word in reason), "otherwise")


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    if len(rows) < 2:
        return []
    widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]
