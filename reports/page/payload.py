"""The data of the page: columns, each data set once, compressed; the browser unpacks them."""

import base64
import gzip
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from reports.analysis.dataset import Dataset, grouped, plain
from reports.analysis.relative import relative, systems
from reports.page.figures import roofs
from reports.page.plots import COLOURS, SYMBOLS, Figure
from reports.references.published import PUBLISHED
from suites.architectures import ARCHITECTURES, TORCHVISION

SCALES: Mapping[str, tuple[str, float]] = {
    "seconds": ("ms", 1e3), "bytes": ("MiB", 2**-20), "flops_per_second": ("GFLOP/s", 1e-9),
    "bytes_per_second": ("GB/s", 1e-9),
}  # fmt: skip
"""How a column's name ends -> the unit of the page's tables, and the factor."""
DIGITS = 7
"""So many that whole images a second, which are shown to the last one, are right."""
TABLE_COLUMNS = (
    "machine", "architecture", "input_shape", "mode", "batch_size", "precision", "memory_format", "compile_mode",
    "device", "threads", "cudnn_benchmark", "power_limit", "operation", "variant", "size", "status", "reason",
    "images_per_second", "median_seconds", "low_seconds", "high_seconds", "half_width", "launches", "peak_bytes",
    "flops_per_second", "noisy",
)  # fmt: skip
CASES = {
    *TABLE_COLUMNS, "system", "kind", "samples_per_second", "latency_seconds", "parameters", "forward_flops_per_image",
    "bound", "share_of_ceiling", "operator_intensity", "images_per_joule", "dollars_per_million", "value", "value_low",
    "value_high", "predicted",
}  # fmt: skip
"""What the browser's own sections read."""
PAIRS = {
    "system", "architecture", "input_shape", "mode", "batch_size", "precision", "memory_format", "compile_mode",
    "threads", "setting", "gain", "gain_low", "gain_high",
}  # fmt: skip
LAYERS = {
    "system", "architecture", "input_shape", "mode", "batch_size", "precision", "memory_format", "compile_mode",
    "threads", "case", "layer", "kind", "phase", "seconds", "share", "bound",
}  # fmt: skip
COURSE = (*ARCHITECTURES, *(f"{TORCHVISION}{name}" for name in ("alexnet", "vgg11", "googlenet", "resnet18")))
"""The nets that are chosen at first: the course's, and torchvision's of the same name."""


def packed(text: str) -> str:
    """Compressed, as text that may stand in a page."""
    return base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode()


def payload(
    data: Dataset, cases: pd.DataFrame, pairs: pd.DataFrame, drawn: Mapping[str, Sequence[Figure]],
    differing: Sequence[tuple[str, Sequence[str]]] = (),
) -> str:  # fmt: skip
    """All that the browser needs to know, as JSON.

    Args:
        cases, pairs: what is shown of `data`.
        drawn: section -> its figures.
        differing: (fact, what each file says).
    """
    sets, shown = {"cases": _named(cases), "pairs": _named(pairs)}, []
    needed = {"cases": set(CASES), "pairs": set(PAIRS)}
    if len(data.layers):
        known = sets["cases"].drop_duplicates(["machine", "device"])[["machine", "device", "system"]]
        sets["layers"] = data.layers.merge(known, on=["machine", "device"], how="left")
        needed["layers"] = set(LAYERS)
    for section, figures in drawn.items():
        for figure in figures:
            wanted = set(figure.columns) | _plotted(figure) | _axes(figure.data)
            name = (figure.share or figure.id) if wanted - set(sets["cases"].columns) else "cases"
            sets.setdefault(name, _named(figure.data))
            needed.setdefault(name, set()).update(wanted | {"system"})
            shown.append((section, figure, name))
    document = {
        "data": {name: _columns(frame, needed[name]) for name, frame in sets.items()},
        "figures": [_figure(section, figure, name, sets[name]) for section, figure, name in shown],
        "scales": _scales(set().union(*needed.values())), "table_columns": _told(cases),
        **_facts(data, sets["cases"], differing),
    }  # fmt: skip
    return json.dumps(document, allow_nan=False, separators=(",", ":"))


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """With the column `system`, where it can be known."""
    if "system" in frame or not {"machine", "device"} <= set(frame.columns):
        return frame
    return frame.assign(system=systems(frame.assign(kind="net") if "kind" not in frame else frame))


def _axes(frame: pd.DataFrame) -> set[str]:
    return {"machine", *TABLE_COLUMNS[1:15]} & set(frame.columns)


def _told(cases: pd.DataFrame) -> list[str]:
    """The columns of the table that say anything."""
    silent = set() if (cases["cudnn_benchmark"] == "on").any() else {"cudnn_benchmark"}
    return [name for name in TABLE_COLUMNS if name in cases and name not in silent and cases[name].notna().any()]


def _facts(data: Dataset, cases: pd.DataFrame, differing: Sequence[tuple[str, Sequence[str]]]) -> dict[str, Any]:
    names = [str(name) for name in cases["system"].dropna().unique()] if "system" in cases else []
    paths = [Path(file.common["file"]) for file in data.files]
    places = {str(path): place for place, path in enumerate(paths)}
    files: dict[str, list[int]] = {}
    for key in grouped(plain(cases[["system", "file"]]), ["system", "file"]) if names else ():
        files.setdefault(str(key[0]), []).append(places[str(key[1])])
    return {
        "looks": {name: {"colour": COLOURS[place % len(COLOURS)], "symbol": SYMBOLS[place % len(SYMBOLS)]}
                  for place, name in enumerate(names)},
        "reference": data.reference, "course": COURSE, "way": _way(cases, data.reference),
        "published": [asdict(each) for each in PUBLISHED], "roofs": roofs(cases),
        "facts": [{"name": name, "values": values} for name, values in differing], "files_of": files,
    }  # fmt: skip


def _way(cases: pd.DataFrame, reference: str) -> str:
    """The same settings, where that compares as many systems; else each one's best."""
    own = cases[cases["architecture"].isin(COURSE)] if len(cases) else cases
    chosen = own if len(own) else cases
    counts = {
        way: max((len(relative(chosen, mode=mode, way=way, reference=reference).table)
                  for mode in ("inference", "training")), default=0) for way in ("same", "best")
    }  # fmt: skip
    return "same" if counts["same"] >= counts["best"] else "best"


def _plotted(figure: Figure) -> set[str]:
    if figure.plot is None:
        return set()
    metas = [trace.meta for trace in figure.plot.data if trace.meta and "rows" in trace.meta]
    return {meta[name] for meta in metas for name in ("x", "y", "z", "low", "high", "text") if meta.get(name)}


def _figure(section: str, figure: Figure, name: str, frame: pd.DataFrame) -> dict[str, Any]:
    whole = len(figure.data) == len(frame)
    rows = None if whole else [int(place) for place in frame.index.get_indexer(figure.data.index)]
    return {
        "section": section, "id": figure.id, "question": figure.question, "finding": figure.finding,
        "note": figure.note, "data": name, "columns": figure.columns, "rows": rows, "plot": _plot(figure, frame),
        "mode": figure.mode,
    }  # fmt: skip


def _plot(figure: Figure, frame: pd.DataFrame) -> dict[str, Any] | None:
    """The plot without its numbers where they are columns of `frame` anyway; rows by their position in it."""
    if figure.plot is None:
        return None
    found = json.loads(figure.plot.to_json())
    for trace in found["data"]:
        if "rows" in (trace.get("meta") or {}):
            trace["meta"]["rows"] = frame.index.get_indexer(trace["meta"]["rows"]).tolist()
            for name in ("x", "y", "z", "text", "error_x", "error_y"):
                trace.pop(name, None)
    return dict(found)


def _columns(frame: pd.DataFrame, names: Iterable[str]) -> dict[str, Any]:
    """Numbers with `DIGITS` digits; texts as a list of the different ones and their places in it."""
    found: dict[str, Any] = {}
    for name in frame.columns:
        if name not in names or (name == "id" and "operation" in frame):  # the page puts an id together of the axes
            continue
        column = frame[name]
        if name == "predicted":
            found[name] = [int(value) for value in column.eq(True)]
        elif pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
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
