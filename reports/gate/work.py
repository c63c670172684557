"""What both sides do, held together: no clock, no noise, so a row says what changed, and is right the first time.

It explains a time that is decided. One that is not, on a machine too loud for clocks, it replaces: more work than the
tolerance allows is a verdict of its own.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from bench.records.record import Counts
from reports.gate.statistics import Verdict
from reports.gate.verdicts import Amounts, Row
from suites import units

UNDECIDED = frozenset({Verdict.INVALID, Verdict.INCONCLUSIVE, Verdict.INCOMPARABLE})
"""Times that say nothing."""
NOUNS = {"graphs": "graph", "graph_breaks": "graph break", "kernels": "kernel"}
GROWING = ("flops", "bytes", "dispatched", "allocated_bytes", *NOUNS)
"""What costs time where there is more of it. Instructions are not among them: threads that wait retire some, too."""
OPERATORS_SHOWN = 4
VIEWS = frozenset(f"aten::{name}" for name in ("alias", "as_strided", "detach", "expand", "permute", "select", "slice",
                                               "squeeze", "t", "transpose", "unsqueeze", "view"))  # fmt: skip
SAME = "the same operators, FLOPs, bytes and allocations"
Both = tuple[Counts, Counts]
"""Of base and of head."""
Compiled = tuple[Mapping[str, int | None] | None, Mapping[str, int | None] | None]


def amounts(both: Both, compiled: Compiled = (None, None)) -> Amounts | None:
    """What is known of both sides; None where nothing is.

    Args:
        compiled: of both sides `graphs`, `graph_breaks` and `kernels`, where they were compiled.
    """
    base, head = (_known(counts, made) for counts, made in zip(both, compiled, strict=True))
    shared = [name for name in base if name in head]
    if not shared:
        return None
    base, head = ({name: side[name] for name in shared} for side in (base, head))
    growth = max((_growth(base[name], head[name]) for name in GROWING if name in base), default=0.0)
    return Amounts(base=base, head=head, growth=max(0.0, growth), change=", ".join(_changes(base, head)))


def _known(counts: Counts, made: Mapping[str, int | None] | None) -> dict[str, Any]:
    named = asdict(counts) | {"dispatched": counts.dispatched} | dict(made or {})
    return {
        name: value for name, value in named.items() if value is not None and name not in {"reasons", "instructions"}
    }


def _growth(base: int, head: int) -> float:
    return head / base - 1 if base else math.inf if head else 0.0


def _changes(base: Mapping[str, Any], head: Mapping[str, Any]) -> Iterator[str]:
    """Operators by name, then in what they come to."""
    if "operators" in base:
        yield from _operators(base["operators"], head["operators"])
    if share := _share(base, head, "flops"):
        yield f"{share} FLOPs"
    if share := _share(base, head, "bytes"):
        yield f"{_more(head['bytes'] - base['bytes'])} ({share}) moved"
    if _share(base, head, "allocated_bytes") or _share(base, head, "allocations"):
        more = head["allocations"] - base["allocations"]
        yield f"{more:+d} allocations ({_more(head['allocated_bytes'] - base['allocated_bytes'])})"
    for name, noun in NOUNS.items():
        if more := head.get(name, 0) - base.get(name, 0):
            yield f"{more:+d} {noun}{'s' if abs(more) > 1 else ''}"


def _operators(base: Mapping[str, int], head: Mapping[str, int]) -> Iterator[str]:
    """The largest changes first, of those that only look at a tensor otherwise last."""
    more = {name: head.get(name, 0) - base.get(name, 0) for name in {**base, **head}}
    found = sorted((name for name in more if more[name]), key=lambda name: (name in VIEWS, -abs(more[name]), name))
    yield from (f"{more[name]:+d} {name}" for name in found[:OPERATORS_SHOWN])
    if len(found) > OPERATORS_SHOWN:
        rest = found[OPERATORS_SHOWN:]
        yield f"{sum(more[name] for name in rest):+d} of {len(rest)} other operators"


def _more(octets: int) -> str:
    """`+3.00 MiB`: exact, and so in any unit."""
    return f"{'-' if octets < 0 else '+'}{units.octets(abs(octets))}"


def _share(base: Mapping[str, Any], head: Mapping[str, Any], name: str) -> str:
    """`+1.9 %`; empty where nothing changed, or is not known."""
    if base.get(name) == head.get(name):
        return ""
    growth = _growth(base[name], head[name])
    if math.isinf(growth):
        return "for the first time"
    return f"{100 * growth:+.{2 if abs(growth) < 1 else 3}g} %"


def rows(found: Mapping[str, Amounts | None], times: Sequence[Row], tolerances: Mapping[str, float]) -> list[Row]:
    """A row a case of which both sides could be counted.

    Args:
        times: what was said of the times.
    """
    said = {row.case: row.verdict for row in times if row.measure == "time"}
    return [_row(case, each, said.get(case), tolerances[case]) for case, each in found.items() if each is not None]


def _row(case: str, found: Amounts, time: Verdict | None, tolerance: float) -> Row:
    grown = found.growth > tolerance
    verdict = Verdict.MORE_WORK if grown and (time is None or time in UNDECIDED) else Verdict.PASS
    reason = SAME
    if found.change:
        judged = f"its time is {time}" if time else "it has no time"
        reason = judged if grown or time is Verdict.REGRESSED else ""
    return Row(case, "work", verdict, reason=reason, tolerance=tolerance, work=found)


def explained(times: Iterable[Row], found: Mapping[str, Amounts | None]) -> list[Row]:
    """Times that differ, with what was done otherwise beside them."""
    return [_explained(row, found.get(row.case)) for row in times]


def _explained(row: Row, found: Amounts | None) -> Row:
    if found is None or row.measure != "time" or row.verdict not in {Verdict.REGRESSED, Verdict.IMPROVED}:
        return row
    told = f"work: {found.change}" if found.change else f"{SAME}: done otherwise, not more of it"
    return replace(row, reason="; ".join(filter(None, [row.reason, told])))


def unknown(counts: Mapping[str, Both], found: Mapping[str, Amounts | None]) -> list[str]:
    """Why cases have no row of work, a line for each reason."""
    cases: dict[str, list[str]] = {}
    for case, both in counts.items():
        if found.get(case) is None:
            reasons = [reason for side in both for reason in side.reasons.values()]
            cases.setdefault(reasons[0] if reasons else "not counted", []).append(case)
    return [
        f"work of {units.count(len(names), 'case')}, {names[0]} for one: {reason}" for reason, names in cases.items()
    ]
