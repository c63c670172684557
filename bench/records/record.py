"""The format of a result: what was measured of one case, on which machine, and what became of the rest.

Standard library only, so that reports can read results on a machine without torch. Times in seconds, memory
in bytes, None for unknown. Statistics are functions of the raw samples and are never stored beside them.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, Self

SCHEMA = 1


class Status(StrEnum):
    """What became of a case."""

    MEASURED = "measured"
    SKIPPED = "skipped"
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    FAILED = "failed"
    WRONG_RESULT = "wrong_result"


@dataclass(frozen=True)
class Outcome:
    """A status and, where the case was not measured, the reason in plain words."""

    status: Status
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Peaks while stepping. `base_host_bytes` is what the process held before the net was built."""

    peak_host_bytes: int | None
    base_host_bytes: int | None
    host_source: str
    peak_allocated_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    parameter_bytes: int


@dataclass(frozen=True, kw_only=True)
class Flops:
    """Two per multiply-add; convolutions, matrix products and attention only, as the model defines them.

    `forward_per_image` is no whole number where some of the work is the whole batch's.
    """

    forward_per_image: float
    step: int


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Bytes that a step moves, at least and as its eager operators would: the truth lies between.

    Attributes:
        compulsory_bytes: weights and images read once, outputs written once; in training gradients and new weights too.
        operator_bytes: all operands and results of all operators, views apart.
        operators: how many operators there are.
        by_size: operators' bytes by the size of what one of them touches: the power of two above it -> bytes.
    """

    compulsory_bytes: int
    operator_bytes: int
    operators: int
    by_size: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a step of a micro-benchmark does, and so what its time means.

    Attributes:
        metric: `seconds` of each of `amount` pieces, or `amount` of something a second, as in `bytes_per_second`;
            `steps`: `amount` is the result itself.
        amount: pieces, bytes, FLOPs or images of a step.
    """

    metric: str
    amount: float


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What a step of a net comes to when it is counted and not timed: the same however busy the machine is.

    As its eager operators do it, in the case's precision and memory format; None for unknown, for one of `reasons`.

    Attributes:
        operators: `aten::convolution` -> how often it is dispatched, views and allocations included.
        flops: as `Flops` has them, of the case's whole batch.
        bytes: that operators read and write, as `Traffic.operator_bytes`.
        allocations: results that have memory of their own; what operators need meanwhile is not among them.
        allocated_bytes: of these.
        graphs, kernels: that torch.compile made; None for eager cases.
        instructions: that the processor retired in a step, outside the kernel.
        reasons: field -> why it is unknown.
    """

    operators: Mapping[str, int] | None = None
    flops: int | None = None
    bytes: int | None = None
    allocations: int | None = None
    allocated_bytes: int | None = None
    graphs: int | None = None
    kernels: int | None = None
    instructions: int | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def dispatched(self) -> int | None:
        """How many operators there are, of all names."""
        return None if self.operators is None else sum(self.operators.values())


COUNTED = ("operators", "flops", "bytes", "allocations", "allocated_bytes")
"""What a net comes to without a compiler or a processor."""


@dataclass(frozen=True, kw_only=True)
class Compile:
    """What torch.compile cost, the first call less one ordinary step, and what it made.

    Attributes:
        frames: Python functions that were compiled.
        graphs: that they came to.
        kernels: that Inductor wrote for them; products and convolutions that a library does are not among them.
    """

    seconds: float
    graph_breaks: int
    cached: bool
    frames: int | None = None
    graphs: int | None = None
    kernels: int | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """Relative l2 distance from the same net in fp64; in training the larger of outputs' and gradients'.

    Attributes:
        inconclusive: why nothing can be compared, and the numbers are None; empty where something was.
    """

    relative_error: float | None
    tolerance: float | None
    reference: str
    inconclusive: str = ""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One process that measured the case, and what happened on the host while it sampled.

    Attributes:
        stolen_share: of all cores' time, taken by the hypervisor for other machines.
        other_cores: how many cores' worth of time other processes used.
        switches_per_second: involuntary context switches: how often a thread had to make way for another.
        throttled_share: of the window, in which the quota of a cgroup stopped the process.
        page_faults_per_second: minor ones (`getrusage`): memory that the kernel mapped anew, page by page.
        system_cores: how many cores' worth of time the kernel worked for the process.
        peak_bytes: of memory while sampling: of the accelerator where there is one, else of the process.
    """

    samples: int
    warmup_steps: int
    steady: bool
    median_seconds: float
    steps_per_sample: int = 1
    stop_reason: str = ""
    stolen_share: float | None = None
    other_cores: float | None = None
    switches_per_second: float | None = None
    throttled_share: float | None = None
    page_faults_per_second: float | None = None
    system_cores: float | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the samples were taken, over all launches.

    `steps_per_sample` is the most of any launch, `stop_reason` the one of the launch that was known least.
    `noisy` is evidence that something else had a hand in it; `wide` says that the interval is wider than was asked for,
    which is no alarm. `set_aside` says how many launches were disturbed and are not in the record, but in the journal.
    `synchronised_seconds` is the second series of an accelerator, each step waited for: its latency.
    """

    launches: tuple[Launch, ...]
    steps_per_sample: int
    stop_reason: str
    noisy: tuple[str, ...] = ()
    wide: str = ""
    set_aside: str = ""
    clock: str = ""
    synchronised_seconds: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Record:
    """All that is known of one case.

    Attributes:
        id: the case's id.
        case: the case's fields, and its net's number of `parameters` where that is known.
        seconds: samples of one step, in the order of time, none left out; launch after launch.
        work: what a step of a micro-benchmark does; a net's step works through its batch.
        counts: of a net, what can be counted of a step; on the disk it is `work`, too.
        details: what else an operation has to tell.
        notes: of a net, what a reader must know of how it was measured: kind -> sentence.
        cost: seconds that each phase of the work took; `total` from request to end, process start included.
        machine_offset: as a share, how far with 95 % confidence its machine may be from the middle of the kind that
            shares its suite; None where a machine measured the suite by itself, and where it is not known.
    """

    id: str
    case: Mapping[str, Any]
    outcome: Outcome
    seconds: tuple[float, ...] = ()
    memory: Memory | None = None
    flops: Flops | None = None
    traffic: Traffic | None = None
    work: Work | None = None
    counts: Counts | None = None
    details: Mapping[str, Any] | None = None
    notes: Mapping[str, str] | None = None
    compile: Compile | None = None
    sensors: Mapping[str, Any] | None = None
    check: Check | None = None
    sampling: Sampling | None = None
    backends: Mapping[str, Any] | None = None
    cost: Mapping[str, float] | None = None
    machine_offset: float | None = None

    @property
    def disturbed(self) -> tuple[str, ...]:
        """What else had a hand in its times; empty where nothing is known to have had."""
        return self.sampling.noisy if self.sampling else ()

    def extra_info(self) -> dict[str, Any]:
        """What goes into pytest-benchmark's `extra_info`: all but the samples, in plain JSON types."""
        data = self.to_json()
        for key in ("id", "outcome", "seconds"):
            del data[key]
        return {"schema": SCHEMA, **data}

    def to_json(self) -> dict[str, Any]:
        """The whole record in plain JSON types, as a journal holds it."""
        data = asdict(self)
        counts = data.pop("counts")
        return dict(plain(data | {"work": data["work"] or counts}))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Make the record of which `to_json` made `data`; keys of a later schema are passed over."""
        known: dict[str, Any] = {each.name: data.get(each.name) for each in fields(cls)}
        if not isinstance(known["case"], Mapping) or not isinstance(known["cost"], Mapping | None):
            raise TypeError("a record's case and cost are objects")
        sampling = known["sampling"]
        if sampling is not None:
            launches = tuple(_revive(Launch, launch or {}) for launch in sampling["launches"])
            sampling = _revive(Sampling, {**sampling, "launches": launches})
        counted = known["work"] is not None and "metric" not in known["work"]
        known |= {
            "outcome": Outcome(Status(data["outcome"]["status"]), data["outcome"].get("reason", "")),
            "seconds": tuple(data.get("seconds") or ()),
            "memory": _revive(Memory, known["memory"]),
            "flops": _revive(Flops, known["flops"]),
            "traffic": _revive(Traffic, known["traffic"]),
            "work": None if counted else _revive(Work, known["work"]),
            "counts": _revive(Counts, known["work"]) if counted else None,
            "compile": _revive(Compile, known["compile"]),
            "check": _revive(Check, known["check"]),
            "sampling": sampling,
        }
        record = cls(**known)
        if record.outcome.status is Status.MEASURED and not record.seconds:
            raise ValueError("measured, but without samples")
        return record


def _revive(cls: type, data: Mapping[str, Any] | None) -> Any:
    if data is None:
        return None
    if not isinstance(data, Mapping):
        raise TypeError(f"{cls.__name__} is no {type(data).__name__}")
    names = {each.name for each in fields(cls)}
    return cls(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in data.items() if key in names}
    )


def outcomes(planned: Mapping[str, Mapping[str, Any]], found: Mapping[str, Record]) -> list[dict[str, Any]]:
    """What became of every case that was not measured: those of `found`, and those `planned` that are not in it.

    Args:
        planned: case id -> the case's fields.
        found: case id -> record.
    """
    not_run = Outcome(Status.SKIPPED, "not run: the sweep ended before it")
    rest = [record for record in found.values() if record.outcome.status is not Status.MEASURED]
    rest += [Record(id=key, case=case, outcome=not_run) for key, case in planned.items() if key not in found]
    return [plain({"id": record.id, "case": record.case, **asdict(record.outcome)}) for record in rest]


def plain(value: Any) -> Any:
    """`value` in JSON's own types; what JSON has no number for, NaN and infinity, becomes None.

    Raises:
        TypeError: something in `value` is of no JSON type. pytest-benchmark would write it as text, silently.
    """
    return json.loads(json.dumps(_finite(value), allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):  # most: what follows asks an abstract class
        return value
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return value


def fingerprint(environment: Mapping[str, Any]) -> str:
    """Identifies the machine and the torch that measured: equal for two runs that may be put side by side.

    Leaves out what changes by itself (frequency, load, free memory, temperature).
    """
    host = environment.get("host") or {}
    torch = environment.get("torch") or {}
    identity = {
        "host": {key: host.get(key) for key in ("cpu", "cores", "memory_bytes", "cgroup_cpus", "system", "kernel")},
        "devices": [
            {key: device.get(key) for key in ("name", "uuid", "driver")} for device in environment.get("devices") or ()
        ],
        "torch": {key: torch.get(key) for key in ("version", "git", "cuda", "hip", "cpu_capability")},
        "python": environment.get("python"),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
