"""What all figures share: a question, a computed answer, a plot and the rows behind it; colours, symbols, dashes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
"""Okabe and Ito, Color universal design (2008). Never alone: machines also differ by symbol, precisions by dash."""
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "pentagon")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
KEYS = ("machine", "architecture", "mode", "precision", "memory_format", "compile_mode", "device")
"""What the page's filters choose by; a row without one of them passes."""
FEW = 20
"""So many single points may each have a name of their own."""
LINE_KEYS = (
    "machine", "architecture", "mode", "precision", "memory_format", "compile_mode", "device", "threads",
    "cudnn_benchmark", "power_limit",
)  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """One question of the page.

    Attributes:
        id: unique on the page.
        finding: one sentence, computed; empty where nothing can be said surely.
        plot: its traces name in `meta` the rows and columns of `data` that they show; None for a table alone.
        data: the rows, in SI units.
        columns: of `data`, for the table below.
        note: what a reader must know to read it.
    """

    id: str
    question: str
    finding: str
    plot: go.Figure | None
    data: pd.DataFrame
    columns: tuple[str, ...]
    note: str = ""
    share: str = ""
    """A name for `data`, where several figures show rows of the same frame; the first of them has all its rows."""
    mode: str = ""
    """The mode that it is of, and is shown with; empty where it is of none."""


@dataclass(frozen=True)
class Styles:
    """The looks of machines and precisions: the same in all figures of a page.

    Attributes:
        ways: what `way_of` tells of a row -> its place; it tells lines apart where there is one machine.
    """

    colours: Mapping[str, str]
    symbols: Mapping[str, str]
    dashes: Mapping[str, str]
    ways: Mapping[tuple[str, str, str], int]

    def marker(self, machine: object, size: int) -> dict[str, Any]:
        """Of a machine's points."""
        return {"color": self.colours.get(str(machine)), "symbol": self.symbols.get(str(machine)), "size": size}

    def of_line(self, row: Any, *, one_machine: bool) -> dict[str, Any]:
        """Of a line's points: by machine, or where there is one, by the way of measuring."""
        place = self.ways.get(way_of(row), 0)
        if not one_machine:
            return self.marker(row["machine"], 7)
        return {"color": COLOURS[place % len(COLOURS)], "symbol": SYMBOLS[place % len(SYMBOLS)], "size": 7}


def styles_for(data: pd.DataFrame) -> Styles:
    """By first appearance."""
    machines = [str(name) for name in data["machine"].dropna().unique()]
    precisions = [str(name) for name in data["precision"].dropna().unique()]
    ways: dict[tuple[str, str, str], int] = {}
    for row in data.drop_duplicates(list(_WAY)).to_dict("records"):
        way = way_of(row)
        ways.setdefault(way, sum(known[0] == way[0] for known in ways))
    return Styles(
        {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(machines)},
        {name: SYMBOLS[index % len(SYMBOLS)] for index, name in enumerate(machines)},
        {name: DASHES[index % len(DASHES)] for index, name in enumerate(precisions)},
        ways,
    )


_WAY = ("kind", "operation", "mode", "memory_format", "variant", "threads")


def way_of(row: Any) -> tuple[str, str, str]:
    """Of a net mode and format; of a micro-benchmark, for each operation, variant and threads."""
    if row["kind"] == "micro":
        return str(row["operation"]), str(row["variant"]), str(row["threads"])
    return "net", str(row["mode"]), str(row["memory_format"])


def layout(x: str, y: str, *, x_log: bool = False, y_log: bool = False, x_base2: bool = False) -> go.Layout:
    """Axes with units; colours of paper and text are the page's, which knows whether it is dark."""
    kind = "log" if x_log or x_base2 else "-"
    axis: dict[str, Any] = {"title": {"text": x}, "type": kind, "automargin": True, "exponentformat": "SI"}
    if x_base2:
        axis |= {"dtick": 0.30102999566398120, "tickformat": "d"}  # log10(2): a tick at each power of two
    return go.Layout(
        xaxis=axis,
        yaxis={"title": {"text": y}, "type": "log" if y_log else "-", "automargin": True, "exponentformat": "SI"},
        margin={"l": 60, "r": 20, "t": 20, "b": 50},
        legend={"orientation": "h", "y": -0.2},
        hovermode="closest",
    )


def plot(traces: Iterable[go.Scatter | go.Heatmap], shape: go.Layout) -> go.Figure:
    """A figure without plotly's default template, which is 7 KB a figure and knows no dark pages."""
    found = go.Figure(layout=shape)
    found.layout.template = None
    found.add_traces(list(traces))
    return found


def points(
    rows: pd.DataFrame, x: str, y: str, *, name: str, low: str = "", high: str = "", across: bool = False,
    text: str = "", **looks: Any,
) -> go.Scatter:  # fmt: skip
    """Points of `rows`, with their intervals as bars along y, or along x where `across`."""
    along, value = ("error_x", x) if across else ("error_y", y)
    bars = {}
    if low and rows[low].notna().any():
        bars[along] = {
            "type": "data", "symmetric": False, "thickness": 1,
            "array": numbers(rows[high] - rows[value]), "arrayminus": numbers(rows[value] - rows[low]),
        }  # fmt: skip
    return go.Scatter(
        x=values(rows[x]), y=values(rows[y]), name=name, text=values(rows[text]) if text else None,
        meta=_meta(rows, x=x, y=y, low=low, high=high, across=across, text=text), **bars, **looks,
    )  # fmt: skip


def band(rows: pd.DataFrame, x: str, low: str, high: str, colour: str) -> go.Scatter:
    """The area between two columns."""
    there = rows[rows[low].notna() & rows[high].notna()]
    return go.Scatter(
        x=[*values(there[x]), *values(there[x][::-1])], y=[*values(there[high]), *values(there[low][::-1])],
        fill="toself", fillcolor=colour, opacity=0.2, line={"width": 0}, hoverinfo="skip", showlegend=False,
        meta={**_meta(there, x=x, low=low, high=high), "band": True},
    )  # fmt: skip


def lines(
    data: pd.DataFrame, styles: Styles, x: str, y: str, *, low: str = "", high: str = "",
    keys: Sequence[str] = LINE_KEYS,
) -> list[go.Scatter]:  # fmt: skip
    """A line with its band for each combination of `keys`, ascending by x; named by the keys that vary.

    What has no other x to be joined with is a point of its machine's.
    """
    there = data[data[x].notna() & data[y].notna()].sort_values(x, kind="stable")
    varying = [key for key in keys if there[key].nunique(dropna=False) > 1] or ["architecture"]
    codes = there.groupby(list(keys), sort=False, dropna=False).ngroup()
    alone = codes.map(codes.value_counts()) == 1
    found = scattered(there[alone], styles, x, y) if alone.any() and not alone.all() else []
    joined = there if alone.all() and alone.size <= FEW else there[~alone]
    if alone.all() and alone.size > FEW:
        return scattered(there, styles, x, y)
    for _, ordered in joined.groupby(codes, sort=False):
        first = ordered.iloc[0]
        marker = styles.of_line(first, one_machine=there["machine"].nunique() == 1)
        line = {"color": marker["color"], "dash": styles.dashes.get(str(first["precision"]))}
        if low and ordered[low].notna().any():
            found.append(band(ordered, x, low, high, marker["color"] or COLOURS[0]))
        name = " ".join(str(first[key]) for key in varying if not pd.isna(first[key]))
        found.append(points(ordered, x, y, name=name, mode="lines+markers", line=line, marker=marker))
    return found


def scattered(data: pd.DataFrame, styles: Styles, x: str, y: str, *, text: str = "id", **more: Any) -> list[go.Scatter]:
    """Points by machine."""
    there = data[data[x].notna() & data[y].notna()]
    return [
        points(
            rows, x, y, name=str(machine), text=text, mode="markers",
            marker=styles.marker(machine, 8),
            **more,
        )
        for machine, rows in there.groupby("machine", sort=False)
    ]  # fmt: skip


def _meta(rows: pd.DataFrame, **columns: Any) -> dict[str, Any]:
    return {"rows": [int(index) for index in rows.index], **{name: value for name, value in columns.items() if value}}


def values(column: pd.Series) -> list[Any]:
    """Plain Python, unknown as None."""
    return [None if pd.isna(value) else value.item() if hasattr(value, "item") else value for value in column]


def numbers(column: pd.Series) -> list[float]:
    """Plain numbers, unknown as 0: a bar that is not known has no length."""
    return [0.0 if pd.isna(value) else float(value) for value in column]


CASE = (
    "machine", "architecture", "mode", "batch_size", "precision", "memory_format", "compile_mode", "device", "threads",
    "cudnn_benchmark", "power_limit",
)  # fmt: skip


def largest(rows: pd.DataFrame, column: str) -> Any:
    """The row with the largest value."""
    return rows.sort_values(column, kind="stable").iloc[-1]
