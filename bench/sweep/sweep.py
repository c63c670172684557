"""A sweep: the cases of a suite, measured one by one, each kept in the journal. Knows nothing of pytest."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.controller.launcher import Launcher, preload_for
from bench.controller.process import Worker
from bench.machine import power
from bench.records.journal import Journal, launched, read, reusable
from bench.records.record import Outcome, Record, Status, fingerprint
from suites.axes import Machine, impossible
from suites.case import Budget
from suites.cases import AnyCase
from suites.errors import DlhwError
from suites.micro import Micro
from suites.sizes import Speed
from suites.suite import Suite, seconds_of

GIVES_UP = {Status.OUT_OF_MEMORY: "ran out of memory", Status.TIMEOUT: "ran out of time"}
"""Outcomes after which larger batches of the same configuration are not tried."""


class Sweep:
    """Plans and measures.

    Attributes:
        cases: every case of the suite on this machine by id, with its budget; empty before `start`.
        environment: what the measuring process says of the machine.
        records: what has been measured, reused or skipped so far, by case id.
    """

    def __init__(
        self, suite: Suite, journal_path: Path, *, resume: bool, data_root: Path | None = None,
        only: frozenset[str] | None = None,
        instructions: bool = False,
    ) -> None:  # fmt: skip
        self.suite = suite
        self.journal_path = journal_path
        self.cases: dict[str, tuple[AnyCase, Budget]] = {}
        self.environment: dict[str, Any] = {}
        self.records: dict[str, Record] = {}
        self.reused: dict[str, Record] = {}
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
        self.cases = {case.id: (case, budget) for case, budget in self.suite.cases(self._machine).items()}
        if self._only is not None:
            self._choose(self._only)

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

    @property
    def key(self) -> dict[str, Any]:
        """What must be equal for a record of an earlier run to stand for a case of this one."""
        return {
            "fingerprint": fingerprint(self.environment),
            "suite": self.suite.name,
            "digest": self.suite.digest,
        }

    def open_journal(self, header: Mapping[str, Any]) -> None:
        """Begin this run's part of the journal; with `resume`, take over what earlier parts hold.

        Raises:
            DlhwError: the journal cannot be read or written.
        """
        if self._resume:
            runs, _ = read(self.journal_path)
            self.reused = reusable(runs, self.key)
            self._launched = launched(runs, self.key)
        elif self.journal_path.is_file():
            self.journal_path.replace(f"{self.journal_path}.old")
        self._journal = Journal(self.journal_path)
        self._journal.begin({"key": self.key, **header})

    def impossible(self, case_id: str) -> str | None:
        """Why this case cannot be measured here, as far as is known beforehand."""
        return impossible(self.cases[case_id][0], self._machine)

    def expected_seconds(self, case_id: str) -> float:
        """What the rest of the case may take; nothing where it is impossible, taken over or has ended."""
        if case_id in self.reused or case_id in self._ended or self.impossible(case_id):
            return 0.0
        case, budget = self.cases[case_id]
        left = max(0, budget.launches - len(self._launched.get(case_id, ())))
        return seconds_of(case, budget) * left / budget.launches

    def rounds(self, case_ids: Sequence[str]) -> Iterator[str]:
        """Cases to launch before their own turn, each as often as it is given: one launch of all, then the next.

        Launches that follow one another share the machine's mood of the minute; so a case's are spread over the run,
        and only the last is left for `measure`.
        """
        most = max((self.cases[case_id][1].launches for case_id in case_ids), default=1)
        for number in range(1, most):
            for case_id in case_ids:
                case, budget = self.cases[case_id]
                settled = case_id in self.reused or case_id in self._ended or self.impossible(case_id)
                wanted = number < budget.launches and len(self._launched.get(case_id, ())) < number
                if wanted and not settled and not self._too_large(case):
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
        if record.outcome.status is Status.MEASURED:
            earlier.append(record)
            if self._journal is not None:
                self._journal.append_launch(record)
        else:
            self._ended[case_id] = record, output
            self._remember_the_end(record)
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
        if record.id not in self.reused and self._journal is not None:
            self._journal.append(node_id, record)
        self.records[record.id] = record
        self._remember_the_end(record)

    def _remember_the_end(self, record: Record) -> None:
        """Where a case ran out of memory or time, larger batches need not be tried."""
        if record.outcome.status in GIVES_UP:
            case = self.cases[record.id][0]
            self._exhausted.setdefault(case.configuration, (case, record.outcome.status))

    def _measure(self, case: AnyCase, budget: Budget, once: bool) -> tuple[Record, str]:
        if case.id in self._ended:
            return self._ended[case.id]
        reason = self.impossible(case.id) or self._too_large(case)
        if reason:
            return Record(id=case.id, case=case.to_json(), outcome=Outcome(Status.SKIPPED, reason)), ""
        earlier = self._launched.get(case.id, ())[: budget.launches]
        return self._launcher.measure(case, budget, once=once, earlier=earlier)

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
            self._worker.close()
            self._fresh.close()
        if self._journal is not None:
            self._journal.close()


def machine_of(environment: Mapping[str, Any]) -> Machine:
    """What a plan needs of what `bench.worker.environment` found; a device that fails an allocation is absent."""
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
        compile_problems=environment["compile_problems"],
        unknown_architectures={**environment["unknown_architectures"], **environment.get("broken_architectures", {})},
    )
