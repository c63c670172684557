"""The page's figures about settings: what each buys, alone and with another, and when compiling has paid."""

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from reports.analysis.dataset import grouped, nets, plain
from reports.page.plots import Figure, Styles, largest, layout, plot, points, scattered
from suites import units

NOTABLE = 1.1
"""An interaction that is smaller is not spoken of."""


def settings(table: pd.DataFrame, styles: Styles) -> Figure | None:
    """Every pair's speed-up, by setting."""
    if table.empty:
        return None
    traces = [
        points(rows, "gain", "setting", name=str(machine), low="gain_low", high="gain_high", across=True, text="id",
               mode="markers", marker=styles.marker(machine, 7))
        for machine, rows in table.groupby("machine", sort=False)
    ]  # fmt: skip
    columns = (
        "machine", "setting", "architecture", "mode", "batch_size", "precision", "memory_format", "compile_mode",
        "gain", "gain_low", "gain_high", "break_even_steps",
    )  # fmt: skip
    axes = layout("speed-up, all else equal", "", x_log=True)
    question, finding = "What does each setting buy?", _best_setting(table)
    return Figure("toggles", question, finding, plot(traces, axes), table, columns, share="toggles")


def _best_setting(table: pd.DataFrame) -> str:
    sentences = []
    for setting, rows in table.groupby("setting", sort=False):
        mean = math.exp(sum(map(math.log, rows["gain"])) / len(rows))
        sure = (rows["gain_low"] > 1).sum(), (rows["gain_high"] < 1).sum()
        sentences.append((mean, f"{setting}: {units.number(mean)} times ({sure[0]} of {len(rows)} surely faster, "
                                f"{sure[1]} surely slower)"))  # fmt: skip
    return f"Geometric means: {'; '.join(text for _, text in sorted(sentences, reverse=True))}."


def setting_map(table: pd.DataFrame) -> Figure | None:
    """Net by batch, a panel a setting: where it helps."""
    shown = table[table.groupby("panel")["batch_size"].transform("nunique") > 1]
    if shown.empty:
        return None
    best = shown.groupby(["panel", "column"], sort=False)["log2_gain"].mean().unstack()
    best = best[sorted(best.columns, key=lambda name: int(str(name)[1:]))]
    trace = go.Heatmap(
        x=list(best.columns), y=list(best.index),
        z=[[None if pd.isna(value) else float(value) for value in row] for row in best.to_numpy()],
        colorscale=[[0, "#E69F00"], [0.5, "#F5F5F5"], [1, "#0072B2"]], zmid=0, colorbar={"title": {"text": "log2"}},
        meta={"rows": [int(i) for i in shown.index], "x": "column", "y": "panel", "z": "log2_gain", "heat": True},
    )  # fmt: skip
    columns = (
        "machine", "setting", "architecture", "mode", "batch_size", "precision", "memory_format", "compile_mode",
        "gain",
    )  # fmt: skip
    axes = layout("batch size", "")
    axes.height = max(400, 18 * len(best) + 120)
    note = "log2 of the speed-up: 0 no difference, 1 twice as fast (blue), -1 half (orange); means over what is chosen."
    question = "Where does each setting help?"
    return Figure("toggle-map", question, "", plot([trace], axes), shown, columns, note, share="toggles")


def interactions(table: pd.DataFrame, data: pd.DataFrame, styles: Styles) -> Figure | None:
    """Two settings together against the product of each by itself."""
    rows = list(_together(table, data))
    if not rows:
        return None
    found = pd.DataFrame(rows)
    traces = scattered(found, styles, "expected", "together")
    line = [float(found[["expected", "together"]].min().min()), float(found[["expected", "together"]].max().max())]
    looks = {"dash": "dot", "color": "#999999"}
    traces.append(go.Scatter(x=line, y=line, mode="lines", name="no interaction", line=looks))
    far = largest(found.assign(factor=found["together"] / found["expected"]), "factor")
    finding = (
        f"Together more than apart, most in {far['id']}: {units.number(far['together'])} times where the two by "
        f"themselves make {units.number(far['expected'])}."
    ) if far["together"] > NOTABLE * far["expected"] else ""  # fmt: skip
    columns = ("machine", "id", "first", "second", "expected", "together")
    axes = layout("product of the two speed-ups", "speed-up of both together", x_log=True, y_log=True)
    return Figure("interactions", "Do settings add up?", finding, plot(traces, axes), found, columns)


def _together(table: pd.DataFrame, data: pd.DataFrame) -> Iterable[dict[str, Any]]:
    """Cases that differ from the plain one in two settings, where each setting by itself was measured too."""
    steps = grouped(plain(table), ["machine", "from_id"])
    own = nets(data)
    seconds = dict(zip(zip(own["machine"], own["id"], strict=True), own["median_seconds"].astype(float), strict=True))
    for (machine, source), firsts in steps.items():
        for first in firsts:
            for second in steps.get((machine, first["id"]), ()):
                alone = next((row for row in firsts if row["setting"] == second["setting"]), None)
                if alone is not None and first["setting"] < second["setting"]:
                    yield {
                        **{key: first[key] for key in ("machine", "architecture", "mode", "device")},
                        "precision": second["precision"], "memory_format": second["memory_format"],
                        "compile_mode": second["compile_mode"], "id": second["id"], "first": first["setting"],
                        "second": second["setting"], "expected": first["gain"] * alone["gain"],
                        "together": seconds[machine, source] / seconds[machine, second["id"]],
                    }  # fmt: skip


def break_even(table: pd.DataFrame, styles: Styles) -> Figure | None:
    """Steps until compilation has paid for itself."""
    own = table[table["break_even_steps"].notna()]
    if own.empty:
        return None
    row = largest(own.assign(soon=-own["break_even_steps"].astype(float)), "soon")
    finding = f"Soonest: {row['id']} on {row['machine']}, after {units.number(row['break_even_steps'])} steps."
    axes = layout("speed-up", "steps until compiling has paid", x_log=True, y_log=True)
    columns = ("machine", "id", "gain", "gain_low", "gain_high", "break_even_steps")
    return Figure("break-even", "When has compiling paid for itself?", finding,
                  plot(scattered(own, styles, "gain", "break_even_steps"), axes), own, columns)  # fmt: skip
