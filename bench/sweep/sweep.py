"""A sweep: the cases of a suite, measured one by one, each kept in the journal. Knows nothing of pytest."""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.controller.combine import best_of, combine
from bench.controller.launcher import Launcher, preload_for
from bench.controller.process import Worker
from bench.machine import power
from bench.records.journal import Journal, launched, read, reusable
from bench.records.record import Outcome, Record, Status, fingerprint
from bench.records.summary import summarise
from bench.sweep import costs, planner
from bench.sweep.telling import Telling
from suites.axes import Machine, impossible
from suites.case import Budget, Case
from suites.cases import AnyCase
from suites.errors import DlhwError
from suites.micro import Micro
from suites.sizes import Speed
from suites.suite import Suite
from suites.units import count, duration, percent

GIVES_UP = {Status.OUT_OF_MEMORY: "ran out of memory", Status.TIMEOUT: "ran out of time"}
"""Outcomes after which larger batches of the same configuration are not tried."""


class Sweep:
    """Plans and measures.

    Attributes:
        cases: every case of the suite on this machine by id, with its budget; empty before `start`.
        environment: what the measuring process says of the machine.
        records: what has been measured, reused or skipped so far, by case id.
        planned: ids of the cases that the run is to measure, in order.
        budget_seconds: for the whole run, from here on; None: every case is measured to its precision.
        drawn: ids of the cases that are looked at first, by lot, where the budget does not hold all.
        telling: there, which case says most of the others; else None.
    """

    def __init__(
        self, suite: Suite, journal_path: Path, *, resume: bool, data_root: Path | None = None,
        only: frozenset[str] | None = None,
        instructions: bool = False,
        budget_seconds: float | None = None,
    ) -> None:  # fmt: skip
        self.suite = suite
        self.journal_path = journal_path
        self.cases: dict[str, tuple[AnyCase, Budget]] = {}
        self.environment: dict[str, Any] = {}
        self.records: dict[str, Record] = {}
        self.reused: dict[str, Record] = {}
        self.planned: tuple[str, ...] = ()
        self.budget_seconds = budget_seconds
        self.drawn: frozenset[str] = frozenset()
        self.telling: Telling | None = None
        self.costs = costs.Costs()
        self._begin = time.monotonic()
        self._number = 0
        self._known: dict[str, planner.Standing] = {}
        self._stuck: set[str] = set()
        self._impossible: dict[str, str | None] = {}
        self._resume = resume
        self._data_root = data_root
        self._only = only
        self._instructions = instructions
        self._launched: dict[str, list[Record]] = {}
        self._ended: dict[str, tuple[Record, str]] = {}
        self._exhausted: dict[tuple[Any, ...], tuple[AnyCase, Status]] = {}
        self._journal: Journal | None = None
        self._worker: Worker | None = None
        self._machine = Machine(devices=(), threads=0)

    def start(self) -> None:
        """Start the measuring process, learn what machine this is, and plan.

        Raises:
            DlhwError: it does not start, or a net of the suite leads nowhere.
        """
        if self._worker is not None:
            return
        self._worker = Worker(preload=preload_for(self.suite))
        self._fresh = Worker(fork=False)
        self._launcher = Launcher(self._worker, self._fresh, self._data_root, instructions=self._instructions)
        self.environment = self._launcher.describe(self.suite.architectures, speeds=self.suite.follows_devices)
        if unknown := self.environment["unknown_architectures"]:
            raise DlhwError("\n".join(f"{self.suite.path}: {reason}" for reason in unknown.values()))
        self._machine = machine_of(self.environment)
        self.cases = {case.id: (case, self._within(budget)) for case, budget in self.suite.cases(self._machine).items()}
        if self._only is not None:
            self._choose(self._only)
        known = costs.kept(fingerprint(self.environment), self._way)
        self.costs = costs.Costs(known, costs.compiler_seconds(self.environment["torch"]["version"]))

    def _choose(self, only: frozenset[str]) -> None:
        if absent := sorted(only - self.cases.keys()):
            raise DlhwError(f"{self.suite.path}: no case {absent[0]} on this machine, which --cases names")
        self.cases = {case_id: chosen for case_id, chosen in self.cases.items() if case_id in only}

    def plan(self, case_ids: Sequence[str]) -> dict[str, Any]:
        """What machine this is, and the cases with what they may take or why they are impossible here."""
        return {
            "key": self.key,
            "environment": self.environment,
            "cases": [
                {"id": case_id, "case": self.cases[case_id][0].to_json(),
                 "seconds": self.expected_seconds(case_id), "impossible": self.impossible(case_id)}
                for case_id in case_ids
            ],
        }  # fmt: skip

    def _within(self, budget: Budget) -> Budget:
        return budget if self.budget_seconds is None else budget.short()

    @property
    def _way(self) -> str:
        """Launches that were made in another way say nothing of this run's."""
        return self.suite.digest if self.budget_seconds is None else f"{self.suite.digest}-budget"

    @property
    def cores(self) -> int:
        """That the measuring process may use."""
        return int(self.environment["host"]["cores"])

    @property
    def key(self) -> dict[str, Any]:
        """What must be equal for a record of an earlier run to stand for a case of this one."""
        return {
            "fingerprint": fingerprint(self.environment),
            "suite": self.suite.name,
            "digest": self._way,
        }

    def open_journal(self, header: Mapping[str, Any]) -> None:
        """Begin this run's part of the journal; with `resume`, take over what earlier parts hold.

        Raises:
            DlhwError: the journal cannot be read or written.
        """
        if self._resume:
            runs, _ = read(self.journal_path)
            self._launched = launched(runs, self.key)
            self.reused = {
                case_id: record
                for case_id, record in reusable(runs, self.key).items()
                if self.budget_seconds is None or case_id not in self._launched  # those can become better
            }
        elif self.journal_path.is_file():
            self.journal_path.replace(f"{self.journal_path}.old")
        if self.budget_seconds is not None:
            self.drawn = self._draw()
            for case_id in self.cases:
                self._take_stock(case_id)
            if self.drawn and self._worker is not None:
                possible = [self.cases[case_id][0] for case_id in self.planned if not self._settled(case_id)]
                self.telling = Telling(self._worker, possible, [*self._launched, *self.reused])
        self._journal = Journal(self.journal_path)
        self._journal.begin({"key": self.key, **header})

    def _draw(self) -> frozenset[str]:
        nets = [case_id for case_id in self.planned if isinstance(self.cases[case_id][0], Case)]
        looks = {case_id: self.costs.launch(*self.cases[case_id]) for case_id in nets if not self._settled(case_id)}
        return planner.draw(looks, self.left_seconds, self.suite.digest)

    def impossible(self, case_id: str) -> str | None:
        """Why this case cannot be measured here, as far as is known beforehand."""
        if case_id not in self._impossible:  # asked of every case each time that the rest is estimated
            self._impossible[case_id] = impossible(self.cases[case_id][0], self._machine)
        return self._impossible[case_id]

    @property
    def left_seconds(self) -> float:
        """Of the budget; endless without one."""
        if self.budget_seconds is None:
            return float("inf")
        return self.budget_seconds - (time.monotonic() - self._begin)

    def remaining_seconds(self) -> float:
        """What the rest of the run is thought to take."""
        if self.budget_seconds is not None:
            settled = planner.choose(self._standings(), float("inf")) is None
            return 0.0 if settled else max(0.0, self.left_seconds)
        rest = ((*self.cases[case_id], self._launches_left(case_id)) for case_id in self.planned)
        return self.costs.rest(rest)

    def expected_seconds(self, case_id: str) -> float:
        """What a case is thought to take, by all of its launches; nothing where none would be made."""
        case, budget = self.cases[case_id]
        return 0.0 if self._settled(case_id) else self.costs.launch(case, budget) * budget.launches

    def _launches_left(self, case_id: str) -> int:
        if case_id in self.records or self._settled(case_id):
            return 0
        return max(0, self.cases[case_id][1].launches - len(self._launched.get(case_id, ())))

    def _settled(self, case_id: str) -> bool:
        """Whether no launch would be made of it."""
        known = case_id in self.reused or case_id in self._ended or self.impossible(case_id)
        return bool(known or self._too_large(self.cases[case_id][0]))

    def next_launch(self) -> str | None:
        """Within a budget: the case to launch next; None where the rest of the time is of no use."""
        standings, left = self._standings(), self.left_seconds
        telling = self.telling.best(planner.looks(standings, left)) if self.telling else None
        return telling or planner.choose(standings, left)

    @property
    def standing(self) -> str:
        """`133 launches, 105 of 105 cases, half of them to 2.1%`."""
        widths = [each.half_width for each in self._known.values() if each.half_width is not None]
        measured = sum(bool(each.launches) for each in self._known.values())
        middle = f", half of them to ±{percent(statistics.median(widths))}" if widths else ""
        return f"{count(self._number, 'launch')}, {measured} of {len(self.planned)} cases{middle}"

    def told(self, case_id: str) -> bool:
        """Whether a case needs no line of its own when its test comes: it was counted, or told, before."""
        return self.budget_seconds is not None or bool(self.impossible(case_id))

    def unreached(self) -> list[str]:
        """Ids of the planned cases that the budget did not reach: neither measured nor known not to be measurable."""
        return [each for each in self.planned if not self._reached(each)]

    def _reached(self, case_id: str) -> bool:
        return self.budget_seconds is None or bool(self._launched.get(case_id)) or self._settled(case_id)

    def _standings(self) -> list[planner.Standing]:
        """Of the planned cases that may be launched, each with what a launch costs as far as is known by now."""
        found = []
        for case_id in self.planned:
            if not self._settled(case_id) and case_id not in self._stuck:
                cost = self.costs.launch(*self.cases[case_id])
                found.append(replace(self._known[case_id], cost_seconds=cost))
        return found

    def _take_stock(self, case_id: str) -> None:
        """Sum up what is known of a case by now."""
        budget, launches = self.cases[case_id][1], self._launched.get(case_id, [])
        good = [record for record in launches if not record.disturbed]
        found = summarise(best_of(launches, budget, self.cores)) if launches else None
        self._known[case_id] = planner.Standing(
            case_id=case_id,
            medians=tuple(summarise(record).median_seconds for record in good),
            within=(found.within_half_width or 0.0) if found else 0.0,
            half_width=found.half_width if found else None,
            launches=len(launches),
            cost_seconds=0.0,
            last=self._number,
            precision=budget.precision,
            most=budget.launches if budget.launches > 1 else None,
            drawn=case_id in self.drawn,
        )

    def rounds(self, case_ids: Sequence[str]) -> Iterator[str]:
        """Cases to launch before their own turn, each as often as it is given: one launch of all, then the next.

        Launches that follow one another share the machine's mood of the minute; so a case's are spread over the run,
        and only the last is left for `measure`.
        """
        most = max((self.cases[case_id][1].launches for case_id in case_ids), default=1)
        for number in range(1, most):
            for case_id in case_ids:
                budget = self.cases[case_id][1]
                wanted = number < budget.launches and len(self._launched.get(case_id, ())) < number
                if wanted and not self._settled(case_id):
                    yield case_id

    def launches_of(self, case_id: str) -> tuple[int, int]:
        """(launches of the case that were made so far, launches that it wants)."""
        failed = case_id in self._ended
        return len(self._launched.get(case_id, ())) + failed, self.cases[case_id][1].launches

    def launch(self, case_id: str) -> Record:
        """Measure a case by one launch, and keep it for `measure`.

        Raises:
            DlhwError: the record could not be written to the journal.
        """
        case, budget = self.cases[case_id]
        earlier = self._launched.setdefault(case_id, [])
        record, output = self._launcher.launch(case, budget, len(earlier))
        self._number += 1
        self.costs.learn(case, budget, record)
        if record.outcome.status is Status.MEASURED:
            record = combine([record], budget, self.cores)
            earlier.append(record)
            self._take_stock(case_id)
            if self.telling:
                self.telling.measured(case_id)
        elif record.outcome.status is Status.TIMEOUT and earlier and self.budget_seconds is not None:
            self._stuck.add(case_id)  # what its other launches say is true all the same
        else:
            self._ended[case_id] = record, output
            self._remember_the_end(record)
        if self._journal is not None:
            self._journal.append_launch(record)
        return record

    def measure(self, case_id: str, *, once: bool = False) -> tuple[Record, str]:
        """Measure a case, or take its record over; also the tail of what the measuring process printed."""
        if case_id in self.reused:
            return self.reused[case_id], ""
        return self._measure(*self.cases[case_id], once)

    def keep(self, record: Record, node_id: str) -> None:
        """Have a case's record in the journal, before the next case begins.

        Raises:
            DlhwError: it could not be written.
        """
        if self._journal is not None and record.id not in self.reused and self._reached(record.id):
            self._journal.append(node_id, record)
        self.records[record.id] = record
        self._remember_the_end(record)

    def _remember_the_end(self, record: Record) -> None:
        """Where a case ran out of memory or time, larger batches need not be tried."""
        if record.outcome.status in GIVES_UP:
            case = self.cases[record.id][0]
            self._exhausted.setdefault(case.configuration, (case, record.outcome.status))

    def _measure(self, case: AnyCase, budget: Budget, once: bool) -> tuple[Record, str]:
        launches = self._launched.get(case.id, ())
        if case.id in self._ended:
            return self._ended[case.id]
        reason = self.impossible(case.id) or self._too_large(case)
        if reason:
            return Record(id=case.id, case=case.to_json(), outcome=Outcome(Status.SKIPPED, reason)), ""
        if self.budget_seconds is not None and not once:
            return (best_of(launches, budget, self.cores) if launches else self._unreached(case)), ""
        record, output = self._launcher.measure(case, budget, once=once, earlier=launches[: budget.launches])
        if budget.launches == 1:
            self.costs.learn(case, budget, record)
        return record, output

    def _unreached(self, case: AnyCase) -> Record:
        reason = f"not reached within the budget of {duration(self.budget_seconds)}"
        return Record(id=case.id, case=case.to_json(), outcome=Outcome(Status.SKIPPED, reason))

    def _too_large(self, case: AnyCase) -> str | None:
        smaller, status = self._exhausted.get(case.configuration, (case, None))
        if status is None or smaller.scale >= case.scale:
            return None
        size = "x".join(map(str, smaller.size)) if isinstance(smaller, Micro) else ""
        what = f"size {size}" if size else f"batch {smaller.scale}"
        return f"{what} of this configuration {GIVES_UP[status]}"

    def close(self) -> None:
        """End the measuring process and close the journal."""
        if self._worker is not None:
            costs.keep(self.costs, fingerprint(self.environment), self._way)
            self._worker.close()
            self._fresh.close()
        if self._journal is not None:
            self._journal.close()


def machine_of(environment: Mapping[str, Any]) -> Machine:
    """What a plan needs of what `bench.worker.environment` found; a device that fails an allocation is absent.

    What a results file's `machine_info` holds of that does, too: compilers and nets are not known of it.
    """
    devices = [device for device in environment["devices"] if not device.get("reason")]
    return Machine(
        devices=tuple(device["name"] for device in devices),
        threads=environment["host"]["cores"],
        tf32_devices=frozenset(device["name"] for device in devices if device.get("tf32")),
        cudnn_devices=frozenset(device["name"] for device in devices if device.get("cudnn")),
        graph_devices=frozenset(device["name"] for device in devices if device.get("graphs")),
        speeds={
            device["name"]: Speed(**device["speed"], memory_bytes=device["memory_bytes"])
            for device in devices
            if device.get("speed")
        },
        power_limits=power.ranges(devices),
        compile_problems=environment.get("compile_problems", {}),
        unknown_architectures={
            **environment.get("unknown_architectures", {}),
            **environment.get("broken_architectures", {}),
        },
    )
