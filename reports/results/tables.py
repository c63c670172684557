"""Tables for people, made of the tidy one: frame in, frame of text out."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from reports.results.frames import AXES
from suites import units
from suites.errors import DlhwError, did_you_mean

TIMES = (
    "median_seconds", "low_seconds", "high_seconds",
    "predicted_seconds", "predicted_low_seconds", "predicted_high_seconds",
)  # fmt: skip
VERDICT = ("status", "noisy", "wide", "reason", "predicted_seconds")
VERDICTS = {"measured": "ok", "out_of_memory": "out of memory", "wrong_result": "wrong result"}

VALUES: dict[str, tuple[str, Callable[[Any], str], bool]] = {
    "images_per_second": ("images/s", units.images_per_second, True),
    "samples_per_second": ("samples/s", lambda value: units.metric("samples_per_second", value), True),
    "median_seconds": ("time a step", units.seconds, False),
    "flops_per_second": ("FLOP/s", lambda value: units.rate(value, "FLOP/s"), True),
    "bytes_per_second": ("B/s", lambda value: units.rate(value, "B/s"), True),
    "peak_bytes": ("peak memory", units.octets, False),
    "half_width": ("noise", units.percent, False),
    "within_half_width": ("noise within a launch", units.percent, False),
    "p90_seconds": ("90th percentile", units.seconds, False),
    "p99_seconds": ("99th percentile", units.seconds, False),
    "latency_seconds": ("latency", units.seconds, False),
    "dispatched": ("operators", units.number, False),
    "allocated_bytes": ("allocated", units.octets, False),
    "instructions": ("instructions", units.rate, False),
    "images_per_joule": ("images/J", lambda value: units.rate(value, "img/J"), True),
    "joules_per_image": ("J/image", units.joules, False),
    "above_idle_joules_per_image": ("J/image above idle", units.joules, False),
    "mean_power_watts": ("mean power", lambda value: units.rate(value, "W"), False),
    "compile_seconds": ("compile time", units.seconds, False),
    "relative_error": ("distance from fp64", units.error, False),
}
"""Column -> (title, how it becomes text, whether more of it is better)."""
ENERGY = ("mean_power_watts", "images_per_joule", "above_idle_joules_per_image")


def constants(frame: pd.DataFrame) -> dict[str, Any]:
    """The axes that are the same in every row, and their values: said once, not in every row."""
    same = {axis: frame[axis].iloc[0] for axis in AXES if len(frame) > 1 and frame[axis].nunique(dropna=False) == 1}
    return {axis: None if pd.isna(value) else value for axis, value in same.items()}


def cases(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a case: the axes that vary, then time, rate, memory, noise and verdict, all as text."""
    same = constants(frame)
    shown = [axis for axis in AXES if axis not in same and frame[axis].notna().any()]
    of_file = frame.groupby("file", dropna=False)
    shown[:0] = [
        *(["file"] if len(of_file) > 1 else []),
        *(column for column in ("machine", "torch") if (of_file[column].nunique() > 1).any()),
    ]
    table = frame[shown].astype("string").fillna(units.UNKNOWN)
    table["time a step"] = [_time(*map(_number, row)) for row in frame[[*TIMES]].itertuples(index=False)]
    if (frame["kind"] == "micro").any():
        table["result"] = [
            units.metric(str(metric), _number(value))
            for metric, value in frame[["metric", "value"]].itertuples(index=False)
        ]
    others = (frame["metric"] == "samples_per_second").any()
    rate = "samples_per_second" if others else "images_per_second"
    columns = [
        *([rate, "flops_per_second", "peak_bytes"] if (frame["kind"] == "net").any() else []),
        *(["latency_seconds"] if (frame["latency_seconds"].notna() & (frame["device"] != "cpu")).any() else []),
        *[column for column in ENERGY if frame[column].notna().any()],
        "half_width",
    ]
    if (frame["launches"] > 1).any():
        columns.append("within_half_width")
    for column in columns:
        title, text, _ = VALUES[column]
        table[title] = [text(_number(value)) for value in frame[column]]
    table["verdict"] = [_verdict(*row) for row in frame[[*VERDICT]].itertuples(index=False)]
    return table.rename(columns=lambda name: str(name).replace("_", " "))


def _time(
    median: float | None, low: float | None, high: float | None,
    predicted: float | None, predicted_low: float | None, predicted_high: float | None,
) -> str:  # fmt: skip
    """What was measured; else, marked, what was predicted."""
    if median is None and predicted is not None:
        return f"~{units.interval(predicted, predicted_low, predicted_high)}"
    return units.interval(median, low, high)


def require_value(value: str) -> None:
    """Check the name of a pivot's value.

    Raises:
        DlhwError: there is none of that name.
    """
    if value not in VALUES:
        raise DlhwError(f"--value {value}: no such value{did_you_mean(value, VALUES)}; values: {', '.join(VALUES)}")


def pivot(frame: pd.DataFrame, by: Sequence[str], value: str = "images_per_second") -> pd.DataFrame:
    """The best `value` of the cases that share the axes `by`: the last axis across, the others down.

    A cell is text, with how many of its cases were measured where that is not all of a single one.

    Raises:
        DlhwError: an axis or the value does not exist.
    """
    known = (*AXES, "file", "machine", "torch")
    for axis in by:
        if axis not in known:
            raise DlhwError(f"--by {axis}: no such axis{did_you_mean(axis, known)}; axes: {', '.join(known)}")
    require_value(value)
    *down, across = by
    rows: dict[Any, dict[str, str]] = {}
    for key, group in frame.groupby(list(by), sort=False, dropna=False):
        last: Any = key[-1]
        rows.setdefault(key[:-1], {})[units.UNKNOWN if pd.isna(last) else str(last)] = _best(group, value)
    index = pd.MultiIndex.from_tuples(rows, names=down) if down else pd.Index([VALUES[value][0]])
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    table = pd.DataFrame(
        [[row.get(column, units.UNKNOWN) for column in columns] for row in rows.values()], index, columns
    )
    table.columns.name = across
    return table.reset_index(names=down) if down else table


def _best(group: pd.DataFrame, value: str) -> str:
    _, text, more_is_better = VALUES[value]
    found = group[value].dropna()
    if found.empty:
        return ", ".join(VERDICTS.get(status, status) for status in group["status"].unique())
    best = text(float(found.max() if more_is_better else found.min()))
    return best if len(group) == 1 else f"{best} ({len(found)}/{len(group)})"


def _verdict(status: str, noisy: Any, wide: Any, reason: Any, predicted: Any) -> str:
    if status == "measured":
        if isinstance(noisy, str) and noisy:
            return f"NOISY: {noisy}"
        return "wide" if isinstance(wide, str) and wide else "ok"
    return f"{'' if pd.isna(predicted) else 'PREDICTED; '}{VERDICTS.get(status, status)}: {reason}"


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
