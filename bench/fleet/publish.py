"""From the attempts to one journal a node, which `dlhw recover` and `dlhw report` read, at any time.

Of a block that was tried twice the attempt that came to its end counts, once; of one that never did, on no node, its
cases are rows that say why.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.fleet import ledger
from bench.fleet.ledger import Attempt, End, History
from bench.fleet.schedule import BEGIN, END, blocks_of
from bench.records.record import Outcome, Record, Status
from suites.errors import DlhwError


def counted(history: History) -> dict[tuple[str, str], Attempt]:
    """(team, block) -> the attempt whose records count: the first that came to its end."""
    found: dict[tuple[str, str], Attempt] = {}
    for attempt in sorted(history.attempts.values(), key=lambda each: each.number):
        if attempt.end is End.DONE and attempt.block not in {"plan", BEGIN, END}:
            found.setdefault((attempt.team, attempt.block), attempt)
    return found


def anchors(history: History) -> dict[tuple[str, str], Attempt]:
    """(node, `anchor-begin` or `anchor-end`) -> the attempt that measured it last."""
    ended = (each for each in history.attempts.values() if each.end is End.DONE and each.block in {BEGIN, END})
    return {(each.node, each.block): each for each in sorted(ended, key=lambda each: each.number)}


def write(folder: Path, given_up: Mapping[str, Mapping[str, str]] | None = None) -> list[Path]:
    """Write `FOLDER/NODE.journal.jsonl` of every node, whole or not at all; their paths.

    Args:
        given_up: team -> block -> why no node has measured it.
    """
    history = ledger.read(folder)
    by_node: dict[str, list[Attempt]] = {}
    for attempt in counted(history).values():
        by_node.setdefault(attempt.node, []).append(attempt)
    written = []
    for node, attempts in by_node.items():
        lines = [line for attempt in attempts for line in ledger.lines_of(folder, attempt.number)]
        lines += _told(history, node, attempts[0].team, lines, given_up or {})
        written.append(_replace(folder / f"{node}.journal.jsonl", lines))
    return written


def _told(
    history: History, node: str, team: str, lines: Iterable[str], given_up: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    """The cases of a team that nobody has measured: on the first of its nodes that has measured anything."""
    lost = given_up.get(team, {})
    first = next(attempt.node for attempt in counted(history).values() if attempt.team == team)
    header = next((data for line in lines if (data := json.loads(line)).get("kind") == "header"), None)
    if not lost or node != first or header is None:
        return
    cases = {case["id"]: case["case"] for case in history.plans[node]["cases"]}
    for block in blocks_of(history.plans[node]["cases"]):
        if block.id in lost:
            yield json.dumps({**header, "plan": list(block.cases)})
            yield from (_row(case_id, cases[case_id], lost[block.id]) for case_id in block.cases)


def _row(case_id: str, case: Mapping[str, Any], reason: str) -> str:
    record = Record(id=case_id, case=dict(case), outcome=Outcome(Status.SKIPPED, f"no node has measured it: {reason}"))
    return json.dumps({"kind": "record", "node_id": f"fleet::{case_id}", "record": record.to_json()})


def _replace(path: Path, lines: Iterable[str]) -> Path:
    temporary = path.with_suffix(".part")
    try:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return temporary.replace(path)
    except OSError as error:
        raise DlhwError(f"{path} cannot be written: {error.strerror}; what was measured is kept beside it") from error
