"""From results files to the frames that the page's figures are made of."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.records.record import Status
from reports.analysis import roofline
from reports.results import frames
from reports.results.frames import Results
from suites.errors import DlhwError

ANALYSIS = (
    "bound", "decided_by", "compute_seconds", "bandwidth_seconds", "dispatch_seconds", "share_of_ceiling",
    "share_of_datasheet", "operator_intensity", "compulsory_intensity", "ceiling_flops_per_second",
)  # fmt: skip
PAIRED = ("precision", "memory_format", "compile_mode", "threads", "cudnn_benchmark")
"""Axes that a person can switch."""
MACHINE_FREE = (
    "architecture", "input_shape", "mode", "batch_size", "precision", "memory_format", "compile_mode",
    "cudnn_benchmark", "power_limit",
)  # fmt: skip
"""What makes a case the same case on another machine."""
SETTING_COLUMNS = (
    "machine", "architecture", "input_shape", "mode", "batch_size", "device", "precision", "memory_format",
    "compile_mode", "threads", "cudnn_benchmark", "power_limit",
    "setting", "gain", "gain_low", "gain_high", "from_id", "id", "break_even_steps", "panel", "column", "log2_gain",
)  # fmt: skip


@dataclass(frozen=True)
class Dataset:
    """All files together.

    Attributes:
        cases: a row a case of any file, `reports.results.frames.COLUMNS` and `ANALYSIS`, with cost where a price is
            known; `predicted` says whose times were predicted, though the case was not measured.
        settings: a row for each pair of cases that differ in one of `PAIRED`.
        reference: the machine that others are held against.
    """

    files: tuple[Results, ...]
    cases: pd.DataFrame
    settings: pd.DataFrame
    reference: str

    @classmethod
    def empty(cls) -> "Dataset":
        """Of no file at all."""
        cases = pd.DataFrame(columns=[*frames.COLUMNS, "predicted", *ANALYSIS, "dollars_per_million"], dtype="string")
        return cls((), cases, pd.DataFrame(columns=list(SETTING_COLUMNS)), "")


def load(
    paths: Sequence[Path], *, names: Mapping[str, str], prices: Mapping[str, float], reference: str | None
) -> Dataset:
    """Read all files.

    Args:
        names: file, as it was given -> what its machine is to be called.
        prices: machine -> USD an hour.

    Raises:
        DlhwError: a file cannot be read; a name or a price leads nowhere.
    """
    files = tuple(frames.results(path) for path in paths)
    _require("--name", names, [str(path) for path in paths])
    data = frames.tabulate(files)
    if data.empty:
        raise DlhwError(f"{', '.join(map(str, paths))}: nothing in it, neither measured nor not")
    data = _with_predictions(data)
    data["machine"] = _machines(data, names)
    data = data.drop_duplicates(["machine", "device", "id"], keep="last", ignore_index=True)
    data = pd.concat([data, _analysed(files, data)], axis=1)
    machines = list(dict.fromkeys(data["machine"].astype(str)))
    _require("--price", prices, machines)
    _require("--reference", [reference] if reference else [], machines)
    price = data["machine"].map(prices).astype("Float64")
    data["dollars_per_million"] = price / 3600 / data["images_per_second"] * 1e6
    settings = pd.DataFrame(_settings(data), columns=list(SETTING_COLUMNS))
    return Dataset(files, data, settings, reference or _most_shared(data, machines))


PREDICTED = {
    "median_seconds": "predicted_seconds",
    "low_seconds": "predicted_low_seconds",
    "high_seconds": "predicted_high_seconds",
}
"""Column that a figure draws -> where a prediction of it stands."""


def _with_predictions(data: pd.DataFrame) -> pd.DataFrame:
    """With a column `predicted`: whether a case that was not measured has times that were predicted."""
    found = data.assign(predicted=data["predicted_seconds"].notna() & data["median_seconds"].isna())
    for column, source in PREDICTED.items():
        found[column] = found[column].where(~found["predicted"], found[source])
    return found


def _most_shared(data: pd.DataFrame, machines: Sequence[str]) -> str:
    """The machine that has most cases in common with the others; of as many, the first."""
    nets = data[(data["kind"] == "net") & (data["status"] == "measured")]
    rows = plain(nets[["machine", *MACHINE_FREE]])
    shared = Counter(
        row["machine"]
        for group in grouped(rows, MACHINE_FREE).values() if len({row["machine"] for row in group}) > 1
        for row in group
    )  # fmt: skip
    return max(machines, key=lambda machine: shared[machine], default="")


def _require(option: str, given: Any, known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise DlhwError(f"{option} {name}: there is none of that name; there are {', '.join(known)}")


def _machines(data: pd.DataFrame, names: Mapping[str, str]) -> pd.Series:
    """As it was named; else its own name, with its torch where two of that name differ.

    Raises:
        DlhwError: one name is given to several machines.
    """
    for file, machines in data.groupby("file")["machine"]:
        if file in names and machines.nunique(dropna=False) > 1:
            raise DlhwError(f"--name {file}: it holds several machines: {', '.join(map(str, machines.unique()))}")
    several = data.groupby("machine", dropna=False)["fingerprint"].nunique() > 1
    labels = []
    for file, machine, torch in data[["file", "machine", "torch"]].itertuples(index=False):
        own = "unknown machine" if pd.isna(machine) else str(machine)
        labels.append(names.get(file) or (f"{own} (torch {torch})" if several.get(machine, False) else own))
    return pd.Series(labels, index=data.index, dtype="string")


def _analysed(files: Sequence[Results], data: pd.DataFrame) -> pd.DataFrame:
    """What the ceilings say of each row of `data`."""
    known = roofline.ceilings_of(files)
    found = {}
    for file in files:
        for record in file.records:
            if record.outcome.status is Status.MEASURED and record.flops and record.traffic:
                ceilings = known[file.common["fingerprint"]]
                found[file.common["file"], record.id] = roofline.analysis(record, ceilings, file.models)
    rows = [found.get(key, {}) for key in data[["file", "id"]].itertuples(index=False, name=None)]
    return pd.DataFrame(rows, index=data.index, columns=list(ANALYSIS))


def _settings(data: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Pairs of undisturbed cases that differ in one axis; the base is the axis's first value, as `base_of` has it."""
    times = ("id", "median_seconds", "low_seconds", "high_seconds", "compile_seconds")
    columns = [*MACHINE_FREE, "threads", "device", "machine", *times]
    calm = data["noisy"].fillna("") == ""
    nets = plain(data.loc[(data["kind"] == "net") & (data["status"] == "measured") & calm, columns])
    for axis in PAIRED:
        others = [name for name in (*MACHINE_FREE, "threads", "device", "machine") if name != axis]
        for group in grouped(nets, others).values():
            base = _base(group, axis)
            for row in group if base else ():
                if row["id"] != base["id"]:
                    yield _setting(base, row, axis)


def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries, unknown as None: many times as fast to go through as the frame's own."""
    columns = {str(name): [None if gone else value for value, gone in zip(frame[name], frame[name].isna(), strict=True)]
               for name in frame.columns}  # fmt: skip
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def grouped(rows: Iterable[dict[str, Any]], keys: Sequence[str]) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """Rows by what they share, in the order of their first."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in keys), []).append(row)
    return found


def _base(group: Sequence[dict[str, Any]], axis: str) -> dict[str, Any]:
    """fp32, contiguous, eager, no search, or the fewest threads; empty where there is no such case, or no other."""
    bases = {"precision": "fp32", "memory_format": "contiguous", "compile_mode": "eager", "cudnn_benchmark": "off"}
    if len(group) < 2:
        return {}
    wanted = bases.get(axis) or min((row[axis] for row in group if row[axis] is not None), default=None)
    return next((row for row in group if row[axis] == wanted), {})


def _setting(base: dict[str, Any], row: dict[str, Any], axis: str) -> dict[str, Any]:
    saved = base["median_seconds"] - row["median_seconds"]
    compiled = axis == "compile_mode" and row["compile_seconds"] is not None and saved > 0
    return {
        **{name: row[name] for name in SETTING_COLUMNS[:12]},
        "setting": f"{axis.replace('_', ' ')} {row[axis]}",
        "gain": base["median_seconds"] / row["median_seconds"],
        "gain_low": _quotient(base["low_seconds"], row["high_seconds"]),
        "gain_high": _quotient(base["high_seconds"], row["low_seconds"]),
        "from_id": base["id"],
        "id": row["id"],
        "break_even_steps": row["compile_seconds"] / saved if compiled else None,
        "panel": f"{axis.replace('_', ' ')} {row[axis]} \u00b7 {row['architecture']} {row['mode']}",
        "column": f"b{row['batch_size']}",
        "log2_gain": math.log2(base["median_seconds"] / row["median_seconds"]),
    }


def _quotient(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first / second
