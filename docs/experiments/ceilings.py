"""Are the ceilings right? dlhw's micro-benchmarks against other instruments, by turns, on the same machine.

    python docs/experiments/ceilings.py HARDWARE.json [--turns 9]

Matrix products: the best shape of each precision in the results file, against torch.utils.benchmark's Timer in a
process of its own. Copies: against numpy's copyto with one thread, and a loop in C (OpenMP, needs cc) with all.
Each row: the median of the turns' ratios, ours over theirs, with its 95 % interval by ranks.
Figures: docs/hardware.md.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.controller.launcher import Launcher
from bench.controller.process import Worker
from bench.records.record import Status
from bench.records.summary import median_interval, value_of
from reports.results import frames
from suites import units
from suites.case import Budget
from suites.micro import Micro

BUDGET = Budget(precision=0.01, min_seconds=0.1, max_seconds=0.5, warmup_seconds=0.5)
OCTETS = 2**28
TIMER = """
import sys, torch
from torch.utils.benchmark import Timer
rows, inner, columns, threads = map(int, sys.argv[2:])
dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[sys.argv[1]]
left, right = torch.randn(rows, inner).to(dtype), torch.randn(inner, columns).to(dtype)
out = torch.empty(rows, columns, dtype=dtype)
names = {"torch": torch, "left": left, "right": right, "out": out}
timer = Timer("torch.mm(left, right, out=out)", globals=names, num_threads=threads)
timer.timeit(3)
print(2 * rows * inner * columns / timer.blocked_autorange(min_run_time=0.5).median)
"""
NUMPY = """
import statistics, sys, time
import numpy
source = numpy.random.default_rng(1).random(int(sys.argv[1]) // 8)
target = numpy.ones_like(source)
seconds = []
for _ in range(15):
    start = time.perf_counter()
    numpy.copyto(target, source)
    seconds.append(time.perf_counter() - start)
print(2 * source.nbytes / statistics.median(seconds[3:]))
"""
STREAM = """
#include <stdio.h>
#include <stdlib.h>
#include <omp.h>
static int up(const void *a, const void *b) { return *(double *)a > *(double *)b ? 1 : -1; }
int main(int argc, char **argv) {
    long count = atol(argv[1]) / 4;
    float *a = aligned_alloc(64, 4 * count), *b = aligned_alloc(64, 4 * count);
    double seconds[12];
    #pragma omp parallel for
    for (long i = 0; i < count; i++) { a[i] = i % 97; b[i] = 1; }
    for (int turn = 0; turn < 15; turn++) {
        double start = omp_get_wtime();
        #pragma omp parallel for
        for (long i = 0; i < count; i++) b[i] = a[i];
        if (turn >= 3) seconds[turn - 3] = omp_get_wtime() - start;
    }
    qsort(seconds, 12, sizeof(double), up);
    printf("%f %f\\n", 8.0 * count / seconds[6], b[count - 1]);
}
"""


def main() -> None:
    """Run the turns and print a row for each comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="a results file of --suite hardware")
    parser.add_argument("--turns", type=int, default=9)
    options = parser.parse_args()
    with Worker(preload=("bench.worker.micro.measure",)) as worker, tempfile.TemporaryDirectory() as folder:
        launcher = Launcher(worker)
        for case, name, theirs in comparisons(options.results, Path(folder)):
            pairs = [(ours(launcher, case), theirs()) for _ in range(options.turns)]
            print(row(case, name, pairs), flush=True)


def comparisons(results: Path, folder: Path) -> list[tuple[Micro, str, Callable[[], float]]]:
    """(case, the other instrument, what it says)."""
    measured = [record for record in frames.results(results).records if record.outcome.status is Status.MEASURED]
    products = [record for record in measured if record.case.get("operation") == "matmul"]
    found = []
    for precision in dict.fromkeys(record.case["precision"] for record in products):
        same = [record for record in products if record.case["precision"] == precision]
        best = Micro.from_json(max(same, key=lambda record: value_of(record).value).case)
        arguments = [precision, *map(str, best.size), str(best.threads)]
        found.append((best, "torch.utils.benchmark", python(TIMER, *arguments)))
    threads = max(record.case["threads"] for record in products)
    copy = Micro(operation="copy", variant="", size=(OCTETS,), precision="fp32", device="cpu", threads=1)
    found.append((copy, "numpy.copyto", python(NUMPY, str(OCTETS))))
    source, program = folder / "stream.c", folder / "stream"
    source.write_text(STREAM)
    compiler = shutil.which("cc") or sys.exit("needs cc")
    subprocess.run([compiler, "-O3", "-march=native", "-fopenmp", "-o", program, source], check=True)
    everyone = Micro(**{**vars(copy), "threads": threads})
    return [*found, (everyone, "C and OpenMP", lambda: said(str(program), str(OCTETS)))]


def python(text: str, *arguments: str) -> Callable[[], float]:
    """Runs a program in an interpreter of its own."""
    return lambda: said(sys.executable, "-c", text, *arguments)


def said(*command: str) -> float:
    """The first number that a program prints."""
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0])


def ours(launcher: Launcher, case: Micro) -> float:
    """What dlhw says of the case, measured anew."""
    record, output = launcher.measure(case, BUDGET)
    if record.outcome.status is not Status.MEASURED:
        sys.exit(f"{case.id}: {json.dumps(record.to_json()['outcome'])}\n{output}")
    return value_of(record).value


def row(case: Micro, name: str, pairs: list[tuple[float, float]]) -> str:
    """`case  ours  theirs  ratio [low, high]`."""
    unit = "FLOP/s" if case.operation == "matmul" else "B/s"
    ratios = [mine / theirs for mine, theirs in pairs]
    low, high = median_interval(ratios) or (min(ratios), max(ratios))
    middles = [units.rate(statistics.median(values), unit) for values in zip(*pairs, strict=True)]
    return f"{case.id}  dlhw {middles[0]}  {name} {middles[1]}  {statistics.median(ratios):.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
