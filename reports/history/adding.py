"""Putting runs into a store: each once, whole or not at all; and keeping those that do not get in."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from reports.history import schema
from reports.history.intake import Intake, Row
from reports.history.store import Store
from suites.errors import DlhwError

CHUNK = 500
"""Values of one IN (...): SQLite before 3.32 takes 999."""
PENDING = ".dlhw-pending"
"""A folder beside the results."""


@dataclass(frozen=True)
class Added:
    """What became of a run.

    Attributes:
        run: its number; None where all of it was there before.
        results: figures that went in.
        known: measurements that were there before, of this run or of one that it goes on with.
    """

    run: int | None
    machine: str
    results: int
    known: int
    note: str


def put(store: Store, runs: Sequence[Intake], now: float) -> list[Added]:
    """Put runs in, in one transaction.

    Args:
        now: seconds since 1970.

    Raises:
        StoreError: the database fails; then none of them is in.
    """
    with store.writing() as connection:
        return [_put(connection, each, now) for each in runs]


def _put(connection: sa.Connection, each: Intake, now: float) -> Added:
    measured = {row.measurement: row.case for row in each.rows if row.measurement is not None}
    known = _known(connection, measured)
    passed_over = {measured[measurement] for measurement in known}
    rows = [row for row in each.rows if row.case not in passed_over]
    key = _run_key(each, rows)
    if (measured and len(known) == len(measured)) or _id_of(connection, schema.run, key) is not None:
        return Added(None, each.name, 0, len(known), each.facts["note"])
    run = _insert(connection, schema.run, {
        **each.facts, "key": key, "added": now,
        "machine_id": _kept(connection, schema.machine, each.machine, name=each.name),
        "environment_id": _kept(connection, schema.environment, each.environment),
    })  # fmt: skip
    cases = _cases(connection, {row.case: each.cases[row.case] for row in rows})
    values = [{**asdict(row), "run_id": run, "case_id": cases[row.case]} for row in rows]
    for value in values:
        del value["case"]
    if values:
        connection.execute(sa.insert(schema.result), values)
    return Added(run, each.name, len(values), len(known), each.facts["note"])


def _run_key(each: Intake, rows: Iterable[Row]) -> str:
    """Of what was measured; of a run in which nothing was, of when and what."""
    found = sorted(row.measurement for row in rows if row.measurement is not None)
    return _key([each.name, found or [each.facts["measured"], sorted(row.case + row.reason for row in each.rows)]])


def _key(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def _known(connection: sa.Connection, measured: Iterable[int]) -> set[int]:
    column = schema.result.c.measurement
    found: set[int] = set()
    for chunk in _chunks(list(measured)):
        found |= set(connection.execute(sa.select(column).where(column.in_(chunk))).scalars())
    return found


def _chunks(values: list[Any]) -> Iterable[list[Any]]:
    return (values[begin : begin + CHUNK] for begin in range(0, len(values), CHUNK))


def _kept(connection: sa.Connection, table: sa.Table, facts: Mapping[str, Any], **more: Any) -> int:
    """The number of the machine or environment with these facts, which is made where there is none."""
    text = json.dumps(facts, sort_keys=True)
    key = _key(facts)
    found = _id_of(connection, table, key)
    return _insert(connection, table, {"key": key, "facts": text, **more}) if found is None else found


def _id_of(connection: sa.Connection, table: sa.Table, key: str) -> int | None:
    return connection.execute(sa.select(table.c.id).where(table.c.key == key)).scalar()


def _insert(connection: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> int:
    found = connection.execute(sa.insert(table).values(**values)).inserted_primary_key
    return int(found[0]) if found else 0


def _cases(connection: sa.Connection, axes: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Case id -> its number; those that are new are made."""
    found = _numbers(connection, axes)
    new = [{"name": name, "axes": json.dumps(axes[name])} for name in axes if name not in found]
    if new:
        connection.execute(sa.insert(schema.case), new)
        found |= _numbers(connection, (row["name"] for row in new))
    return found


def _numbers(connection: sa.Connection, names: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for chunk in _chunks(list(names)):
        rows = connection.execute(sa.select(schema.case.c.name, schema.case.c.id).where(schema.case.c.name.in_(chunk)))
        found |= {str(name): int(number) for name, number in rows}
    return found


def keep(path: Path) -> Path:
    """Keep a copy of a file whose runs did not get in, for the next `dlhw history add` there; returns it.

    The file itself may be written over by the next run.

    Raises:
        DlhwError: it cannot be kept.
    """
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        suffix = ".jsonl" if path.name.endswith(".jsonl") else ".json"
        kept = path.parent / PENDING / f"{path.name.removesuffix(suffix)}.{digest}{suffix}"
        kept.parent.mkdir(exist_ok=True)
        part = kept.with_name(f"{kept.name}.part")
        shutil.copyfile(path, part)
        return part.replace(kept)
    except OSError as error:
        raise DlhwError(f"{path} could not be kept beside it either: {error.strerror}; keep it yourself") from error


def pending(folders: Iterable[Path]) -> list[Path]:
    """Files that earlier runs have left in these folders, the oldest first."""
    found = [path for folder in dict.fromkeys(folders) for path in (folder / PENDING).glob("*.json*")]
    return sorted((path for path in found if path.suffix != ".part"), key=lambda path: path.stat().st_mtime)


def done(path: Path) -> None:
    """A kept file is in the store: it goes, its folder with the last of them."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # others are still in it
        path.parent.rmdir()
