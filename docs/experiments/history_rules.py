"""What the history's rule and others' rules say of series made of recorded launches.

    pip install ruptures
    python docs/experiments/history_rules.py [--series 400] [--launches 1] [--noise pairs] [--rules WORD ...]

The noise, `--noise`:
    pairs     tests/data/same_code_pairs.csv: 120 pairs of processes that ran the same code by turns, in eight cases; a
              night is the mean of `--launches` pairs, each drawn whole.
    shared    the same, and what all eight cases have in common that night: the medians of the rounds in
              tests/data/same_code.jsonl.
    absolute  launches of tests/data/same_code.jsonl, not held against another: each case's from the median of its own.
Nights are drawn independently: the recordings say nothing of how one night resembles the next. A step is put into every
series at run 120 (with `shared` into one case of each machine); a rule sees a series grow, run by run, from run 40 on.
"""

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import stats

from reports.history.changes import factor
from reports.history.noise import chance, scatter
from reports.history.segmentation import changes, tamed

DATA = Path(__file__).resolve().parents[2] / "tests" / "data"
CASES, RUNS, STEP_AT, BEGIN = 8, 200, 120, 40
EFFECTS = (0.02, 0.03, 0.05, 0.10)
WITHIN, LATER = 3, 20
LEARN_EVERY = 20
NIGHTS = 365.25
WINDOW, LARGEST_P = 50, 0.001
"""Otava's defaults."""
Rule = Callable[[np.ndarray], np.ndarray]


def pairs() -> np.ndarray:
    """Log ratios of the same code: pairs, cases."""
    with (DATA / "same_code_pairs.csv").open(encoding="utf-8") as file:
        return np.array([[float(value) for value in row] for row in list(csv.reader(file))[1:]])


def launches() -> tuple[np.ndarray, np.ndarray]:
    """(logarithms of launches' medians from their case's, medians of them a round over all cases)."""
    found, rounds = defaultdict(list), defaultdict(list)
    with (DATA / "same_code.jsonl").open(encoding="utf-8") as file:
        rows = [row["pair"] for row in map(json.loads, file) if row["kind"] == "pair"]
    for row in rows:
        for side in ("base", "head"):
            found[row["case"], row["control"]].append((row["number"], float(np.log(np.median(row["pair"][side])))))
    for (_, control), own in found.items():
        middle = np.median([value for _, value in own])
        for number, value in own:
            rounds[None if control else number].append(value - middle)
    every = np.array([value for values in rounds.values() for value in values])
    return every, np.array([np.median(values) for number, values in rounds.items() if number is not None])


def nights(kind: str, series: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Series of machines of eight cases each, of noise alone; a night the mean of `count` launches."""
    machines = -(-series // CASES)
    every, common = launches()
    if kind == "absolute":
        return rng.choice(every, size=(machines * CASES, RUNS, count)).mean(axis=2)[:series]
    known = pairs()
    drawn = known[rng.integers(len(known), size=(machines, RUNS, count))].mean(axis=2).transpose(0, 2, 1)
    if kind == "shared":
        drawn = drawn + rng.choice(common, size=(machines, 1, RUNS))
    return drawn.reshape(-1, RUNS)[:series]


def without_common(values: np.ndarray) -> np.ndarray:
    """Each machine's series without what they have in common."""
    return np.concatenate([own - factor(own) for own in np.split(values, len(values) // CASES)])


def first(found: np.ndarray, hit: np.ndarray, end: int) -> None:
    """Note the run before `end` for those that have alarmed now, and not before."""
    found[np.asarray(hit, dtype=bool) & (found < 0)] = end - 1


def alarms_of_ours(values: np.ndarray) -> np.ndarray:
    """First run at which the segmentation of what there is until then has a change; -1 for none.

    The penalty is learnt anew now and then, from all runs until then, for one false alarm a year of 100 series.
    """
    nothing, found = np.zeros_like(values), np.full(len(values), -1)
    for end in range(BEGIN, RUNS + 1):
        own = values[:, :end]
        if (end - BEGIN) % LEARN_EVERY == 0:
            penalty = chance(own, nothing[:, :end], end).penalty_for(1.0, 100)
        variances = scatter(own, nothing[:, :end])
        first(found, list(map(bool, changes(tamed(own, np.sqrt(variances))[0], variances, penalty))), end)
    return found


def oracle(effect: float, noise: np.ndarray) -> Rule:
    """Knows level, size and noise: the likelihood ratio of the last three runs; not a rule that anybody could have."""
    size, laws = np.log1p(effect), [stats.t.fit(noise[case::CASES]) for case in range(CASES)]

    def scores(values: np.ndarray) -> np.ndarray:
        each = np.empty_like(values)
        for case, law in enumerate(laws):
            own = values[case::CASES]
            each[case::CASES] = stats.t.logpdf(own - size, *law) - stats.t.logpdf(own, *law)
        summed = np.lib.stride_tricks.sliding_window_view(each, WITHIN, axis=1).sum(axis=2)
        return summed[:, BEGIN - WITHIN + 1 :]

    quiet = np.sort(scores(noise).max(axis=1))[::-1]
    limit = quiet[max(round(len(noise) * (RUNS - BEGIN) / NIGHTS / 100), 1)]

    def alarms(values: np.ndarray) -> np.ndarray:
        over = scores(values) > limit
        return np.where(over.any(axis=1), BEGIN + over.argmax(axis=1), -1)

    return alarms


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


def by_segments(segments: Callable[[np.ndarray], list[list[int]]], least: float = 0.0) -> Rule:
    """A rule that sees all runs until now: an alarm where the level has gone up by `least` at its last change."""

    def worse(own: np.ndarray, places: list[int]) -> bool:
        if not places:
            return False
        begin, place = ([0, *places])[-2:]
        return bool(own[place:].mean() - own[begin:place].mean() > np.log1p(least))

    def alarms(values: np.ndarray) -> np.ndarray:
        found = np.full(len(values), -1)
        for end in range(BEGIN, RUNS + 1):
            left = np.flatnonzero(found < 0)
            own = values[left, :end]
            hits = [worse(row, places) for row, places in zip(own, segments(own), strict=True)]
            found[left[np.array(hits, dtype=bool)]] = end - 1
        return found

    return alarms


def asv(own: np.ndarray) -> list[list[int]]:
    """Like asv: piecewise constant, a change costs 4 log(n); by squares here, not L1."""
    spread = np.maximum(scatter(own, np.zeros_like(own)), 1e-12)
    return changes(own, spread, 4 * np.log(own.shape[1]))


def pelt(own: np.ndarray) -> list[list[int]]:
    """PELT of ruptures, least squares, two runs a side, a change costs 2 log(n) variances."""
    import ruptures

    costs = 2 * np.log(own.shape[1]) * scatter(own, np.zeros_like(own))[:, 0]
    rule = ruptures.KernelCPD(kernel="linear", min_size=2)
    return [rule.fit(row).predict(pen=cost)[:-1] for row, cost in zip(own, costs, strict=True)]


def energies(own: np.ndarray) -> np.ndarray:
    """E-divisive's statistic of a split before each run but the first (Matteson and James 2014, alpha 1).

    n m / (n + m) (2 mean |X - Y| - mean |X - X'| - mean |Y - Y'|), the latter two of different runs.
    """
    length = len(own)
    distances = np.abs(own[:, None] - own)
    rows = np.cumsum(np.cumsum(distances, axis=0), axis=1)
    place = np.arange(2, length - 1)
    left, right = place, length - place
    inside, whole = rows[place - 1, place - 1], rows[-1, -1]
    across = rows[place - 1, -1] - inside
    outside = whole - inside - 2 * across
    apart = 2 * across / (left * right) - inside / (left * (left - 1)) - outside / (right * (right - 1))
    found = np.zeros(length)
    found[place] = left * right / length * apart
    return found


def divisive(own: np.ndarray) -> list[list[int]]:
    """E-divisive as Otava has it: splits with Student's test between the neighbouring segments, in the last runs."""
    return [_divided(row) for row in own]


def _divided(own: np.ndarray) -> list[int]:
    start = max(0, len(own) - WINDOW)
    found: list[int] = []
    waiting = [(start, len(own))]
    while waiting:
        begin, end = waiting.pop()
        if end - begin < 4:
            continue
        place = begin + int(np.argmax(energies(own[begin:end])))
        if place > begin and stats.ttest_ind(own[begin:place], own[place:end]).pvalue < LARGEST_P:
            found.append(place)
            waiting += [(begin, place), (place, end)]
    return sorted(found)


RULES: dict[str, Rule] = {
    "dlhw history": alarms_of_ours, "piecewise constant, steps of 5 % (as asv)": by_segments(asv, 0.05),
    "PELT (ruptures), 2 log n": by_segments(pelt), "E-divisive and t, p < 0.001 (as Otava)": by_segments(divisive),
    "z-score of 5 (as conbench)": by_each(z_score), "IQR fence (as rustc-perf)": by_each(fence),
    "5 % against the run before": by_each(fixed),
}  # fmt: skip


def stepped(still: np.ndarray, effect: float, *, one: bool) -> np.ndarray:
    """With a step in all series, or in one of each machine's."""
    rows = np.arange(len(still)) % CASES == 0 if one else np.full(len(still), True)
    return still + np.where(rows[:, None] & (np.arange(RUNS) >= STEP_AT), np.log1p(effect), 0.0)


def cell(found: np.ndarray) -> str:
    """Within 3 and 20 runs, and the median delay, of the series that had not alarmed before the step."""
    clean = found[(found < 0) | (found >= STEP_AT)]
    if not len(clean):
        return "all had alarmed"
    delays = np.where(clean < 0, np.inf, clean - STEP_AT + 1)
    middle = np.median(delays)
    shares = [f"{100 * (delays <= runs).mean():.0f}" for runs in (WITHIN, LATER)]
    return " / ".join([*shares, f"{middle:.0f}" if np.isfinite(middle) else "-"])


def check_divisive() -> None:
    """The example that Hunter, which Otava was, tests itself by: one change, at run 10."""
    series = [1.02, 0.95, 0.99, 1.0, 1.12, 1.0, 1.01, 0.98, 1.01, 0.96, 0.5, 0.51, 0.48, 0.48, 0.55, 0.5, 0.49, 0.51]
    assert divisive(np.array([[*series, 0.5, 0.49]])) == [[10]]


def main() -> None:
    """A table of all rules."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=400)
    parser.add_argument("--launches", type=int, default=1)
    parser.add_argument("--noise", choices=("pairs", "shared", "absolute"), default="pairs")
    parser.add_argument("--rules", nargs="*", default=[], help="words of their names; default: all")
    arguments = parser.parse_args()
    check_divisive()
    shared = arguments.noise == "shared"
    still = nights(arguments.noise, arguments.series, arguments.launches, np.random.default_rng(7))
    years = arguments.series * (RUNS - BEGIN) / NIGHTS
    heads = " | ".join(f"+{100 * effect:.0f} %" for effect in EFFECTS)
    print(f"| rule | first false alarms a year of 100 series | {heads} |\n|---|---|{'---|' * len(EFFECTS)}")
    rules = {"dlhw history, the common factor removed": alarms_of_ours} | RULES if shared else RULES
    for name, rule in rules.items():
        if arguments.rules and not any(word in name for word in arguments.rules):
            continue
        seen = without_common if "common" in name else np.asarray
        cells = [f"{100 * (rule(seen(still)) >= 0).sum() / years:.1f}"]
        for effect in EFFECTS:
            found = rule(seen(stepped(still, effect, one=shared)))
            cells.append(cell(found[::CASES] if shared else found))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    known = without_common(still) if shared else still
    cells = [cell(oracle(effect, known)(stepped(known, effect, one=False))) for effect in EFFECTS]
    print(f"| an oracle of the last three runs | 1.0 | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
