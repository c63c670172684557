"""Findings that rest on undisturbed points alone, and say what they leave out. Standard library only."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from bench.records.findings import Finding
from bench.records.findings import findings as of_all
from bench.records.record import Record, Status
from suites.micro import OPERATIONS


def findings(records: Iterable[Record], host: Mapping[str, Any]) -> list[Finding]:
    """A finding for each operation and device, in the order of `OPERATIONS`; of some only why nothing can be said."""
    measured = [record for record in records if record.outcome.status is Status.MEASURED]
    disturbed = Counter(
        f"{record.case['operation']} {record.case['device']}" for record in measured if record.work and record.disturbed
    )
    found = of_all([record for record in measured if not record.disturbed], host)
    said = [_without(each, disturbed[each.subject]) for each in found]
    said += [
        _nothing(subject, count) for subject, count in disturbed.items() if subject not in {f.subject for f in found}
    ]
    return sorted(said, key=lambda each: list(OPERATIONS).index(each.operation))


def _without(found: Finding, disturbed: int) -> Finding:
    if not disturbed:
        return found
    text = f"{found.text} ({disturbed} disturbed {'point' if disturbed == 1 else 'points'} left out)"
    return replace(found, text=text, figures={**found.figures, "disturbed": disturbed})


def _nothing(subject: str, disturbed: int) -> Finding:
    operation = subject.partition(" ")[0]
    text = f"nothing can be said: {disturbed} of its points were disturbed, and the others are too few"
    return Finding(operation, subject, OPERATIONS[operation].question, text, {"disturbed": disturbed})
