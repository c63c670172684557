"""What google-benchmark writes with --benchmark_out or --benchmark_format=json.

Format: google/benchmark, src/json_reporter.cc (`PrintRunData`), docs/user_guide.md ("Output Formats"). `real_time` is
that of an iteration, in `time_unit`. A repetition is a run of `run_type` iteration; statistics over them (mean, median,
stddev, cv) and the fits (BigO, RMS) are of `run_type` aggregate, and before version 1.5 told by the name's end alone.
"""

import re
from collections.abc import Mapping
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

UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
_AGGREGATE = re.compile(r"(?P<run>.+)_(?P<kind>mean|median|stddev|cv|min|max|BigO|RMS)")


def read(path: Path, machine: str | None = None) -> Found:
    """What is in a file of google-benchmark's; `machine` is its name where a person says it.

    Raises:
        DlhwError: it cannot be read, is no such file, or has no time that can be imported.
    """
    return read_documents(path, lambda document: _part(path, document, machine))


def _part(path: Path, document: Any, machine: str | None) -> tuple[Part, tuple[str, ...]]:
    groups, broken = _grouped(require(document, "google-benchmark", "benchmarks", list))
    records, notes = gather((text.shown(name), partial(_record, name, own)) for name, own in groups.items())
    found = document.get("context")
    context = found if isinstance(found, Mapping) else {}
    name = machine or text.name_of(context.get("host_name")) or UNKNOWN
    part = Part(
        tool="google-benchmark", file=path.name, machine=name, models={"cpu": name}, torch="none",
        datetime=text.name_of(context.get("date")), records=records,
    )  # fmt: skip
    return part, (*broken, *notes)


def _grouped(runs: list[Any]) -> tuple[dict[str, list[tuple[str, Mapping[str, Any]]]], list[str]]:
    """Benchmark -> (kind, run) of its repetitions, of kind `iteration`, and of its statistics; and notes."""
    groups: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    notes = []
    for index, run in enumerate(runs, 1):
        name = text.name_of(run.get("name")) if isinstance(run, Mapping) else None
        if name is None:
            notes.append(f"benchmark {index}: it has no name")
            continue
        own, kind = _kind(name, run)
        if kind not in {"BigO", "RMS"}:
            groups.setdefault(own, []).append((kind, run))
    return groups, notes


def _kind(name: str, run: Mapping[str, Any]) -> tuple[str, str]:
    """Which benchmark a run is of, and which kind of run it is."""
    match = _AGGREGATE.fullmatch(name)
    if run.get("run_type") == "aggregate":
        kind = text.name_of(run.get("aggregate_name")) or (match["kind"] if match else "aggregate")
        return text.name_of(run.get("run_name")) or name.removesuffix(f"_{kind}"), kind
    if "run_type" not in run and match:
        return match["run"], match["kind"]
    return name, "iteration"


def _record(name: str, runs: list[tuple[str, Mapping[str, Any]]]) -> Record:
    """The times of its repetitions; where only statistics were kept, the median, else the mean, said to be so."""
    threads = runs[0][1].get("threads")
    known = threads if isinstance(threads, int) and not isinstance(threads, bool) and 0 < threads < 2**31 else None
    repetitions = [run for kind, run in runs if kind == "iteration"]
    good = [run for run in repetitions if not run.get("error_occurred") and not run.get("skipped")]
    if good:
        times, problems = _times(good)
        if len(good) < len(repetitions):
            problems.append(f"{len(repetitions) - len(good)} of {len(repetitions)} repetitions failed")
        return other(name, times, threads=known, note="; ".join(dict.fromkeys(problems)))
    if repetitions:
        return other(name, (), threads=known, outcome=_failure(repetitions[0]))
    kinds = dict(reversed(runs))
    kind = next((kind for kind in ("median", "mean") if kind in kinds), None)
    if kind is None:
        raise RowError(f"neither repetitions nor a median or mean of them, but {', '.join(map(text.shown, kinds))}")
    return other(name, [_time(kinds[kind])], threads=known, note=f"no repetitions in it: their {kind} is taken")


def _times(runs: list[Mapping[str, Any]]) -> tuple[list[float], list[str]]:
    """Times, and what is wrong with those that are none; raises RowError where all are none."""
    times, problems = [], []
    for run in runs:
        try:
            times.append(_time(run))
        except RowError as error:
            problems.append(str(error))
    if not times:
        raise RowError("; ".join(dict.fromkeys(problems)))
    return times, problems


def _failure(run: Mapping[str, Any]) -> Outcome:
    if run.get("error_occurred"):
        return Outcome(Status.FAILED, text.shown(text.name_of(run.get("error_message")) or "it failed, without a word"))
    return Outcome(Status.SKIPPED, text.shown(text.name_of(run.get("skip_message")) or "skipped, without a word"))


def _time(run: Mapping[str, Any]) -> float:
    unit = run.get("time_unit", "ns")
    scale = UNITS.get(unit) if isinstance(unit, str) else None
    if scale is None:
        raise RowError(f"its time_unit is {text.shown(repr(unit), 40)}, none of {', '.join(UNITS)}")
    return seconds(run.get("real_time"), "its real_time", scale)
