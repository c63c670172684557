"""The page's figures about nets: each a function of a frame, usable in a notebook (`.plot.show()`)."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from reports.analysis.advise import Advice, Wishes, advise
from reports.analysis.dataset import MACHINE_FREE, grouped, groups, nets, plain
from reports.page.figures_relative import all_relative
from reports.page.figures_settings import break_even, interactions, setting_map, settings
from reports.page.plots import CASE, Figure, Styles, largest, layout, lines, plot, points, scattered
from suites import units

LINE = 3
"""Fewer batches show no knee."""
KNEE = 0.95
"""The knee is the smallest batch with this share of the best throughput."""


def throughput(data: pd.DataFrame, styles: Styles) -> Figure | None:
    """Images a second by batch."""
    own = nets(data)
    own = own[own["images_per_second"].notna()]
    if own.empty:
        return None
    traces = lines(own, styles, "batch_size", "images_per_second", low="value_low", high="value_high")
    axes = layout("batch size", "images/s", x_base2=True, y_log=True)
    columns = (*CASE, "images_per_second", "value_low", "value_high", "half_width", "noisy")
    return Figure(
        "throughput", "How does throughput grow with the batch?", _knees(own), plot(traces, axes), own, columns,
        "Bands are 95 % intervals: between launches where there are several, else within one process.",
    )  # fmt: skip


def _knees(own: pd.DataFrame) -> str:
    """The knees of all lines with three batches or more."""
    found = []
    for rows in grouped(plain(own), [key for key in CASE if key != "batch_size"]).values():
        if len({row["batch_size"] for row in rows}) >= LINE:
            best = max(row["images_per_second"] for row in rows)
            found.append(min(int(row["batch_size"]) for row in rows if row["images_per_second"] >= KNEE * best))
    if not found:
        return ""
    low, high = min(found), max(found)
    where = f"batch {low}" if low == high else f"a batch between {low} and {high}"
    count = f"{len(found)} lines of three batches or more"
    return f"{units.percent(KNEE)} of the best throughput is reached at {where} ({count})."


def latency(data: pd.DataFrame, styles: Styles) -> Figure | None:
    """Latency by batch, and its tail where enough samples stand behind it."""
    own = nets(data)
    own = own[own["latency_seconds"].notna()]
    if own.empty:
        return None
    traces = lines(own, styles, "batch_size", "latency_seconds")
    tail = own[own["p99_seconds"].notna()]
    if not tail.empty:
        traces += scattered(tail.assign(machine=tail["machine"] + " p99"), styles, "batch_size", "p99_seconds")
    finding = ""
    if not tail.empty:
        worst = largest(tail.assign(tail=tail["p99_seconds"] / tail["median_seconds"]), "tail")
        finding = (
            f"The longest tail: one step in a hundred of {worst['id']} on {worst['machine']} takes "
            f"{units.number(worst['tail'])} times the median or more."
        )
    axes = layout("batch size", "seconds", x_base2=True, y_log=True)
    columns = (*CASE, "latency_seconds", "p90_seconds", "p99_seconds")
    return Figure("latency", "How long does a caller wait?", finding, plot(traces, axes), own, columns)


def memory(data: pd.DataFrame, styles: Styles) -> Figure | None:
    """Peak memory by batch, and where it ran out."""
    own = nets(data)
    own = own[own["peak_bytes"].notna()]
    if own.empty:
        return None
    out = data[data["status"] == "out_of_memory"]
    finding = ""
    if not out.empty:
        row = out.sort_values("batch_size", kind="stable").iloc[0]
        finding = f"{len(out)} cases ran out of memory, the smallest {row['id']} on {row['machine']}{_fits(own, row)}."
    axes = layout("batch size", "peak memory, bytes", x_base2=True, y_log=True)
    columns = (*CASE, "peak_bytes", "parameter_bytes", "base_host_bytes")
    note = "Of the accelerator's allocator where there is one, else of the whole process, torch's own 400 MiB included."
    return Figure("memory", "How much memory does it take, and what fits?", finding,
                  plot(lines(own, styles, "batch_size", "peak_bytes"), axes), own, columns, note)  # fmt: skip


def _fits(own: pd.DataFrame, row: Any) -> str:
    """The largest batch of the same configuration that was measured."""
    same = own
    for key in CASE:
        if key != "batch_size":
            same = same[same[key].isna() if pd.isna(row[key]) else (same[key] == row[key]).fillna(False)]
    return "" if same.empty else f"; batch {int(same['batch_size'].max())} fits"


def roofline(data: pd.DataFrame, styles: Styles) -> Figure | None:
    """Achieved FLOP/s over intensity, under the measured roofs."""
    own = nets(data)
    own = own[own["operator_intensity"].notna()]
    if own.empty:
        return None
    traces = scattered(own, styles, "operator_intensity", "flops_per_second") + list(_roofs(own, data, styles))
    counts = own["bound"].value_counts()
    classes = ", ".join(f"{count} {name}" for name, count in counts.items())
    finding = f"Of {len(own)} cases {classes}." if classes else "Ceilings unknown: no hardware run of this machine."
    axes = layout("FLOPs a byte (eager operators')", "FLOP/s", x_log=True, y_log=True)
    columns = (*CASE, "bound", "decided_by", "flops_per_second", "share_of_ceiling", "share_of_datasheet",
               "operator_intensity", "compulsory_intensity")  # fmt: skip
    return Figure(
        "roofline", "What bounds each net?", finding, plot(traces, axes), own, columns,
        "Roofs are measured: the best matrix product or convolution of a precision, the bandwidth beyond all caches. "
        "Data that stay in a cache may lie above the slope.",
    )  # fmt: skip


def _roofs(own: pd.DataFrame, data: pd.DataFrame, styles: Styles) -> Iterable[go.Scatter]:
    """A roof for each machine and precision: the slope of its slowest memory, then the ceiling."""
    low, high = float(own["operator_intensity"].min()), float(own["operator_intensity"].max())
    for roof in roofs(data):
        machine, precision = roof["machine"], roof["precision"]
        ceiling, slope = roof["flops_per_second"], roof["bytes_per_second"]
        ridge = ceiling / slope if slope else low
        x = [min(low, ridge / 4), ridge, max(high, ridge * 4)]
        yield go.Scatter(
            x=x if slope else x[1:], y=[slope * x[0], ceiling, ceiling] if slope else [ceiling] * 2, mode="lines",
            name=f"{machine} {precision} roof", hoverinfo="name",
            line={"color": styles.colours.get(machine), "dash": styles.dashes.get(precision), "width": 1},
            meta={"machine": machine, "precision": precision},
        )  # fmt: skip


def roofs(data: pd.DataFrame) -> list[dict[str, Any]]:
    """Of each machine and precision that a net ran with: the best FLOP/s, and the bytes/s of its slowest memory."""
    copies = data[data["operation"].isin(["copy", "triad"]) & (data["status"] == "measured")]
    own = nets(data)
    found = []
    for (machine, precision), rows in own.groupby(["machine", "precision"], sort=False):
        ceiling = rows["ceiling_flops_per_second"].max()
        if not pd.isna(ceiling):
            largest = copies[copies["machine"] == machine].sort_values("size", key=lambda size: size.astype(int))
            slope = None if largest.empty else float(largest.iloc[-1]["value"])
            found.append({"machine": str(machine), "precision": str(precision), "flops_per_second": float(ceiling),
                          "bytes_per_second": slope})  # fmt: skip
    return found


def energy(data: pd.DataFrame, styles: Styles) -> Figure | None:
    """Joules an image against images a second."""
    own = nets(data)
    own = own[own["joules_per_image"].notna()]
    if own.empty:
        return None
    best = largest(own, "images_per_joule")
    finding = f"The least: {units.number(best['joules_per_image'])} J an image, {best['id']} on {best['machine']}."
    axes = layout("images/s", "joules an image", x_log=True, y_log=True)
    columns = (*CASE, "joules_per_image", "images_per_joule", "mean_power_watts", "images_per_second")
    traces = scattered(own, styles, "images_per_second", "joules_per_image")
    return Figure("energy", "What does an image cost in energy?", finding, plot(traces, axes), own, columns)


PARETO = (
    ("pareto-latency", "Which settings give most images for the wait?", "latency_seconds", "latency, seconds"),
    ("pareto-energy", "Which settings give most images for the energy?", "joules_per_image", "joules an image"),
    ("pareto-cost", "Which settings give most images for the money?", "dollars_per_million", "USD a million images"),
)


def pareto(data: pd.DataFrame, styles: Styles, which: tuple[str, str, str, str]) -> Figure | None:
    """Throughput against what it costs; a front for each net, what another case beats in both is grey."""
    name, question, column, title = which
    own = nets(data)
    own = own[own[column].notna() & own["images_per_second"].notna()]
    if len(own) < 3:
        return None
    own = own.assign(front=_front(own, column))
    grey = points(own[~own["front"]], column, "images_per_second", name="beaten in both", text="id", mode="markers",
                  marker={"color": "#999999", "size": 5, "opacity": 0.5})  # fmt: skip
    traces = [grey, *scattered(own[own["front"]], styles, column, "images_per_second")]
    finding = f"{int(own['front'].sum())} of {len(own)} cases are beaten by no other of the same net and mode in both."
    axes = layout(title, "images/s", x_log=True, y_log=True)
    columns = (*CASE, "front", column, "images_per_second")
    return Figure(name, question, finding, plot(traces, axes), own, columns)


def _front(own: pd.DataFrame, column: str) -> pd.Series:
    """Whether no case of the same net, size and mode is better in one and no worse in the other."""
    front: set[Any] = set()
    for _, rows in own.groupby(["architecture", "input_shape", "mode"], sort=False, dropna=False):
        best = -math.inf
        ordered = rows.sort_values([column, "images_per_second"], ascending=[True, False], kind="stable")
        for index, rate in ordered["images_per_second"].items():
            if rate > best:
                front.add(index)
                best = rate
    return pd.Series([index in front for index in own.index], index=own.index)


def crossover(data: pd.DataFrame, styles: Styles) -> Figure | None:
    """How many times as fast a machine's accelerator is as its CPU, by batch."""
    own = nets(data)
    keys = ["machine", *(axis for axis in MACHINE_FREE if axis != "power_limit")]  # which no CPU has
    same, on_cpu = groups(own, keys), own["device"] == "cpu"
    beside = same.map(own[on_cpu].groupby(same)["median_seconds"].min())
    found = own.assign(ratio=(beside / own["median_seconds"]).astype(float))[beside.notna() & ~on_cpu]
    if found.empty:
        return None
    slower = found[found["ratio"] < 1]
    finding = (
        f"The CPU is faster in {len(slower)} of {len(found)} cases, up to batch {int(slower['batch_size'].max())}."
        if len(slower) else f"The accelerator is faster in all {len(found)} cases."
    )  # fmt: skip
    axes = layout("batch size", "speed of the accelerator, CPU = 1", x_base2=True, y_log=True)
    return Figure("crossover", "From which batch on is the accelerator faster?", finding,
                  plot(lines(found, styles, "batch_size", "ratio"), axes), found, (*CASE, "ratio"))  # fmt: skip


ADVISED = 100
"""So many nets can be advised on; a page of a thousand nets is for looking up, not for advice."""


def advice(data: pd.DataFrame) -> Figure | None:
    """The settings to use for each net on each machine, by `reports.analysis.advise`."""
    own = nets(data)
    choices = grouped(plain(own[["architecture", "mode"]]), ["architecture", "mode"])
    rows = []
    for architecture, mode in [key for key, cases in choices.items() if len(cases) > 1][:ADVISED]:
        for objective in ("throughput", "latency"):
            wishes = Wishes(architecture=architecture, objective=objective, mode=mode)
            found = [each for each in advise(own, wishes) if each.candidates > 1]
            rows += [_advised(each, architecture, mode, objective) for each in found]
    if not rows:
        return None
    table = pd.DataFrame(rows)
    note = "Among what was measured; dlhw advise takes limits of latency, memory and precision, and prices."
    return Figure("advice", "What should I run, and how?", "", None, table, tuple(table.columns), note)


def _advised(found: Advice, architecture: str, mode: str, objective: str) -> dict[str, Any]:
    return {
        "machine": found.machine, "architecture": architecture, "mode": mode, "objective": objective,
        "use": ", ".join(f"{name} {value}" for name, value in found.settings.items()),
        "gives": found.gives, "next_best": found.next_best, "how_sure": found.sure,
    }  # fmt: skip


def silent(drawn: Iterable[Figure], data: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """Why questions that a reader would expect have no answer, a line each."""
    there = {figure.id.removesuffix(f"-{figure.mode}") for figure in drawn}
    own = nets(data)
    there |= {"toggles"} if len(table) else set()
    there |= {"roofline"} if own["operator_intensity"].notna().any() else set()
    why = {
        "toggles": "What does each setting buy? No two cases differ in one setting alone.",
        "roofline": "What bounds each net? No net here has its bytes counted, or none was measured.",
        "energy": "What does an image cost in energy? No joules were counted.",
        "pareto-cost": "What does an image cost? No price was given: --price MACHINE=USD_PER_HOUR.",
        "break-even": "When has compiling paid? Nothing was compiled, or not beside the eager case.",
        "crossover": "From which batch on is the accelerator faster? No machine has measured both.",
    }  # fmt: skip
    return [text for name, text in why.items() if name not in there]


def trade_offs(data: pd.DataFrame, table: pd.DataFrame, styles: Styles) -> list[Figure]:
    """What speed costs in waiting, energy, money, and steps of compiling; those that have something to show."""
    found = (
        energy(data, styles), *(pareto(data, styles, which) for which in PARETO), break_even(table, styles),
        crossover(data, styles), interactions(table, data, styles),
    )  # fmt: skip
    return [figure for figure in found if figure is not None]


def all_of(data: pd.DataFrame, table: pd.DataFrame, reference: str, styles: Styles) -> list[Figure]:
    """Those that have something to show, in the order in which a person asks."""
    found: Sequence[Figure | None] = (
        *all_relative(data, reference), throughput(data, styles), latency(data, styles), settings(table, styles),
        setting_map(table), memory(data, styles), roofline(data, styles), *trade_offs(data, table, styles),
        advice(data),
    )  # fmt: skip
    return [figure for figure in found if figure is not None]
