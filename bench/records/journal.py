"""The journal: every finished case, appended and synced at once, so that nothing measured is ever lost.

A JSON line each: a `header` for every run that appends, then its `record`s, and where cases have several launches a
`launch` for each. Standard library only.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.records.pair import Entry
from bench.records.record import SCHEMA, Record, Status
from suites.errors import DlhwError

RETRIED = frozenset({Status.CRASHED, Status.FAILED})
"""Outcomes that tell of a mistake or an accident, not of the machine: `--resume` measures them again."""


@dataclass
class Run:
    """One run's part of a journal: what it was, and its records, pytest's node ids and single launches, by case id."""

    header: Mapping[str, Any]
    records: dict[str, Record] = field(default_factory=dict)
    node_ids: dict[str, str] = field(default_factory=dict)
    launches: dict[str, list[Record]] = field(default_factory=dict)


class Journal:
    """Appends to the journal at `path`.

    Raises:
        DlhwError: from every method, if the file cannot be written; the text says why.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            torn = path.is_file() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
            self._file = path.open("ab")
        except OSError as error:
            raise DlhwError(f"the journal {path} cannot be written: {error.strerror}") from error
        if torn:
            self._write(b"\n")

    def begin(self, header: Mapping[str, Any]) -> None:
        """Write what this run is."""
        now = datetime.now(UTC).isoformat()
        self._append({"kind": "header", "schema": SCHEMA, "datetime": now, **header})

    def append(self, node_id: str, record: Record) -> None:
        """Write a record, and return only when it is on the disk."""
        self._append({"kind": "record", "node_id": node_id, "record": record.to_json()})

    def append_launch(self, record: Record) -> None:
        """Write the record of one launch of a case that is to have several."""
        self._append({"kind": "launch", "record": record.to_json()})

    def append_pair(self, entry: Entry) -> None:
        """Write what one pair of processes says of one case, as `dlhw gate` measures them."""
        self._append({"kind": "pair", "pair": entry.to_json()})

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):  # what could not be written was said when it was
            self._file.close()

    def _append(self, data: Mapping[str, Any]) -> None:
        self._write(json.dumps(data, allow_nan=False).encode() + b"\n")

    def _write(self, data: bytes) -> None:
        try:
            self._file.write(data)
            self._file.flush()
            if self.path.is_file():
                os.fsync(self._file.fileno())
        except OSError as error:
            raise DlhwError(f"the journal {self.path} cannot be written: {error.strerror}") from error


def read(path: Path) -> tuple[list[Run], int]:
    """All runs of a journal, and how many of its lines were damaged, as a kill or a full disk leaves them.

    Raises:
        DlhwError: there is no journal at `path`, or of a later version.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DlhwError(f"{path}: {error.strerror}") from error
    runs: list[Run] = []
    damaged = 0
    for number, line in enumerate(filter(None, lines), 1):
        try:
            data = json.loads(line)
            if data["kind"] == "header":
                _check_schema(path, number, data)
                runs.append(Run(data))
            elif data["kind"] == "launch":
                record = Record.from_json(data["record"])
                runs[-1].launches.setdefault(record.id, []).append(record)
            else:
                record, node_id = Record.from_json(data["record"]), str(data["node_id"])
                runs[-1].records[record.id] = record
                runs[-1].node_ids[record.id] = node_id
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            damaged += 1
    if not runs:
        raise DlhwError(f"{path}: this is no journal of dlhw, or its first line is damaged")
    return runs, damaged


def reusable(runs: Iterable[Run], key: Mapping[str, Any]) -> dict[str, Record]:
    """Records by case id of all runs whose `key` (machine, torch, suite) is the same, but those worth a retry."""
    found: dict[str, Record] = {}
    for run in runs:
        if run.header.get("key") == key:
            found |= run.records
    return {case_id: record for case_id, record in found.items() if record.outcome.status not in RETRIED}


def launched(runs: Iterable[Run], key: Mapping[str, Any]) -> dict[str, list[Record]]:
    """Single launches that measured, by case id, of all runs whose `key` is the same."""
    found: dict[str, list[Record]] = {}
    for run in runs:
        for case_id, records in run.launches.items() if run.header.get("key") == key else ():
            good = [record for record in records if record.outcome.status is Status.MEASURED]
            found.setdefault(case_id, []).extend(good)
    return {case_id: records for case_id, records in found.items() if records}


def _check_schema(path: Path, number: int, header: Mapping[str, Any]) -> None:
    if header["schema"] > SCHEMA:
        raise DlhwError(
            f"{path}:{number}: written by a later dlhw (schema {header['schema']}; this one reads {SCHEMA})"
        )
