"""What the history's rule and others' rules say of series made of recorded pairs of processes.

    python docs/experiments/history_rules.py [--series 400] [--runs 200] [--noise recorded|drifting] > tables.md

The noise is that of `tests/data/same_code_pairs.csv`: 120 pairs of processes that ran the same code, in eight cases; a
night is a pair, drawn whole, so that what the cases have in common stays. Nights are drawn independently: the recording
says nothing of how one night resembles the next. `drifting` adds a slow drift to all cases of a machine, made up.
A step is put into one case of each machine at run 120; a rule sees a series grow, run by run, from run 40 on.
"""

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np

from reports.history.noise import chance, scatter
from reports.history.segmentation import changes, tamed

PAIRS = Path(__file__).resolve().parents[2] / "tests" / "data" / "same_code_pairs.csv"
STEP_AT, BEGIN = 120, 40
EFFECTS = (0.0, 0.02, 0.03, 0.05, 0.10)
WITHIN = 3
NIGHTS = 365.25
Rule = Callable[[np.ndarray], np.ndarray]


def recorded() -> np.ndarray:
    """Log ratios of the same code: pairs, cases."""
    with PAIRS.open(encoding="utf-8") as file:
        return np.array([[float(value) for value in row] for row in list(csv.reader(file))[1:]])


def nights(series: int, runs: int, drifting: bool, rng: np.random.Generator) -> np.ndarray:
    """Series of machines of eight cases each: noise alone."""
    pairs = recorded()
    machines = -(-series // pairs.shape[1])
    drawn = pairs[rng.integers(len(pairs), size=(machines, runs))].transpose(0, 2, 1)
    if drifting:
        drawn = drawn + np.cumsum(rng.normal(0, 0.001, (machines, 1, runs)), axis=2)
    return drawn.reshape(-1, runs)[:series]


def alarms_of_ours(values: np.ndarray) -> np.ndarray:
    """First run at which the segmentation of what there is until then has a change; -1 for none.

    The penalty is learnt from the first runs of all series, and one false alarm a year of 100 series is asked for.
    """
    nothing = np.zeros_like(values)
    luck = chance(values[:, :STEP_AT], nothing[:, :STEP_AT], values.shape[1])
    penalty = luck.penalty_for(1.0, 100)
    found = np.full(len(values), -1)
    for end in range(BEGIN, values.shape[1] + 1):
        own = values[:, :end]
        variances = scatter(own, nothing[:, :end])
        places = changes(tamed(own, np.sqrt(variances))[0], variances, penalty)
        hit = np.array([bool(each) for each in places]) & (found < 0)
        found[hit] = end - 1
    return found


def by_each(rule: Callable[[np.ndarray, float], bool]) -> Rule:
    """A rule that holds the latest run against those before it."""

    def alarms(values: np.ndarray) -> np.ndarray:
        found = np.full(len(values), -1)
        for row, series in enumerate(values):
            hits = (end for end in range(BEGIN, len(series)) if rule(series[:end], series[end]))
            found[row] = next(hits, -1)
        return found

    return alarms


def z_score(before: np.ndarray, value: float) -> bool:
    """conbench: five standard deviations from the mean of up to 100 runs."""
    last = before[-100:]
    return bool(value - last.mean() > 5 * last.std(ddof=1))


def fence(before: np.ndarray, value: float) -> bool:
    """rustc-perf: the change from the run before is beyond a fence of such changes (third quartile and 3 IQR)."""
    steps = np.abs(np.diff(before[-100:]))
    low, high = np.quantile(steps, (0.25, 0.75))
    return bool(value - before[-1] > high + 3 * (high - low))


def fixed(before: np.ndarray, value: float) -> bool:
    """5 % slower than the run before."""
    return bool(value - before[-1] > np.log(1.05))


def by_asv(values: np.ndarray) -> np.ndarray:
    """Like asv: piecewise constant, a change costs 4 log(n), steps of 5 % or more; by squares here, not L1."""
    found = np.full(len(values), -1)
    for end in range(BEGIN, values.shape[1] + 1):
        own = values[:, :end]
        spread = np.maximum(scatter(own, np.zeros_like(own)), 1e-12)
        for row, places in enumerate(changes(own, spread, 4 * np.log(end))):
            bounds = [0, *places, end]
            last = bounds[-3:] if places else []
            if found[row] < 0 and last:
                size = own[row, last[1] : last[2]].mean() - own[row, last[0] : last[1]].mean()
                found[row] = end - 1 if size > np.log(1.05) else -1
    return found


RULES: dict[str, Rule] = {
    "dlhw history": alarms_of_ours, "piecewise constant, steps of 5 % (as asv)": by_asv,
    "z-score of 5 (as conbench)": by_each(z_score), "IQR fence (as rustc-perf)": by_each(fence),
    "5 % against the run before": by_each(fixed),
}  # fmt: skip


def main() -> None:
    """A table of all rules."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=400)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--noise", choices=("recorded", "drifting"), default="recorded")
    arguments = parser.parse_args()
    rng = np.random.default_rng(7)
    still = nights(arguments.series, arguments.runs, arguments.noise == "drifting", rng)
    years = arguments.series * (arguments.runs - BEGIN) / NIGHTS
    heads = " | ".join(f"+{100 * effect:.0f} %" for effect in EFFECTS[1:])
    print(f"| rule | first false alarms a year of 100 series | {heads} |\n|---|---|{'---|' * len(EFFECTS[1:])}")
    for name, rule in RULES.items():
        alarmed = rule(still)
        cells = [f"{100 * (alarmed >= 0).sum() / years:.1f}"]
        for effect in EFFECTS[1:]:
            stepped = still + np.where(np.arange(arguments.runs) >= STEP_AT, np.log1p(effect), 0.0)
            found = rule(stepped)
            clean = (alarmed < 0) | (alarmed >= STEP_AT)
            hit = (found >= STEP_AT) & (found < STEP_AT + WITHIN)
            later = (found >= STEP_AT) & (found < STEP_AT + 20)
            cells.append(f"{100 * hit[clean].mean():.0f} / {100 * later[clean].mean():.0f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
