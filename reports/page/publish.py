"""`dlhw report`: the page, its summary in markdown, its data as CSV; each file is whole or not there."""

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from urllib.parse import urlencode

import pandas as pd
import plotly.graph_objects as go

from reports.analysis import dataset, findings, relative
from reports.analysis.dataset import Dataset
from reports.page import figures
from reports.page import layout as paging
from reports.page.beside import Beside
from reports.page.plots import Figure, styles_for
from reports.results import export, frames
from reports.results.escape import cell
from suites import units
from suites.errors import DlhwError


def label(text: str) -> tuple[str, str]:
    """`FILE=LABEL`.

    Raises:
        DlhwError: it reads otherwise.
    """
    file, equals, name = text.rpartition("=")
    if not equals or not name:
        raise DlhwError(f"--name {text}: expected FILE=LABEL, as in box.json=new")
    return file, name


def write(
    data: Dataset,
    title: str,
    *,
    page: Path | None,
    markdown: Path | None,
    csv: Path | None,
    pictures: Mapping[str, Path] | None = None,
    beside: Beside = paging.NOTHING,
) -> Iterator[tuple[Path, str]]:
    """Write what was asked for; yields each file and a word on it.

    Raises:
        DlhwError: a file cannot be written.
    """
    if page is not None:
        text = paging.render(data, title, beside)
        export.write_text(text, page)
        machines = data.cases["machine"].nunique()
        cases = [f"{units.count(len(data.cases), 'case')} of {units.count(machines, 'machine')}"] if machines else []
        yield page, ", ".join([*cases, *beside.counted(), units.octets(len(text))])
    if markdown is not None:
        export.write_text(summary(data, title, beside), markdown)
        yield markdown, "a summary"
    if csv is not None:
        for name, frame in tables(data, beside).items():
            export.csv(frame, _in_folder(csv, name))
        yield csv, "the data of each figure"
    for kind, folder in (pictures or {}).items():
        count = sum(_picture(figure, kind, folder) for figure in [*_drawn(data), *beside.figures()])
        yield folder, units.count(count, "picture")


FOLDED = ("relative", "best", "net", "settings", "size")
"""The sections that a page of two leaves for later."""


def comparison(base: Path, head: Path, page: Path) -> str:
    """Write a page of two results, opened where it compares them; returns a word on it.

    Raises:
        DlhwError: a file cannot be read, or both are one; the page cannot be written.
    """
    if base.resolve() == head.resolve():
        raise DlhwError(f"--html {page}: {base} and {head} are one file, and a page of two needs two")
    labels = (base.stem, head.stem) if base.stem != head.stem else (str(base), str(head))
    several = [path for path in (base, head) if frames.load(path)["machine"].nunique(dropna=False) > 1]
    names = {str(path): label for path, label in zip((base, head), labels, strict=True) if path not in several}
    data = dataset.load([base, head], names=names, prices={}, reference=None)
    own = relative.systems(data.cases)
    systems = [own[(data.cases["file"] == str(path)) & (data.cases["kind"] == "net")].tolist() for path in (base, head)]
    chosen = {"b": systems[0][:1], "a": systems[1][:1], "net": ["*"], "way": ["same"], "fold": list(FOLDED)}
    text = paging.render(data, f"{labels[1]} against {labels[0]}", address=urlencode(chosen, doseq=True))
    export.write_text(text, page)
    return units.octets(len(text))


def _picture(figure: Figure, kind: str, folder: Path) -> bool:
    """Whether there was a plot to take a picture of.

    Raises:
        DlhwError: kaleido or a browser is missing, or the folder cannot be made.
    """
    if figure.plot is None:
        return False
    path = _in_folder(folder, figure.id, kind)
    shown = go.Figure(figure.plot)
    title = {"text": f"{escape(figure.question)}<br><sup>{escape(figure.finding)}</sup>"}
    shown.update_layout(title=title, paper_bgcolor="white", plot_bgcolor="white", margin_t=80)
    try:
        shown.write_image(path, format=kind, width=1000, height=500, scale=2)
    except (ImportError, ValueError, RuntimeError) as error:
        text = str(error).strip().partition("\n")[0]
        raise DlhwError(f"--{kind} {folder}: {text} (pip install kaleido, and a Chrome or Chromium)") from error
    return True


def _in_folder(folder: Path, name: str, kind: str = "csv") -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DlhwError(f"--{kind} {folder}: {error.strerror}") from error
    return folder / f"{name}.{kind}"


def _drawn(data: Dataset) -> list[Figure]:
    if data.cases.empty:
        return []
    return figures.all_of(data.cases, data.settings, data.reference, styles_for(data.cases))


def tables(data: Dataset, beside: Beside = paging.NOTHING) -> dict[str, pd.DataFrame]:
    """Figure -> its data."""
    drawn = [*_drawn(data), *beside.figures()]
    return {"cases": data.cases, **{figure.id: figure.data[list(figure.columns)] for figure in drawn}}


def summary(data: Dataset, title: str, beside: Beside = paging.NOTHING) -> str:
    """For a pull request or a README: what was measured, and the finding of each figure."""
    sentences, claims = findings.of_results(data.files)
    drawn = [*beside.figures(), *_drawn(data)]
    lines = [f"## {title}", ""]
    if not data.cases.empty:
        lines += ["| machine | cases | measured | noisy |", "|---|---|---|---|"]
        for row in paging.coverage(data.cases):
            lines.append(f"| {cell(row['machine'])} | {row['cases']} | {row['measured']} | {row['noisy']} |")
        lines += ["", *_relative(data)]
    told = [figure for figure in drawn if figure.finding and not figure.id.startswith("relative-")]
    lines += [f"- **{cell(figure.question)}** {cell(figure.finding)}" for figure in told]
    lines += [f"- **{cell(item['subject'])}**: {cell(item['text'])}" for item in sentences]
    lines += [f"- {cell(item['claim'])}: **{item['verdict']}**. {cell(item['figures'])}" for item in claims]
    return "\n".join(lines) + "\n"


def _relative(data: Dataset) -> Iterator[str]:
    """A table for each mode and way of comparing that has two systems."""
    for mode in ("inference", "training"):
        for way in relative.WAYS:
            found = relative.relative(data.cases, mode=mode, way=way, reference=data.reference)
            if found.finding:
                yield from (
                    f"### {cell(found.finding)}",
                    "",
                    f"| system | speed, {cell(found.reference)} = 1 | nets |",
                )
                yield "|---|---|---|"
                for row in found.table.to_dict("records"):
                    speed = (
                        "1"
                        if row["system"] == found.reference
                        else units.spread(row["ratio"], row["ratio_low"], row["ratio_high"])
                    )
                    yield f"| {cell(row['system'])} | {speed} | {row['nets']} |"
                yield ""
