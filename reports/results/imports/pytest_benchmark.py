"""What pytest-benchmark writes, versions 3 to 5: each benchmark is an operation of its own.

Format: ionelmc/pytest-benchmark, src/pytest_benchmark/stats.py (`BenchmarkStats.as_dict`) and session.py. All times are
seconds an iteration; `stats.data` is there only where it was asked for (`--benchmark-save-data`, or
`--benchmark-json`), and machine_info.cpu has `brand` in version 3, `brand_raw` later.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bench.records.record import Record
from reports.results.imports import text
from reports.results.imports.common import (
    UNKNOWN,
    Found,
    Part,
    RowError,
    gather,
    other,
    read_documents,
    require,
    seconds,
)


def read(path: Path, machine: str | None = None) -> Found:
    """What is in a file of pytest-benchmark's; `machine` is its name where a person says it.

    Raises:
        DlhwError: it cannot be read, is no such file, or has no benchmark that can be imported.
    """
    return read_documents(path, lambda document: _part(path, document, machine))


def _part(path: Path, document: Any, machine: str | None) -> tuple[Part, tuple[str, ...]]:
    benchmarks = require(document, "pytest-benchmark", "benchmarks", list)
    records, notes = gather((_place(each, index), partial(_record, each)) for index, each in enumerate(benchmarks, 1))
    found = document.get("machine_info")
    facts = found if isinstance(found, Mapping) else {}
    name = machine or text.name_of(facts.get("node")) or UNKNOWN
    python = text.name_of(facts.get("python_version"))
    part = Part(
        tool="pytest-benchmark", file=path.name, machine=name, models={"cpu": _processor(facts) or name},
        torch=f"none, Python {python or UNKNOWN}", datetime=text.name_of(document.get("datetime")), records=records,
    )  # fmt: skip
    return part, notes


def _processor(facts: Mapping[str, Any]) -> str | None:
    cpu = facts.get("cpu")
    brands = [cpu.get("brand_raw"), cpu.get("brand")] if isinstance(cpu, Mapping) else []
    return next((name for name in map(text.name_of, brands) if name), None)


def _name(benchmark: Any) -> str | None:
    if not isinstance(benchmark, Mapping):
        return None
    return text.name_of(benchmark.get("fullname")) or text.name_of(benchmark.get("name"))


def _place(benchmark: Any, index: int) -> str:
    return text.shown(_name(benchmark) or f"benchmark {index}")


def _record(benchmark: Any) -> Record:
    """One benchmark: its samples; without them its median; without that, its mean or its least, said to be so."""
    name = _name(benchmark)
    if name is None:
        raise RowError("it has no name")
    stats = benchmark.get("stats")
    if not isinstance(stats, Mapping):
        raise RowError("it has no stats")
    data, note = stats.get("data"), ""
    if isinstance(data, list) and data:
        try:
            return other(name, [seconds(value, "a sample") for value in data])
        except RowError as error:
            note = f"{error}: its samples are left out"
    kind = next((kind for kind in ("median", "mean", "min") if stats.get(kind) is not None), None)
    if kind is None:
        raise RowError(note or "it has no time")
    if kind != "median":
        note = "; ".join(filter(None, [note, f"it has no median: its {kind} is taken"]))
    return other(name, [seconds(stats[kind], f"its {kind}")], note=note)
