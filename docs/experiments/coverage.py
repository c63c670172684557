"""How often does the 95 % interval hold the truth? Many measurements of one case, against their grand median.

    python docs/experiments/coverage.py measure FILE.jsonl [--count 200] [--threads 1]    (about half an hour)
    python docs/experiments/coverage.py analyse FILE.jsonl

`measure` may be stopped and started: it goes on until FILE holds `--count` measurements, of three launches each.
The truth is the median of all launches' medians. A launch does not know to which measurement it belongs, so the same
launches are analysed twice: those of a measurement in a row, and spread over the whole time, as a sweep makes them.
Figures: docs/method.md.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

from scipy.stats import binomtest

from bench.controller.launcher import Launcher
from bench.controller.process import Worker
from bench.records.record import Status
from bench.records.summary import by_launch, launch_interval, median_interval
from suites import units
from suites.case import Budget, Case

BUDGET = Budget(launches=3, precision=0.01, min_seconds=0.1, max_seconds=0.3, warmup_seconds=0.5)


def measure(path: Path, count: int, threads: int) -> None:
    """Append measurements to `path` until it holds `count`."""
    case = Case.parse(f"lenet-inference-b8-fp32-contiguous-eager-cpu-t{threads}")
    done = len(path.read_text().splitlines()) if path.exists() else 0
    start = time.monotonic()
    with Worker() as worker, Worker(fork=False) as fresh, path.open("a") as file:
        launcher = Launcher(worker, fresh)
        for number in range(done, count):
            record, _ = launcher.measure(case, BUDGET)
            assert record.outcome.status is Status.MEASURED, record.outcome
            launches = [(statistics.median(seconds), *median_interval(seconds)) for seconds in by_launch(record)]
            file.write(json.dumps(launches) + "\n")
            file.flush()
            left = (time.monotonic() - start) / (number - done + 1) * (count - number - 1)
            print(f"\r{number + 1}/{count}  ETA {units.duration(left)}   ", end="", file=sys.stderr)


def analyse(path: Path) -> None:
    """Print how often each kind of interval covered the grand median."""
    measurements = [json.loads(line) for line in path.read_text().splitlines()]
    launches = [launch for measurement in measurements for launch in measurement]
    truth = statistics.median(median for median, _, _ in launches)
    spread = statistics.stdev(median for median, _, _ in launches) / truth
    print(f"{len(launches)} launches, grand median {units.seconds(truth)}, sd between launches {units.percent(spread)}")
    _report("within one launch, by ranks", [(low, high) for _, low, high in launches], truth)
    medians = [median for median, _, _ in launches]
    for size in (3, 5, 6):
        in_a_row = [medians[at : at + size] for at in range(0, len(medians) - size + 1, size)]
        _report(f"between {size} launches in a row", [launch_interval(group) for group in in_a_row], truth)
        stride = len(medians) // size
        spread_out = [medians[at : at + size * stride : stride] for at in range(stride)]
        _report(f"between {size} launches spread out", [launch_interval(group) for group in spread_out], truth)


def _report(name: str, intervals: list[tuple[float, float]], truth: float) -> None:
    hits = sum(low <= truth <= high for low, high in intervals)
    low, high = binomtest(hits, len(intervals)).proportion_ci(method="exact")
    width = statistics.median((high - low) / 2 / truth for low, high in intervals)
    print(f"{name}: {hits}/{len(intervals)} = {hits / len(intervals):.1%} [{low:.1%}, {high:.1%}], "
          f"half width {units.percent(width)} in the middle")  # fmt: skip


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["measure", "analyse"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--count", type=int, default=200, help="measurements in the end")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.what == "measure":
        measure(options.file, options.count, options.threads)
    analyse(options.file)


if __name__ == "__main__":
    main()
