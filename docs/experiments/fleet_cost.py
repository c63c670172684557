"""What a block costs beyond measuring it, by engine: this machine, a Ray and a Slurm that are started here.

    python docs/experiments/fleet_cost.py [local] [ray] [slurm]

From a fleet's own journal, over the blocks of suite smoke: an attempt's time from its start to its end, that of its
sweep (from the node's word that it is alone to its end), and that of its cases (their records' cost, from request to
end). Slurm is the tests' own, which only root may start. Nothing else may run meanwhile.
"""

import contextlib
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.fleet import ledger, schedule
from bench.fleet.fleet import Fleet, Request
from bench.fleet.ledger import End, History
from bench.fleet.task import Engine

REQUEST = Request(arguments=("--suite", "smoke"), anchors=False, nodes=1, max_other_cores=99.0)
"""Load is no reason to refuse: waiting for a quiet node is no cost of a block."""


@contextlib.contextmanager
def engine(name: str, folder: Path) -> Iterator[Engine]:
    """The engine, and what it needs to be there."""
    if name == "local":
        from bench.fleet.engines.local import Local

        yield Local()
    elif name == "ray":
        from bench.fleet.engines.ray import Ray

        yield Ray(None)
    else:
        from bench.fleet.engines.slurm import Slurm
        from tests.support.slurm import Cluster

        (folder / "cluster").mkdir()
        with Cluster(folder / "cluster") as cluster:
            os.environ["SLURM_CONF"] = cluster.environment["SLURM_CONF"]
            yield Slurm(folder, None, 60)


def costs(folder: Path, history: History) -> Iterator[tuple[float, float, float]]:
    """(whole, sweep, cases) of each block, in seconds."""
    for attempt in history.attempts.values():
        if attempt.end is End.DONE and attempt.block not in {"plan", schedule.BEGIN, schedule.END}:
            entries = map(json.loads, ledger.lines_of(folder, attempt.number))
            cases = sum(entry["record"]["cost"]["total"] for entry in entries if entry["kind"] == "record")
            yield attempt.seconds or 0.0, attempt.measuring_seconds or 0.0, cases


def main() -> None:
    """Print a row an engine: medians over its blocks."""
    print("engine\tblocks\tseconds\tbefore the sweep\tsweep's own\tbeyond measuring")
    for name in sys.argv[1:] or ("local", "ray", "slurm"):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as text:
            folder = Path(text)
            with engine(name, folder) as chosen:
                Fleet(REQUEST, chosen, folder, lambda line: print(line, file=sys.stderr, flush=True)).run()
            found = list(costs(folder, ledger.read(folder)))
        parts = zip(
            *((whole, whole - sweep, sweep - cases, whole - cases) for whole, sweep, cases in found), strict=True
        )
        whole, before, own, beyond = map(statistics.median, parts)
        print(f"{name}\t{len(found)}\t{whole:.1f}\t{before:.1f}\t{own:.1f}\t{beyond:.1f}", flush=True)


if __name__ == "__main__":
    main()
