"""Results of many nights, made by hand: of a few cases on one machine, with what one asks for put in."""

import copy
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from bench.records.record import Launch, Sampling
from reports.history import adding, intake
from tests.support.samples import LENET, ended, measured, micro, results

FIRST = 1_770_000_000.0
DAY = 86400.0
LATER = FIRST + 1000 * DAY
"""The clock of whoever adds."""
CASES = tuple(replace(LENET, batch_size=2**power) for power in range(8))
TIMES = {case: 0.001 * 2**power for power, case in enumerate(CASES)}
ANCHORS = (("dispatch-1-fp32-cpu-t2", 1e6),)


def commit(number):
    return hashlib.sha1(str(number).encode()).hexdigest()


def slower(factor, *cases, times=TIMES):
    """`times`, of these cases `factor` times as long; of all where none is named."""
    return {case: seconds * factor if case in (cases or times) else seconds for case, seconds in times.items()}


def night(
    number, times=TIMES, *, spread=0.004, seed=0, anchors=(), at=None, committed=None, node="box", torch="2.11.0",
    kernel="6.1", **commit_info,
):  # fmt: skip
    """A results file's content: three launches a case; a case without seconds crashed."""
    rng = np.random.default_rng([number, seed])
    records = [_record(case, seconds, rng, spread) for case, seconds in times.items()]
    records += [micro(text, value * rng.lognormal(0, spread), cost={"total": rng.random()}) for text, value in anchors]
    data = copy.deepcopy(results(*records))
    info = data["machine_info"]
    info["node"], info["torch"]["version"], info["host"]["kernel"] = node, torch, kernel
    data["datetime"] = _iso(FIRST + number * DAY if at is None else at)
    data["commit_info"] = {
        "id": commit(number), "branch": "main", "project": "nets", "dirty": False,
        "time": _iso(FIRST + number * DAY - 7200 if committed is None else committed),
    } | commit_info  # fmt: skip
    return data


def _iso(seconds):
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _record(case, seconds, rng, spread):
    if seconds is None:
        return ended("crashed", "killed by SIGKILL", case)
    medians = seconds * np.exp(rng.normal(0, spread) + rng.normal(0, spread, 3))
    launches = [
        Launch(samples=3, warmup_steps=5, steady=True, median_seconds=float(median), peak_bytes=300 * 2**20)
        for median in medians
    ]
    return measured(
        case, tuple(float(median * (1 + 0.001 * offset)) for median in medians for offset in (-1, 0, 1)),
        cost={"total": rng.random()},
        sampling=Sampling(
            launches=tuple(launches), steps_per_sample=1, stop_reason="precision", clock="perf_counter"
        ),
    )  # fmt: skip


def write(folder, data, name="results.json"):
    path = folder / name
    path.write_text(json.dumps(data))
    return path


def put(store, folder, *nights, now=LATER):
    """Put these nights in; returns what became of each."""
    return [found for data in nights for found in adding.put(store, intake.read(write(folder, data), now), now)]


def smaller(data, count):
    """A night cut short: its first cases alone."""
    return {**data, "benchmarks": data["benchmarks"][:count]}
