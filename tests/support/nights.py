"""Results of many nights, made by hand: of a small suite on one machine, with what one asks for put in."""

import copy
import hashlib
import json

import numpy as np

from bench.records.record import Launch, Sampling
from suites.case import Case
from tests.support.samples import LENET, measured, micro, results

FIRST = 1_770_000_000
"""2026-02-02, seconds since 1970."""
DAY = 86400
CASES = tuple(
    Case(**{**LENET.__dict__, "batch_size": 2**power}) if hasattr(LENET, "__dict__") else LENET for power in range(8)
)


def commit(night):
    return hashlib.sha1(str(night).encode()).hexdigest()


def night(number, times, *, cost=None, hour=0, launches=3, spread=0.004, seed=0, anchors=(), peak=None, **changes):
    """A results file's content.

    Args:
        times: case -> seconds; None where it crashed.
        changes: `commit`, `branch`, `node`, `torch`, `kernel`, `dirty`, `at`.
    """
    rng = np.random.default_rng([number, seed])
    records = [_record(case, seconds, rng, number, launches, spread, peak) for case, seconds in times.items()]
    records += [
        micro(text, figure * rng.lognormal(0, spread), cost={"total": rng.random()}) for text, figure in anchors
    ]
    data = copy.deepcopy(results(*records))
    at = changes.get("at", FIRST + number * DAY + hour * 3600)
    data["datetime"] = np.datetime64(int(at), "s").item().isoformat() + "+00:00"
    info = data["machine_info"]
    info["node"] = changes.get("node", "box")
    info["torch"]["version"] = changes.get("torch", "2.11.0")
    info["host"]["kernel"] = changes.get("kernel", "6.1")
    data["commit_info"] = {
        "id": changes.get("commit", commit(number)), "branch": changes.get("branch", "main"), "project": "nets",
        "dirty": changes.get("dirty", False),
        "time": np.datetime64(int(changes.get("committed", FIRST + number * DAY - 7200)), "s").item().isoformat()
        + "+00:00",
    }  # fmt: skip
    return data


def _record(case, seconds, rng, number, launches, spread, peak):
    if seconds is None:
        from tests.support.samples import ended

        return ended("crashed", f"killed in night {number}", case)
    night_offset = rng.normal(0, spread)
    medians = seconds * np.exp(night_offset + rng.normal(0, spread, launches))
    samples = [float(median * (1 + 0.001 * offset)) for median in medians for offset in (-1, 0, 1)]
    parts = {}
    if peak is not None:
        parts["memory"] = None
    return measured(
        case, tuple(samples), cost={"total": float(rng.random())},
        sampling=Sampling(
            launches=tuple(
                Launch(samples=3, warmup_steps=5, steady=True, median_seconds=float(median), peak_bytes=300 * 2**20)
                for median in medians
            ),
            steps_per_sample=1, stop_reason="precision", clock="perf_counter",
        ),
    )  # fmt: skip


def write(folder, data, name=None):
    path = folder / (name or f"{data['commit_info']['id'][:8]}-{data['machine_info']['node']}.json")
    path.write_text(json.dumps(data))
    return path
