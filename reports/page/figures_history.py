"""The page's figures about a store: what changed and whose doing it was, machines as a whole, single cases by night."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd
import plotly.graph_objects as go

from reports.page.plots import COLOURS, Figure, band, layout, plot, points
from reports.results.escape import printable
from suites import units

if TYPE_CHECKING:
    from reports.history.nights import Nights

CHANGES = ("finding", "state", "since", "machine", "case", "metric", "change", "runs", "cause", "why")
WHOLE = ("machine", "kind", "run_id", "at", "commit", "change", "low_quarter", "high_quarter", "cases", "environment",
         "changed")  # fmt: skip
TREND = ("run_id", "at", "commit", "launches", "reason", "environment", "changed")
MOST_TRENDS, MOST_UNASKED, MOST_CHANGES = 8, 4, 30
"""Of a machine, and of it where nothing was asked for nor found; of all."""
MOST_TOLD = 3
NAMED_ENVIRONMENTS = 6
LABEL = 24
"""Letters; an id is longer than a phone is wide."""
KINDS = {"net": "nets", "micro": "micro-benchmarks"}
CAUSES = {
    "code": (COLOURS[0], "circle"), "environment": (COLOURS[1], "square"), "machine": (COLOURS[2], "diamond"),
    "confounded": (COLOURS[3], "triangle-up"), "unknown": (COLOURS[7], "cross"),
}  # fmt: skip
WORSE, BETTER = COLOURS[5], COLOURS[2]
UNITS = {"seconds": "s", "bytes": "B"}
BELOW = {"orientation": "h", "xref": "container", "x": 0, "yref": "container", "y": 0, "yanchor": "bottom"}
"""A legend under all of a figure, where names leave little room beside them."""
SHADE = "rgba(128, 128, 128, 0.14)"


def figures(nights: Sequence["Nights"], systems: Sequence[str] = ()) -> list[Figure]:
    """All of them, findings first.

    Args:
        systems: those that can be chosen on the page: machines that are none of them are always shown.
    """
    if not nights:
        return []
    found = pd.concat([each.findings for each in nights], ignore_index=True)
    shown = [changes(found, [each.reliability for each in nights])] if len(found) else []
    for number, each in enumerate(nights, 1):
        shown += _of_machine(each, f"history-{number}")
    return [_choosable(figure, systems) for figure in shown]


def _of_machine(nights: "Nights", name: str) -> Iterator[Figure]:
    where = f"{told(nights.machine)}{f', branch {told(nights.branch)}' if nights.branch else ''}"
    if len(nights.whole):
        yield whole(nights.whole, nights.findings, nights.runs, where, f"{name}-whole")
    picked = chosen(nights)
    left = nights.series.loc[nights.series["metric"] == "seconds", "case"].nunique() - len(picked)
    for place, (case, metric) in enumerate(picked, 1):
        rows = nights.series[(nights.series["case"] == case) & (nights.series["metric"] == metric)]
        of_it = nights.findings[(nights.findings["series"] == case)]
        note = f"{left} more cases: --net PATTERN shows them." if left > 0 and place == len(picked) else ""
        yield trend(rows, of_it, nights.runs, where, f"{name}-{place}", note)


def changes(found: pd.DataFrame, reliability: Sequence[str] = ()) -> Figure:
    """What changed, by how much and by what, as a forest.

    Args:
        found: `reports.history.nights.FINDING`, what is most urgent first.
    """
    label = [f"#{row['finding']} {short(told(row['case']))}" for row in found.to_dict("records")]
    data = found.assign(label=label, hover=[_sentence(row) for row in found.to_dict("records")])
    shown = data[data["percent"].notna()].head(MOST_CHANGES)
    causes = shown["cause"].str.partition(":")[0]
    traces = [
        points(
            shown[causes == cause], "percent", "label", name=cause, low="low_percent", high="high_percent", across=True,
            text="hover", mode="markers", marker={"color": colour, "symbol": symbol, "size": 9},
        )
        for cause, (colour, symbol) in CAUSES.items() if (causes == cause).any()
    ]  # fmt: skip
    axes = of_names(layout("change, %", ""), shown["label"])
    left = f" The first {len(shown)} are drawn; the table has all {len(data)}." if len(data) > len(shown) else ""
    note = (
        f"Right of 0 is more. Found by dlhw history check; runs added since have not been judged.{left} "
        f"dlhw history show N has the commands that tell more. {'; '.join(dict.fromkeys(reliability)).capitalize()}."
    )
    return Figure(
        "history-changes", "What changed, since when, and whose doing was it?", _urgent(data),
        plot(traces, axes) if len(shown) else None, data, CHANGES, note,
    )  # fmt: skip


def _urgent(found: pd.DataFrame) -> str:
    """What is for the worse and unjudged; else that there is nothing of it."""
    bad = found[(found["state"] == "open") & found["worse"].astype(bool)]
    if bad.empty:
        return "No finding for the worse is open."
    more = f" And {len(bad) - MOST_TOLD} more." if len(bad) > MOST_TOLD else ""
    sentences = " ".join(f"{_sentence(row)}." for row in bad.head(MOST_TOLD).to_dict("records"))
    return f"{len(bad)} open for the worse. {sentences}{more}"


def _sentence(row: Any) -> str:
    """`#3, box: lenet-... seconds +10.2% [+9.8, +10.6] since 2026-02-13; code: c0ffee..f00d (3 commits)`."""
    return (
        f"#{row['finding']}, {told(row['machine'])}: {told(row['case'])}, {_changed(row)} since {row['since'][:10]}; "
        f"{told(row['cause'])}"
    )


def _changed(row: Any) -> str:
    return str(row["change"]) if row["metric"] == "measured" else f"{row['metric']} {row['change']}"


def whole(data: pd.DataFrame, found: pd.DataFrame, runs: pd.DataFrame, where: str, name: str) -> Figure:
    """A machine over time: the median of all cases, each held against itself, and what half of them lie between."""
    traces: list[go.Scatter] = []
    for (kind, text), colour in zip(KINDS.items(), COLOURS, strict=False):
        own = data[data["kind"] == kind]
        if len(own):
            looks = {"color": colour, "size": 5, "symbol": "circle" if kind == "net" else "square"}
            traces.append(band(own, "at", "low_quarter", "high_quarter", colour))
            traces.append(points(own, "at", "change", name=text, mode="lines+markers", marker=looks))
    common = found[found["series"].isna() & (found["metric"] == "seconds")]
    finding = " ".join(f"{_sentence(row)}." for row in common.head(MOST_TOLD).to_dict("records"))
    axes = _dated(layout("", "change of time, %"), runs, common, 340)
    note = f"The median over all cases, against their first runs; half of the cases lie in the band. {_last_of(data)}"
    return Figure(
        name, f"Has the machine as a whole changed? ({where})", finding, plot(traces, axes), data, WHOLE,
        f"{note} {_named(runs)}",
    )  # fmt: skip


def _last_of(data: pd.DataFrame) -> str:
    last = data[data["at"] == data["at"].max()].to_dict("records")
    shown = " and ".join(f"{row['change']:+.1f}% over {row['cases']} {KINDS[row['kind']]}" for row in last)
    return f"The last run: {shown}."


def chosen(nights: "Nights") -> list[tuple[str, str]]:
    """(case, metric) that are drawn: with findings first, then what was asked for, or is farthest from its median."""
    own = nights.findings[nights.findings["series"].notna()]
    metrics = own["metric"].str.replace(" ", "_").replace("measured", "seconds")
    there = set(zip(nights.series["case"], nights.series["metric"], strict=True))
    found = [each for each in dict.fromkeys(zip(own["series"], metrics, strict=True)) if each in there]
    times = nights.series[nights.series["metric"] == "seconds"].groupby("case", sort=True)["value"]
    order = pd.Series(0.0, times.median().index) if nights.asked else -(times.last() / times.median() - 1).abs()
    rest = [(str(case), "seconds") for case in order.sort_values(kind="stable").index]
    most = MOST_TRENDS if nights.asked else max(len(found), MOST_UNASKED)
    return [*dict.fromkeys([*found, *rest])][: min(most, MOST_TRENDS)]


def trend(rows: pd.DataFrame, found: pd.DataFrame, runs: pd.DataFrame, where: str, name: str, note: str = "") -> Figure:
    """A case run by run, with its 95 % interval.

    Args:
        rows: `reports.history.nights.SERIES` of one case and metric.
        found: the findings of this case.
        runs: all of its machine, whose environments are shaded.
    """
    case, metric = str(rows["case"].iloc[0]), str(rows["metric"].iloc[0])
    value, low, high = (f"{part}{metric}" for part in ("", "low_", "high_"))
    data = rows.rename(columns={"value": value, "low": low, "high": high}).assign(middle=rows["value"].median())
    measured = data[data[value].notna()]
    disturbed, without = measured[measured["reason"] != ""], data[data[value].isna() & data["middle"].notna()]
    looks = {"color": COLOURS[0], "size": 6}
    traces = [points(measured, "at", value, name="measured", low=low, high=high, text="commit",
                     mode="lines+markers", marker=looks, line={"width": 1})]  # fmt: skip
    for own, y, text, symbol, colour in ((disturbed, value, "disturbed", "circle-open", COLOURS[1]),
                                         (without, "middle", "not measured", "x", COLOURS[5])):  # fmt: skip
        if len(own):
            marker = {"color": colour, "symbol": symbol, "size": 11, "line": {"width": 2, "color": colour}}
            traces.append(points(own, "at", y, name=text, mode="markers", marker=marker, text="reason"))
    axes = layout("", metric.replace("_", " "))
    axes.yaxis.update(ticksuffix=UNITS.get(metric.rpartition("_")[2], ""), tickformat="~s")
    of_metric = found[found["metric"].isin([metric.replace("_", " "), "measured"])]
    question = f"{told(case)}, {metric.replace('_', ' ')} by run ({where})"
    return Figure(
        name, question, _told_of(of_metric), plot(traces, _dated(axes, runs, of_metric, 300)), data,
        ("machine", "case", *TREND[:3], value, low, high, *TREND[3:]),
        f"{_last(measured[value], metric)} {_named(runs)} {note}".strip(),
    )  # fmt: skip


def _told_of(found: pd.DataFrame) -> str:
    """What was found of a case alone; empty where nothing was."""
    return " ".join(
        f"#{row['finding']}, {row['state']}: {row['change']} since {row['since'][:10]}; {told(row['cause'])}."
        for row in found.head(MOST_TOLD).to_dict("records")
    )


def _last(measured: pd.Series, metric: str) -> str:
    if measured.empty:
        return "Never measured."
    show = {"seconds": units.seconds, "bytes": units.octets}.get(metric.rpartition("_")[2], units.number)
    last, middle = float(measured.iloc[-1]), float(measured.median())
    share = f", {100 * (last / middle - 1):+.1f}%" if middle else ""
    return f"The last of {len(measured)} runs: {show(last)}{share} against their median."


def _dated(axes: go.Layout, runs: pd.DataFrame, found: pd.DataFrame, height: int) -> go.Layout:
    """With time along x, environments as bands, and a line where a change is found."""
    axes.update(height=height, legend=BELOW, margin_b=70, margin_t=36)
    axes.xaxis.type = "date"
    begins = runs.drop_duplicates("environment")
    ends = [*begins["at"].iloc[1:], runs["at"].iloc[-1]]
    for number, (row, end) in enumerate(zip(begins.to_dict("records"), ends, strict=True)):
        if number % 2:
            axes.shapes += (_shape("rect", row["at"], end, fillcolor=SHADE, line={"width": 0}, layer="below"),)
        if number and number >= len(begins) - NAMED_ENVIRONMENTS:
            axes.annotations += (_mark(row["at"], 0, f"env {row['environment']}"),)
    for number, row in enumerate(found.sort_values("since").to_dict("records")):
        colour, dash = WORSE if row["worse"] else BETTER, "dash" if row["state"] == "open" else "dot"
        axes.shapes += (_shape("line", row["since"], row["since"], line={"color": colour, "width": 2, "dash": dash}),)
        axes.annotations += (_mark(row["since"], 1, f"#{row['finding']}", 12 * (number % 2)),)
    return axes


def of_names(axes: go.Layout, labels: pd.Series) -> go.Layout:
    """With a line for each name, the first on top, and 0 in sight."""
    axes.update(height=140 + 26 * len(labels), legend=BELOW, margin_b=80)
    axes.xaxis.rangemode = "tozero"
    axes.yaxis.update(type="category", categoryarray=list(labels[::-1]))
    return axes


def _shape(kind: str, begin: str, end: str, **looks: Any) -> go.layout.Shape:
    return go.layout.Shape(type=kind, xref="x", yref="paper", x0=begin, x1=end, y0=0, y1=1, **looks)


def _mark(x: str, y: int, text: str, shift: int = 0) -> go.layout.Annotation:
    return go.layout.Annotation(
        x=x, y=y, xref="x", yref="paper", text=text, showarrow=False, xanchor="left", font={"size": 11},
        yanchor="bottom", yshift=shift,
    )  # fmt: skip


def _named(runs: pd.DataFrame) -> str:
    """What is new in each of the last environments."""
    begins = runs[runs["changed"] != ""].tail(NAMED_ENVIRONMENTS)
    told_ = [f"env {row['environment']}, {row['at'][:10]}: {told(row['changed'])}" for row in begins.to_dict("records")]
    return f"Environments by turns shaded; {'; '.join(told_)}." if told_ else "One environment all the while."


def _choosable(figure: Figure, systems: Sequence[str]) -> Figure:
    """Rows follow the choice of systems where the page has theirs; a row without a system is always shown."""
    data = figure.data
    devices = data["device"] if "device" in data else pd.Series(None, index=data.index, dtype=object)
    names = [
        next((name for name in (str(machine), f"{machine} {device}") if name in systems), None)
        for machine, device in zip(data["machine"], devices, strict=True)
    ]
    return replace(figure, data=data.assign(system=pd.array(names, dtype="string")))


def told(name: object) -> str:
    """A name in a sentence: nothing in it turns around what stands beside it."""
    text = "\u200d".join(map(printable, str(name).split("\u200d")))  # what joins the parts of an emoji stays
    backwards = any(unicodedata.bidirectional(char) in {"R", "AL"} for char in text)
    return f"\u2068{text}\u2069" if backwards else text


def short(text: str) -> str:
    """A label of an axis, in which plotly reads HTML."""
    return escape(text if len(text) <= LABEL else f"{text[: LABEL - 1]}\u2026", quote=False)
