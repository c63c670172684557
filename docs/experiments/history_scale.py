"""How long a store of a million results takes to add to, to draw a trend from, and to check.

    python docs/experiments/history_scale.py [STORE] [--results 1000000]

STORE is a new SQLite file, the URL of an empty database of PostgreSQL, or `postgresql`: a server that is started for
this, of Debian's package, without fsync. Filled with runs of 1,000 cases, 200 of one machine and the rest of another;
then timed: a run of 5,000 results, a trend, `check` of 1,000 series of 200 runs.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from reports.history import adding, check, looking, upkeep
from reports.history.intake import Intake, Row, packed
from reports.history.store import Store, open_store
from tests.support import postgres

CASES, RUNS = 1000, 200
DAY = 86400.0
START = 1_700_000_000.0
SAMPLES = 20


def night(number: int, cases: int, machine: str, rng: np.random.Generator) -> Intake:
    """A run of `cases` results, each with its samples."""
    at = START + number * DAY
    values = 0.001 * np.exp(rng.normal(0, 0.01, cases))
    names = [f"lenet-inference-b{case + 1}-fp32-contiguous-eager-cpu-t1" for case in range(cases)]
    seconds = packed([0.001] * SAMPLES)
    rows = [
        Row(case=name, metric="seconds", value=float(value), within=0.001, between=0.003, launches=5, samples=SAMPLES,
            seconds=seconds, measurement=int(rng.integers(2**62)))
        for name, value in zip(names, values, strict=True)
    ]  # fmt: skip
    facts = {
        "at": at, "measured": at, "note": "", "suite": "scale", "digest": "d", "version": None, "arguments": "[]",
        "repository": "nets", "branch": "main", "commit": f"{number:040x}", "committed": at - 60, "dirty": False,
        "parents": None,
    }  # fmt: skip
    axes = {name: {"kind": "net", "architecture": "lenet"} for name in names}
    return Intake(
        name=machine, machine={"name": machine}, environment={"torch": "2"}, facts=facts, cases=axes, rows=rows
    )


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long it took."""
    begun = time.perf_counter()
    yield
    print(f"{what}: {time.perf_counter() - begun:.2f} s", flush=True)


def fill(store: Store, results: int, rng: np.random.Generator) -> None:
    """200 runs of the machine that is looked at, the rest of another."""
    for number in range(results // CASES):
        machine = "box" if number < RUNS else "other"
        adding.put(store, [night(number, CASES, machine, rng)], START)


def main() -> None:
    """Fill, then time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", nargs="?")
    parser.add_argument("--results", type=int, default=1_000_000)
    arguments = parser.parse_args()
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        url = arguments.store or str(Path(folder) / "history.db")
        if url == "postgresql":
            url = stack.enter_context(postgres.server()).url()
        store = open_store(url, create=True)
        print(f"{store.engine.dialect.name}:")
        with timed(f"filling with {arguments.results:,} results"):
            fill(store, arguments.results, rng)
        with timed("a run of 5,000 results"):
            adding.put(store, [night(10_000, 5000, "new", rng)], START)
        with timed("a trend"), store.reading() as connection:
            pattern = "lenet-inference-b7-fp32-contiguous-eager-cpu-t1"
            history = looking.history(connection, (1, "box"), nets=(pattern,), metric="seconds")
            assert len(upkeep.trend(history, (pattern,), "seconds")) == RUNS
        with timed(f"check of {CASES:,} series of {RUNS} runs"):
            asked = {"machine": "box", "branch": None, "nets": (), "alarms": 1.0, "folder": Path(folder), "now": START}
            found = check.check(store, **asked)
        print(f"false findings: {len(found.findings)}")


if __name__ == "__main__":
    main()
