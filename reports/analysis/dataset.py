"""From results files to the frames that the page's figures are made of."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.records.record import Status
from reports.analysis import layers, roofline
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
CASE_KEYS = (*MACHINE_FREE, "threads", "device", "machine")
BASES = {"precision": "fp32", "memory_format": "contiguous", "compile_mode": "eager", "cudnn_benchmark": "off"}
"""Axis -> what its other values are held against; threads are held against the fewest."""
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
        layers: a row for each layer that `dlhw layers` has timed, beside the columns of its case.
    """

    files: tuple[Results, ...]
    cases: pd.DataFrame
    settings: pd.DataFrame
    reference: str
    layers: pd.DataFrame = field(default_factory=pd.DataFrame)

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
    of_layers = [path for path in paths if layers.is_layers(path)]
    files = tuple(frames.results(path) for path in paths if path not in of_layers)
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
    return Dataset(
        files, data, _settings(data), reference or _most_shared(data, machines), _layers(of_layers, data)
    )  # fmt: skip


def _layers(paths: Sequence[Path], data: pd.DataFrame) -> pd.DataFrame:
    """The layers of all files, with their machine's name here.

    Raises:
        DlhwError: a file is damaged, or of a machine that has no results here.
    """
    names = data.drop_duplicates("fingerprint").set_index("fingerprint")["machine"]
    found = []
    for path in paths:
        rows = layers.load(path)
        rows["machine"] = rows["fingerprint"].map(names).astype("string")
        if rows["machine"].isna().any():
            raise DlhwError(f"{path}: layers of a machine that has no results here; give a results file of it, too")
        found.append(rows)
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


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
    own = nets(data)
    same = groups(own, MACHINE_FREE)
    shared = own["machine"][own["machine"].groupby(same).transform("nunique") > 1].value_counts()
    return max(machines, key=lambda machine: int(shared.get(machine, 0)), default="")


def nets(data: pd.DataFrame) -> pd.DataFrame:
    """The measured nets; their index stays that of `data`."""
    return data[(data["kind"] == "net") & (data["status"] == "measured")]


def groups(data: pd.DataFrame, keys: Sequence[str]) -> pd.Series:
    """Of each row the number of its combination of `keys`, counted by first appearance; unknown is a value, too."""
    return data.groupby(list(keys), sort=False, dropna=False).ngroup()


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
    own = data["machine"].fillna("unknown machine")
    several = data.groupby("machine", dropna=False)["fingerprint"].transform("nunique") > 1
    with_torch = own + " (torch " + data["torch"].astype("string").fillna("unknown") + ")"
    return data["file"].map(names).astype("string").fillna(own.where(~several, with_torch)).astype("string")


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


def _settings(data: pd.DataFrame) -> pd.DataFrame:
    """Pairs of undisturbed cases that differ in one axis; the base is the axis's first value, as `_base` has it."""
    calm = nets(data)
    calm = calm[calm["noisy"].fillna("") == ""]
    found = [_setting(*_pairs(calm, axis), axis) for axis in PAIRED]
    return pd.concat([each for each in found if len(each)] or found[:1], ignore_index=True)[list(SETTING_COLUMNS)]


def _pairs(calm: pd.DataFrame, axis: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(bases, cases), row by row: each case beside the one that differs from it in `axis` alone."""
    same = groups(calm, [name for name in CASE_KEYS if name != axis])
    several = calm[same.map(same.value_counts()) > 1].assign(same=same)
    bases = several[_base(several, axis)].drop_duplicates("same").set_index("same")
    others = several[several["same"].isin(bases.index)].sort_values("same", kind="stable")
    others = others[(others["id"] != bases["id"].reindex(others["same"]).array).fillna(True)]
    return bases.reindex(others["same"]).reset_index(drop=True), others.reset_index(drop=True)


def _base(several: pd.DataFrame, axis: str) -> pd.Series:
    """Whether it is fp32, contiguous, eager, without search, or has the fewest threads of its group."""
    if axis in BASES:
        return several[axis].eq(BASES[axis]).fillna(False)
    return several[axis].eq(several.groupby("same")[axis].transform("min")).fillna(False)


def _setting(base: pd.DataFrame, rows: pd.DataFrame, axis: str) -> pd.DataFrame:
    name = axis.replace("_", " ") + " " + rows[axis].astype("string")
    gain, saved = base["median_seconds"] / rows["median_seconds"], base["median_seconds"] - rows["median_seconds"]
    paid = (rows["compile_seconds"] / saved).where((saved > 0) & (axis == "compile_mode"))
    return rows.assign(
        setting=name, gain=gain, from_id=base["id"], break_even_steps=paid,
        gain_low=base["low_seconds"] / rows["high_seconds"], gain_high=base["high_seconds"] / rows["low_seconds"],
        panel=name + " \u00b7 " + rows["architecture"] + " " + rows["mode"],
        column="b" + rows["batch_size"].astype("string"), log2_gain=np.log2(gain.astype(float)),
    )  # fmt: skip


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
