"""How far a sweep's ETA is off: a journal's costs, replayed case by case as if the machine had never been seen.

    python docs/experiments/eta.py results.journal.jsonl --suite grid.toml [--order net] [--speed 0.3] [--narrow 0.25]

`--order` replays the cases spread over the run, as a sweep measures them now, or net after net, as it did before; else
as they are in the journal. `--speed` replays a machine on which all that is counted by work takes longer, a fork as
long as before; `--narrow` one without instructions for half precision, whose cases alone are slower. What the guess
begins with was fitted to a few journals of one machine: these two stand for the machines that it has not seen. Each
row: the share of the run that was over, what was promised of the rest, what it took, and how far off that was; at the
end the largest error from a fifth of the run on, its median, and how many promises are within 15 %. After nine tenths
it is seconds: there shares say little.
Figures: docs/budget.md.
"""

import argparse
import math
import statistics
from collections.abc import Iterable
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

from bench.records.journal import read
from bench.records.record import Record
from bench.sweep.costs import FORK_SECONDS, Costs
from bench.sweep.order import spread
from suites import cases, suite
from suites.case import Budget
from suites.cases import AnyCase

Row = tuple[AnyCase, Budget, Record]


def slower(record: Record, budget: Budget, speed: float) -> Record:
    """What a slower machine would have recorded: as many samples, as far as the budget lets it."""
    cost, sampling = dict(record.cost or {}), record.sampling
    if sampling is None:
        return record
    step = statistics.median(record.seconds) / speed
    sampled = math.fsum(record.seconds) * sampling.steps_per_sample
    warm_up = cost["sampling"] - sampled
    most = max(budget.max_seconds, budget.min_samples * step)
    after = min(sampled / speed, max(sampled, most)) + min(warm_up / speed, budget.warmup_seconds + 2 * step)
    around = cost["process"] - FORK_SECONDS - cost["sampling"]
    launch = FORK_SECONDS + around / speed + after
    phases = {name: cost[name] / speed for name in ("building", "checking", "counting work") if name in cost}
    cost |= phases | {"sampling": after}
    cost |= {"total": launch + (cost["total"] - cost["process"]) / speed, "process": launch}
    compiled = record.compile and replace(record.compile, seconds=record.compile.seconds / speed)
    return replace(record, cost=cost, compile=compiled, seconds=tuple(each / speed for each in record.seconds))


def is_narrow(case: AnyCase) -> bool:
    """Whether it computes in half precision."""
    return case.precision not in {"fp32", "tf32"}


def replay(rows: list[Row]) -> list[tuple[float, float, float]]:
    """(share of the run that is over, seconds promised, seconds that it took) before each case."""
    costs, done, found = Costs(), 0.0, []
    whole = sum((record.cost or {})["total"] for _, _, record in rows)
    for number, (case, budget, record) in enumerate(rows):
        promised = costs.rest((case, budget, 1) for case, budget, _ in rows[number:])
        found.append((done / whole, promised, whole - done))
        costs.learn(case, budget, record)
        done += (record.cost or {})["total"]
    return found


def net_after_net(measured: Iterable[AnyCase]) -> list[AnyCase]:
    """Inference, then training; within each the nets in turn, each configuration with all of its batches."""
    nets, configurations = (
        {key: number for number, key in enumerate(dict.fromkeys(map(attrgetter(name), measured)))}
        for name in ("group", "configuration")
    )
    return sorted(
        measured,
        key=lambda case: (case.mode, nets[case.group], configurations[case.configuration], case.scale),
    )


ORDERS = {"journal": list[AnyCase], "spread": spread, "net": net_after_net}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("journal", type=Path)
    parser.add_argument("--suite", required=True)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--narrow", type=float, default=1.0, help="speed of half precision, times --speed")
    parser.add_argument("--order", choices=ORDERS, default="journal")
    options = parser.parse_args()
    measure = suite.load(options.suite).content.measure
    runs, _ = read(options.journal)
    records = [record for record in runs[-1].records.values() if record.cost]
    rows = [
        (case, measure, slower(each, measure, options.speed * (options.narrow if is_narrow(case) else 1.0)))
        for each in records
        for case in [cases.from_json(each.case)]
    ]
    row_of = {row[0]: row for row in rows}
    found = replay([row_of[case] for case in ORDERS[options.order](list(row_of))])
    print("over\tpromised s\ttook s\terror")
    for tenth in range(10):
        over, promised, took = next(row for row in found if row[0] >= tenth / 10)
        print(f"{over:.0%}\t{promised:.0f}\t{took:.0f}\t{promised / took - 1:+.1%}")
    errors = [abs(promised / took - 1) for over, promised, took in found if 0.2 <= over <= 0.9]
    late = [abs(promised - took) for over, promised, took in found if over > 0.9]
    within = sum(error <= 0.15 for error in errors) / len(errors)
    print(f"from 20 % to 90 %: at most {max(errors):.1%}, median {statistics.median(errors):.1%}", end=", ")
    print(f"{within:.0%} within 15 %")
    print(f"after that: at most {max(late):.1f} s off")


if __name__ == "__main__":
    main()
