"""What a store's owner does with it: take out, copy, make smaller."""

from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from reports.history import looking, schema
from reports.history.looking import History
from reports.history.store import Store, open_store
from suites.errors import DlhwError

CHUNK = 10_000
"""Rows copied at a time."""


def tidy(history: History) -> pd.DataFrame:
    """A row a result, with its run: times in seconds since 1970, values in SI."""
    runs = pd.DataFrame(
        [
            (run.id, run.at, run.repository, run.branch, run.commit, run.dirty, run.suite,
             run.environment.get("torch"), run.environment.get("kernel"))
            for run in history.runs
        ],
        columns=["run_id", "at_seconds", "repository", "branch", "commit", "dirty", "suite", "torch", "kernel"],
    )  # fmt: skip
    found = history.results.join(runs, on="run").drop(columns="run")
    found.insert(0, "machine", history.machine)
    return found.reset_index(drop=True)


def otava(history: History, metric: str) -> pd.DataFrame:
    """As Apache Otava reads CSV: a row a run, `time` and `commit`, then a column for each case."""
    rows = history.results[history.results["metric"] == metric]
    wide = rows.pivot_table(index="run", columns="case", values="value", sort=True)
    times = pd.to_datetime([history.runs[place].at for place in wide.index], unit="s", utc=True)
    wide.insert(0, "time", times.strftime("%Y-%m-%d %H:%M:%S %z"))
    wide.insert(1, "commit", [history.runs[place].commit or "" for place in wide.index])
    return wide.reset_index(drop=True).rename_axis(columns=None)


def prune(connection: sa.Connection, *, keep: int | None, before: float | None, samples: bool) -> int:
    """Take out runs, or their samples alone; returns how many runs it was.

    Args:
        keep: the latest so many of each machine and branch stay.
        before: only runs from before, in seconds since 1970.
    """
    run, result = schema.run, schema.result
    place = sa.func.row_number().over(
        partition_by=(run.c.machine_id, run.c.branch), order_by=(run.c.at.desc(), run.c.id.desc())
    )
    ranked = sa.select(run.c.id, run.c.at, place.label("place")).subquery()
    wanted: list[sa.ColumnElement[bool]] = []
    wanted += [ranked.c.place > keep] if keep is not None else []
    wanted += [ranked.c.at < before] if before is not None else []
    ids = [row[0] for row in connection.execute(sa.select(ranked.c.id).where(*wanted))]
    for begin in range(0, len(ids), 500):
        chosen = ids[begin : begin + 500]
        if samples:
            connection.execute(sa.update(result).where(result.c.run_id.in_(chosen)).values(seconds=None))
        else:
            connection.execute(sa.delete(run).where(run.c.id.in_(chosen)))
    return len(ids)


def backup(store: Store, target: Path) -> int:
    """Copy a store, of SQLite or PostgreSQL, to a new SQLite file; returns the number of its results.

    Raises:
        DlhwError: there is something at `target` already.
    """
    if target.exists():
        raise DlhwError(f"{target}: there is something already; a backup is a new file")
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    copy, count = open_store(str(part), create=True), 0
    with store.reading() as source, copy.writing() as sink:
        for table in schema.tables.sorted_tables:
            rows = source.execution_options(yield_per=CHUNK).execute(sa.select(table))
            for chunk in rows.mappings().partitions(CHUNK):
                values: list[dict[str, Any]] = [dict(row) for row in chunk]
                sink.execute(sa.insert(table), values)
                count += len(values) if table is schema.result else 0
    copy.engine.dispose()
    part.replace(target)
    return count


def trend(history: History, patterns: tuple[str, ...], metric: str) -> pd.DataFrame:
    """A row a run and case, in order: value, standard error as a share, commit, what of the environment is new."""
    chosen = [name for name, axes in history.axes.items() if looking.fits(name, axes, patterns)]
    if not chosen:
        raise DlhwError(f"{', '.join(patterns)}: no such case on {history.machine}; dlhw history export shows all")
    rows = history.results[(history.results["metric"] == metric) & history.results["case"].isin(chosen)]
    found = tidy(History(history.machine_id, history.machine, history.branch, history.runs, rows, history.axes))
    found["error"] = found["between"].fillna(found["within"])
    found["environment"] = [_news(history, place) for place in rows["run"]]
    return found[["case", "run_id", "at_seconds", "commit", "value", "error", "launches", "reason", "environment"]]


def _news(history: History, place: int) -> str:
    from reports.history.cause import differences

    if place == 0:
        return ""
    return "; ".join(differences(history.runs[place - 1].environment, history.runs[place].environment))
