"""How good predictions were: predicted cases are drawn by lot, measured afterwards, and held against what was said.

    pytest bench/ --suite inference --budget 20m --benchmark-json=i.json
    python docs/experiments/prediction_afterwards.py draw i.json --count 48 --below 2 > drawn.txt
    pytest bench/ --suite inference --budget none --cases drawn.txt --benchmark-json=after.json
    python docs/experiments/prediction_afterwards.py judge i.json after.json

`--below` leaves out steps that are predicted to take longer, in seconds. Figures: docs/prediction.md.
"""

import argparse
import json
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suites import cases


@dataclass(frozen=True)
class Row:
    """A case that was predicted, and then measured."""

    case_id: str
    error: float
    holds: bool

    @property
    def compiled(self) -> bool:
        """Whether torch.compile made it."""
        return cases.parse(self.case_id).compiles


def predictions(path: Path) -> dict[str, Mapping[str, Any]]:
    """Case id -> its prediction, of those that have a time."""
    outcomes = json.loads(path.read_text())["outcomes"]
    told = {each["id"]: each.get("prediction") or {} for each in outcomes}
    return {case_id: each for case_id, each in told.items() if each.get("median_seconds")}


def draw(path: Path, count: int, below_seconds: float, seed: int) -> list[str]:
    """Ids, by lot."""
    found = [name for name, each in predictions(path).items() if each["median_seconds"] < below_seconds]
    random.Random(seed).shuffle(found)
    return found[:count]


def judge(path: Path, measured: Path) -> list[Row]:
    """Each case that is in both, the best predicted first."""
    said, rows = predictions(path), []
    for entry in json.loads(measured.read_text())["benchmarks"]:
        case_id, seconds = cases.from_json(entry["extra_info"]["case"]).id, entry["stats"]["median"]
        if one := said.get(case_id):
            holds = one.get("low") is not None and one["low"] <= seconds <= one["high"]
            rows.append(Row(case_id, one["median_seconds"] / seconds - 1, holds))
    return sorted(rows, key=lambda row: abs(row.error))


def told(name: str, rows: Sequence[Row]) -> str:
    """A line of the table."""
    error = statistics.median(abs(row.error) for row in rows)
    return f"{name}\t{len(rows)}\t{error:.1%}\t{sum(row.holds for row in rows)}"


def main() -> None:
    """Print ids, or the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("draw", "judge"))
    parser.add_argument("results", type=Path)
    parser.add_argument("measured", type=Path, nargs="?")
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--below", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.what == "draw":
        print("\n".join(draw(options.results, options.count, options.below, options.seed)))
        return
    if options.measured is None:
        parser.error("judge wants the file of what was measured afterwards, too")
    rows = judge(options.results, options.measured)
    for row in rows:
        print(f"{row.case_id}\t{row.error:+.1%}\t{'holds' if row.holds else 'does not hold'}")
    print("cases\tnumber\tmedian error\tintervals that hold")
    kinds = {
        "all": rows,
        "eager": [row for row in rows if not row.compiled],
        "compiled": [r for r in rows if r.compiled],
    }
    for name, kind in kinds.items():
        if kind:
            print(told(name, kind))


if __name__ == "__main__":
    main()
