"""Is the minimum detectable slowdown that a first run prints true? Before and after noise's long tails were counted in.

    python docs/experiments/first_run.py PAIRS.csv [--runs 1000] > table.md

One run of six pairs prints the slowdown, another has one of just that size put in: four in five should be caught. Runs
are drawn from distributions of known shape, and from the recorded pairs in PAIRS.csv, as docs/experiments/gate_rules.py
writes them: as they are, with each case's own mean taken out (of the same code, so that it is the instrument's), and
the later half alone.
"""

import argparse
import csv
import math
import random
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from gate_rules import PAIRS, Recorded, exact, gate_run, regressed

from reports.gate import paired

SD = 0.015
SEED = 11
POOL = 4000


def scaled(draw: Callable[[np.random.Generator], float], sd: float) -> Callable[[np.random.Generator], float]:
    """With the standard deviation `SD`."""
    return lambda rng: SD * draw(rng) / sd


def contaminated(rng: np.random.Generator) -> float:
    """One pair in ten has three times the noise."""
    return float(rng.normal(0, 3 if rng.random() < 0.1 else 1))


SHAPES = {
    "normal": scaled(lambda rng: float(rng.normal()), 1.0),
    "Laplace": scaled(lambda rng: float(rng.laplace()), math.sqrt(2)),
    "t, 5 degrees of freedom": scaled(lambda rng: float(rng.standard_t(5)), math.sqrt(5 / 3)),
    "t, 3 degrees of freedom": scaled(lambda rng: float(rng.standard_t(3)), math.sqrt(3)),
    "one pair in ten three times as noisy": scaled(contaminated, math.sqrt(0.9 + 0.1 * 9)),
}


def read(path: Path) -> list[dict[str, float]]:
    """Log ratios, a pair each, by case."""
    with path.open(newline="") as file:
        return [{case: float(value) for case, value in row.items()} for row in csv.DictReader(file)]


def centred(pairs: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """Each case around its own mean."""
    means = {case: statistics.fmean(pair[case] for pair in pairs) for case in pairs[0]}
    return [{case: value - means[case] for case, value in pair.items()} for pair in pairs]


def worlds(path: Path) -> dict[str, list[dict[str, float]]]:
    """What pairs are drawn from, by name."""
    recorded = read(path)
    rng = np.random.default_rng(SEED)
    drawn = {
        name: [{case: draw(rng) for case in recorded[0]} for _ in range(POOL)] for name, draw in SHAPES.items()
    }  # fmt: skip
    later = recorded[len(recorded) // 2 :]
    return drawn | {
        "recorded": recorded, "recorded, centred": centred(recorded),
        "recorded, later half": later, "recorded, later half, centred": centred(later),
    }  # fmt: skip


def caught(pairs: Sequence[dict[str, float]], runs: int) -> tuple[int, float]:
    """(How many of the slowdowns that one run prints another one catches, the middle one that is printed)."""
    pool = [Recorded({}, pair) for pair in pairs]
    coin, cases = random.Random(SEED), list(pairs[0])
    hits, printed = 0, []
    for number in range(runs):
        case = cases[number % len(cases)]
        first = gate_run(pool, coin, {}, PAIRS)
        printed.append(first.minimum_detectable(case, first.screening.by_case()[case]) - 1)
        hits += case in regressed(gate_run(pool, coin, {case: printed[-1]}, PAIRS))
    return hits, statistics.median(printed)


def main() -> None:
    """Read the command line, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--runs", type=int, default=1000, help="runs a line")
    options = parser.parse_args()
    after = paired.TAILS
    print("| pairs | before: printed | caught | after: printed | caught |\n|---|---|---|---|---|")
    for name, pairs in worlds(options.pairs).items():
        cells = []
        for paired.TAILS in (1.0, after):
            hits, middle = caught(pairs, options.runs)
            cells += [f"+{100 * middle:.1f} %", exact(hits, options.runs)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
