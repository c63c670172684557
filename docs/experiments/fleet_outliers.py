"""How often one bad machine among some of a kind is named, and a good one is: simulated fleets with recorded launches.

    python docs/experiments/fleet_outliers.py [FILE.json | FILE.journal.jsonl ...] [--fleets N] [--nodes N ...]

Without files: the two recordings that lie beside the tests. `processes` are the medians of the 156 measuring processes
of a gate that held the same code against itself on a shared virtual machine where others came and went; `pairs` are
the ratios of 120 pairs of processes on such a machine, divided by the root of two: what one moment did to both is not
in them. A FILE is that of `pytest bench/ --suite anchor --launches 60`.

A node of a simulated fleet is by itself off by a normal number of 1 % (as is assumed here), and has two anchors, each
of four cases by three launches that follow one another in the recording: what one moment did to them stays together.
"""

import argparse
import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.records.record import Record, Status
from bench.records.summary import by_launch
from reports.fleet.compare import TOLERANCE
from reports.fleet.outliers import middle_of, unlike
from reports.results import frames

DATA = Path(__file__).resolve().parents[2] / "tests" / "data"
OWN_SPREAD = 0.01
CASES, ANCHORS, LAUNCHES = 4, 2, 3
Recording = Sequence[np.ndarray[Any, Any]]
"""A case's launches in the order of time, logarithms against its middle."""


def against_middle(medians: Sequence[float]) -> np.ndarray[Any, Any]:
    """Logarithms."""
    logs = np.log(medians)
    return np.asarray(logs - np.median(logs))


def processes() -> Recording:
    """Of the stored gate; a case that was made slower by itself is left out."""
    found: dict[str, list[float]] = {}
    for line in (DATA / "same_code.jsonl").read_text().splitlines():
        pair = json.loads(line).get("pair")
        for side in ("base", "head") if pair else ():
            if pair["pair"][side] and not (side == "head" and pair["injected"]):
                found.setdefault(pair["case"], []).append(float(np.median(pair["pair"][side])))
    return [against_middle(medians) for medians in found.values()]


def pairs() -> Recording:
    """Of the stored pairs: the log-ratio of two processes has twice the variance of one."""
    with (DATA / "same_code_pairs.csv").open() as file:
        rows = np.array(list(csv.reader(file))[1:], dtype=float)
    return list((rows - np.median(rows, axis=0)).T / math.sqrt(2))


def launches_of(path: Path) -> Recording:
    """Of a run with many launches a case."""
    if path.suffix == ".json":
        records = list(frames.records(frames.read(path)))
    else:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        records = [Record.from_json(line["record"]) for line in lines if line["kind"] == "record"]
    measured = [record for record in records if record.outcome.status is Status.MEASURED]
    series = [against_middle([float(np.median(launch)) for launch in by_launch(record)]) for record in measured]
    return [each for each in series if len(each) > LAUNCHES]


def fleet(
    nodes: int, slow: float, recording: Recording, tossed: np.random.Generator
) -> dict[str, np.ndarray[Any, Any]]:
    """Node -> logarithms of its launches, (cases, anchors, launches); node 0 is slower by `slow`."""

    def anchor(series: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        begin = tossed.integers(len(series) - LAUNCHES + 1)
        return series[begin : begin + LAUNCHES]

    found = {}
    for node in range(nodes):
        chosen = tossed.integers(len(recording), size=CASES)
        logs = np.array([[anchor(recording[case]) for _ in range(ANCHORS)] for case in chosen])
        found[str(node)] = logs + tossed.normal(0, OWN_SPREAD) + (math.log1p(slow) if node == 0 else 0.0)
    return found


def named_in(nodes: Mapping[str, np.ndarray[Any, Any]]) -> set[str]:
    """As `dlhw fleet compare` names them, in one family."""
    middles = {name: float(middle_of(logs)[0]) for name, logs in nodes.items()}
    middle = float(np.median(list(middles.values())))
    return {name for name in unlike(nodes, 0.05) if abs(math.expm1(middles[name] - middle)) > TOLERANCE}


def main() -> None:
    """Print a row a recording, size of fleet and slowdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--fleets", type=int, default=1000)
    parser.add_argument("--nodes", type=int, nargs="*", default=(8, 16))
    asked = parser.parse_args()
    recordings = {str(path): launches_of(path) for path in asked.files} or {
        "processes": processes(), "pairs": pairs()
    }  # fmt: skip
    tossed = np.random.default_rng(1)
    print("recording\tlaunch sd\tnodes\tslower\tnamed\ta good one named (fleets)")
    for name, recording in recordings.items():
        spread = np.concatenate(recording).std()
        for nodes in asked.nodes:
            for slow in (0.0, 0.03, 0.05, 0.10, 0.20):
                found = [named_in(fleet(nodes, slow, recording, tossed)) for _ in range(asked.fleets)]
                bad = sum("0" in each for each in found) / asked.fleets if slow else math.nan
                good = sum(bool(each - ({"0"} if slow else set())) for each in found) / asked.fleets
                print(f"{name}\t{spread:.1%}\t{nodes}\t{slow:.0%}\t{bad:.1%}\t{good:.1%}", flush=True)


if __name__ == "__main__":
    main()
