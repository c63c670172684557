"""Two sides of a gate, ready to be measured: `PairedSession.pair` is the flow of one pair of all cases.

A pair is three fresh processes: base, head, and base once more, its twin, for the controls. They are started together,
under names, hash seeds and environments whose sizes differ from pair to pair: none of it is to favour one side.
"""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from bench.controller.launcher import Launcher
from bench.controller.process import Worker
from bench.gate.interleave import PreparedCase, Rules, WorkerSide, measure_pair
from bench.gate.sides import Side
from bench.machine import host, nvml
from bench.records.messages import PROTOCOL
from bench.records.pair import Control, Pair
from bench.records.record import COUNTED, Counts, Outcome, Status, fingerprint
from bench.sweep.sweep import machine_of
from suites.axes import Machine, impossible
from suites.case import Budget, Case
from suites.cases import AnyCase
from suites.errors import DlhwError, NoBaseError
from suites.micro import Micro

NEGATIVES, POSITIVES = 4, 2
PADDING_BYTES = 4096
"""An environment's size moves the stack, and with it what is aligned (Mytkowicz, doi 10.1145/1508284.1508275)."""


@dataclass(frozen=True)
class PairRequest:
    """One case of one pair.

    Attributes:
        control: `negative`: base against its twin; `positive`: the twin slowed down.
        injected: how much slower the second process is made on purpose.
    """

    case: AnyCase
    control: Control = ""
    injected: float = 0.0


class PairedSession:
    """Both sides, described and prepared. A context: it ends what it started.

    Attributes:
        environments: of base and of head, as `bench.worker.environment` tells them.
    """

    def __init__(self, base: Side, head: Side) -> None:
        self.sides = (base, head)
        self.environments: tuple[Mapping[str, Any], ...] = ()
        self._closing = ExitStack()
        self._launchers: tuple[Launcher, ...] = ()
        self._prepared: tuple[list[PreparedCase], list[PreparedCase]] = ([], [])
        self._budgets: list[Budget] = []
        self._caches: tuple[str | None, str | None] = (None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def describe(self, architectures: Sequence[Sequence[str]]) -> None:
        """Start a process of each side and learn what it is.

        Args:
            architectures: the nets that base's suite, and head's, ask for.

        Raises:
            NoBaseError: base cannot be measured at all.
            DlhwError: head cannot.
        """
        workers = [
            self._closing.enter_context(Worker(python=side.python, root=side.root, folder=side.folder))
            for side in self.sides
        ]
        self._launchers = tuple(Launcher(worker, keep=True) for worker in workers)
        with ThreadPoolExecutor(2) as pool:
            asked = [
                pool.submit(_describe, side, launcher, names)
                for side, launcher, names in zip(self.sides, self._launchers, architectures, strict=True)
            ]
        try:
            base = asked[0].result()
        except DlhwError as error:
            raise NoBaseError(f"base ({self.sides[0].label}) cannot be measured: {error}") from error
        self.environments = (base, asked[1].result())

    @property
    def fingerprints(self) -> tuple[str, str]:
        """Of base and of head."""
        base, head = self.environments
        return fingerprint(base), fingerprint(head)

    def machine(self, place: int) -> Machine:
        """What base (0) or head (1) can be asked for."""
        return machine_of(self.environments[place])

    def prepare(self, cases: Mapping[AnyCase, tuple[Budget, str]]) -> dict[AnyCase, tuple[Outcome | None, ...]]:
        """Make each case's reference on each side.

        Args:
            cases: each with its budget, and the name of the one side whose suite has it; empty where both have.

        Returns:
            For each case, why base and head cannot measure it.
        """
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(partial(self._prepare, cases), (0, 1)))
        self._prepared = (found[0], found[1])
        self._budgets = [budget for budget, _ in cases.values()]
        compiled = [case for case in cases if case.compiles]
        if compiled:
            base, head = (launcher.compiler_cache(compiled[0]) for launcher in self._launchers)
            self._caches = (base, head)
        return {
            case: tuple(each.reference if isinstance(each.reference, Outcome) else None for each in both)
            for case, both in zip(cases, zip(*self._prepared, strict=True), strict=True)
        }

    def _prepare(self, cases: Mapping[AnyCase, tuple[Budget, str]], place: int) -> list[PreparedCase]:
        return [PreparedCase(case, self._prepare_case(case, only, place)) for case, (_, only) in cases.items()]

    def _prepare_case(self, case: AnyCase, only: str, place: int) -> Mapping[str, Any] | Outcome | None:
        side, launcher, machine = self.sides[place], self._launchers[place], self.machine(place)
        if only not in {"", side.name}:
            return Outcome(Status.SKIPPED, f"not in {side.name}'s suite")
        if reason := impossible(case, machine):
            return Outcome(Status.SKIPPED, reason)
        if case.power_limit is not None:
            return Outcome(Status.SKIPPED, "the gate sets no power limits: dlhw run does")
        if isinstance(case, Micro):
            return None
        if reason := machine.unknown_architectures.get(case.architecture):
            return Outcome(Status.FAILED, reason)
        return launcher.reference(case)

    def counts(self) -> dict[str, tuple[Counts, Counts]]:
        """What a step of each net comes to, of base and of head, by case; each side counts by its own code."""
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(self._counts, (0, 1)))
        versions = [{version for _, version in side.values() if version is not None} for side in found]
        alike = len(set.union(*versions)) < 2
        unlike = Counts(reasons=dict.fromkeys(COUNTED, "base and head do not count alike"))
        return {case: (base, found[1][case][0]) if alike else (unlike, unlike) for case, (base, _) in found[0].items()}

    def _counts(self, place: int) -> dict[str, tuple[Counts, int | None]]:
        both = zip(*self._prepared, strict=True)
        return {
            base.case.id: self._count(base.case, place)
            for base, head in both
            if isinstance(base.case, Case) and not isinstance(base.reference, Outcome)
            and not isinstance(head.reference, Outcome)
        }  # fmt: skip

    def _count(self, case: Case, place: int) -> tuple[Counts, int | None]:
        side, told = self.sides[place], self._launchers[place].count(case)
        if "counts" not in told:
            reason = f"{side.name}: {told['outcome']['reason']}"
        elif not (reason := side.problem(case, told["source"])):
            return Counts(**told["counts"]), told["version"]
        return Counts(reasons=dict.fromkeys(COUNTED, reason)), None

    def pair(self, requests: Sequence[PairRequest], coin: random.Random) -> Iterator[tuple[PairRequest, Pair, float]]:
        """Measure all of `requests` in an order of the coin's; each with the seconds it took.

        Where a process dies, the requests that are left are measured by fresh ones.

        Raises:
            DlhwError: a process cannot be started.
        """
        left = list(requests)
        coin.shuffle(left)
        while left:
            with self._processes(coin, twin=any(each.control for each in left)) as processes:
                while left and all(process.alive for process in processes):
                    each = left.pop(0)
                    start = time.perf_counter()
                    found = self._measure_pair(processes, each, coin)
                    yield each, found, time.perf_counter() - start

    def _measure_pair(self, processes: Sequence[WorkerSide], each: PairRequest, coin: random.Random) -> Pair:
        index = next(place for place, prepared in enumerate(self._prepared[0]) if prepared.case == each.case)
        second = processes[2] if each.control else processes[1]
        on_host = each.case.device == "cpu"
        rules = Rules(each.case.threads if on_host else 1, host.fastest_cores(), bind=on_host)
        return measure_pair(processes[0], second, index, coin, rules, each.injected)

    @contextmanager
    def _processes(self, coin: random.Random, *, twin: bool) -> Iterator[list[WorkerSide]]:
        """Fresh processes of base, head and, where it is needed, base again."""
        variables = {
            "PYTHONHASHSEED": str(coin.randrange(2**32)),
            "DLHW_PADDING": "x" * coin.randrange(PADDING_BYTES),
        }
        places = [0, 1, 0] if twin else [0, 1]
        with ExitStack() as closing:
            workers = []
            for place in places:
                side = self.sides[place]
                worker = Worker(
                    python=side.python, root=side.root, folder=side.folder, fork=False, environment=variables
                )
                workers.append(closing.enter_context(worker))
            order = list(workers)
            coin.shuffle(order)
            with ThreadPoolExecutor(len(order)) as pool:
                list(pool.map(Worker.start, order))
            yield [self._side_process(worker, place) for worker, place in zip(workers, places, strict=True)]

    def _side_process(self, worker: Worker, place: int) -> WorkerSide:
        return WorkerSide(
            worker, self._prepared[place], self._budgets, compiler_cache=self._caches[place],
            proves=self.sides[place].problem, state=self._state,
        )  # fmt: skip

    def _state(self, device: str) -> Mapping[str, Any]:
        """Clock and slowdowns of an accelerator, where its driver tells them."""
        if device == "cpu":
            return {}
        uuids = {found["name"]: found.get("uuid") for found in self.environments[0]["devices"]}
        gpu = nvml.gpu_of(uuids[device]) if uuids.get(device) else nvml.Reading(reason="no uuid")
        return {} if gpu.reason else nvml.split(gpu.value.state())[0]


def _describe(side: Side, launcher: Launcher, architectures: Sequence[str]) -> Mapping[str, Any]:
    found = launcher.describe(architectures)
    if found["protocol"] != PROTOCOL:
        raise DlhwError(
            f"{side.name}: its dlhw takes no turns that this one understands "
            f"(protocol {found['protocol']}, not {PROTOCOL})"
        )
    if not Path(found["worker"]).is_relative_to(side.root.resolve()):
        raise DlhwError(f"{side.name}: its dlhw came from {found['worker']}, which is not in {side.root}")
    return found


def controls(cases: Sequence[AnyCase], injected: float, coin: random.Random) -> list[PairRequest]:
    """Four cases of base against base, and two of them, or others, with base slowed down."""
    chosen = coin.sample(list(cases), min(NEGATIVES, len(cases)))
    slowed = coin.sample(list(cases), min(POSITIVES, len(cases)))
    return [
        *(PairRequest(case, "negative") for case in chosen),
        *(PairRequest(case, "positive", injected) for case in slowed),
    ]
