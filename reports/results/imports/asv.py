"""What asv (airspeed velocity) writes for a commit in an environment: results/MACHINE/HASH-ENVIRONMENT.json.

Format: airspeed-velocity/asv, docs/source/dev.rst ("Benchmark suite layout and file formats"), and for version 1
asv/results.py (`Results.update_to_2`). In version 2 each result is a list in the order of `result_columns`, of which
missing ones at the end are dropped; in version 1 it is a number, null, or an object. `result` has an entry for each of
`itertools.product(*params)`: null where the benchmark failed, NaN where it says itself that it does not apply. Times
are seconds a call. What a benchmark measures is told by its name: asv_runner/benchmarks/*.py, `name_regex`.
"""

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench.records.record import Outcome, Record, Status
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
from suites.errors import DlhwError

_TIME = re.compile(r"(time|timeraw)_|(Time|Timeraw)[A-Z_]")
_BESIDE = {"machine.json", "benchmarks.json"}
"""What asv has beside its results: facts of the machine, and the benchmarks' code."""
MOST_COMBINATIONS = 1_000_000


def files(paths: Sequence[Path]) -> list[Path]:
    """These files, and of folders all results in them.

    Raises:
        DlhwError: a folder has none.
    """
    found: list[Path] = []
    for path in paths:
        inside = [
            each for each in sorted(path.rglob("*.json"))
            if each.name not in _BESIDE and not each.name.endswith(".dlhw.json")
        ] if path.is_dir() else [path]  # fmt: skip
        if not inside:
            raise DlhwError(f"{path}: no results of asv in this folder")
        found += inside
    return found


def read(path: Path, machine: str | None = None) -> Found:
    """What is in a results file of asv's; `machine` is its name where a person says it.

    Raises:
        DlhwError: it cannot be read, is no such file, or has no time that can be imported.
    """
    return read_documents(path, lambda document: _part(path, document, machine))


def _part(path: Path, document: Any, machine: str | None) -> tuple[Part, tuple[str, ...]]:
    results = require(document, "asv", "results", dict)
    records, notes = gather(_items(results, document.get("result_columns")))
    found, packages = document.get("params"), document.get("requirements")
    facts = found if isinstance(found, Mapping) else {}
    name = machine or text.name_of(facts.get("machine")) or UNKNOWN
    python = text.name_of(document.get("python")) or UNKNOWN
    torch = text.name_of(packages.get("torch")) if isinstance(packages, Mapping) else None
    part = Part(
        tool="asv", file=path.name, machine=name, models={"cpu": text.name_of(facts.get("cpu")) or name},
        torch=torch or f"none, Python {python}", records=records,
    )  # fmt: skip
    return part, notes


def _items(results: Mapping[str, Any], columns: Any) -> Iterator[tuple[str, Callable[[], Record]]]:
    """(where, what makes its record) of each combination of each benchmark's parameters."""
    for key, value in results.items():
        name = text.name_of(key) or UNKNOWN
        try:
            yield from _combinations(name, _row(value, columns))
        except RowError as error:
            yield text.shown(name), partial(_refuse, str(error))


def _refuse(reason: str) -> Record:
    raise RowError(reason)


def _row(value: Any, columns: Any) -> Mapping[str, Any]:
    """A result of either version by the names of its columns.

    Raises:
        RowError: it is of neither.
    """
    if isinstance(value, Mapping):
        return value
    if isinstance(value, list):
        if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
            raise RowError("the file does not say what the columns of its results are")
        return dict(zip(columns, value, strict=False))
    return {"result": value}


def _combinations(name: str, row: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], Record]]]:
    """Raises RowError where this is no time, or results and parameters do not fit."""
    if not any(_TIME.match(part) for part in name.split(".")[-2:]):
        raise RowError("by its name it measures no time (time_...)")
    params = row.get("params") or []
    if not isinstance(params, list) or not all(isinstance(values, list) for values in params):
        raise RowError("its params are no lists")
    count = math.prod(map(len, params))
    result, samples = row.get("result"), row.get("samples")
    values = result if isinstance(result, list) else [result] * (count if result is None and count <= MOST_COMBINATIONS
                                                                 else 1)  # fmt: skip
    if len(values) != count:
        raise RowError(f"{len(values)} results of {count} combinations of its params")
    series = samples if isinstance(samples, list) and len(samples) == count else [None] * count
    for combination, value, own in zip(itertools.product(*params), values, series, strict=True):
        full = f"{name}({', '.join(text.name_of(str(each)) or '' for each in combination)})" if params else name
        yield text.shown(full), partial(_record, full, value, own)


def _record(name: str, value: Any, samples: Any) -> Record:
    if value is None:
        return other(name, (), outcome=Outcome(Status.FAILED, "failed under asv"))
    if isinstance(value, float) and math.isnan(value):
        return other(
            name, (), outcome=Outcome(Status.SKIPPED, "asv has NaN: the benchmark says that it does not apply")
        )
    time = seconds(value, "its result")
    if not isinstance(samples, list) or not samples:
        return other(name, [time])
    try:
        return other(name, [seconds(each, "a sample") for each in samples])
    except RowError as error:
        return other(name, [time], note=f"{error}: its samples are left out")
