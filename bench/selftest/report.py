"""The file of `dlhw selftest`: all that was found, written anew after every check, so that no crash takes it along."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.records.record import Record, plain
from bench.selftest.judge import Check, Verdict
from suites.errors import DlhwError

SCHEMA = 1
RUNNING = "running"


@dataclass
class Report:
    """What the file at `path` holds.

    Attributes:
        ended: `running` until the end, which a crash leaves there; then `complete` or `interrupted`.
        environment: as the measuring process describes the machine.
        records: of the quick run.

    Raises:
        DlhwError: from `add`, `keep` and `end`, if the file cannot be written; the text says why.
    """

    path: Path
    environment: Mapping[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    ended: str = RUNNING
    began: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    def describe(self, environment: Mapping[str, Any]) -> None:
        """Take in what machine this is; where its files lie is nobody's business."""
        self.environment = {name: value for name, value in environment.items() if name != "worker"}
        self._write()

    def add(self, check: Check) -> None:
        """Take in a check."""
        self.checks.append(check)
        self._write()

    def keep(self, record: Record) -> None:
        """Take in a case of the quick run."""
        self.records.append(record)
        self._write()

    def end(self, how: str) -> None:
        """No more will come."""
        self.ended = how
        self._write()

    @property
    def counts(self) -> dict[Verdict, int]:
        """Checks by verdict."""
        return {verdict: sum(check.verdict is verdict for check in self.checks) for verdict in Verdict}

    def document(self) -> dict[str, Any]:
        """Plain JSON types only."""
        return {
            "kind": "dlhw selftest",
            "schema": SCHEMA,
            "datetime": self.began,
            "ended": self.ended,
            "counts": plain({str(verdict): count for verdict, count in self.counts.items()}),
            "environment": plain(self.environment),
            "checks": [plain(asdict(check)) for check in self.checks],
            "quick": {"records": [record.to_json() for record in self.records]},
        }

    def _write(self) -> None:
        """Beside the file, then in its place: what is there is always whole."""
        part = self.path.with_name(f".{self.path.name}.part")
        try:
            with part.open("w", encoding="utf-8") as file:
                json.dump(self.document(), file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
        except OSError as error:
            raise DlhwError(f"-o {self.path}: cannot be written: {error.strerror}") from error
