"""What was found, kept in the store: found again it is the same finding, and a person's word on it stays."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from reports.history import schema
from reports.history.cause import Story
from reports.history.changes import Change
from reports.history.looking import History
from suites.errors import DlhwError


class State(StrEnum):
    """Of a finding."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    GONE = "gone"


@dataclass(frozen=True)
class Finding:
    """A change, where it is, whose doing, and what a person said of it.

    Attributes:
        facts: what it was when it was last seen: the fields of a `Change`, and of its `Story`.
        when: seconds since 1970, of the likeliest first run after it.
    """

    id: int
    machine: str
    case: str | None
    metric: str
    kind: str
    branch: str | None
    ratio: float
    low: float | None
    high: float | None
    p: float | None
    cause: str
    facts: Mapping[str, Any]
    state: State
    why: str
    when: float
    runs: tuple[int, int, int]

    @property
    def worse(self) -> bool:
        """Whether it is for the worse."""
        return bool(self.facts["worse"])


def keep(
    connection: sa.Connection, history: History, found: Sequence[tuple[Change, Story]], now: float, *, whole: bool
) -> None:
    """Write down what was found; a finding that is found again keeps its number and its state.

    Args:
        whole: all series of the machine were looked at: what is found no more is gone.
    """
    numbers = {name: number for number, name in connection.execute(sa.select(schema.case.c.id, schema.case.c.name))}
    old = _known(connection, history)
    seen: set[int] = set()
    for change, story in found:
        case = numbers[change.case] if change.case else None
        values = _values(change, story, history) | {"case_id": case, "machine_id": history.machine_id}
        same = next((each for each in old if each["id"] not in seen and _same(each, values, history)), None)
        if same is None:
            values |= {"state": State.OPEN, "why": "", "found": now, "branch": history.branch}
            connection.execute(sa.insert(schema.finding).values(values))
            continue
        seen.add(same["id"])
        values |= {"state": State.OPEN} if same["state"] == State.GONE else {}
        connection.execute(sa.update(schema.finding).where(schema.finding.c.id == same["id"]).values(values))
    lost = [each["id"] for each in old if each["id"] not in seen and each["state"] == State.OPEN]
    if whole and lost:
        connection.execute(sa.update(schema.finding).where(schema.finding.c.id.in_(lost)).values(state=State.GONE))


def _values(change: Change, story: Story, history: History) -> dict[str, Any]:
    facts = {
        **story.to_json(), "before": change.before, "after": change.after, "series": change.series,
        "runs": list(change.runs), "worse": change.worse,
    }  # fmt: skip
    places = {"last_run": change.last, "first_run": change.first, "change_run": change.place}
    return {
        "metric": change.metric, "kind": change.kind, "ratio": change.ratio, "low": change.low,
        "high": change.high, "p": change.p,
        "cause": str(story.cause), "story": json.dumps(facts),
        **{name: history.runs[place].id for name, place in places.items()},
    }  # fmt: skip


def _known(connection: sa.Connection, history: History) -> list[Mapping[Any, Any]]:
    """Findings of the machine and branch whose runs are among those that are looked at."""
    finding = schema.finding
    query = sa.select(finding).where(finding.c.machine_id == history.machine_id, finding.c.branch == history.branch)
    there = {run.id for run in history.runs}
    rows = connection.execute(query.order_by(finding.c.id)).mappings()
    return [row for row in rows if {row["last_run"], row["first_run"]} <= there]


def _same(old: Mapping[Any, Any], new: Mapping[str, Any], history: History) -> bool:
    """Of the same series and direction, and their places overlap: more runs tell the place better."""
    if any(old[name] != new[name] for name in ("case_id", "metric", "kind")) or (old["ratio"] > 1) != (
        new["ratio"] > 1
    ):
        return False
    place = {run.id: number for number, run in enumerate(history.runs)}
    return place[old["last_run"]] <= place[new["first_run"]] and place[new["last_run"]] <= place[old["first_run"]]


def all_of(connection: sa.Connection, machines: Mapping[int, str]) -> list[Finding]:
    """Of these machines, the latest first."""
    finding, run, case = schema.finding, schema.run, schema.case
    query = (
        sa.select(finding, run.c.at, case.c.name.label("case")).join(run, run.c.id == finding.c.change_run)
        .join(case, case.c.id == finding.c.case_id, isouter=True)
        .where(finding.c.machine_id.in_(machines)).order_by(run.c.at.desc(), finding.c.id)
    )  # fmt: skip
    return [_finding(row, machines) for row in connection.execute(query).mappings()]


def one(connection: sa.Connection, number: int) -> Finding:
    """The finding of that number.

    Raises:
        DlhwError: there is none.
    """
    names = {row[0]: row[1] for row in connection.execute(sa.select(schema.machine.c.id, schema.machine.c.name))}
    found = [each for each in all_of(connection, names) if each.id == number]
    if not found:
        raise DlhwError(f"finding {number}: there is none of that number; dlhw history changes lists them")
    return found[0]


def judge(connection: sa.Connection, number: int, state: State, why: str, now: float) -> None:
    """A person's word.

    Raises:
        DlhwError: there is no such finding.
    """
    one(connection, number)
    values = {"state": state, "why": why, "judged": now}
    connection.execute(sa.update(schema.finding).where(schema.finding.c.id == number).values(values))


def precision(found: Sequence[Finding]) -> tuple[int, int]:
    """(how many of the judged were accepted, how many were judged)."""
    judged = [each.state for each in found if each.state in {State.ACCEPTED, State.REJECTED}]
    return judged.count(State.ACCEPTED), len(judged)


def _finding(row: Mapping[Any, Any], machines: Mapping[int, str]) -> Finding:
    facts = json.loads(row["story"])
    return Finding(
        id=row["id"], machine=machines[row["machine_id"]], case=row["case"], metric=row["metric"], kind=row["kind"],
        branch=row["branch"], ratio=math.inf if row["ratio"] is None else row["ratio"], low=row["low"],
        high=row["high"], p=row["p"], cause=row["cause"], facts=facts, state=State(row["state"]), why=row["why"],
        when=row["at"], runs=(row["last_run"], row["first_run"], row["change_run"]),
    )  # fmt: skip
