"""`dlhw report`: one HTML file that needs no network, made of frames and figures."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from reports.analysis import dataset, findings
from reports.analysis.compare import differences
from reports.analysis.dataset import Dataset
from reports.page import figures, figures_gate, figures_hardware
from reports.page.figures_gate import GateFile
from reports.page.plots import KEYS, Figure, styles_for
from reports.references.published import PUBLISHED
from suites import units

SCALES: Mapping[str, tuple[str, float]] = {
    "seconds": ("ms", 1e3), "bytes": ("MiB", 2**-20), "flops_per_second": ("GFLOP/s", 1e-9),
    "bytes_per_second": ("GB/s", 1e-9),
}  # fmt: skip
"""How a column's name ends -> the unit of the page's tables, and the factor."""
DIGITS = 5
MOST_ROWS = 20_000
"""Beyond it the page holds what is fastest of each net and setting, and says so."""
TABLE_COLUMNS = (
    "machine", "architecture", "input_shape", "mode", "batch_size", "precision", "memory_format", "compile_mode",
    "device", "threads", "cudnn_benchmark", "power_limit",
    "status", "reason", "images_per_second", "median_seconds", "low_seconds", "high_seconds",
    "half_width", "launches", "peak_bytes", "flops_per_second", "noisy",
)  # fmt: skip


def render(data: Dataset, title: str, gates: Sequence[GateFile] = ()) -> str:
    """The page as text; of results, of gates, or of both."""
    from jinja2 import Environment, PackageLoader

    shown, note = _limited(data.cases)
    settings = data.settings if not note else _of_shown(data.settings, shown)
    styles = styles_for(shown)
    sentences, claims = findings.of_results(data.files)
    drawn = figures_gate.figures(gates)
    if not shown.empty:
        drawn += figures.all_of(shown, settings, dataset.winners(shown, data.reference), styles)
        drawn += figures_hardware.curves(shown, styles, {item["operation"]: item["text"] for item in sentences})
    page = Environment(loader=PackageLoader("reports.page"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return page.get_template("page.html.j2").render(
        title=title,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        note=note,
        coverage=coverage(data.cases),
        figures=drawn,
        silent=[] if shown.empty else figures.silent(drawn, shown),
        claims=claims,
        published=[] if shown.empty else PUBLISHED,
        machines=[*map(_machine, data.files), *({"file": gate.path.name, "facts": gate.facts} for gate in gates)],
        differences=_differences(data),
        payload=_payload(shown, drawn),
        plotly=_bundled("plotly-cartesian.min.js"),
        script=_bundled("page.js"),
        style=_bundled("page.css"),
    )


def _bundled(name: str) -> str:
    """A file beside the template. `</script>` in it would end the script that it is in."""
    text = (resources.files("reports.page") / "templates" / name).read_text(encoding="utf-8")
    return text.replace("</script", "<\\/script")


def _limited(cases: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    if len(cases) <= MOST_ROWS:
        return cases, ""
    keys = ["machine", "architecture", "mode", "precision", "memory_format", "compile_mode", "cudnn_benchmark",
            "power_limit", "operation", "size"]  # fmt: skip
    best = cases.sort_values("images_per_second", ascending=False, kind="stable")
    kept = best.drop_duplicates(keys).head(MOST_ROWS).sort_index().reset_index(drop=True)
    return kept, f"{len(cases):,} cases: shown are the fastest batches of each net and setting, {len(kept):,} of them."


def _of_shown(settings: pd.DataFrame, shown: pd.DataFrame) -> pd.DataFrame:
    """Pairs of which both cases are shown."""
    there = set(zip(shown["machine"], shown["id"], strict=True))
    kept = [
        {(machine, first), (machine, second)} <= there
        for machine, first, second in settings[["machine", "from_id", "id"]].itertuples(index=False)
    ]
    return settings[kept].reset_index(drop=True)


def coverage(cases: pd.DataFrame) -> list[dict[str, Any]]:
    """For each machine: what was measured, how much of it is noisy, what was not, with the reasons."""
    rows = []
    for machine, own in cases.groupby("machine", sort=False):
        measured = own[own["status"] == "measured"]
        rest = own[own["status"] != "measured"]
        reasons = (rest["status"] + ": " + rest["reason"].fillna("")).value_counts()
        rows.append(
            {
                "machine": machine,
                "devices": ", ".join(sorted({str(name) for name in own["device_model"].dropna()})),
                "torch": ", ".join(sorted({str(name) for name in own["torch"].dropna()})),
                "cases": len(own),
                "measured": len(measured),
                "noisy": int((measured["noisy"].fillna("") != "").sum()),
                "median_noise": units.percent(_median(measured["half_width"])),
                "single": int((measured["launches"].fillna(1) == 1).sum()),
                "without": int(measured["half_width"].isna().sum()),
                "reasons": [(reason, int(count)) for reason, count in reasons.items()],
            }
        )
    return rows


def _median(column: pd.Series) -> float | None:
    found = column.dropna()
    return None if found.empty else float(found.median())


def _machine(file: Any) -> dict[str, Any]:
    """Provenance of one file."""
    facts = [(name, value) for name, value in file.common.items() if value is not None]
    facts += [(f"model of {name}", model) for name, model in file.models.items() if model]
    host = {name: value for name, value in file.host.items() if not isinstance(value, dict | list)}
    facts += list(host.items())
    return {"file": Path(file.common["file"]).name, "facts": [(str(name), str(value)) for name, value in facts]}


def _differences(data: Dataset) -> list[tuple[str, tuple[str, ...]]]:
    """Facts that are not the same in all files."""
    return differences([Path(file.common["file"]) for file in data.files]) if len(data.files) > 1 else []


def _kept(cases: pd.DataFrame) -> Callable[[Iterable[str]], tuple[str, ...]]:
    """Of columns those that tell something: axes that few devices have, and no case uses, do not."""
    unused = set() if (cases["cudnn_benchmark"] == "on").any() else {"cudnn_benchmark"}
    unused |= set() if cases["power_limit"].notna().any() else {"power_limit"}
    return lambda columns: tuple(name for name in columns if name not in unused)


def _payload(cases: pd.DataFrame, drawn: Sequence[Figure]) -> str:
    """All data of the page, once: columns of each data set; for each figure its plot, its rows and its columns."""
    sets: dict[str, pd.DataFrame] = {"cases": cases}
    kept = _kept(cases)
    shown: list[tuple[str, str, tuple[str, ...], Figure | None]] = [("cases-table", "cases", kept(TABLE_COLUMNS), None)]
    for figure in drawn:
        own = (set(figure.columns) | _plotted(figure)) - set(cases.columns)
        name = (figure.share or figure.id) if own else "cases"
        sets.setdefault(name, figure.data)
        shown.append((figure.id, name, kept(figure.columns), figure))
    needed: dict[str, set[str]] = {name: set(KEYS) for name in sets}
    for _, name, columns, drawing in shown:
        needed[name] |= set(columns) | _plotted(drawing)
    text = json.dumps(
        {
            "keys": KEYS,
            "data": {name: _columns(frame, needed[name]) for name, frame in sets.items()},
            "scales": _scales(set().union(*needed.values())),
            "figures": [
                {"id": id_, "data": name, "columns": columns, "rows": _rows(drawing, sets[name]),
                 "plot": _plot(drawing, sets[name])}
                for id_, name, columns, drawing in shown
            ],
        },
        allow_nan=False, separators=(",", ":"),
    )  # fmt: skip
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _plotted(figure: Figure | None) -> set[str]:
    if figure is None or figure.plot is None:
        return set()
    metas = [trace.meta for trace in figure.plot.data if trace.meta and "rows" in trace.meta]
    return {meta[name] for meta in metas for name in ("x", "y", "z", "low", "high", "text") if meta.get(name)}


def _rows(figure: Figure | None, frame: pd.DataFrame) -> list[int] | None:
    """Places of the figure's rows in `frame`; None for all of them."""
    if figure is None or figure.data is frame:
        return None
    return [int(place) for place in frame.index.get_indexer(figure.data.index)]


def _columns(frame: pd.DataFrame, names: Iterable[str]) -> dict[str, Any]:
    """Numbers with five digits; texts as a list of the different ones and their places in it."""
    found: dict[str, Any] = {}
    for name in frame.columns:
        if name not in names or name == "id":  # the page puts an id together of the axes
            continue
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            found[str(name)] = [_rounded(value) for value in column]
        else:
            codes, texts = pd.factorize(column.astype("string"))
            found[str(name)] = {"codes": codes.tolist(), "texts": [str(text) for text in texts]}
    return found


def _rounded(value: Any) -> float | int | None:
    if pd.isna(value) or not math.isfinite(value):
        return None
    if float(value).is_integer() and abs(value) < 2**53:
        return int(value)
    return float(f"{value:.{DIGITS}g}")


def _scales(columns: Iterable[str]) -> dict[str, tuple[str, float]]:
    """Column -> (unit, factor) of the tables."""
    found = {}
    for name in columns:
        ending = next((ending for ending in sorted(SCALES, key=len, reverse=True) if name.endswith(ending)), None)
        if ending:
            found[name] = SCALES[ending]
    return found


def _plot(figure: Figure | None, frame: pd.DataFrame) -> dict[str, Any] | None:
    """The plot without its numbers where they are columns of `frame` anyway; rows by their position in it."""
    if figure is None or figure.plot is None:
        return None
    found = json.loads(figure.plot.to_json())
    for trace in found["data"]:
        if "rows" in (trace.get("meta") or {}):
            trace["meta"]["rows"] = frame.index.get_indexer(trace["meta"]["rows"]).tolist()
            for name in ("x", "y", "z", "text", "error_x", "error_y"):
                trace.pop(name, None)
    return dict(found)
