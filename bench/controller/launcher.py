"""Has cases measured: each by as many launches as its budget wants, whatever happens a record."""

import itertools
import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.controller.combine import combine
from bench.controller.process import START_LIMIT_SECONDS, Reply, Worker
from bench.machine import idle, power, sensors
from bench.records.messages import Operation
from bench.records.record import Outcome, Record, Status
from suites.architectures import TORCHVISION, default_input_shape, is_own, module_of
from suites.case import Budget, Case
from suites.cases import AnyCase
from suites.errors import DlhwError
from suites.micro import Micro
from suites.suite import Suite

PREPARE_LIMIT_SECONDS = 600.0
INSTRUCTIONS_SECONDS = 180.0
"""More than what callgrind may take, which is no case's own time."""


class Launcher:
    """Has cases measured, and keeps the references that cases share.

    Args:
        worker: serves all requests.
        fresh: a worker that does not fork; measures the cases that want several launches. None: `worker` does.
        data_root: a folder with data sets, where one was given.
        keep: every reference, for all are used at once; else those of other nets go where the disk gets full.
        instructions: count them by callgrind where the processor cannot be asked.
    """

    def __init__(
        self, worker: Worker, fresh: Worker | None = None, data_root: Path | None = None, *, keep: bool = False,
        instructions: bool = False,
    ) -> None:  # fmt: skip
        self._worker = worker
        self._fresh = fresh or worker
        self._data_root = data_root
        self._keep = keep
        self._instructions = instructions
        self._operations: frozenset[str] = frozenset()
        self._cores = os.cpu_count() or 1
        self._prepared: dict[tuple[Any, ...], Mapping[str, Any] | Outcome] = {}
        """The one that was used last comes last."""
        self._numbers = itertools.count()
        self._compiler_cache: str | None = None
        self._devices: dict[str, Mapping[str, Any]] = {}
        self._idle: dict[str, Mapping[str, Any]] = {}
        self._broken: dict[str, tuple[str, str]] = {}

    def describe(self, architectures: Sequence[str] = (), *, speeds: bool = False) -> dict[str, Any]:
        """The machine, as the measuring process sees it; with `speeds` how fast its accelerators are, roughly.

        Raises:
            DlhwError: it ended without an answer.
        """
        own = [name for name in architectures if is_own(name)]
        result = self._describe([name for name in architectures if name not in own], speeds=speeds)
        environment = result["environment"]
        if Operation.TRACE in result.get("operations", ()):
            self._trace(own, environment)
        elif own:  # a worker of before: it imports them all where it describes the machine
            environment = self._describe(architectures)["environment"]
        self._operations = frozenset(result.get("operations", ()))
        devices = [device | sensors.facts_of(device) for device in environment["devices"]]
        self._devices = {device["name"]: device for device in devices}
        self._cores = environment["host"]["cores"]
        broken = {name: reason for name, (reason, _) in self._broken.items()}
        told = {name: result.get(name) for name in ("worker", "protocol")}
        return dict(environment, devices=devices, broken_architectures=broken, **told)

    def _describe(self, architectures: Sequence[str], *, speeds: bool = False) -> Mapping[str, Any]:
        asked: dict[str, Any] = {"speeds": True} if speeds else {}  # which a worker of before does not know
        reply = self._worker.request("describe", START_LIMIT_SECONDS, architectures=list(architectures), **asked)
        if reply.result is None or "environment" not in reply.result:
            raise DlhwError(f"the measuring process could not describe this machine:\n{reply.output}")
        return reply.result

    def _trace(self, own: Sequence[str], environment: dict[str, Any]) -> None:
        """Import the modules of own nets, each in a process of its own: one that fails hurts its own nets only."""
        modules: dict[str, list[str]] = {}
        for name in own:
            modules.setdefault(module_of(name), []).append(name)
        for module, names in modules.items():
            reply = self._worker.request(Operation.TRACE, START_LIMIT_SECONDS, names=names)
            found = (reply.result or {}).get("origins")
            if found is None:
                found = {"unknown": {}, "broken": dict.fromkeys(names, _end_of_import(module, reply))}
            environment["unknown_architectures"] |= found["unknown"]
            self._broken |= {name: (reason, reply.output) for name, reason in found["broken"].items()}

    def measure(
        self, case: AnyCase, budget: Budget, *, once: bool = False, earlier: Sequence[Record] = ()
    ) -> tuple[Record, str]:
        """Measure `case`; whatever happens is a record. Also returns the tail of what the process printed.

        Args:
            once: only run it once.
            earlier: records of launches that were made before; only the missing ones are made now.
        """
        records, output = list(earlier), ""
        launches = 1 if once else budget.launches
        while len(records) < launches:
            record, output = self.launch(case, budget, len(records), once=once)
            if record.outcome.status is not Status.MEASURED:
                return record, output
            records.append(record)
        return combine(records, budget, self._cores), output

    def launch(self, case: AnyCase, budget: Budget, number: int, *, once: bool = False) -> tuple[Record, str]:
        """Measure `case` by launch `number`, counted from 0, alone; energy is counted in the first one only.

        Raises:
            DlhwError: the power limit that there was before the case could not be set again.
        """
        with power.limited(self._device(case), case.power_limit) as limit:
            if limit.problem:
                outcome = Outcome(Status.SKIPPED, limit.problem)
                return Record(id=case.id, case=case.to_json(), outcome=outcome), ""
            record, output = self._launch(case, budget, number, once=once)
            if record.outcome.status is Status.MEASURED and (problem := limit.read_back()):
                record = Record(id=case.id, case=case.to_json(), outcome=Outcome(Status.FAILED, problem))
            return record, output

    def _device(self, case: AnyCase) -> Mapping[str, Any]:
        return self._devices.get(case.device, {"name": case.device, "uuid": None})

    def _launch(self, case: AnyCase, budget: Budget, number: int, *, once: bool) -> tuple[Record, str]:
        start = time.perf_counter()
        reason, words = self._broken.get("" if isinstance(case, Micro) else case.architecture, ("", ""))
        if reason:
            return Record(id=case.id, case=case.to_json(), outcome=Outcome(Status.FAILED, reason)), words
        operation, arguments = self._request_for(case)
        if isinstance(operation, Outcome):
            return Record(id=case.id, case=case.to_json(), outcome=operation), self._worker.last_words
        watch = sensors.watch_for(self._device(case))
        if isinstance(watch, sensors.Nothing) or number > 0:
            budget = budget.model_copy(update={"energy_seconds": 0.0})
        elif budget.energy_seconds and case.device not in self._idle and isinstance(watch, sensors.GpuWatch):
            self._idle[case.device] = idle.idle_power(self._device(case))
        launches = 1 if once else budget.launches
        worker = self._worker if launches == 1 else self._fresh
        limit_seconds = budget.time_limit_seconds + (INSTRUCTIONS_SECONDS if "instructions" in arguments else 0)
        reply = worker.request(
            operation, limit_seconds, watch, case=case.to_json(), budget=budget.model_dump(),
            compiler_cache=self.compiler_cache(case), once=once, **arguments,
        )  # fmt: skip
        if reply.result is not None and "id" in reply.result:
            record = sensors.join(Record.from_json(reply.result), watch, reply.pid)
            if record.sensors and case.device in self._idle and budget.energy_seconds:
                above = idle.above_idle(record.sensors, self._idle[case.device])
                record = replace(record, sensors={**record.sensors, **above})
        else:
            record = Record(id=case.id, case=case.to_json(), outcome=outcome_of(reply, budget.time_limit_seconds))
        cost = {**(record.cost or {}), "process": reply.seconds, "total": time.perf_counter() - start}
        return _in_launch(replace(record, cost=cost), number, launches), reply.output

    def count(self, case: Case) -> Mapping[str, Any]:
        """What a step of `case` comes to: `counts`, `version` of how they are counted, and the net's `source`.

        An `outcome` where it cannot be asked, or the process ended.
        """
        if Operation.COUNT not in self._operations:
            return {"outcome": {"status": Status.SKIPPED, "reason": "its dlhw is of before there was counting"}}
        reply = self._worker.request(Operation.COUNT, PREPARE_LIMIT_SECONDS, case=case.to_json())
        if reply.result is not None and "counts" in reply.result:
            return reply.result
        return {"outcome": asdict(outcome_of(reply, PREPARE_LIMIT_SECONDS))}

    def layers(self, case: Case, budget: Budget) -> dict[str, Any]:
        """Where the time of a step of `case` goes, as `bench.worker.nets.layers.layers` tells it.

        Raises:
            DlhwError: it could not be measured; the text says why.
        """
        if case.power_limit is not None:
            raise DlhwError(f"{case.id}: layers are looked at under the device's own power limit; leave the watts out")
        reference = self.reference(case)
        outcome = reference
        if not isinstance(reference, Outcome):
            reply = self._worker.request(
                "layers", budget.time_limit_seconds, case=case.to_json(), budget=budget.model_dump(),
                reference=reference,
            )  # fmt: skip
            if reply.result is not None and "layers" in reply.result:
                return dict(reply.result["layers"])
            outcome = outcome_of(reply, budget.time_limit_seconds)
        assert isinstance(outcome, Outcome)
        raise DlhwError(f"{case.id}: {outcome.status}: {outcome.reason}")

    def _request_for(self, case: AnyCase) -> tuple[str | Outcome, dict[str, Any]]:
        """What to ask a worker for, and what it needs to know; an outcome where it cannot be asked."""
        if isinstance(case, Micro):
            return "operate", {"data_root": str(self._data_root.resolve()) if self._data_root else None}
        reference = self.reference(case)
        if isinstance(reference, Outcome):
            return reference, {}
        return "measure", {"reference": reference} | ({"instructions": True} if self._instructions else {})

    def compiler_cache(self, case: AnyCase) -> str | None:
        """A cache that holds what every compilation needs, made once; None for an eager case."""
        if not case.compiles:
            return None
        if self._compiler_cache is None or not Path(self._compiler_cache).exists():
            self._compiler_cache = str(self._worker.scratch / "compiler")
            Path(self._compiler_cache).mkdir(exist_ok=True)
            self._worker.request("warm_compiler", PREPARE_LIMIT_SECONDS, cache=self._compiler_cache)
        return self._compiler_cache

    def reference(self, case: Case) -> Mapping[str, Any] | Outcome:
        """What cases of the same net, inputs, mode and number of check images share; made once.

        A person's net that does not do with a few samples what it does with its whole batch has one of its own batch.
        """
        found = self._shared(case, case.check_images)
        if isinstance(found, Outcome):
            alone = default_input_shape(case.architecture) is None
        else:
            alone = bool(found.get("own_batch"))
        return self._shared(case, case.batch_size) if alone and case.batch_size > case.check_images else found

    def _shared(self, case: Case, images: int) -> Mapping[str, Any] | Outcome:
        key = (case.architecture, case.input_shape, case.signature, case.mode, images)
        known = self._prepared.pop(key, None)
        if known is None or not (isinstance(known, Outcome) or Path(known["path"]).exists()):
            if not self._keep:
                self._make_room(case.architecture)
            path = self._worker.scratch / f"{next(self._numbers)}.pt"
            signature: dict[str, Any] = {"signature": told} if (told := case.signature.to_json()) else {}
            reply = self._worker.request(
                "prepare", PREPARE_LIMIT_SECONDS, architecture=case.architecture, input_shape=case.input_shape,
                mode=case.mode, images=images, path=str(path), **signature,
            )  # fmt: skip
            known = (reply.result or {}).get("reference") or outcome_of(reply, PREPARE_LIMIT_SECONDS)
        self._prepared[key] = known
        return known

    def _make_room(self, architecture: str) -> None:
        """Weights and references of large nets fill a disk: where they are more than is left of it, other nets' go.

        Those that were used longest ago first.
        """
        kept = {key: _files(found) for key, found in self._prepared.items() if not isinstance(found, Outcome)}
        total = sum(octets for files in kept.values() for octets in files.values())
        free = shutil.disk_usage(self._worker.scratch).free
        for key, files in kept.items():
            if total <= free:
                return
            if key[0] != architecture:
                del self._prepared[key]
                for path, octets in files.items():
                    path.unlink()
                    total, free = total - octets, free + octets


def _files(reference: Mapping[str, Any]) -> dict[Path, int]:
    """Those that a reference consists of, each with its bytes."""
    paths = (Path(reference["path"]), Path(f"{reference['path']}.reference"))
    return {path: path.stat().st_size for path in paths if path.exists()}


def preload_for(suite: Suite) -> tuple[str, ...]:
    """What a template should import for a sweep, so that no child has to."""
    modules = ["torchvision"] if any(name.startswith(TORCHVISION) for name in suite.architectures) else []
    modules += ["bench.worker.micro.measure"] if suite.content.micro else []
    return tuple(modules)


def _in_launch(record: Record, number: int, launches: int) -> Record:
    """One launch that fails is the case's failure, and says which it was."""
    if launches == 1 or record.outcome.status is Status.MEASURED:
        return record
    reason = f"launch {number + 1} of {launches}: {record.outcome.reason}"
    return replace(record, outcome=replace(record.outcome, reason=reason))


def outcome_of(reply: Reply, limit_seconds: float) -> Outcome:
    """The outcome of a request that brought no record."""
    if reply.result is not None:
        outcome = reply.result["outcome"]
        return Outcome(Status(outcome["status"]), outcome["reason"])
    if reply.timed_out:
        return Outcome(Status.TIMEOUT, f"no end after {limit_seconds:g} s, while {reply.phase}; killed")
    if reply.exit_code == -signal.SIGKILL and reply.out_of_memory_kills > 0:
        return Outcome(Status.OUT_OF_MEMORY, f"killed by the kernel for want of memory, while {reply.phase}")
    last = reply.output.splitlines()[-1:] or ["it printed nothing"]
    return Outcome(Status.CRASHED, f"{ending(reply.exit_code)} while {reply.phase}; last words: {last[0]}")


def _end_of_import(module: str, reply: Reply) -> str:
    """What became of a process that imported a module, and told nothing."""
    if reply.timed_out:
        return f"{module} does not come to an end when it is imported; killed after {START_LIMIT_SECONDS:g} s"
    if reply.exit_code is not None and reply.exit_code >= 0:
        return f"{module} exits when it is imported; exit code {reply.exit_code}"
    return f"{module} ends its process when it is imported: {ending(reply.exit_code)}"


def ending(exit_code: int | None) -> str:
    """How a process ended, in words."""
    if exit_code is None:
        return "vanished"
    if exit_code >= 0:
        return f"ended with code {exit_code}"
    try:
        return f"killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"killed by signal {-exit_code}"
