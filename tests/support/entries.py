"""Entries of a gate, made by hand."""

import math

import numpy as np

from bench.records.pair import Entry, Pair
from bench.records.record import Outcome, Status

CASES = tuple(f"lenet-inference-b{2**n}-fp32-contiguous-eager-cpu-t1" for n in range(8))
SPREAD = (0.004, -0.004, 0.002, -0.002, 0.001, -0.001)
"""Log ratios of six pairs of the same code."""

ENTRY = Entry(
    stage=2, number=3, case="lenet", control="positive", injected=0.04, seconds=1.5,
    pair=Pair(
        base=(0.1, 0.2), head=(0.3, 0.4), disturbed=("", "x"), outcomes=(None, Outcome(Status.CRASHED, "y")),
        peak_bytes=(5, None), compile_seconds=(None, 2.0),
    ),
)  # fmt: skip


def pair(log_ratio, **parts):
    return Pair(**{"base": (1.0, 1.0), "head": (math.exp(log_ratio),) * 2, "disturbed": ("", "")} | parts)


def entry(case, log_ratio=0.0, *, stage=1, number=1, control="", injected=0.0, **parts):
    return Entry(
        stage=stage, number=number, case=case, control=control, injected=injected, seconds=1.5,
        pair=pair(log_ratio, **parts),
    )  # fmt: skip


def entries(case, shift=0.0, *, spread=SPREAD, **parts):
    """All pairs of a case; head takes `shift` more, as 0.05."""
    return [entry(case, offset + math.log1p(shift), number=number, **parts) for number, offset in enumerate(spread, 1)]


def lost(case, base="", head="", status=Status.CRASHED, **parts):
    """A pair in which a side was not measured, for a reason."""
    outcomes = tuple(Outcome(status, reason) if reason else None for reason in (base, head))
    return entry(case, base=(), head=(), disturbed=(), outcomes=outcomes, **parts)


def noisy(rng, cases, effects, *, sd=0.012, count=6, stage=1):
    """Random pairs; `effects` by case."""
    return [
        entry(case, rng.normal(math.log1p(effects.get(case, 0.0)), sd), stage=stage, number=number)
        for number in range(1, count + 1)
        for case in cases
    ]


def seeded(seed):
    return np.random.default_rng(seed)
