"""The checks of `dlhw selftest`, in their order: what each asks the measuring process for, and how long it takes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

from bench.controller.launcher import Launcher, outcome_of
from bench.controller.process import Worker
from bench.machine import nvml, sensors
from bench.records.record import Outcome
from bench.selftest import judge
from bench.selftest.judge import Check
from suites.axes import Machine, impossible
from suites.case import Budget, Case, CompileMode, Precision

LIMIT_SECONDS = 180.0
TURNS = 20
ENERGY_SECONDS = 6.0
HELD_BYTES = 512 * 2**20
HELD_SECONDS = 0.5
COMPILE_MODES = {"compile": "default", "CUDA graphs": "cuda-graph"}
CASE = "{net}-inference-b1-{precision}-{memory_format}-{mode}-{device}-t1"
BUDGET = Budget(precision=0.1, min_seconds=0.05, max_seconds=0.2, warmup_seconds=0.2, time_limit_seconds=LIMIT_SECONDS)


@dataclass(frozen=True)
class Step:
    """A part of the selftest: what it is called, what it may take, and what makes its lines."""

    name: str
    seconds: float
    run: Callable[[], Iterator[Check]]


@dataclass(frozen=True)
class Place:
    """Where checks are made."""

    worker: Worker
    launcher: Launcher
    machine: Machine
    device: Mapping[str, Any]
    others: Sequence[Mapping[str, Any]] = ()

    @property
    def name(self) -> str:
        """torch's name of the device."""
        return str(self.device["name"])


def steps_of(place: Place) -> list[Step]:
    """All steps of a device."""
    wanted: list[tuple[str, float, Callable[[Place], Iterator[Check]]]] = [
        ("agreement", 8.0, _agreement),
        ("precision", 2.0, _precisions),
        ("memory", 2.0, _memory),
        ("NVML by UUID", 2 * HELD_SECONDS + 2, _mapping),
        ("channels_last", 5.0, _channels_last),
        ("out of memory", 2.0, _out_of_memory),
        *((name, 25.0, partial(_compiled, name)) for name in COMPILE_MODES),
        ("energy", ENERGY_SECONDS + 3, _energy),
    ]
    return [Step(f"{name} on {place.name}", seconds, partial(run, place)) for name, seconds, run in wanted]


def ask(place: Place, probe: str, watch: sensors.Watch | None = None, **arguments: Any) -> dict[str, Any] | Outcome:
    """The facts of a probe in the measuring process, or what became of it."""
    reply = place.worker.request("probe", LIMIT_SECONDS, watch, name=probe, **arguments)
    if reply.result is not None and "facts" in reply.result:
        return {**reply.result["facts"], "pid": reply.pid}
    return outcome_of(reply, LIMIT_SECONDS)


def _judged(
    name: str, place: Place, facts: Mapping[str, Any] | Outcome, judged: Callable[[str, Mapping[str, Any]], Check]
) -> Check:
    """What `judged` makes of the facts; a probe that came to no end is a finding too."""
    if isinstance(facts, Outcome):
        return judge.without_facts(name, place.name, facts)
    return judged(place.name, facts)


def _agreement(place: Place) -> Iterator[Check]:
    yield _judged("agreement", place, ask(place, "agreement", device=place.name, turns=TURNS), judge.agreement)


def _memory(place: Place) -> Iterator[Check]:
    yield _judged("memory", place, ask(place, "memory_peaks", device=place.name), judge.memory)


def _out_of_memory(place: Place) -> Iterator[Check]:
    facts = ask(place, "out_of_memory", device=place.name, memory_bytes=place.device.get("memory_bytes"))
    yield _judged("out of memory", place, facts, judge.out_of_memory)


def _precisions(place: Place) -> Iterator[Check]:
    names: list[Precision] = []
    for name in get_args(Precision):
        if reason := impossible(_case(place, precision=name), place.machine):
            yield judge.not_here(f"precision {name}", place.name, reason)
        else:
            names.append(name)
    found = ask(place, "precisions", device=place.name, names=names)
    for name in names:
        facts = found if isinstance(found, Outcome) else found[name]
        yield _judged(f"precision {name}", place, facts, partial(judge.precision, name))


def _channels_last(place: Place) -> Iterator[Check]:
    case = _case(place, net="resnet18", memory_format="channels_last")
    facts = reference = place.launcher.reference(case)
    if not isinstance(reference, Outcome):
        facts = ask(place, "channels_last", case=case.to_json(), reference=reference)
    yield _judged("channels_last", place, facts, judge.channels_last)


def _compiled(name: str, place: Place) -> Iterator[Check]:
    mode = COMPILE_MODES[name]
    if mode not in get_args(CompileMode):
        yield judge.not_here(name, place.name, f"this dlhw has no compile mode {mode}")
        return
    case = _case(place, mode=mode)
    if reason := impossible(case, place.machine):
        yield judge.not_here(name, place.name, reason)
        return
    record, _ = place.launcher.measure(case, BUDGET)
    yield judge.compiled(name, place.name, record)


def _energy(place: Place) -> Iterator[Check]:
    watch = sensors.watch_for(place.device)
    if isinstance(watch, sensors.Nothing):
        yield judge.energy(place.name, watch.summary(None, None))
        return
    facts = ask(place, "energy", watch, device=place.name, seconds=ENERGY_SECONDS)
    found = facts if isinstance(facts, Outcome) else watch.summary(facts["steps"], facts["pid"])
    yield _judged("energy", place, found, judge.energy)


class MemoryWatch:
    """Reads the memory in use of every GPU while a measuring process holds nothing, then a known size.

    Args:
        used: torch's name of each GPU -> what tells its memory in use.
    """

    period_seconds: float | None = HELD_SECONDS / 5

    def __init__(self, used: Mapping[str, Callable[[], nvml.Reading]]) -> None:
        self._used = used
        self._phase = ""
        self._last: dict[str, dict[str, nvml.Reading]] = {}

    def phase(self, name: str) -> None:
        """The last reading of a phase is the one that counts."""
        self._phase = name

    def tick(self) -> None:
        """Read all."""
        self._last[self._phase] = {name: read() for name, read in self._used.items()}

    def summary(self, steps: int | None, pid: int | None) -> dict[str, Any]:
        """`grown_bytes` by GPU, or the `reason` why they are unknown."""
        before, after = self._last.get("without", {}), self._last.get("with", {})
        readings = [*before.values(), *after.values()]
        reason = next((each.reason for each in readings if each.reason), "" if before and after else "no reading")
        grown = {} if reason else {name: after[name].value - before[name].value for name in before}
        return {"grown_bytes": grown, "reason": reason}


def _mapping(place: Place) -> Iterator[Check]:
    title, known = "NVML by UUID", [each for each in place.others if each["name"].startswith("cuda")]
    if not place.name.startswith("cuda") or not place.device.get("uuid"):
        yield judge.not_here(title, place.name, f"{place.name} has no UUID that NVML would know")
        return
    gpus = {each["name"]: nvml.gpu_of(each["uuid"]) for each in known if each.get("uuid")}
    own = gpus[place.name]
    if own.reason or own.value.sliced:
        yield judge.not_here(title, place.name, own.reason or "a MIG slice: NVML counts the whole GPU's memory")
        return
    used = {name: partial(_used, gpu.value) for name, gpu in gpus.items() if not gpu.reason}
    watch = MemoryWatch(used)
    facts = ask(place, "hold", watch, device=place.name, octets=HELD_BYTES, seconds=HELD_SECONDS)
    seen = watch.summary(None, None)
    if seen["reason"] and not isinstance(facts, Outcome):
        yield judge.not_here(title, place.name, seen["reason"])
        return
    found = facts if isinstance(facts, Outcome) else {**facts, **seen, "uuid": place.device["uuid"]}
    yield _judged(title, place, found, judge.mapping)


def _used(gpu: nvml.Gpu) -> nvml.Reading:
    return gpu.state()["memory_used_bytes"]


def _case(
    place: Place, *, net: str = "lenet", precision: str = "fp32", memory_format: str = "contiguous", mode: str = "eager"
) -> Case:
    return Case.parse(
        CASE.format(net=net, precision=precision, memory_format=memory_format, mode=mode, device=place.name)
    )
