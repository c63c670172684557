"""How often does the gate cry wolf, and what does it catch? Live runs of `dlhw gate` in a clean clone of dlhw.

    python docs/experiments/gate_live.py FOLDER --kind same    --count 20    (base and head are the same code: 1 hour)
    python docs/experiments/gate_live.py FOLDER --kind slower  --count 10    (one case of eight slowed down by 5 %)
    python docs/experiments/gate_live.py FOLDER --kind hostile --count 4     (busy processes from the middle on)

Nothing else may run meanwhile. Each run leaves its JSON in FOLDER, raw slices included; runs that are there already are
not made again. While FOLDER/pause exists, no run begins. `docs/experiments/gate_rules.py` analyses what they leave.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from suites import suite, units
from suites.axes import Machine

SLOWER = "5%"
MIDDLE_SECONDS = 75.0
"""About half of a run's first stage."""
BUSY = "while True: pass"


def names() -> list[str]:
    """The gate's own eight cases."""
    return [case.id for case in suite.load("gate").cases(Machine(devices=("cpu",), threads=1))]


def arguments(kind: str, number: int) -> list[str]:
    """What a run's command line has besides its outputs."""
    cases = names()
    return ["--inject", f"{cases[number % len(cases)]}={SLOWER}"] if kind == "slower" else []


@contextlib.contextmanager
def company() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Busy processes, for a run to add to; ended with it."""
    busy: list[subprocess.Popen[bytes]] = []
    try:
        yield busy
    finally:
        for process in busy:
            process.kill()
            process.wait()


def gate(folder: Path, kind: str, number: int) -> None:
    """One run; its outputs are in `folder`."""
    name = f"{kind}-{number:02d}"
    command = [
        sys.executable, "-c", "from reports.cli import main; main()", "gate", "--base", "HEAD",
        "--seed", str(1000 + number), "--json", str(folder / f"{name}.part"),
        "--journal", str(folder / f"{name}.journal.jsonl"), *arguments(kind, number),
    ]  # fmt: skip
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    start = time.monotonic()
    with company() as busy, (folder / f"{name}.log").open("wb") as log:
        run = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        while run.poll() is None:
            time.sleep(1)
            if kind == "hostile" and not busy and time.monotonic() - start > MIDDLE_SECONDS:
                busy += [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(1 + number % 2)]
    print(f"{name}: exit code {run.returncode}, {units.duration(time.monotonic() - start)}", flush=True)
    (folder / f"{name}.part").replace(folder / f"{name}.json")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kind", choices=["same", "slower", "hostile"], required=True)
    parser.add_argument("--count", type=int, required=True, help="runs in the end")
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(options.count):
        if (folder / f"{options.kind}-{number:02d}.json").exists():
            continue
        while (folder / "pause").exists():
            time.sleep(1)
        gate(folder, options.kind, number)


if __name__ == "__main__":
    main()
