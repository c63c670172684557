"""Has the work of nets counted that nobody measures: FLOPs, bytes, operators and parameters of a step."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from bench.controller.launcher import PREPARE_LIMIT_SECONDS, outcome_of
from bench.controller.process import Worker
from bench.records.messages import Operation
from suites.architectures import is_own
from suites.case import Case


def counts(worker: Worker, cases: Iterable[Case]) -> dict[str, Mapping[str, Any]]:
    """Case id -> what `bench.worker.nets.traffic.work` tells, or `reason` why that is not known.

    A person's net is counted in a process of its own: one that ends it takes no other along.
    """
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[case.architecture if is_own(case.architecture) else ""].append(case)
    found: dict[str, Mapping[str, Any]] = {}
    for group in groups.values():
        reply = worker.request(Operation.WORK, PREPARE_LIMIT_SECONDS, cases=[case.to_json() for case in group])
        told = (reply.result or {}).get("work")
        if told is None:
            reason = outcome_of(reply, PREPARE_LIMIT_SECONDS).reason
            told = {case.id: {"reason": reason} for case in group}
        found |= told
    return found
