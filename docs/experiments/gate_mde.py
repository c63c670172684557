"""Is the minimum detectable slowdown (MDE) of a first run true? Whole gates on virtual time, each with fresh noise.

    python docs/experiments/gate_mde.py PAIRS.csv [--runs 300] > table.md

A gate of the same code prints the MDE of each case; another, with fresh noise, has one of its cases slowed down by just
what was printed of it: four in five should be caught. All of the gate is real but its processes, whose steps take what
the noise says (tests/support/virtual_gate.py). `recorded` draws the luck of a process from the pairs in PAIRS.csv, as
docs/experiments/gate_rules.py writes them, each column around its own mean. Figures: docs/gate-validation.md.
"""

import argparse
import csv
import functools
import math
import statistics
import sys
import tempfile
from pathlib import Path
from unittest import mock

from gate_rules import exact

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from reports.gate import plan
from reports.gate.statistics import Verdict
from reports.gate.verdicts import Gate
from suites.case import Case
from tests.support import virtual_gate
from tests.support.virtual_gate import Noise, VirtualGate, VirtualWorker

CASES = 8
TOLERANCE = 0.02
QUIET = Noise(steps=0.005, drift=0.005, spikes=0.02, tenant=0.1)
"""What all machines have: within a process, and of somebody else's work."""
WORLDS = {
    "launches differ by 0.6 %, the first is slower": Noise(**vars(QUIET) | {"launches": 0.006, "first": 0.006}),
    "launches differ by 1.2 %": Noise(**vars(QUIET) | {"launches": 0.012}),
    "launches differ by 2.5 %": Noise(launches=0.025),
    "one launch in twenty is 5 % off": Noise(**vars(QUIET) | {"launches": 0.008, "odd": 0.05, "odd_by": 0.05}),
    "recorded": QUIET,
}


class Slowed(VirtualWorker):
    """Slows down one case of head, and may draw the luck of a pair from those that were recorded."""

    slowed: tuple[str, float] = ("", 0.0)
    pool: tuple[tuple[float, ...], ...] = ()

    @functools.cached_property
    def ids(self) -> dict[int, str]:
        """Those that were asked for."""
        return {}

    @property
    def step_seconds(self) -> float:
        """As of any virtual process, with a share more where it is the slowed case of head."""
        if self.pool and self.case not in self.offsets:
            drawn = self.machine.random.choice(self.pool[self.case % len(self.pool)])
            self.offsets[self.case] = math.exp(drawn) if self.place else 1.0
        case, share = self.slowed
        here = self.place and self._id(self.case) == case
        return super().step_seconds * (1 + (share if here else 0.0))

    def _id(self, number: int) -> str:
        """Of the case that the gate has given this number."""
        if number not in self.ids:
            self.ids[number] = Case.from_json(self.cases[number]["case"]).id
        return self.ids[number]


def recorded(path: Path) -> tuple[tuple[float, ...], ...]:
    """Log ratios of each case, around their mean."""
    with path.open(newline="") as file:
        rows = [[float(value) for value in row.values()] for row in csv.DictReader(file)]
    columns = list(zip(*rows, strict=True))
    return tuple(tuple(value - statistics.fmean(column) for value in column) for column in columns)


def run(gate: VirtualGate, seed: int, pool: tuple[tuple[float, ...], ...], slowed: tuple[str, float]) -> Gate:
    """One gate of six pairs and six more; nothing is remembered of the machine."""
    worker = type("Slowed", (Slowed,), {"slowed": slowed, "pool": pool})
    with mock.patch.object(virtual_gate, "VirtualWorker", worker), mock.patch.object(plan, "keep"):
        return gate.run(seed, tolerance=TOLERANCE)


def caught(noise: Noise, pool: tuple[tuple[float, ...], ...], runs: int) -> tuple[int, int, list[float]]:
    """(Caught, judged, the slowdowns that were printed)."""
    hits, judged, printed = 0, 0, []
    with tempfile.TemporaryDirectory() as folder:
        gate = VirtualGate(Path(folder), noise, cases=CASES)
        for number in range(runs):
            rows = [row for row in run(gate, 2 * number, pool, ("", 0.0)).rows if row.measure == "time"]
            row = rows[number % len(rows)]
            if row.figures is None:
                continue
            share = row.figures.minimum_detectable - 1
            again = run(gate, 2 * number + 1, pool, (row.case, share))
            verdict = next(each.verdict for each in again.rows if (each.case, each.measure) == (row.case, "time"))
            judged += 1
            hits += verdict is Verdict.REGRESSED
            printed.append(share)
    return hits, judged, printed


def main() -> None:
    """Read the command line, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--runs", type=int, default=300, help="pairs of gates a line")
    options = parser.parse_args()
    print("| noise | printed, middle | caught |\n|---|---|---|")
    with mock.patch.object(plan, "planned", functools.cache(plan.planned)):
        for name, noise in WORLDS.items():
            pool = recorded(options.pairs) if name == "recorded" else ()
            hits, judged, printed = caught(noise, pool, options.runs)
            print(f"| {name} | +{100 * statistics.median(printed):.1f} % | {exact(hits, judged)} |", flush=True)


if __name__ == "__main__":
    main()
