"""The gate's journal: each pair of each case, synced to the disk at once, and what an interrupted run has left."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from bench.records.journal import Journal
from bench.records.pair import Entry
from suites.errors import DlhwError


class GateJournal:
    """Appends entries to the file at `path`. A context: it closes the file.

    Args:
        key: what must be equal for the file's last run to be gone on with.
        resume: go on with it.

    Attributes:
        taken: the header of the run that is gone on with; None for a new one.
        entries: what it has measured.

    Raises:
        DlhwError: the file cannot be read or written, or `resume` and it holds another run.
    """

    def __init__(self, path: Path, key: Mapping[str, Any], *, resume: bool) -> None:
        self._key = json.loads(json.dumps(key))
        self.taken: Mapping[str, Any] | None = None
        self.entries: list[Entry] = []
        if resume:
            self.taken, self.entries = read(path)
            if self.taken["key"] != self._key:
                other = [name for name, value in self._key.items() if self.taken["key"].get(name) != value]
                raise DlhwError(
                    f"--resume: {path} holds another run: {', '.join(other)} differ; start anew without --resume"
                )
        elif path.is_file():
            path.replace(f"{path}.old")
        self._journal = Journal(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.close()

    def begin(self, header: Mapping[str, Any]) -> None:
        """Write what this run is."""
        self._journal.begin({"gate": True, "key": self._key, **header})

    def append(self, entry: Entry) -> None:
        """Write one pair of one case, and return only when it is on the disk."""
        self._journal.append_pair(entry)


def read(path: Path) -> tuple[dict[str, Any], list[Entry]]:
    """Header and entries of the last run of a journal; lines that a kill or a full disk tore are passed over.

    Raises:
        DlhwError: there is no such journal.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DlhwError(f"{path}: {error.strerror}") from error
    header: dict[str, Any] | None = None
    entries: list[Entry] = []
    for line in filter(None, lines):
        try:
            data = json.loads(line)
            if data["kind"] == "header" and data.get("gate"):
                header, entries = data, []
            elif data["kind"] == "pair":
                entries.append(Entry.from_json(data["pair"]))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            continue
    if header is None or not isinstance(header.get("key"), dict) or not isinstance(header.get("plan"), dict):
        raise DlhwError(f"{path}: this is no journal of dlhw gate, or its first line is damaged")
    return header, entries
