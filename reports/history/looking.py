"""What is in a store, as tables; and the series of a machine, as its changes are looked for."""

import fnmatch
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import sqlalchemy as sa

from reports.history import schema
from suites.errors import DlhwError, did_you_mean

LAST_RUNS = 400
"""So many of a machine are looked at; more than a year of nights."""
RESULT_COLUMNS = ("case", "metric", "run", "value", "within", "between", "launches", "reason")
MAIN_BRANCHES = ("main", "master", "trunk")


@dataclass(frozen=True)
class Run:
    """A run in the order of its machine's time."""

    id: int
    at: float
    measured: float | None
    repository: str | None
    branch: str | None
    commit: str | None
    parents: tuple[str, ...] | None
    dirty: bool | None
    suite: str | None
    environment: Mapping[str, Any]
    note: str


@dataclass(frozen=True)
class History:
    """A machine's runs of a branch, and what they measured.

    Attributes:
        branch: None where the runs have none, or all are taken.
        results: the columns `RESULT_COLUMNS`, `run` being a place in `runs`.
        axes: case -> its axes.
    """

    machine_id: int
    machine: str
    branch: str | None
    runs: tuple[Run, ...]
    results: pd.DataFrame
    axes: Mapping[str, Mapping[str, Any]]


def machines(connection: sa.Connection) -> pd.DataFrame:
    """A row a machine: id, name, what it is, runs, when."""
    run, machine = schema.run, schema.machine
    query = (
        sa.select(
            machine.c.id, machine.c.name, machine.c.facts, sa.func.count(run.c.id).label("runs"),
            sa.func.min(run.c.at).label("first"), sa.func.max(run.c.at).label("last"),
        ).join(run, run.c.machine_id == machine.c.id, isouter=True).group_by(machine.c.id).order_by(machine.c.id)
    )  # fmt: skip
    return _frame(connection, query)


def machine_ids(connection: sa.Connection, name: str | None) -> list[tuple[int, str]]:
    """(id, name) of the machines that are called so, or have that number; of all where no name is given.

    Raises:
        DlhwError: there is none.
    """
    found = [
        (int(row[0]), str(row[1])) for row in connection.execute(sa.select(schema.machine.c.id, schema.machine.c.name))
    ]
    chosen = [each for each in found if name is None or name in {str(each[0]), each[1]}]
    if name is not None and not chosen:
        raise DlhwError(
            f"--machine {name}: no such machine in the store{did_you_mean(name, {each[1] for each in found})}"
        )
    return sorted(chosen)


def runs(connection: sa.Connection, machine: str | None, branch: str | None) -> pd.DataFrame:
    """A row a run, the latest first."""
    run, result = schema.run, schema.result
    counted = (
        sa.select(
            result.c.run_id, sa.func.count(result.c.case_id.distinct()).label("cases"),
            sa.func.count(sa.case((result.c.value.is_(None), 1))).label("not_measured"),
        ).group_by(result.c.run_id).subquery()
    )  # fmt: skip
    names = dict(machine_ids(connection, machine))
    query = (
        sa.select(
            run.c.id, run.c.machine_id, run.c.at, run.c.branch, run.c.commit, run.c.dirty, run.c.suite,
            counted.c.cases, counted.c.not_measured, run.c.environment_id, run.c.note,
        ).join(counted, counted.c.run_id == run.c.id, isouter=True)
        .where(run.c.machine_id.in_(names), *_of_branch(branch)).order_by(run.c.at.desc(), run.c.id.desc())
    )  # fmt: skip
    found = _frame(connection, query)
    found.insert(1, "machine", [names[number] for number in found.pop("machine_id")])
    return found


def history(
    connection: sa.Connection, machine: tuple[int, str], *, branch: str | None = None, nets: Sequence[str] = (),
    metric: str | None = None, last: int = LAST_RUNS,
) -> History:  # fmt: skip
    """The last runs of a machine.

    Args:
        machine: its id and name.
        branch: default: the one that most of its runs are of; runs that name none go with any.
        nets: patterns of case ids or names of nets, as `lenet` or `resnet18-*-b8-*`; default: all.
        metric: default: all.
    """
    chosen = branch or usual_branch(connection, machine[0])
    rows = _runs(connection, machine[0], chosen, last)
    places = {run.id: place for place, run in enumerate(rows)}
    cases = {number: (name, json.loads(axes)) for number, name, axes in connection.execute(sa.select(schema.case))}
    kept = {number: name for number, (name, axes) in cases.items() if fits(name, axes, nets)}
    result = schema.result
    wanted: list[sa.ColumnElement[bool]] = [
        result.c.run_id.in_(sa.select(_ids(machine[0], chosen, last).subquery().c.id))
    ]
    wanted += [result.c.metric == metric] if metric else []
    wanted += [result.c.case_id.in_(list(kept))] if len(kept) < min(len(cases), 100) else []
    columns = [result.c[name] for name in ("case_id", "metric", "run_id", *RESULT_COLUMNS[3:])]
    found = pd.DataFrame.from_records(
        [tuple(row) for row in connection.execute(sa.select(*columns).where(*wanted))], columns=list(RESULT_COLUMNS)
    )
    found = found[found["case"].isin(kept)]
    found = found.assign(case=found["case"].map(kept), run=found["run"].map(places))
    found = found.astype({"value": "float64", "within": "float64", "between": "float64", "run": "int64"})
    found = found.sort_values(["metric", "case", "run"], kind="stable").reset_index(drop=True)
    return History(
        machine[0], machine[1], chosen, rows, found, {name: cases[number][1] for number, name in kept.items()}
    )


def fits(name: str, axes: Mapping[str, Any], patterns: Sequence[str]) -> bool:
    """Whether a case is one of those that `patterns` ask for."""
    words = {name, str(axes.get("architecture")), str(axes.get("operation"))}
    return not patterns or any(fnmatch.fnmatchcase(word, pattern) for word in words for pattern in patterns)


def usual_branch(connection: sa.Connection, machine: int) -> str | None:
    """Main, where a machine has two runs of it; else what most of its runs are of."""
    column = schema.run.c.branch
    query = sa.select(column, sa.func.count()).where(schema.run.c.machine_id == machine).group_by(column)
    counts = {branch: number for branch, number in connection.execute(query) if branch}
    main = next((name for name in MAIN_BRANCHES if counts.get(name, 0) > 1), None)
    return main or max(counts, key=lambda name: (counts[name], name), default=None)


def _of_branch(branch: str | None) -> list[sa.ColumnElement[bool]]:
    column = schema.run.c.branch
    return [sa.or_(column == branch, column.is_(None))] if branch else []


def _ids(machine: int, branch: str | None, last: int) -> sa.Select[Any]:
    run = schema.run
    query = sa.select(run.c.id).where(run.c.machine_id == machine, *_of_branch(branch))
    return query.order_by(run.c.at.desc(), run.c.id.desc()).limit(last)


def _runs(connection: sa.Connection, machine: int, branch: str | None, last: int) -> tuple[Run, ...]:
    run, environment = schema.run, schema.environment
    query = (
        sa.select(run, environment.c.facts).join(environment, environment.c.id == run.c.environment_id)
        .where(run.c.id.in_(sa.select(_ids(machine, branch, last).subquery().c.id))).order_by(run.c.at, run.c.id)
    )  # fmt: skip
    return tuple(_run(row) for row in connection.execute(query).mappings())


def _run(row: Mapping[Any, Any]) -> Run:
    return Run(
        id=row["id"], at=row["at"], measured=row["measured"], repository=row["repository"], branch=row["branch"],
        commit=row["commit"], parents=tuple(json.loads(row["parents"])) if row["parents"] else None,
        dirty=row["dirty"], suite=row["suite"], environment=json.loads(row["facts"]), note=row["note"],
    )  # fmt: skip


def _frame(connection: sa.Connection, query: Any) -> pd.DataFrame:
    found = connection.execute(query)
    columns = list(found.keys())
    return pd.DataFrame.from_records([tuple(row) for row in found], columns=columns)
