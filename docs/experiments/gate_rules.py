"""What the gate's rule and others' rules say of the same recorded pairs, and what live runs came to.

    python docs/experiments/gate_rules.py FOLDER [--runs 2000] [--csv PAIRS.csv] > tables.md

FOLDER holds what `docs/experiments/gate_live.py` has left. A pair is one of base and head running the same code, in all
eight cases; a run of the gate is resampled by drawing whole pairs, those of the confirmation anew, and a slowdown is
injected by multiplying head's times. One-process rules see the slices of one pair as the repetitions of their tool;
that base and head took turns helps them, for their tools measure one after the other.
"""

import argparse
import csv
import itertools
import json
import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import stats

from bench.records.pair import Entry, Pair
from reports.gate.judge import Judgement, Terms
from reports.gate.paired import confirms, planned

EFFECTS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.10)
TOLERANCE = 0.02
PAIRS = 6
PROCESSES = 6
"""That pyperf's and asv's rules may use of each side."""
SEED = 7


@dataclass(frozen=True)
class Recorded:
    """One pair of processes that ran the same code: slices of base and head, and their log ratio, by case."""

    slices: dict[str, tuple[np.ndarray, np.ndarray]]
    ratios: dict[str, float]


def load(folder: Path, kind: str) -> list[dict]:
    """All runs of a kind."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob(f"{kind}-*.json"))]


def recorded(runs: Sequence[dict]) -> list[Recorded]:
    """Whole pairs of the first stage: all cases, head against base."""
    found = []
    for run in runs:
        entries = [Entry.from_json(entry) for entry in run["entries"]]
        own = [entry for entry in entries if entry.stage == 1 and not entry.control]
        cases = {entry.case for entry in own}
        for number in sorted({entry.number for entry in own}):
            there = {entry.case: entry.pair for entry in own if entry.number == number}
            if there.keys() == cases and all(pair.log_ratio is not None for pair in there.values()):
                slices = {case: (np.array(pair.base), np.array(pair.head)) for case, pair in there.items()}
                found.append(Recorded(slices, {case: pair.log_ratio for case, pair in there.items()}))
    return found


def exact(hits: int, count: int) -> str:
    """`3/20 = 15.0 % [3.2, 37.9]`, Clopper and Pearson's interval."""
    if not count:
        return "none"
    low, high = stats.binomtest(hits, count).proportion_ci(method="exact")
    return f"{hits}/{count} = {100 * hits / count:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def entry(stage: int, number: int, case: str, log_ratio: float) -> Entry:
    """A pair whose log ratio is exactly this."""
    turns = (math.exp(log_ratio),) * 2
    return Entry(stage=stage, number=number, case=case, pair=Pair(base=(1.0, 1.0), head=turns, disturbed=("", "")))


def gate_run(pairs: Sequence[Recorded], coin: random.Random, effects: dict[str, float], count: int) -> Judgement:
    """A run of both stages, as `dlhw gate` makes it; its controls apart."""
    cases = list(pairs[0].ratios)
    terms = Terms(tolerances=dict.fromkeys(cases, TOLERANCE), confirm=count)
    shifts = {case: math.log1p(effects.get(case, 0.0)) for case in cases}
    drawn = [
        entry(stage, number, case, pair.ratios[case] + shifts[case])
        for stage in (1, 2)
        for number, pair in enumerate(coin.choices(pairs, k=count))
        for case in cases
    ]
    return Judgement(drawn, terms)


def regressed(run: Judgement) -> list[str]:
    """Cases that both stages call so."""
    second = run.confirmation.by_case()
    return [case for case in run.candidates() if confirms(second[case], TOLERANCE, len(run.judged))]


def gate_table(pairs: Sequence[Recorded], runs: int, count: int = PAIRS) -> list[str]:
    """False alarms of a suite, and how often one case of eight that became slower is caught."""
    coin, cases = random.Random(SEED), list(pairs[0].ratios)
    lines = []
    for effect in EFFECTS:
        caught = alarms = 0
        for number in range(runs):
            slowed = cases[number % len(cases)]
            found = regressed(gate_run(pairs, coin, {slowed: effect} if effect else {}, count))
            caught += slowed in found
            alarms += any(case != slowed or not effect for case in found)
        what = "same code" if not effect else f"+{100 * effect:g} % in one case"
        lines.append(f"| {what} | {exact(caught, runs) if effect else '-'} | {exact(alarms, runs)} |")
    return lines


def calibration(pairs: Sequence[Recorded], runs: int, *, remembered: bool) -> list[str]:
    """How often a slowdown of the size that one run prints is caught by another run.

    Args:
        remembered: as on a machine whose noise is known from earlier runs; else as in a first run.
    """
    coin, cases = random.Random(SEED + 1), list(pairs[0].ratios)
    known = {case: statistics.stdev(pair.ratios[case] for pair in pairs) for case in cases} if remembered else {}
    hits: dict[str, list[bool]] = {case: [] for case in cases}
    printed: dict[str, list[float]] = {case: [] for case in cases}
    for number in range(runs):
        case = cases[number % len(cases)]
        first = gate_run(pairs, coin, {}, PAIRS)
        first = Judgement(first.entries, replace(first.terms, remembered=known))
        seen = first.minimum_detectable(case, first.screening.by_case()[case]) - 1
        printed[case].append(seen)
        hits[case].append(case in regressed(gate_run(pairs, coin, {case: seen}, PAIRS)))
    everything = list(itertools.chain(*hits.values()))
    lines = [f"| all | | {exact(sum(everything), len(everything))} |"]
    for case in cases:
        middle = 100 * statistics.median(printed[case])
        lines.append(f"| {case} | +{middle:.1f} % | {exact(sum(hits[case]), len(hits[case]))} |")
    return lines


def noise_table(pairs: Sequence[Recorded]) -> list[str]:
    """What a pair differs by, and so what so many pairs let be seen."""
    lines = []
    for case in pairs[0].ratios:
        own = [pair.ratios[case] for pair in pairs]
        sd, mean = statistics.stdev(own), statistics.fmean(own)
        step = statistics.median(float(np.median(pair.slices[case][0])) for pair in pairs)
        seen = [f"+{100 * (planned(count, sd, TOLERANCE, len(pairs[0].ratios)) - 1):.1f} %" for count in (6, 10, 20)]
        lines.append(f"| {case} | {1000 * step:.2f} ms | {100 * mean:+.2f} % | {100 * sd:.2f} % | {' | '.join(seen)} |")
    return lines


Rule = Callable[[list[np.ndarray], list[np.ndarray], np.random.Generator], bool]
"""From the values of each process of base, and of head: whether head is called slower."""


def mean_5(base: list[np.ndarray], head: list[np.ndarray], _: np.random.Generator) -> bool:
    """pytest-benchmark --benchmark-compare-fail=mean:5%: one process each."""
    return bool(head[0].mean() > 1.05 * base[0].mean())


def alert_200(base: list[np.ndarray], head: list[np.ndarray], _: np.random.Generator) -> bool:
    """github-action-benchmark's default alert: the mean of one process twice as long."""
    return bool(head[0].mean() > 2 * base[0].mean())


def mann_whitney(base: list[np.ndarray], head: list[np.ndarray], _: np.random.Generator) -> bool:
    """google/benchmark's compare.py: two-sided U test at 0.05 over repetitions of one process each."""
    found = stats.mannwhitneyu(head[0], base[0])
    return bool(found.pvalue < 0.05 and np.median(head[0]) > np.median(base[0]))


def criterion(base: list[np.ndarray], head: list[np.ndarray], rng: np.random.Generator) -> bool:
    """criterion.rs: bootstrapped mean change of one process each, p < 0.05 and beyond 1 % noise."""
    draws = 1000
    means = [values[rng.integers(len(values), size=(draws, len(values)))].mean(axis=1) for values in (base[0], head[0])]
    change = means[1] / means[0] - 1
    return bool(np.quantile(change, 0.025) > 0.01)


def pyperf(base: list[np.ndarray], head: list[np.ndarray], _: np.random.Generator) -> bool:
    """pyperf compare_to: pooled two-sided Student's t at 95 %, three values of each process."""
    first, second = (np.concatenate([_three(values) for values in side]) for side in (base, head))
    found = stats.ttest_ind(second, first)
    return bool(found.pvalue < 0.05 and second.mean() > first.mean())


def asv(base: list[np.ndarray], head: list[np.ndarray], _: np.random.Generator) -> bool:
    """asv continuous: U test at 0.002 over the samples of two processes, and ten percent slower."""
    first, second = (np.concatenate(side[:2]) for side in (base, head))
    found = stats.mannwhitneyu(second, first)
    return bool(found.pvalue < 0.002 and np.median(second) > 1.1 * np.median(first))


def _three(values: np.ndarray) -> np.ndarray:
    return np.array([part.mean() for part in np.array_split(values, 3)])


RULES: dict[str, tuple[Rule, int]] = {
    "pytest-benchmark mean:5%": (mean_5, 1),
    "google/benchmark, U test 0.05": (mann_whitney, 1),
    "criterion.rs, 1 % and p < 0.05": (criterion, 1),
    "pyperf, t test": (pyperf, PROCESSES),
    "asv, U test 0.002 and x 1.1": (asv, 2),
    "github-action-benchmark 200 %": (alert_200, 1),
}


def rules_table(pairs: Sequence[Recorded], runs: int) -> list[str]:
    """Others' rules: alarms of a case and of a suite of the same code, and what they catch."""
    lines = []
    for name, (rule, processes) in RULES.items():
        coin, rng = random.Random(SEED), np.random.default_rng(SEED)
        single = suite = 0
        caught = dict.fromkeys((0.03, 0.05, 0.10), 0)
        cases = list(pairs[0].ratios)
        for number in range(runs):
            drawn = coin.choices(pairs, k=processes)
            sides = {case: [[pair.slices[case][place] for pair in drawn] for place in (0, 1)] for case in cases}
            alarms = [case for case in cases if rule(*sides[case], rng)]
            single, suite = single + len(alarms), suite + bool(alarms)
            base, head = sides[cases[number % len(cases)]]
            for effect in caught:
                caught[effect] += rule(base, [values * (1 + effect) for values in head], rng)
        power = " | ".join(f"{100 * hits / runs:.0f} %" for hits in caught.values())
        lines.append(f"| {name} | {100 * single / runs / len(cases):.1f} % | {exact(suite, runs)} | {power} |")
    return lines


def live_table(folder: Path) -> list[str]:
    """What live runs came to."""
    lines = []
    for kind in ("same", "slower", "hostile"):
        runs = load(folder, kind)
        codes = statistics.multimode([run["exit_code"] for run in runs]) if runs else []
        alarms = [run for run in runs if any(row["verdict"] == "REGRESSED" for row in foreign(run))]
        caught = [run for run in runs if any(row["verdict"] == "REGRESSED" for row in slowed(run))]
        invalid = [run for run in runs if run["verdict"] == "INVALID"]
        parts = [kind, str(len(runs)), exact(len(alarms), len(runs)), exact(len(invalid), len(runs))]
        parts += [exact(len(caught), len(runs)) if kind == "slower" else "-", ", ".join(map(str, codes))]
        lines.append(f"| {' | '.join(parts)} |")
    return lines


def foreign(run: dict) -> list[dict]:
    """Rows of time of cases that nothing was done to."""
    touched = {entry["case"] for entry in run["entries"] if entry["injected"] and not entry["control"]}
    return [row for row in run["rows"] if row["measure"] == "time" and row["case"] not in touched]


def slowed(run: dict) -> list[dict]:
    """Rows of time of cases that were slowed down."""
    others = {row["case"] for row in foreign(run)}
    return [row for row in run["rows"] if row["measure"] == "time" and row["case"] not in others]


def write_csv(pairs: Sequence[Recorded], path: Path) -> None:
    """The log ratios, a row a pair."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(pairs[0].ratios)
        writer.writerows([f"{ratio:.5f}" for ratio in pair.ratios.values()] for pair in pairs)


def main() -> None:
    """Read the command line, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=2000, help="resampled runs a line")
    parser.add_argument("--csv", type=Path, help="write the log ratios")
    options = parser.parse_args()
    pairs = recorded(load(options.folder, "same"))
    print(f"{len(pairs)} pairs of {len(pairs[0].ratios)} cases\n\n## live")
    print(
        "| kind | runs | suites with a false alarm | invalid | slowed case caught | most exit codes |\n"
        + "|---" * 6
        + "|"
    )
    print(*live_table(options.folder), sep="\n")
    print("\n## noise\n| case | step | mean | sd of a pair | seen by 6 + 6 | 10 + 10 | 20 + 20 |\n" + "|---" * 7 + "|")
    print(*noise_table(pairs), sep="\n")
    print("\n## the gate, 6 + 6 pairs\n| head | caught | suites with another alarm |\n|---|---|---|")
    print(*gate_table(pairs, options.runs), sep="\n")
    for remembered in (False, True):
        where = "on a known machine" if remembered else "in a first run"
        print(f"\n## the printed smallest slowdown, {where}\n| case | printed, middle | caught |\n|---|---|---|")
        print(*calibration(pairs, options.runs, remembered=remembered), sep="\n")
    print("\n## others\n| rule | alarms a case | suites with an alarm | +3 % | +5 % | +10 % |\n" + "|---" * 6 + "|")
    print(*rules_table(pairs, options.runs), sep="\n")
    if options.csv:
        write_csv(pairs, options.csv)


if __name__ == "__main__":
    main()
