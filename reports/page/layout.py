"""`dlhw report`: one HTML file that needs no network, made of frames and figures."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from reports.analysis import findings
from reports.analysis.compare import differences
from reports.analysis.dataset import Dataset
from reports.analysis.relative import systems
from reports.page import figures
from reports.page.beside import Beside
from reports.page.payload import packed, payload
from reports.page.plots import styles_for
from reports.page.sections import SECTIONS, Material
from reports.references.published import PUBLISHED
from suites import units

MOST_ROWS = 20_000
"""Beyond it the page holds what is fastest of each net and setting, and says so."""
SCRIPTS = (
    "data", "format", "relative", "curves", "choice", "draw", "tables", "chooser", "view_relative", "view_settings",
    "view_memory", "view_layers", "view_net", "view_compare", "view_figures", "main",
)  # fmt: skip
"""The page's own modules, each after those that it imports."""


NOTHING = Beside()


def render(data: Dataset, title: str, beside: Beside = NOTHING, *, address: str = "") -> str:
    """The page as text; of results, of what is beside them, or of both.

    Args:
        address: what is chosen where the page's own address says nothing, as `a=box&b=card`.
    """
    from jinja2 import Environment, PackageLoader

    shown, note = _limited(data.cases)
    pairs = data.settings if not note else _of_shown(data.settings, shown)
    sentences, claims = findings.of_results(data.files)
    part = replace(data, cases=shown, settings=pairs)
    material = Material(part, beside, styles_for(shown), _told(sentences))
    drawn = {section.id: section.draw(material) for section in SECTIONS if section.draw}
    differing = differences(data.files)
    nets = bool(len(shown)) and bool((shown["kind"] == "net").any())
    page = Environment(loader=PackageLoader("reports.page"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return page.get_template("page.html.j2").render(
        title=title,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        note=note,
        address=address,
        cards=cards(data),
        coverage=coverage(data.cases),
        nets=nets,
        measures=_measures(shown),
        sections=[each for each in SECTIONS if (nets or not each.of_nets) and (drawn.get(each.id) or not each.draw)
                  and (len(shown) or each.draw)],
        silent=figures.silent([each for own in drawn.values() for each in own], shown, pairs) if nets else [],
        claims=claims,
        published=PUBLISHED if nets else [],
        machines=[*map(_machine, data.files), *beside.facts()],
        differences=differing,
        payload=packed(payload(part, shown, pairs, drawn, differing)),
        plotly=packed(_bundled("plotly-cartesian.min.js")),
        vendor=packed(_bundled("vendor.min.js")),
        script=script(),
        style=_bundled("vendor.min.css") + _bundled("page.css"),
    )  # fmt: skip


def _told(sentences: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Operation -> what is said of it; of several machines or devices, of which of them it is said."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for item in sentences:
        found.setdefault(str(item["operation"]), []).append(item)
    return {
        operation: own[0]["text"] if len(own) == 1 else " ".join(f"{each['subject']}: {each['text']}." for each in own)
        for operation, own in found.items()
    }


def script() -> str:
    """The page's own modules as one script: their imports and exports are within it, and fall away."""
    folder = resources.files("reports.page") / "scripts"
    text = "\n".join((folder / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    text = re.sub(r"^import [^;]*;\n|^export \{[^}]*\};\n|^export ", "", text, flags=re.M)
    return f'"use strict";\n{{\n{text}}}\n'.replace("</script", "<\\/script")


def _bundled(name: str) -> str:
    """A file beside the template."""
    return (resources.files("reports.page") / "templates" / name).read_text(encoding="utf-8")


def _measures(cases: pd.DataFrame) -> list[tuple[str, str]]:
    """By what systems can be compared here."""
    found = [("speed", "speed")]
    found += [("dollar", "per dollar")] if cases["dollars_per_million"].notna().any() else []
    return found + ([("joule", "per joule")] if cases["images_per_joule"].notna().any() else [])


def cards(data: Dataset) -> list[dict[str, Any]]:
    """What a reader should know of each system before its numbers."""
    hosts: Mapping[str, Mapping[str, Any]] = {str(file.common["file"]): file.host for file in data.files}
    found = []
    for system, own in data.cases.groupby(systems(data.cases), sort=False) if len(data.cases) else ():
        host = next((hosts[str(file)] for file in own["file"].unique() if hosts.get(str(file))), {})
        measured = own[own["status"] == "measured"]
        found.append({"system": system, "lines": list(filter(None, _card(own, measured, host)))})
    return found


def _card(own: pd.DataFrame, measured: pd.DataFrame, host: Mapping[str, Any]) -> list[str]:
    models = ", ".join(sorted({str(name) for name in own["device_model"].dropna()}))
    cores, memory = host.get("cores"), host.get("memory_bytes")
    body = ", ".join(filter(None, [f"{cores} cores" if cores else "", units.octets(memory) if memory else ""]))
    torch = ", ".join(sorted({str(name) for name in own["torch"].dropna()}))
    return [models, body, f"torch {torch}" if torch else "", _reaches(measured), _known(own, measured)]


def _reaches(measured: pd.DataFrame) -> str:
    """The largest share of its own roof."""
    own = measured[measured["share_of_ceiling"].notna()]
    if own.empty:
        return ""
    best = own.sort_values("share_of_ceiling", kind="stable").iloc[-1]
    return f"reaches {units.percent(best['share_of_ceiling'])} of its own roof ({best['architecture']} {best['mode']})"


def _known(own: pd.DataFrame, measured: pd.DataFrame) -> str:
    """How well."""
    noisy = int((measured["noisy"].fillna("") != "").sum())
    without = int(measured["half_width"].isna().sum())
    words = [units.count(len(measured), "case")] + (
        [f"{rest:,} not measured"] if (rest := len(own) - len(measured)) else []
    )
    words += [f"{noisy:,} disturbed"] if noisy else []
    words += ["imported, no intervals"] if without == len(measured) and without else []
    if without < len(measured):
        words.append(f"\u00b1{units.percent(_median(measured['half_width']))} in the middle")
    return ", ".join(words)


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
