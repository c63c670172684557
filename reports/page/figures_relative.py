"""The page's first figure, as a function of a frame: a bar a system."""

from collections.abc import Iterator

import pandas as pd
import plotly.graph_objects as go

from reports.analysis.relative import TABLE, WAYS, Relative, relative
from reports.page.plots import COLOURS, Figure, layout, numbers, plot, values

MODES = ("inference", "training")
TITLES = {"speed": "speed", "dollar": "images a dollar", "joule": "images a joule"}


def relative_performance(found: Relative) -> Figure | None:
    """Relative performance of what was compared, the fastest on top; None of fewer than two systems."""
    if len(found.table) < 2:
        return None
    order = sorted(found.table["system"])
    colours = [COLOURS[order.index(system) % len(COLOURS)] for system in found.table["system"]]
    known = found.table["ratio_low"].notna().any()
    bars = {
        "type": "data", "symmetric": False, "array": numbers(found.table["ratio_high"] - found.table["ratio"]),
        "arrayminus": numbers(found.table["ratio"] - found.table["ratio_low"]),
    }  # fmt: skip
    trace = go.Bar(
        x=values(found.table["ratio"]), y=values(found.table["system"]), orientation="h", marker={"color": colours},
        error_x=bars if known else None, text=[f"{ratio:.3g}" for ratio in found.table["ratio"]],
    )  # fmt: skip
    axes = layout(f"{TITLES[found.measure]}, {found.reference} = 1", "")
    axes.yaxis.autorange = "reversed"
    name = f"relative-{found.mode}-{found.way}"
    question = f"Which is faster in {found.mode}, at {WAYS[found.way]}?"
    note = "Geometric mean over common nets alone; the interval is what their cases' own intervals leave open."
    return Figure(name, question, found.finding, plot([trace], axes), found.table, TABLE, note)


def all_relative(cases: pd.DataFrame, reference: str) -> Iterator[Figure]:
    """Of both modes and both ways, those that compare two systems or more."""
    for mode in MODES:
        for way in WAYS:
            figure = relative_performance(relative(cases, mode=mode, way=way, reference=reference))
            if figure is not None:
                yield figure
