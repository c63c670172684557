"""What all importers share: parts of files, problems by name, and results in dlhw's own format."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.records.record import SCHEMA, Outcome, Record, Status, Work, plain
from reports.results.imports.text import documents, shown
from suites.errors import DlhwError

UNKNOWN = "unknown"
SHORTEST_SECONDS, LONGEST_SECONDS = 1e-15, 1e15
"""Times beyond are no times of a step; rates made of them would not be finite."""


class RowError(DlhwError):
    """One row, or one benchmark, that cannot be taken over: it costs itself and nothing else."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one machine has measured.

    Attributes:
        tool: that wrote it.
        file: the name of the file that it was in.
        machine: its name; `unknown` where the file has none.
        torch: its version; where torch had no part in it, what had.
        models: device -> its model.
        datetime: when, as the file says it.
    """

    tool: str
    file: str
    machine: str
    torch: str
    models: Mapping[str, str]
    records: tuple[Record, ...]
    datetime: str | None = None

    @property
    def fingerprint(self) -> str:
        """Of the machine nothing is known but its name."""
        return f"{self.machine} torch {self.torch}"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What is in one file.

    Attributes:
        notes: what was not taken over, or not as it stands, each by name and with its reason.
    """

    path: Path
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def measured(self) -> int:
        """How many records have a time."""
        return sum(bool(record.seconds) for part in self.parts for record in part.records)

    def or_refuse(self) -> "Found":
        """Itself.

        Raises:
            DlhwError: there is nothing measured in it.
        """
        if self.measured:
            return self
        first, *rest = self.notes or ("it is empty",)
        more = f"; and {len(rest)} more" if rest else ""
        raise DlhwError(f"{self.path}: nothing in it can be imported: {first}{more}")


def number(value: object, what: str) -> float:
    """A number above 0, written as one.

    Raises:
        RowError: it is none.
    """
    if value is None or value == "":
        raise RowError(f"{what} is missing")
    if isinstance(value, bool) or not isinstance(value, int | float | str) or "_" in str(value):
        raise RowError(f"{what} is {shown(repr(value), 40)}, no number")
    try:
        found = float(value)
    except (ValueError, OverflowError) as error:
        raise RowError(f"{what} is {shown(repr(value), 40)}, no number") from error
    if not 0 < found < math.inf:
        raise RowError(f"{what} is {found:g}")
    return found


def whole(value: object, what: str) -> int:
    """A whole number above 0 that a tensor's size can be.

    Raises:
        RowError: it is none.
    """
    found = number(value, what)
    if not found.is_integer() or found >= 2**31:
        raise RowError(f"{what} is {found:g}, no size")
    return int(found)


def seconds(value: object, what: str, scale: float = 1.0) -> float:
    """A time; `scale` makes seconds of it.

    Raises:
        RowError: it is none.
    """
    found = number(value, what) * scale
    if not SHORTEST_SECONDS <= found <= LONGEST_SECONDS:
        raise RowError(f"{what} is {found:g} s, no time of a step")
    return found


def other(
    name: str, times: Sequence[float], *, threads: int | None = None, note: str = "", outcome: Outcome | None = None
) -> Record:
    """A benchmark of another project: what it did is known by its name alone."""
    case = {"kind": "other", "operation": name, "mode": "other", "device": "cpu", "threads": threads}
    return Record(
        id=name, case=case, outcome=outcome or Outcome(Status.MEASURED), seconds=tuple(times),
        work=Work(metric="seconds", amount=1.0), details={"note": note} if note else None,
    )  # fmt: skip


def gather(items: Iterable[tuple[str, Callable[[], Record]]]) -> tuple[tuple[Record, ...], tuple[str, ...]]:
    """Records that could be made, and notes on the rest.

    What is there twice is taken once if it is the same; else both are kept, the later one under an id of its own.

    Args:
        items: (where it is, for the notes; what makes its record, or raises a RowError).
    """
    found: dict[str, Record] = {}
    known: dict[str, list[tuple[str, Record]]] = {}
    notes: list[str] = []
    for place, make in items:
        try:
            record = make()
        except RowError as error:
            notes.append(f"{place}: {error}")
            continue
        notes += [f"{place}: {reason}" for reason in _reasons(record)]
        before = known.setdefault(record.id, [])
        same = next((first for first, other in before if other == record), None)
        if same is not None:
            notes.append(f"{place}: the same as {same}; taken once")
            continue
        before.append((place, record))
        name = _free(record.id, found) if record.id in found else record.id
        if name != record.id:
            notes.append(f"{place}: there before, with another result ({before[0][0]}); kept as {shown(name)}")
        found[name] = replace(record, id=name)
    return tuple(found.values()), tuple(notes)


def _reasons(record: Record) -> Iterator[str]:
    if record.outcome.status is not Status.MEASURED:
        yield record.outcome.reason
    if record.details and "note" in record.details:
        yield str(record.details["note"])


def _free(name: str, taken: Mapping[str, Any]) -> str:
    """`name` with the first number that makes it another one than all that are taken."""
    count = 2
    while f"{name}#{count}" in taken:
        count += 1
    return f"{name}#{count}"


SIGNS = {"dlhw": "dlhw", "machine_info": "pytest-benchmark", "context": "google-benchmark", "commit_hash": "asv"}
"""Key that a document has -> the tool that wrote it."""


def require(document: Any, tool: str, key: str, kind: type) -> Any:
    """What a document of `tool` has under `key`, which is of this kind.

    Raises:
        RowError: it has no such thing, or another tool wrote it.
    """
    signs = [SIGNS[sign] for sign in SIGNS if sign in document] if isinstance(document, dict) else []
    if "dlhw" in signs:
        raise RowError("dlhw wrote it itself; there is nothing to import")
    if signs and tool not in signs:
        raise RowError(f"no results of {tool}, but of {signs[0]}: dlhw import {signs[0]}")
    found = document.get(key) if isinstance(document, dict) else None
    if not isinstance(found, kind):
        raise RowError(f"no results file of {tool}: it has no {key}")
    return found


def read_documents(path: Path, read: Callable[[Any], tuple[Part, tuple[str, ...]]]) -> Found:
    """What is in a JSON file, by what `read` makes of each of its documents, or raises a RowError.

    Raises:
        DlhwError: it cannot be read, or there is nothing measured in it.
    """
    found, notes = documents(path)
    parts = []
    for index, document in enumerate(found, 1):
        try:
            part, told = read(document)
        except RowError as error:
            if len(found) == 1:
                raise DlhwError(f"{path}: {error}") from error
            notes = (*notes, f"document {index} of {len(found)}: {error}")
            continue
        parts.append(part)
        unsaid = (
            () if part.machine != UNKNOWN else ("it does not say its machine: taken as unknown; --machine names it",)
        )
        notes += (*unsaid, *told)
    return Found(path=path, parts=tuple(parts), notes=notes).or_refuse()


def results(parts: Sequence[Part]) -> dict[str, Any]:
    """One results file of all parts. Of several machines each case says its own, in `details`."""
    tool = parts[0].tool
    several = len({part.fingerprint for part in parts}) > 1
    records = _unique([(part, record) for part in parts for record in part.records], several)
    machines = list(dict.fromkeys(part.machine for part in parts))
    models = {} if several else {device: model for part in parts for device, model in part.models.items()}
    dates = {part.datetime for part in parts}
    return {
        "machine_info": {
            "node": ", ".join(machines),
            "torch": {"version": ", ".join(dict.fromkeys(part.torch for part in parts))},
            "devices": [{"name": device, "model": model} for device, model in models.items()],
        },
        "datetime": dates.pop() if len(dates) == 1 else None,
        "benchmarks": [_benchmark(record, tool) for record in records if record.seconds],
        "outcomes": [
            plain({"id": record.id, "case": record.case, "status": record.outcome.status,
                   "reason": record.outcome.reason, "details": record.details})
            for record in records if not record.seconds
        ],
        "dlhw": {
            "schema": SCHEMA, "suite": f"imported from {tool}",
            "imported": {"tool": tool, "file": ", ".join(dict.fromkeys(part.file for part in parts))},
            "fingerprint": "; ".join(dict.fromkeys(part.fingerprint for part in parts)),
        },
    }  # fmt: skip


def _benchmark(record: Record, tool: str) -> dict[str, Any]:
    return {
        "param": record.id, "name": record.id, "fullname": record.id, "group": tool,
        "extra_info": record.extra_info(), "stats": {"data": list(record.seconds)},
    }  # fmt: skip


def _unique(pairs: Sequence[tuple[Part, Record]], several: bool) -> list[Record]:
    """Ids that are there once: of several machines with the machine, of several files of one with the file."""
    torches: dict[str, set[str]] = {}
    for part, _ in pairs:
        torches.setdefault(part.machine, set()).add(part.torch)
    found: dict[str, Record] = {}
    for part, record in pairs:
        name = record.id
        if several:
            one = len(torches[part.machine]) == 1
            name += f" ({part.machine})" if one else f" ({part.machine}, torch {part.torch})"
        if name in found:
            name += f" [{part.file}]"
        name = _free(name, found) if name in found else name
        details = {**(record.details or {}), "imported": _source(part, record)} if several else record.details
        found[name] = replace(record, id=name, details=details)
    return list(found.values())


def _source(part: Part, record: Record) -> dict[str, Any]:
    """What `reports.results.frames` takes for this case instead of the file's own facts."""
    return {
        "machine": part.machine, "fingerprint": part.fingerprint, "torch": part.torch, "datetime": part.datetime,
        "device_model": part.models.get(record.case["device"]),
    }  # fmt: skip
