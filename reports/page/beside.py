"""What a page shows beside results, or without any: gates, a store's history, fleets."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.page import figures_fleet, figures_gate, figures_history
from reports.page.figures_fleet import FleetFolder
from reports.page.figures_gate import GateFile
from reports.page.plots import Figure
from suites import units
from suites.errors import DlhwError

if TYPE_CHECKING:
    from reports.history.nights import Nights


@dataclass(frozen=True)
class Beside:
    """What was read of each."""

    gates: Sequence[GateFile] = ()
    nights: Sequence["Nights"] = ()
    fleets: Sequence[FleetFolder] = ()

    def figures(self) -> list[Figure]:
        """Of all of it."""
        return [
            *figures_gate.figures(self.gates), *figures_history.figures(self.nights),
            *figures_fleet.figures(self.fleets),
        ]  # fmt: skip

    def counted(self) -> list[str]:
        """How many there are of each, where there are any."""
        counts = ((len(self.gates), "gate run"), (sum(len(each.runs) for each in self.nights), "stored run"),
                  (len(self.fleets), "fleet"))  # fmt: skip
        return [units.count(count, noun) for count, noun in counts if count]

    def facts(self) -> list[dict[str, Any]]:
        """Provenance: where it was read, and what it is of."""
        return [
            *({"file": gate.path.name, "facts": gate.facts} for gate in self.gates),
            *({"file": f"history of {each.machine}", "facts": _span(each)} for each in self.nights),
            *({"file": fleet.path.name, "facts": [("arguments", fleet.arguments)]} for fleet in self.fleets),
        ]


def _span(nights: "Nights") -> list[tuple[str, str]]:
    runs = nights.runs
    return [
        ("branch", nights.branch or "any"), ("runs", str(len(runs))),
        ("from", str(runs["at"].iloc[0])), ("to", str(runs["at"].iloc[-1])),
    ]  # fmt: skip


def read(
    paths: Sequence[Path], store: str | None, machine: str | None, branch: str | None, nets: Sequence[str]
) -> tuple[Beside, list[Path]]:
    """What is there beside results, and the files of results, a fleet's among them.

    Args:
        store: its URL or file; None for no history.
        machine, branch, nets: of the history.

    Raises:
        DlhwError: something cannot be read.
    """
    from reports.fleet.cli import results_of

    gates = [path for path in paths if figures_gate.is_gate(path)]
    folders = [path for path in paths if path.is_dir()]
    fleets = [figures_fleet.load(folder) for folder in folders]
    results = [path for path in paths if path not in {*gates, *folders}]
    results += [path for folder in folders for path in results_of(folder)]
    nights = _history(store, machine, branch, nets) if store is not None else []
    return Beside([figures_gate.load(path) for path in gates], nights, fleets), results


def _history(store: str, machine: str | None, branch: str | None, nets: Sequence[str]) -> "list[Nights]":
    try:
        from reports.history.nights import read as read_nights
        from reports.history.store import open_store
    except ImportError as error:
        raise DlhwError(f"the history needs {error.name}: pip install 'dlhw[store]'") from error
    return read_nights(open_store(store), machine, branch, nets)
