"""Results files to one tidy table: a row a case, measured or not."""

import contextlib
import json
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bench.records.record import SCHEMA, Outcome, Record, Sampling, Status, fingerprint
from bench.records.summary import Value, across_machines, percentile, summarise, value_of
from suites.errors import DlhwError

AXES = (
    "operation", "variant", "size",
    "architecture", "input_shape", "mode", "batch_size", "precision", "memory_format", "compile_mode", "device",
    "threads", "cudnn_benchmark", "power_limit",
)  # fmt: skip
COLUMNS = (
    "file", "machine", "fingerprint", "suite", "datetime", "torch", "device_model",
    "id", "kind", *AXES, "parameters", "status", "reason",
    "launches", "samples", "median_seconds", "low_seconds", "high_seconds", "half_width", "within_half_width",
    "machine_offset", "p90_seconds", "p99_seconds", "latency_seconds",
    "metric", "value", "value_low", "value_high", "images_per_second", "samples_per_second",
    "step_flops", "forward_flops_per_image", "flops_per_second", "bytes_per_second",
    "compulsory_bytes", "operator_bytes", "operators",
    "dispatched", "allocations", "allocated_bytes", "graphs", "kernels", "instructions",
    "peak_bytes", "peak_host_bytes", "base_host_bytes", "peak_allocated_bytes", "peak_reserved_bytes",
    "parameter_bytes",
    "compile_seconds", "graph_breaks", "compile_cached", "relative_error", "tolerance", "check", "notes",
    "joules_per_image", "images_per_joule", "mean_power_watts",
    "idle_power_watts", "above_idle_joules_per_image", "power_limit_watts",
    "predicted_seconds", "predicted_low_seconds", "predicted_high_seconds", "prediction",
    "noisy", "wide", "steady", "stop_reason", "cost_seconds",
)  # fmt: skip
"""In this order; `value` in the unit that `metric` names; times in seconds, memory in bytes, half widths a share.

`half_width` is between launches where there are several, else within the one, as `within_half_width` always is. All
intervals but the latter hold `machine_offset`, too: how far a machine of a sharded fleet may be from its kind's middle.
Percentiles are of single steps, and None where too few of them stand behind one. `operators` are those that move data,
`dispatched` are all. Predicted are cases that were not measured: no other column says anything of them.
"""
COUNTED = ("dispatched", "allocations", "allocated_bytes", "graphs", "kernels", "instructions")
"""Of work; its FLOPs are `step_flops`, its bytes `operator_bytes`."""
COUNTS = frozenset({
    "batch_size", "threads", "power_limit", "parameters", "launches", "samples", "graph_breaks", "step_flops",
    "forward_flops_per_image", "operators", "dispatched", "allocations", "graphs", "kernels", "instructions",
})  # fmt: skip
FIGURES = frozenset({
    "value", "value_low", "value_high",
    "half_width", "within_half_width", "machine_offset", "images_per_second", "samples_per_second", "flops_per_second",
    "bytes_per_second", "relative_error", "tolerance",
    "mean_power_watts", "joules_per_image", "images_per_joule",
    "idle_power_watts", "above_idle_joules_per_image", "power_limit_watts",
})  # fmt: skip


def load(paths: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """Read results files into one table with the columns `COLUMNS`.

    Args:
        paths: one or many JSON files, as `pytest bench/ --benchmark-json` or `dlhw recover` writes them.

    Raises:
        DlhwError: a file cannot be read, or holds no results of dlhw; the text names it.
    """
    chosen = [paths] if isinstance(paths, str | Path) else list(paths)
    return tabulate([results(Path(path)) for path in chosen])


def tabulate(files: Sequence["Results"]) -> pd.DataFrame:
    """The same of files that have been read.

    Raises:
        DlhwError: a case is damaged.
    """
    rows = [row for file in files for row in _rows(file)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)
    try:
        return frame.astype({column: _dtype(column) for column in COLUMNS})
    except (TypeError, ValueError) as error:
        names = ", ".join(str(file.common["file"]) for file in files)
        raise DlhwError(f"{names}: a case in it is damaged ({error})") from error


def _dtype(column: str) -> str:
    """The same for every file, whatever it holds."""
    if column in COUNTS or column.endswith("_bytes"):
        return "Int64"
    if column in FIGURES or column.endswith("_seconds"):
        return "Float64"
    return "boolean" if column in {"compile_cached", "steady"} else "string"


def read(path: Path) -> dict[str, Any]:
    """One results file, as it is.

    Raises:
        DlhwError: it cannot be read, or holds no results of dlhw.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DlhwError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DlhwError(f"{path}: this is no text, and so no results file") from error
    except RecursionError as error:
        raise DlhwError(f"{path}: nested too deeply for a results file") from error
    except json.JSONDecodeError as error:
        journal = path.with_suffix(".journal.jsonl")
        hint = f"; its journal is whole: dlhw recover {journal} -o {path}" if journal.exists() else ""
        raise DlhwError(f"{path}:{error.lineno}: not valid JSON, cut short perhaps ({error.msg}){hint}") from error
    except ValueError as error:
        raise DlhwError(f"{path}: {error}") from error
    if not isinstance(data, dict) or "benchmarks" not in data:
        raise DlhwError(f"{path}: no results file of pytest-benchmark")
    if "dlhw" not in data:
        raise DlhwError(f"{path}: written by pytest-benchmark, but not by dlhw: there are no cases in it")
    schema = data["dlhw"].get("schema", SCHEMA) if isinstance(data["dlhw"], dict) else None
    if not isinstance(schema, int):
        raise DlhwError(f"{path}: it does not say which schema it has")
    if schema > SCHEMA:
        raise DlhwError(f"{path}: written by a later dlhw (schema {schema}; this one reads {SCHEMA})")
    return data


def records(data: Mapping[str, Any]) -> Iterator[Record]:
    """The records of a results file: the measured ones, then what became of the rest."""
    for benchmark in data["benchmarks"]:
        info, stats = benchmark["extra_info"], benchmark["stats"]
        seconds = stats.get("data") or (stats["median"],)
        measured = {"status": Status.MEASURED}
        yield Record.from_json({**info, "id": benchmark["param"], "outcome": measured, "seconds": seconds})
    for outcome in data.get("outcomes", ()):
        status = Outcome(Status(outcome["status"]), outcome["reason"])
        details = outcome.get("details")
        if "prediction" in outcome:
            details = {**(details or {}), "prediction": outcome["prediction"]}
        yield Record(id=outcome["id"], case=outcome["case"], outcome=status, details=details)


@dataclass(frozen=True)
class Results:
    """One file.

    Attributes:
        common: what all its rows share: `file`, `machine`, `fingerprint`, `suite`, `datetime`, `torch`.
        models: device -> its model.
        host: cores, caches, memory.
        facts: of the machine, and of the way of measuring.
    """

    common: Mapping[str, Any]
    models: Mapping[str, str | None]
    host: Mapping[str, Any]
    records: tuple[Record, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


def results(path: Path) -> Results:
    """One results file as records.

    Raises:
        DlhwError: it cannot be read, or is damaged.
    """
    return of_data(read(path), path)


def of_data(data: Mapping[str, Any], path: Path) -> Results:
    """What a results file holds, from its JSON: of the file at `path`, or made of the journal there.

    Raises:
        DlhwError: it is damaged.
    """
    with damage_named(path):
        machine = data["machine_info"]
        common = {
            "file": str(path),
            "machine": machine.get("node"),
            "fingerprint": data["dlhw"].get("fingerprint") or _fingerprint(machine),
            "suite": data["dlhw"].get("suite"),
            "digest": data["dlhw"].get("digest"),
            "datetime": data.get("datetime"),
            "torch": (machine.get("torch") or {}).get("version"),
        }
        models = {device["name"]: device.get("model") for device in machine.get("devices") or ()}
        way = {name: data["dlhw"].get(name) for name in ("suite", "digest", "fingerprint")}
        return Results(common, models, machine.get("host") or {}, tuple(records(data)), {**machine, **way})


@contextlib.contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Whatever reading a record stumbles over becomes one error that names the file."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise DlhwError(f"{path}: a case in it is damaged ({type(error).__name__}: {error})") from error


def _rows(found: Results) -> list[dict[str, Any]]:
    with damage_named(Path(found.common["file"])):
        return [
            {**part.common, "device_model": part.models.get(record.case.get("device", "")), **row(record)}
            for part in by_machine(found)
            for record in part.records
        ]


def by_machine(file: Results) -> list[Results]:
    """One for each machine: others' results may be of several in a file, and then each case says its own.

    Raises:
        TypeError, AttributeError: what a case says of its machine is damaged.
    """
    groups: dict[str, list[Record]] = {}
    for record in file.records:
        groups.setdefault(str(_source(record)), []).append(record)
    return [_of_machine(file, records) for records in groups.values()]


def _source(record: Record) -> Mapping[str, Any]:
    """The facts that an importer gave a case of its own."""
    return (record.details or {}).get("imported") or {}


def _of_machine(file: Results, records: Sequence[Record]) -> Results:
    source = _source(records[0])
    common = {**file.common, **{name: value for name, value in source.items() if name in file.common}}
    models = {**file.models, records[0].case["device"]: source.get("device_model")} if source else file.models
    return replace(file, common=common, models=models, records=tuple(records))


def _fingerprint(machine: Mapping[str, Any]) -> str:
    return fingerprint({**machine, "python": machine.get("python_version")})


def row(record: Record) -> dict[str, Any]:
    """What a record says, under the names of `COLUMNS`."""
    case = record.case
    row: dict[str, Any] = {
        "id": record.id,
        "kind": case.get("kind", "net"),
        **{axis: case.get(axis) for axis in AXES},
        "cudnn_benchmark": case.get("cudnn_benchmark", None if _unsaid_is_unknown(record) else "off"),
        "input_shape": _numbers(case, "input_shape"),
        "size": _numbers(case, "size"),
        "parameters": case.get("parameters"),
        "status": str(record.outcome.status),
        "reason": record.outcome.reason,
    }
    for part in (_timing(record), _memory(record), _energy(record), _predicted(record), _rest(record)):
        row |= part
    return row


def _unsaid_is_unknown(record: Record) -> bool:
    """Whether what a case does not say is not as by default: others' results, and what has no such axis."""
    return record.case.get("kind") == "micro" or bool(_source(record))


def _numbers(case: Mapping[str, Any], name: str) -> str | None:
    return "x".join(map(str, case[name])) if case.get(name) else None


def _timing(record: Record) -> dict[str, Any]:
    if not record.seconds:
        return {}
    found = summarise(record)
    found, value = across_machines(found, value_of(record, found), record.machine_offset)
    step = record.flops.step if record.flops else None
    sampling = record.sampling
    single_steps = record.seconds if sampling and sampling.steps_per_sample == 1 else ()
    return {
        "launches": found.launches,
        "samples": len(record.seconds),
        "median_seconds": found.median_seconds,
        "low_seconds": found.low_seconds,
        "high_seconds": found.high_seconds,
        "half_width": found.half_width,
        "within_half_width": found.within_half_width,
        "machine_offset": record.machine_offset,
        "p90_seconds": percentile(single_steps, 0.9),
        "p99_seconds": percentile(single_steps, 0.99),
        "latency_seconds": _latency(sampling, found.median_seconds),
        "metric": value.metric,
        "value": value.value,
        "value_low": value.low,
        "value_high": value.high,
        "images_per_second": _if(value, "images_per_second"),
        "samples_per_second": _if(value, "images_per_second") or _if(value, "samples_per_second"),
        "bytes_per_second": _if(value, "bytes_per_second"),
        "step_flops": step,
        "forward_flops_per_image": record.flops.forward_per_image if record.flops else None,
        "flops_per_second": step / found.median_seconds if step else _if(value, "flops_per_second"),
    }


def _if(value: Value, metric: str) -> float | None:
    return value.value if value.metric == metric else None


def _latency(sampling: Sampling | None, median_seconds: float) -> float | None:
    """From a step's call until the device has done it; on the CPU a step is done when it returns."""
    if sampling is None:
        return None
    if sampling.synchronised_seconds:
        return statistics.median(sampling.synchronised_seconds)
    return median_seconds if sampling.clock == "perf_counter" else None


def _memory(record: Record) -> dict[str, Any]:
    memory = record.memory
    if memory is None:
        return {}
    allocated = memory.peak_allocated_bytes
    return {
        "peak_bytes": memory.peak_host_bytes if allocated is None else allocated,
        "peak_host_bytes": memory.peak_host_bytes,
        "base_host_bytes": memory.base_host_bytes,
        "peak_allocated_bytes": allocated,
        "peak_reserved_bytes": memory.peak_reserved_bytes,
        "parameter_bytes": memory.parameter_bytes,
    }


def _energy(record: Record) -> dict[str, Any]:
    """Joules of the energy window over the images that it worked through."""
    sensors = record.sensors or {}
    joules, steps = sensors.get("energy_joules"), sensors.get("window_steps")
    known = {name: sensors.get(name) for name in ("idle_power_watts", "power_limit_watts")}
    if not joules or not steps:
        return known
    above = sensors.get("energy_above_idle_joules")
    images = steps * record.case["batch_size"]
    return {
        **known,
        "above_idle_joules_per_image": above / images if above else None,
        "joules_per_image": joules / images,
        "images_per_joule": images / joules,
        "mean_power_watts": sensors.get("mean_power_watts"),
    }


def _predicted(record: Record) -> dict[str, Any]:
    """What a case would take that was not measured: in columns of its own, which no figure of a measurement shares."""
    found = (record.details or {}).get("prediction")
    if not found:
        return {}
    return {
        "predicted_seconds": found.get("median_seconds"),
        "predicted_low_seconds": found.get("low"),
        "predicted_high_seconds": found.get("high"),
        "prediction": found.get("reason") or found.get("model"),
    }


def _rest(record: Record) -> dict[str, Any]:
    row: dict[str, Any] = {"cost_seconds": (record.cost or {}).get("total")}
    row["notes"] = "; ".join((record.notes or {}).values()) or None
    if record.traffic is not None:
        names = ("compulsory_bytes", "operator_bytes", "operators")
        row |= {name: getattr(record.traffic, name) for name in names}
    if record.counts is not None:
        row |= {name: getattr(record.counts, name) for name in COUNTED}
    if record.compile is not None:
        row |= {
            "compile_seconds": record.compile.seconds,
            "graph_breaks": record.compile.graph_breaks,
            "compile_cached": record.compile.cached,
        }
    if record.check is not None:
        row |= {
            "relative_error": record.check.relative_error,
            "tolerance": record.check.tolerance,
            "check": f"inconclusive: {record.check.inconclusive}"
            if record.check.inconclusive
            else record.check.reference,
        }
    if record.sampling is not None:
        row |= {
            "noisy": "; ".join(record.sampling.noisy),
            "wide": record.sampling.wide or None,
            "steady": all(launch.steady for launch in record.sampling.launches),
            "stop_reason": record.sampling.stop_reason,
        }
    return row
