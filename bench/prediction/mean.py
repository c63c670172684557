"""The time of a step as a sum: arithmetic, bytes, operators, weights, each at a rate that is learnt.

A roofline without overlap. Rates are not negative; they are learnt from what this machine was seen to do, and its
measured ceilings count as one more observation each.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from bench.machine.ceilings import Ceilings, key
from bench.prediction.facts import Facts

Array: TypeAlias = NDArray[np.float64]

ROUNDS = 8
"""Of reweighting, after which the relative error that is made small is the logarithm's."""
LEAST_SECONDS = 1e-9
KINDS = {"fp32": "single", "tf32": "tf32"}


def kind_of(precision: str) -> str:
    """Which units compute: of single precision, TF32's, or those of half of it."""
    return KINDS.get(precision, "half")


def _compiled(facts: Facts) -> bool:
    return facts.case.compile_mode != "eager"


def _flops(kind: str) -> Callable[[Facts], float]:
    return lambda facts: facts.work.flops / _cores(facts) if kind_of(facts.case.precision) == kind else 0.0


def _bytes(kind: str) -> Callable[[Facts], float]:
    return lambda facts: (
        facts.work.bytes / _cores(facts) if kind_of(facts.case.precision) == kind and not _compiled(facts) else 0.0
    )


def _operators(mode: str, *, compiled: bool) -> Callable[[Facts], float]:
    return lambda facts: (
        facts.work.operators or 0.0 if facts.case.mode == mode and _compiled(facts) == compiled else 0.0
    )


def _cores(facts: Facts) -> int:
    """That share the work: an accelerator's time does not depend on the host's threads."""
    return max(1, facts.case.threads) if facts.case.device == "cpu" else 1


TERMS: Mapping[str, Callable[[Facts], float]] = {
    **{f"flops {kind}": _flops(kind) for kind in ("single", "tf32", "half")},
    **{f"bytes {kind}": _bytes(kind) for kind in ("single", "tf32", "half")},
    "bytes compiled": lambda facts: facts.work.compulsory_bytes / _cores(facts) if _compiled(facts) else 0.0,
    **{f"operators {mode}": _operators(mode, compiled=False) for mode in ("inference", "training")},
    **{f"operators compiled {mode}": _operators(mode, compiled=True) for mode in ("inference", "training")},
    "weights updated": lambda facts: (facts.work.parameters or 0.0) if facts.case.mode == "training" else 0.0,
}
"""What a step's time is made of -> how much of it a case has; a rate in seconds belongs to each."""


def terms(facts: Sequence[Facts]) -> Array:
    """(cases, terms)."""
    return np.array([[amount(each) for amount in TERMS.values()] for each in facts], dtype=float)


def rates(amounts: Array, seconds: Array, ceilings: Mapping[str, float] | None = None) -> Array:
    """Seconds that a unit of each term takes: least squares of the logarithm of the time, none negative.

    Args:
        amounts: (cases, terms), of measured cases.
        seconds: (cases,).
        ceilings: term -> seconds of a unit at this machine's best.
    """
    prior = np.diag([1 / (ceilings or {}).get(name, np.inf) for name in TERMS])
    rows = np.vstack([amounts / seconds[:, None], prior[prior.any(axis=1)]])
    scale = np.where(rows.max(axis=0) > 0, rows.max(axis=0), 1.0)
    weight = np.ones(len(rows))
    found = np.zeros(len(TERMS))
    for _ in range(ROUNDS):  # (log r)^2 is w^2 (r - 1)^2 with w = log r / (r - 1)
        found = nnls(rows / scale * weight[:, None], weight)[0] / scale
        ratio = np.maximum(rows @ found, 1e-3)
        away = np.abs(ratio - 1) > 1e-6
        weight = np.where(away, np.abs(np.log(ratio) / np.where(away, ratio - 1, 1)), 1.0)
    return found


def log_seconds(amounts: Array, found: Array) -> Array:
    """(cases,): the logarithm of the time at these rates."""
    return np.asarray(np.log(np.maximum(amounts @ found, LEAST_SECONDS)))


def best_seconds(known: Ceilings, device: str, threads: int) -> dict[str, float]:
    """Term -> seconds of a unit at the measured ceilings of a device, those that are known.

    Terms of the CPU are a thread's share of the work, and so are its ceilings.
    """
    shared = max(1, threads) if device == "cpu" else 1
    found: dict[str, float] = {}
    for kind, precision in (("single", "fp32"), ("tf32", "tf32"), ("half", "bf16")):
        peak = known.flops_per_second.get(key(device, threads, precision))
        found |= {f"flops {kind}": shared / peak.value} if peak else {}
    if curve := known.bytes_per_second.get(key(device, threads)):
        slowest = shared / curve[max(curve)].value
        found |= {f"bytes {kind}": slowest for kind in ("single", "tf32", "half", "compiled")}
    if dispatch := known.dispatch_seconds.get(key(device, threads)):
        found |= {f"operators {mode}": dispatch.value for mode in ("inference", "training")}
    return found
