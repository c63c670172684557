"""From the records of a case's launches to the one record of the case."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import chain
from typing import Any

from bench.controller import noise
from bench.machine import sensors
from bench.records.record import Memory, Record, Sampling
from bench.records.summary import half_width
from suites.case import Budget


def combine(records: Sequence[Record], budget: Budget, cores: int) -> Record:
    """One record of `records`, each measured by a launch of its own, and why it is noisy.

    Samples follow one another launch by launch; peaks are the highest, the check is the one nearest to failing,
    costs are summed; compile time is the middle launch's; the sensors' window is the first launch's, who alone has one.

    Args:
        cores: that the launches could use.
    """
    sampling = _sampling(records)
    whole = replace(
        records[0],
        sampling=sampling,
        seconds=tuple(chain.from_iterable(record.seconds for record in records)),
        memory=_highest([record.memory for record in records if record.memory]),
        compile=_middle([record.compile for record in records if record.compile]),
        check=max((record.check for record in records if record.check), key=_closeness, default=None),
        cost=dict(sum((Counter(record.cost or {}) for record in records), Counter())),
    )
    reasons = [noise.disturbances(record, budget, cores) | sensors.noise(record.sensors) for record in records]
    found = replace(sampling, noisy=noise.over_launches(reasons), wide=noise.imprecision(whole, budget))
    return replace(whole, sampling=found)


def best_of(records: Sequence[Record], budget: Budget, cores: int) -> Record:
    """One record of the launches that nothing disturbed, and how many were set aside; of all where each was disturbed.

    Args:
        records: each of one launch, and judged: what `combine` makes of it alone.

    What disturbs a launch is seen by its evidence, not by its time; what was set aside stays in the journal.
    """
    disturbed = [record for record in records if record.disturbed]
    good = [record for record in records if not record.disturbed]
    found = combine(good or records, budget, cores)
    if not good or not disturbed or found.sampling is None:
        return found
    reasons = [record.disturbed[0] for record in disturbed]
    text = f"{len(reasons)} of {len(records)} launches set aside as disturbed: {Counter(reasons).most_common(1)[0][0]}"
    return replace(found, sampling=replace(found.sampling, set_aside=text))


def _sampling(records: Sequence[Record]) -> Sampling:
    found = [record.sampling for record in records if record.sampling]
    widest = max(range(len(records)), key=lambda index: half_width(records[index].seconds))
    return replace(
        found[widest],
        launches=tuple(chain.from_iterable(sampling.launches for sampling in found)),
        steps_per_sample=max(sampling.steps_per_sample for sampling in found),
        synchronised_seconds=tuple(chain.from_iterable(sampling.synchronised_seconds for sampling in found)),
    )


def _highest(found: Sequence[Memory]) -> Memory | None:
    if not found:
        return None
    peaks: dict[str, Any] = {}
    for name in (field.name for field in fields(Memory)):
        known = [value for memory in found if (value := getattr(memory, name)) is not None]
        peaks[name] = max(known, default=None)
    return Memory(**peaks)


def _middle(found: Sequence[Any]) -> Any:
    return sorted(found, key=lambda compiled: compiled.seconds)[len(found) // 2] if found else None


def _closeness(check: Any) -> float:
    if check.relative_error is None or check.tolerance is None:
        return math.inf  # what cannot be told is told
    return float(check.relative_error / (check.tolerance or math.ulp(0.0)))
