"""How long until the median is known to 1 %: dlhw, torch.utils.benchmark, pytest-benchmark, on the same steps.

    python docs/experiments/time_to_result.py [--repeats 3]

Each row: seconds that the instrument took, and the half width of its median's 95 % interval by ranks.
`adaptive_autorange` stops by a rule of its own (IQR below a tenth of the median), pytest-benchmark by the clock;
both with their defaults; `to 1 %` is the shortest `min_run_time` of adaptive_autorange
that reaches what is asked of dlhw. `case` is dlhw's whole case in a sweep: fork, building, check, warm-up and sampling.
Figures: docs/method.md.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.benchmark import Timer

from bench.controller.launcher import Launcher
from bench.controller.process import Worker
from bench.records.summary import half_width
from bench.worker.timing.clock import HostClock
from bench.worker.timing.sampling import sample
from suites import units
from suites.architectures import ARCHITECTURES, build
from suites.case import Budget, Case

NETS = (("lenet", 1), ("lenet", 64), ("resnet18", 1), ("resnet18", 4), ("googlenet", 1), ("nin", 1), ("alexnet", 1))
BUDGET = Budget(precision=0.01, min_seconds=0.0, max_seconds=5.0, warmup_seconds=0.5)
TOOLS = ("dlhw", "case", "adaptive_autorange", "to 1 %", "pytest-benchmark")
PLUGIN_TEST = """
import time
from docs.experiments.time_to_result import step_of

def test_it(benchmark):
    step = step_of("{name}", {batch})
    start = time.perf_counter()
    benchmark(step)
    benchmark.extra_info["wall"] = time.perf_counter() - start
"""


def step_of(name: str, batch: int) -> Callable[[], object]:
    """One forward pass."""
    net, images = build(name).eval(), torch.randn(batch, *ARCHITECTURES[name].input_shape)

    def step() -> object:
        with torch.inference_mode():
            return net(images)

    return step


def ours(step: Callable[[], object]) -> tuple[float, float]:
    """Seconds taken, and half width reached."""
    start = time.perf_counter()
    seconds = sample(step, HostClock(), BUDGET).seconds
    return time.perf_counter() - start, half_width(seconds)


def timer(step: Callable[[], object], min_seconds: float = 0.01) -> tuple[float, float]:
    """The same of torch.utils.benchmark; by default it is content after 10 ms."""
    start = time.perf_counter()
    tool = Timer("step()", globals={"step": step}, num_threads=torch.get_num_threads())
    measured = tool.adaptive_autorange(min_run_time=min_seconds)
    return time.perf_counter() - start, half_width(measured.times)


def precise_timer(step: Callable[[], object]) -> tuple[float, float]:
    """The same, with the shortest run out of a doubling series that knows its median as well as is asked of dlhw."""
    for doublings in range(10):
        seconds, width = timer(step, 0.01 * 2**doublings)
        if width <= BUDGET.precision:
            break
    return seconds, width


def plugin(name: str, batch: int) -> tuple[float, float]:
    """The same of pytest-benchmark, in a pytest of its own."""
    with tempfile.TemporaryDirectory() as folder:
        test, results = Path(folder) / "test_it.py", Path(folder) / "results.json"
        test.write_text(PLUGIN_TEST.format(name=name, batch=batch))
        options = ["-q", "-c", "/dev/null", "--rootdir", folder, f"--benchmark-json={results}"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        command = [sys.executable, "-m", "pytest", *options, str(test)]
        subprocess.run(command, check=True, capture_output=True, env=environment)
        (benchmark,) = json.loads(results.read_text())["benchmarks"]
        return benchmark["extra_info"]["wall"], half_width(benchmark["stats"]["data"])


def case(launcher: Launcher, name: str, batch: int) -> tuple[float, float]:
    """The same of a whole case of dlhw."""
    threads = torch.get_num_threads()
    found = Case.parse(f"{name}-inference-b{batch}-fp32-contiguous-eager-cpu-t{threads}")
    record, _ = launcher.measure(found, BUDGET)
    assert record.cost is not None
    return record.cost["total"], half_width(record.seconds)


def main() -> None:
    """Print a row a net and instrument."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    print("net", "step", *(f"{tool} {what}" for tool in TOOLS
                           for what in ("seconds", "half width")), sep="\t")  # fmt: skip
    with Worker() as worker:
        launcher = Launcher(worker)
        for name, batch in NETS:
            step = step_of(name, batch)
            case(launcher, name, batch)  # prepares the reference, which a sweep does once a net
            rows = [
                (*ours(step), *case(launcher, name, batch), *timer(step), *precise_timer(step), *plugin(name, batch))
                for _ in range(repeats)
            ]
            middle = [statistics.median(column) for column in zip(*rows, strict=True)]
            seconds = statistics.median(sample(step, HostClock(), BUDGET).seconds)
            cells = [f"{value:.2f}" if at % 2 == 0 else units.percent(value) for at, value in enumerate(middle)]
            print(f"{name} b{batch}", units.seconds(seconds), *cells, sep="\t", flush=True)


if __name__ == "__main__":
    main()
