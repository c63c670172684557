"""The page's figures about the hardware itself: a curve for each micro-benchmark, with its sentence."""

import math
from collections.abc import Mapping

import pandas as pd

from reports.page.plots import Figure, Styles, layout, lines, plot
from suites.micro import OPERATIONS

KEYS = ("machine", "variant", "precision", "device", "threads")
COLUMNS = ("machine", "variant", "size", "precision", "device", "threads", "value", "value_low", "value_high", "noisy")
METRICS = {
    "seconds": "seconds", "bytes_per_second": "bytes/s", "flops_per_second": "FLOP/s", "images_per_second": "images/s",
    "steps": "steps",
}  # fmt: skip
SIDES = 2
"""Of so many numbers in a size one is what a curve runs along; of more, their product."""
FEW = 8
"""So many sizes can each have a tick."""
BY_THREADS = {"threads"}
BY_PROCESSES = {"scaling", "loader"}


def curves(data: pd.DataFrame, styles: Styles, sentences: Mapping[str, str]) -> list[Figure]:
    """A figure for each operation that was measured.

    Args:
        sentences: operation -> what `bench.records.findings` says of it.
    """
    micros = data[(data["kind"] == "micro") & (data["status"] == "measured")]
    found = []
    for operation in OPERATIONS:
        rows = micros[micros["operation"] == operation]
        if not rows.empty:
            found.append(_curve(operation, rows, styles, sentences.get(operation, "")))
    return found


def _curve(operation: str, rows: pd.DataFrame, styles: Styles, sentence: str) -> Figure:
    known = OPERATIONS[operation]
    column, title = _along(operation)
    shown = rows.assign(along=_numbers(rows, column))
    keys = [key for key in KEYS if key != column]
    metric = str(rows["metric"].iloc[0])
    traces = lines(shown, styles, "along", "value", low="value_low", high="value_high", keys=keys)
    few, positive = shown["along"].nunique() < FEW, shown["along"].min() > 0
    axes = layout(title, METRICS.get(metric, metric), x_log=positive, x_base2=few and positive, y_log=True)
    return Figure(f"hardware-{operation}", known.question, sentence, plot(traces, axes), shown, COLUMNS)


def _along(operation: str) -> tuple[str, str]:
    """The column that a curve runs along, and the axis's title."""
    if operation in BY_THREADS:
        return "threads", "threads"
    words = OPERATIONS[operation].size
    if operation in BY_PROCESSES:
        return "first", words[0]
    if len(words) > SIDES:
        return "product", " x ".join(words)
    return "last", {"bytes": "bytes of an array"}.get(words[-1], words[-1])


def _numbers(rows: pd.DataFrame, column: str) -> pd.Series:
    if column == "threads":
        return rows["threads"].astype("Int64")
    parts = rows["size"].str.split("x")
    if column == "product":
        return parts.map(lambda numbers: math.prod(map(int, numbers))).astype("int64")
    return parts.str[0 if column == "first" else -1].astype("int64")
