"""The page's sections, in the order in which a person asks: a line each.

A section without figures is drawn in the browser for what is chosen (`VIEWS` in scripts/main.js); one with figures
shows what functions of frames have drawn, as far as its rows are chosen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from reports.analysis.dataset import Dataset
from reports.analysis.relative import systems
from reports.page import figures, figures_fleet, figures_gate, figures_hardware, figures_history
from reports.page.beside import Beside
from reports.page.plots import Figure, Styles


@dataclass(frozen=True)
class Material:
    """What figures are made of.

    Attributes:
        sentences: operation -> what `bench.records.findings` says of it.
    """

    data: Dataset
    beside: Beside
    styles: Styles
    sentences: Mapping[str, str]


@dataclass(frozen=True)
class Section:
    """One section.

    Attributes:
        short: for the navigation.
        draw: its figures; None where the browser draws it.
        of_nets: shown only where nets were measured.
    """

    id: str
    title: str
    short: str
    unfolded: bool = True
    draw: Callable[[Material], list[Figure]] | None = None
    of_nets: bool = True


def _gates(material: Material) -> list[Figure]:
    return figures_gate.figures(material.beside.gates)


def _history(material: Material) -> list[Figure]:
    cases = material.data.cases
    own = list(systems(cases).unique()) if len(cases) else []
    return figures_history.figures(material.beside.nights, own)


def _fleets(material: Material) -> list[Figure]:
    return figures_fleet.figures(material.beside.fleets)


def _trade_offs(material: Material) -> list[Figure]:
    """Of each mode by itself, as everything else that the page says."""
    cases, pairs = material.data.cases, material.data.settings
    return [
        replace(figure, id=f"{figure.id}-{mode}", question=f"{figure.question} ({mode})", mode=mode)
        for mode in map(str, cases["mode"].dropna().unique())
        for figure in figures.trade_offs(cases[cases["mode"] == mode], pairs[pairs["mode"] == mode], material.styles)
    ]


def _hardware(material: Material) -> list[Figure]:
    return figures_hardware.curves(material.data.cases, material.styles, material.sentences)


SECTIONS = (
    Section("gate", "Is head slower?", "Gate", draw=_gates, of_nets=False),
    Section("history", "What changed, and since when?", "History", draw=_history, of_nets=False),
    Section("fleet", "Is a machine not like the others of its kind?", "Fleet", draw=_fleets, of_nets=False),
    Section("relative", "Which is faster, and by how much?", "Which is faster"),
    Section("best", "What should each net run with?", "Best settings"),
    Section("net", "One net in detail", "One net"),
    Section("compare", "Two systems, net by net", "Compare two"),
    Section("settings", "What does each setting buy?", "Settings"),
    Section("size", "How does speed follow size?", "Speed and size"),
    Section("trade-offs", "What does speed cost?", "Trade-offs", unfolded=False, draw=_trade_offs),
    Section("hardware", "What can the hardware itself do?", "Hardware", unfolded=False, draw=_hardware, of_nets=False),
    Section("cases", "All cases", "All cases", unfolded=False, of_nets=False),
)
