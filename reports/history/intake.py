"""From a file to what the store keeps of it: machine, environment, run, a row a case and metric."""

import hashlib
import json
import math
import statistics
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.gate import git
from bench.records.record import Launch, Record, Status, plain
from bench.records.summary import by_launch, summarise
from bench.sweep.command import without_password
from reports.results import frames, recover
from reports.results.frames import Results
from suites.errors import DlhwError

NORMAL_975 = 1.96
FEWEST_LAUNCHES = 3
"""From so many on, their spread says how far a run's figure can be trusted."""
GIB = 2**30
FUTURE_SECONDS = 3600.0
"""A run measured by so much more than the store's clock has, has a clock that is wrong."""
IN_TEXTS = dict.fromkeys([*range(9), 11, 12, *range(14, 32), *range(127, 160)], "\ufffd")
IN_LINES = IN_TEXTS | dict.fromkeys((9, 10, 13), " ")
"""Control characters, and what stands for them: names are of one line."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A figure of a case.

    Attributes:
        value: SI; None where the case was not measured.
        within, between: standard errors as a share of the value, of one launch's samples and of several launches.
        reason: why it was disturbed, or not measured.
        seconds: the samples, compressed.
        measurement: of the whole record, the same in every file that holds it; in the row of its time alone.
    """

    case: str
    metric: str
    value: float | None
    within: float | None = None
    between: float | None = None
    launches: int | None = None
    samples: int | None = None
    reason: str = ""
    seconds: bytes | None = None
    measurement: int | None = None


@dataclass(frozen=True, kw_only=True)
class Intake:
    """A run of one machine, as it goes into the store.

    Attributes:
        machine: its identity: what is not the same is another machine, with series of its own.
        environment: all that may change on it.
        facts: of the run: the columns of its table that are known without a store.
        cases: id -> axes.
    """

    name: str
    machine: Mapping[str, Any]
    environment: Mapping[str, Any]
    facts: Mapping[str, Any]
    cases: Mapping[str, Mapping[str, Any]]
    rows: Sequence[Row]


def read(path: Path, now: float, machine: str | None = None) -> list[Intake]:
    """A results file or a journal, one for each machine in it.

    Args:
        now: seconds since 1970, by the clock of the one who adds.
        machine: what to call the machine; default: as the file does.

    Raises:
        DlhwError: it cannot be read, or holds no results.
    """
    data = recover.recover(path)[0] if path.name.endswith(".jsonl") else frames.read(path)
    data = {key: _storable(value, IN_TEXTS if key == "machine_info" else IN_LINES) for key, value in data.items()}
    results = frames.of_data(data, path)
    with frames.damage_named(path):
        return [_intake(part, data, path, now, machine) for part in frames.by_machine(results) if part.records]


def _storable(value: Any, signs: Mapping[int, str]) -> Any:
    """Without what a database takes in no text (NUL in PostgreSQL, half a surrogate pair), nor a terminal as text."""
    if isinstance(value, str):
        return value.translate(signs).encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_storable(key, signs): _storable(own, signs) for key, own in value.items()}
    return [_storable(own, signs) for own in value] if isinstance(value, list) else value


def _intake(part: Results, data: Mapping[str, Any], path: Path, now: float, machine: str | None) -> Intake:
    name = machine or _storable(str(part.common["machine"] or "unknown"), IN_LINES)
    info = data["machine_info"]
    measured = seconds_of(part.common["datetime"])
    commit = _commit(data.get("commit_info") or {}, path)
    at, note = moment(measured, commit["committed"], now)
    return Intake(
        name=name, machine=_identity(name, part, info), environment=_environment(part, info),
        facts={
            **commit, "at": at, "measured": measured, "note": note, "suite": part.common["suite"],
            "digest": part.common["digest"], "version": data["dlhw"].get("version"),
            "arguments": json.dumps([without_password(str(word)) for word in data["dlhw"].get("arguments") or ()]),
        },
        cases={record.id: record.case for record in part.records},
        rows=[row for record in part.records for row in rows_of(record, part.common["datetime"])],
    )  # fmt: skip


def seconds_of(text: str | None) -> float | None:
    """Seconds since 1970 of a time in ISO's form; without a zone it is UTC's."""
    if not text:
        return None
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def moment(measured: float | None, committed: float | None, now: float) -> tuple[float, str]:
    """(when a run takes its place in its series, what is to be said of that).

    A clock that is wrong shows where a run was before its commit, or after it was added.
    """
    if measured is None:
        return now, "the file does not say when it was measured: the time of adding stands for it"
    if measured > now + FUTURE_SECONDS:
        return now, "its clock was ahead of the store's: the time of adding stands for it"
    if committed is not None and measured < committed <= now:
        return committed, "its clock was behind its own commit: the commit's time stands for it"
    return measured, ""


def _commit(info: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What pytest-benchmark says of the commit; its parents by git, where the file lies in that repository."""
    commit = info.get("id")
    commit = str(commit) if commit and str(commit) != "unversioned" else None
    return {
        "repository": info.get("project"), "branch": info.get("branch"), "commit": commit,
        "committed": seconds_of(info.get("time")) if commit else None,
        "dirty": info.get("dirty") if commit else None,
        "parents": _parents(commit, path) if commit else None,
    }  # fmt: skip


def _parents(commit: str, path: Path) -> str | None:
    try:
        line = git.run(path.resolve().parent, "rev-list", "--parents", "-1", "--end-of-options", commit)
    except DlhwError:
        return None
    return json.dumps(line.split()[1:])


def _identity(name: str, part: Results, info: Mapping[str, Any]) -> dict[str, Any]:
    host = part.host
    memory = host.get("memory_bytes")
    cpu = {key: value for key, value in (host.get("cpu") or {}).items() if key not in {"flags", "microcode"}}
    devices: list[Any] = [
        {key: device.get(key) for key in ("name", "model", "uuid", "memory_bytes")}
        for device in info.get("devices") or ()
        if device.get("name") != "cpu"
    ]
    return {
        "name": name, "cpu": cpu or part.models.get("cpu"), "cores": host.get("cores"),
        "memory_gib": round(memory / GIB) if memory else None,  # a kernel keeps some of it to itself
        "devices": devices or [model for device, model in sorted(part.models.items()) if device != "cpu"],
    }  # fmt: skip


def _environment(part: Results, info: Mapping[str, Any]) -> dict[str, Any]:
    """Name -> value, flat; what is unknown is left out."""
    host, torch = part.host, info.get("torch") or {}
    found = {
        "torch": part.common["torch"], "torch's commit": torch.get("git"), "CUDA": torch.get("cuda"),
        "HIP": torch.get("hip"), "cuDNN": torch.get("cudnn"), "CPU capability": torch.get("cpu_capability"),
        "python": info.get("python_version"), "kernel": host.get("kernel"), "governor": host.get("governor"),
        "microcode": (host.get("cpu") or {}).get("microcode") or host.get("microcode"),
        "transparent huge pages": host.get("transparent_hugepages"), "cgroup's CPUs": host.get("cgroup_cpus"),
        "way of measuring": part.common["digest"],
    }  # fmt: skip
    for device in info.get("devices") or ():
        found[f"driver of {device.get('name')}"] = device.get("driver")
        found[f"power limit of {device.get('name')}"] = (device.get("nvml") or {}).get("power_limit_watts")
    return {name: value for name, value in found.items() if value is not None}


def rows_of(record: Record, when: str | None = None) -> Iterator[Row]:
    """A row for each figure that a record has; one that says why, of a case that was not measured.

    Args:
        when: the run's time, which tells measurements apart that hold no clock's readings.
    """
    if record.outcome.status is not Status.MEASURED:
        reason = f"{record.outcome.status}: {record.outcome.reason}"
        yield Row(case=record.id, metric="seconds", value=None, reason=reason)
        return
    yield _time(record, when)
    launches = record.sampling.launches if record.sampling else ()
    reason = "; ".join(record.sampling.noisy) if record.sampling else ""
    for metric, value in _figures(record).items():
        if value is not None and math.isfinite(value):
            between = _between([launch.peak_bytes for launch in launches]) if metric == "peak_bytes" else None
            yield Row(
                case=record.id, metric=metric, value=float(value), between=between, launches=len(launches) or None,
                reason=reason if metric in {"compile_seconds", "joules_per_image"} else "",
            )  # fmt: skip


def _time(record: Record, when: str | None) -> Row:
    found = summarise(record)
    steps = record.work is not None and record.work.metric == "steps"
    return Row(
        case=record.id, metric="steps" if steps else "seconds",
        value=float(record.work.amount) if steps and record.work else found.median_seconds,
        within=None if steps or found.within_half_width is None else found.within_half_width / NORMAL_975,
        between=None if steps else _between([statistics.median(seconds) for seconds in by_launch(record)]),
        launches=found.launches, samples=len(record.seconds),
        reason="; ".join(record.sampling.noisy) if record.sampling else "",
        seconds=packed(record.seconds), measurement=_digest(record, when),
    )  # fmt: skip


def _between(values: Sequence[float | None]) -> float | None:
    """Standard error of the launches' mean logarithm; None of fewer than three."""
    known = [math.log(value) for value in values if value]
    if len(known) < FEWEST_LAUNCHES or len(known) < len(values):
        return None
    return statistics.stdev(known) / math.sqrt(len(known))


def _figures(record: Record) -> dict[str, float | None]:
    memory, compiled, sensors = record.memory, record.compile, record.sensors or {}
    peak = None
    if memory is not None:
        peak = memory.peak_host_bytes if memory.peak_allocated_bytes is None else memory.peak_allocated_bytes
    joules, steps = sensors.get("energy_joules"), sensors.get("window_steps")
    return {
        "peak_bytes": peak,
        "compile_seconds": compiled.seconds if compiled and not compiled.cached else None,
        "joules_per_image": joules / (steps * record.case["batch_size"]) if joules and steps else None,
        "operators": record.traffic.operators if record.traffic else None,
        "operator_bytes": record.traffic.operator_bytes if record.traffic else None,
        "step_flops": record.flops.step if record.flops else None,
        "graph_breaks": compiled.graph_breaks if compiled else None,
        "kernels": compiled.kernels if compiled else None,
    }


def packed(seconds: Sequence[float]) -> bytes:
    """Samples as little-endian float32, compressed."""
    return zlib.compress(struct.pack(f"<{len(seconds)}f", *seconds))


def unpacked(data: bytes) -> list[float]:
    """What `packed` was given, to seven digits."""
    raw = zlib.decompress(data)
    return list(struct.unpack(f"<{len(raw) // 4}f", raw))


def _digest(record: Record, when: str | None) -> int:
    """A number of 63 bits that the same measurement has in every file that holds it.

    `cost` is read from a clock, and so differs between any two measurements; what was imported has none.
    """
    launches: tuple[Launch, ...] = record.sampling.launches if record.sampling else ()
    parts = [record.id, record.seconds, record.cost, [each.samples for each in launches]]
    text = json.dumps(plain([*parts, None if record.cost else when]), sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
