"""The fleet's journal: which block was tried where, and what became of it; one JSON line each, synced at once.

The results themselves are beside it: `attempts/NUMBER.jsonl` is the journal of one attempt, as the node wrote it.
Resuming needs no engine: what has ended well is here.
"""

import io
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from suites.errors import DlhwError

SCHEMA = 1


class End(StrEnum):
    """What became of an attempt."""

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    LOST = "lost"
    CANCELLED = "cancelled"


@dataclass
class Attempt:
    """A block on a node, once.

    Attributes:
        team: whose queue the block is from: a node's, or a kind's.
        end: None while it runs, and after the controller was killed.
        seconds: from its start to its end; of them the sweep itself took `measuring_seconds`.
    """

    number: int
    block: str
    node: str
    team: str
    end: End | None = None
    reason: str = ""
    seconds: float | None = None
    measuring_seconds: float | None = None


@dataclass
class History:
    """All that a fleet's journal holds."""

    header: Mapping[str, Any]
    plans: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    attempts: dict[int, Attempt] = field(default_factory=dict)

    def done(self, team: str) -> set[str]:
        """Blocks of the team that are measured."""
        return {each.block for each in self.attempts.values() if each.team == team and each.end is End.DONE}

    def unfinished(self, node: str, block: str) -> Attempt | None:
        """The last attempt at a block on the same node that did not come to its end, and measured a part of it."""
        found = [each for each in self.attempts.values() if each.node == node and each.block == block]
        last = max(found, key=lambda each: each.number, default=None)
        return last if last is not None and last.end in {None, End.CANCELLED} else None


class Ledger:
    """Appends to `FOLDER/fleet.jsonl`.

    Raises:
        DlhwError: the folder cannot be written, or a fleet that runs has it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            (folder / "attempts").mkdir(parents=True, exist_ok=True)
            self._file = (folder / "fleet.jsonl").open("ab", buffering=0)
        except OSError as error:
            raise DlhwError(f"{folder}: {error.strerror}") from error
        try:
            _hold(self._file.fileno(), folder)
            self._end_torn_line()
        except DlhwError:
            self._file.close()
            raise

    def begin(self, header: Mapping[str, Any]) -> None:
        """What this fleet is asked for."""
        self._append({"kind": "fleet", "schema": SCHEMA, "datetime": datetime.now(UTC).isoformat(), **header})

    def plan(self, node: str, plan: Mapping[str, Any]) -> None:
        """What a node is, and what it would measure."""
        self._append({"kind": "plan", "node": node, "plan": plan})

    def started(self, attempt: Attempt) -> None:
        """An attempt begins."""
        self._append({"kind": "started", "attempt": attempt.number, "block": attempt.block, "node": attempt.node,
                      "team": attempt.team})  # fmt: skip

    def ended(self, attempt: Attempt) -> None:
        """An attempt has ended."""
        self._append({"kind": "ended", "attempt": attempt.number, "end": attempt.end, "reason": attempt.reason,
                      "seconds": attempt.seconds, "measuring_seconds": attempt.measuring_seconds})  # fmt: skip

    def keep(self, number: int, line: str) -> None:
        """A line of the journal of an attempt."""
        self._write((self.folder / "attempts" / f"{number}.jsonl"), line.encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _end_torn_line(self) -> None:
        """Or the next would be a part of it."""
        path = self.folder / "fleet.jsonl"
        if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
            self._sync(self._file, b"\n")

    def _append(self, data: Mapping[str, Any]) -> None:
        self._sync(self._file, json.dumps(data, allow_nan=False).encode() + b"\n")

    def _write(self, path: Path, data: bytes) -> None:
        with path.open("ab", buffering=0) as file:
            self._sync(file, data)

    def _sync(self, file: io.FileIO, data: bytes) -> None:
        """Unbuffered: what did not get on the disk is not tried again when the file is closed."""
        try:
            while data:
                data = data[file.write(data) :]
            os.fsync(file.fileno())
        except OSError as error:
            raise DlhwError(f"{self.folder} cannot be written: {error.strerror}; what was measured is kept") from error


def _hold(file: int, folder: Path) -> None:
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DlhwError(f"{folder}: another fleet runs in this folder; dlhw fleet status {folder} shows it") from error
    except OSError:  # a file system without locks: two at once cannot be told there
        return


def read(folder: Path) -> History:
    """The journal of the fleet in `folder`; a line that a kill left torn is passed over.

    Raises:
        DlhwError: there is none, or it is of a later dlhw.
    """
    path = folder / "fleet.jsonl"
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DlhwError(f"{folder}: no fleet has run in this folder ({error.strerror})") from error
    entries = list(_entries(lines))
    if not entries or entries[0].get("kind") != "fleet":
        raise DlhwError(f"{path}: this is no journal of a fleet, or its first line is damaged")
    if entries[0]["schema"] > SCHEMA:
        raise DlhwError(f"{path}: written by a later dlhw (schema {entries[0]['schema']}; this one reads {SCHEMA})")
    history = History(entries[0])
    for entry in entries[1:]:
        _take(history, entry)
    return history


def _entries(lines: Iterable[bytes]) -> Iterable[dict[str, Any]]:
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield entry


def _take(history: History, entry: Mapping[str, Any]) -> None:
    match entry.get("kind"):
        case "plan":
            history.plans[entry["node"]] = entry["plan"]
        case "started":
            number = entry["attempt"]
            history.attempts[number] = Attempt(number, entry["block"], entry["node"], entry["team"])
        case "ended":
            attempt = history.attempts[entry["attempt"]]
            attempt.end, attempt.reason = End(entry["end"]), entry["reason"]
            attempt.seconds, attempt.measuring_seconds = entry["seconds"], entry.get("measuring_seconds")


def lines_of(folder: Path, number: int) -> tuple[str, ...]:
    """Whole lines of the journal of an attempt."""
    path = folder / "attempts" / f"{number}.jsonl"
    whole = path.read_bytes().rpartition(b"\n")[0] if path.is_file() else b""
    return tuple(line for line in whole.decode().split("\n") if line)
