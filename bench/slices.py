"""One half of a pair: a process that measures short slices when it is told to, so that two can take turns.

Commands come as JSON lines on stdin: `{"load": n}` builds, checks and warms up the n-th case; `{"slice": steps}` times
so many steps of it; the end of stdin ends it all. Each is answered by one event, `loaded` or `slice`.
"""

import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from bench import check, host, workload
from bench.check import Reference
from bench.clock import clock_for
from bench.events import Events
from bench.measure import no_garbage_collection
from bench.record import Outcome, Status
from bench.sampling import warm_up
from suites.case import Budget, Case

if TYPE_CHECKING:
    from bench.workload import Workload


class Slices:
    """Serves commands about `cases`, each `{"case", "reference"}`, one of them loaded at a time."""

    def __init__(self, events: Events, cases: Sequence[Mapping[str, Any]], budget: Budget) -> None:
        self._events, self._cases, self._budget = events, cases, budget
        self._work: Workload | None = None

    def serve(self, read_line: Callable[[], bytes]) -> None:
        """Answer until there are no more commands."""
        while line := read_line():
            command = json.loads(line)
            if "load" in command:
                self._events.tell("loaded", **self._load(self._cases[command["load"]]))
            else:
                self._events.tell("slice", **self._slice(int(command["slice"])))

    def _load(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """What came of it: `step_seconds` and `steady`, or an `outcome`."""
        self._work = None  # its memory goes before the next net's comes
        case = Case.from_json(wanted["case"])
        try:
            torch.set_num_threads(case.threads)
            workload.set_precision(case.precision)
            tensors = check.load(Reference(**wanted["reference"]).path)
            work = workload.workload(case, tensors)
            with work.context():
                checked = work.compare(tensors)
                if checked.relative_error > checked.tolerance:
                    reason = f"differs from fp64 by {checked.relative_error:.2g} of its size"
                    return {"outcome": asdict(Outcome(Status.WRONG_RESULT, reason))}
                state = warm_up(work.step, clock_for(case.device), self._budget.warmup_seconds)
        except Exception as error:  # noqa: BLE001 - a net may raise anything, and the other half goes on
            from bench.worker import outcome_of

            traceback.print_exc()
            return {"outcome": asdict(outcome_of(error))}
        self._work = work
        return {"outcome": None, "step_seconds": state.step_seconds, "steady": state.steady}

    def _slice(self, steps: int) -> dict[str, Any]:
        """The time of each step, and what disturbed the process meanwhile."""
        if self._work is None:
            return {"seconds": [], "disturbance": {}}
        clock = clock_for(self._work.case.device)
        with self._work.context(), no_garbage_collection():
            before = host.moment()
            seconds = clock.samples(self._work.step, 1, steps)
            disturbance = host.between(before, host.moment())
        return {"seconds": seconds, "disturbance": disturbance}
