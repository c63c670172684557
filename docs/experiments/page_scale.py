"""How large is the page, and how long does it take? Made-up results of many cases on several machines.

    python docs/experiments/page_scale.py [--cases 5000] [--machines 4] [--imported 100000] [--chromium PATH]

Prints the size of the page, the seconds and the peak memory of `dlhw report`, and, with Playwright and Chromium, the
seconds until the first chart is drawn. `--imported` adds so many rows of summaries. Figures: docs/page.md.
"""

import argparse
import itertools
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NETS = ("lenet", "lenet_bn", "alexnet", "vgg11", "nin", "googlenet", "resnet18")
AXES: tuple[tuple[Any, ...], ...] = (
    NETS, ("inference", "training"), ("fp32", "bf16", "fp16", "amp_bf16"), ("contiguous", "channels_last"),
    ("eager", "default"), (1, 2, 4, 8, 16, 32, 64, 128),
)  # fmt: skip


def main() -> None:
    """Make the files, the page, and say what it cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--machines", type=int, default=4)
    parser.add_argument("--imported", type=int, default=0)
    parser.add_argument("--chromium", help="path of a Chromium, to open the page in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [results(folder, index, options.cases // options.machines) for index in range(options.machines)]
        paths += [imported(folder, options.imported)] if options.imported else []
        page = folder / "page.html"
        start = time.monotonic()
        command = [sys.executable, "-P", "-c", "from reports.cli import main; main()", "report", *map(str, paths)]
        subprocess.run([*command, "-o", str(page)], check=True)
        seconds = time.monotonic() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"{page.stat().st_size / 1e6:.2f} MB, {seconds:.1f} s, {peak:.0f} MiB at the peak")
        if options.chromium:
            print(f"first chart in {opened(page, options.chromium):.2f} s")


def results(folder: Path, index: int, count: int) -> Path:
    """A machine's results: `count` cases, seven samples each."""
    generator = random.Random(index)
    benchmarks = [
        benchmark(case, [generator.gauss(0.01, 0.0002) * case["batch_size"] ** 0.8 for _ in range(7)])
        for case in itertools.islice(cases(), count)
    ]
    path = folder / f"machine{index}.json"
    path.write_text(json.dumps(document(f"machine{index}", benchmarks)))
    return path


def cases() -> Iterator[dict[str, Any]]:
    """Without end: further rounds differ in the size of the images."""
    names = ("architecture", "mode", "precision", "memory_format", "compile_mode", "batch_size")
    for size in itertools.count(32, 32):
        for values in itertools.product(*AXES):
            yield {
                "kind": "net", **dict(zip(names, values, strict=True)), "input_shape": [1, size, size],
                "device": "cpu", "threads": 8, "parameters": 10**6,
            }  # fmt: skip


def benchmark(case: dict[str, Any], seconds: list[float]) -> dict[str, Any]:
    """As pytest-benchmark would have it."""
    size = case["input_shape"][-1]
    words = (case["architecture"], case["mode"], f"s{size}", f"b{case['batch_size']}", case["precision"])
    name = "-".join(map(str, (*words, case["memory_format"], case["compile_mode"], "cpu", "t8")))
    octets = 10**6 * case["batch_size"]
    info = {
        "case": case,
        "memory": {"peak_host_bytes": octets * 3, "base_host_bytes": 10**8, "host_source": "VmHWM",
                   "peak_allocated_bytes": None, "peak_reserved_bytes": None, "parameter_bytes": 4 * 10**6},
        "flops": {"forward_per_image": 10**9, "step": 10**9 * case["batch_size"]},
        "traffic": {"compulsory_bytes": octets, "operator_bytes": 5 * octets, "operators": 60,
                    "by_size": {"20": 5 * octets}},
    }  # fmt: skip
    return {"param": name, "extra_info": info, "stats": {"data": seconds}}


def imported(folder: Path, count: int) -> Path:
    """Summaries of so many nets that nobody has heard of."""
    names = ("architecture", "batch_size")
    rows = [
        {
            "kind": "net", **dict(zip(names, (f"timm:net{index // 8}", 2 ** (index % 8)), strict=True)),
            "mode": "inference", "input_shape": [3, 224, 224], "precision": "amp_fp16", "memory_format": "contiguous",
            "compile_mode": "eager", "device": "cuda:0", "threads": None, "parameters": 10**6,
        }
        for index in range(count)
    ]  # fmt: skip
    benchmarks = [
        {"param": f"{case['architecture']}-b{case['batch_size']}", "extra_info": {"case": case},
         "stats": {"data": [0.001 * case["batch_size"] ** 0.9]}}
        for case in rows
    ]  # fmt: skip
    path = folder / "imported.json"
    path.write_text(json.dumps(document("card", benchmarks)))
    return path


def document(node: str, benchmarks: list[dict[str, Any]]) -> dict[str, Any]:
    """A results file."""
    return {
        "machine_info": {"node": node, "devices": [{"name": "cpu", "model": node}], "torch": {"version": "2.15.0"}},
        "benchmarks": benchmarks,
        "outcomes": [],
        "dlhw": {"schema": 1, "suite": "made up", "fingerprint": node},
    }


def opened(page: Path, chromium: str) -> float:
    """Seconds until the first chart is there."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page()
        start = time.monotonic()
        tab.goto(page.as_uri())
        tab.wait_for_selector(".plot .main-svg")
        return time.monotonic() - start


if __name__ == "__main__":
    main()
