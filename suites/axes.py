"""The axes of a sweep, and why a combination of them cannot be measured on a machine."""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    StringConstraints,
    ValidationInfo,
    field_validator,
)  # fmt: skip

from suites.architectures import ARCHITECTURES, TORCHVISION
from suites.case import CompileMode, MemoryFormat, Mode, Precision, Toggle
from suites.cases import AnyCase
from suites.errors import did_you_mean
from suites.micro import OPERATIONS, Micro, shape_problem
from suites.sizes import Speed, follow

_OWN_NET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a plan needs to know of the machine it is made for.

    Attributes:
        devices: torch's names of the devices present, `cpu` first.
        threads: cores that this process may use.
        tf32_devices: the devices whose matrix units know TF32.
        cudnn_devices: the devices whose convolutions are cuDNN's, or MIOpen's, which is switched the same way.
        graph_devices: the devices that can record what is launched, and replay it.
        speeds: device -> what a probe found, where one was made.
        power_limits: device -> the least and the most watts that it can be limited to.
        compile_problems: device type -> why torch.compile cannot work there; absent where it can.
        unknown_architectures: name -> why it leads to no net.
    """

    devices: tuple[str, ...]
    threads: int
    tf32_devices: frozenset[str] = frozenset()
    cudnn_devices: frozenset[str] = frozenset()
    graph_devices: frozenset[str] = frozenset()
    speeds: Mapping[str, Speed] = field(default_factory=lambda: MappingProxyType({}))
    power_limits: Mapping[str, tuple[float, float]] = field(default_factory=lambda: MappingProxyType({}))
    compile_problems: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    unknown_architectures: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def impossible(case: AnyCase, machine: Machine) -> str | None:
    """Why `case` cannot be measured on `machine`, in plain words; None if nothing is known against it."""
    kind = case.device.partition(":")[0]
    if isinstance(case, Micro) and (reason := _misplaced(case, kind)):
        return reason
    if case.device not in machine.devices:
        return f"there is no device {case.device} here (present: {', '.join(machine.devices)})"
    if case.precision == "tf32" and case.device not in machine.tf32_devices:
        return f"{case.device} has no TF32 (NVIDIA GPUs of compute capability 8.0 and above have)"
    if reason := _too_many(case, kind, machine):
        return reason
    if reason := _not_graphed(case, machine) or _not_limited(case, machine):
        return reason
    return machine.compile_problems.get(kind) if case.compiles else None


def _not_graphed(case: AnyCase, machine: Machine) -> str | None:
    """Why steps cannot be replayed as a graph."""
    if case.compile_mode != "cuda-graph":
        return None
    if case.device not in machine.graph_devices:
        return f"{case.device} has no CUDA graphs"
    if case.mode == "training" and case.precision == "amp_fp16":
        return "GradScaler asks the device in every step whether gradients are finite, which no graph can"
    return None


def _not_limited(case: AnyCase, machine: Machine) -> str | None:
    """Why the device's power cannot be limited so."""
    if case.power_limit is None:
        return None
    if case.device not in machine.power_limits:
        return f"the power limit of {case.device} is not to be had: {WHO_LIMITS}"
    least, most = machine.power_limits[case.device]
    if least <= case.power_limit <= most:
        return None
    return f"{case.device} can be limited to {least:g} to {most:g} W, not {case.power_limit} W"


def _too_many(case: AnyCase, kind: str, machine: Machine) -> str | None:
    """Why there are not enough cores, or devices, for the case's threads and processes."""
    if case.threads > machine.threads:
        return f"{case.threads} threads asked for, but this process may use {machine.threads} cores"
    devices = sum(name.partition(":")[0] == kind for name in machine.devices)
    if isinstance(case, Micro) and case.variant == "peer" and devices < 2:
        return f"a copy to a peer needs a second {kind}"
    if case.processes == 1:
        return None
    if kind != "cpu" and not case.device.endswith(":0"):
        return f"ranks take {kind}:0 and those after it: measured once, as {kind}:0's"
    places = machine.threads // case.threads if kind == "cpu" else devices
    if case.processes <= places:
        return None
    return f"{case.processes} processes of {case.threads} threads asked for, but there is room for {places}"


def _misplaced(case: Micro, kind: str) -> str | None:
    """Why the operation makes no sense on such a device."""
    needs = OPERATIONS[case.operation].needs
    if needs == "cpu" and kind != "cpu":
        return f"{case.operation} is about the host"
    if needs == "accelerator" and kind == "cpu":
        return f"{case.operation} needs an accelerator, and {case.device} is the host itself"
    if case.variant == "chase" and kind != "cpu":
        return "a chain of dependent reads is followed by the host alone; gather reads from a device"
    return None


def _known_architecture(name: str) -> str:
    if name in ARCHITECTURES or name.startswith(TORCHVISION) or _OWN_NET.fullmatch(name):
        return name
    raise ValueError(
        f"unknown net {name!r}{did_you_mean(name, ARCHITECTURES)}; allowed: {', '.join(ARCHITECTURES)}, "
        "torchvision:NAME, package.module:callable"
    )


AXES = (
    "architecture", "image_size", "mode", "precision", "memory_format", "compile_mode", "device", "threads",
    "cudnn_benchmark", "power_limit", "batch_size",
)  # fmt: skip
WHO_LIMITS = "NVIDIA's driver lets root set it, of whole GPUs whose model has such a limit"
MICRO_AXES = ("operation", "variant", "size", "precision", "device", "threads")
SELECTING = ("operation", "variant")
"""Axes of micro-benchmarks that a command line chooses from; the others it redefines."""
_DEVICE = r"^(all|[a-z]+(:\d+)?)$"
Device = Annotated[str, StringConstraints(pattern=_DEVICE)]


class Axes(BaseModel):
    """One block of a sweep: every combination of its axes' values is a case.

    Adding an axis is a line here and in `AXES`, and one in `Case` and its id.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: tuple[Annotated[str, AfterValidator(_known_architecture)], ...]
    image_size: tuple[PositiveInt | Literal["own"], ...] = ("own",)
    mode: tuple[Mode, ...] = ("inference", "training")
    precision: tuple[Precision, ...] = ("fp32",)
    memory_format: tuple[MemoryFormat, ...] = ("contiguous",)
    compile_mode: tuple[CompileMode, ...] = ("eager",)
    device: tuple[Device, ...] = ("all",)
    threads: tuple[PositiveInt | Literal["all"], ...] = ("all",)
    cudnn_benchmark: tuple[Toggle, ...] = ("off",)
    power_limit: tuple[PositiveInt | Literal["default"], ...] = ("default",)
    batch_size: tuple[PositiveInt, ...] = (1,)

    @field_validator(*AXES, mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, value: Any) -> Any:
        return listed(value)

    @field_validator(*AXES)
    @classmethod
    def _some_and_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        return some_and_once(values)


class MicroAxes(BaseModel):
    """One operation's block: every combination of its axes' values is a micro-benchmark.

    A size is a number, or several as in `64x56x56`; `threads` knows `powers` beside `all`: 1, 2, 4, ... all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    operation: str
    variant: tuple[str, ...] = Field(("",), validate_default=True)
    size: tuple[tuple[NonNegativeInt, ...], ...]
    precision: tuple[Precision, ...] = ("fp32",)
    device: tuple[Device, ...] = ("all",)
    threads: tuple[PositiveInt | Literal["all", "powers"], ...] = ("all",)

    @field_validator("variant", "size", "precision", "device", "threads", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, value: Any) -> Any:
        return listed(value)

    @field_validator("variant", "size", "precision", "device", "threads")
    @classmethod
    def _some_and_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        return some_and_once(values)

    @field_validator("size", mode="before")
    @classmethod
    def _numbers(cls, values: Any) -> Any:
        return [_size(value) for value in listed(values)]

    @field_validator("operation", "variant", "size")
    @classmethod
    def _of_the_operation(cls, value: Any, info: ValidationInfo) -> Any:
        operation = info.data.get("operation", "")
        problems = {
            "operation": lambda: [shape_problem(value, None, None)],
            "variant": lambda: [shape_problem(operation, variant, None) for variant in value],
            "size": lambda: [shape_problem(operation, None, size) for size in value],
        }[info.field_name or ""]()
        if found := [problem for problem in problems if problem and (operation or info.field_name == "operation")]:
            raise ValueError("; ".join(found))
        return value


def listed(value: Any) -> Any:
    """One value is a list of one.

    Raises:
        ValueError: a value is true or false, which would pass for a number.
    """
    values = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(item, bool) for item in values):
        raise ValueError("should be a valid integer or text, not true or false")
    return values


def some_and_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values, each once.

    Raises:
        ValueError: there is none.
    """
    if not values:
        raise ValueError("an axis needs at least one value")
    return tuple(dict.fromkeys(values))


def _size(value: Any) -> Any:
    if isinstance(value, int):
        return (value,)
    parts = value.split("x") if isinstance(value, str) else value
    if not isinstance(value, str) or not all(part.isdecimal() for part in parts):
        raise ValueError(f"should be a number, or several as in 64x56x56, not {value!r}")
    return tuple(map(int, parts))


def devices_of(pattern: str, machine: Machine) -> tuple[str, ...]:
    """`all` -> every device present, `accelerator` -> all but the CPU; `cuda` -> every GPU.

    A device that is named and absent stays, to be skipped.
    """
    if pattern == "all":
        return machine.devices
    if pattern == "accelerator":
        return tuple(name for name in machine.devices if name != "cpu")
    if ":" in pattern or pattern == "cpu":
        return (pattern,)
    return tuple(name for name in machine.devices if name.startswith(f"{pattern}:")) or (f"{pattern}:0",)


def settings_of(axes: Axes, device: str, machine: Machine) -> Iterator[tuple[Toggle, int | None]]:
    """Whether algorithms are searched for, and the power limit in watts: what the device lacks is not swept."""
    searches: tuple[Toggle, ...] = axes.cudnn_benchmark if device in machine.cudnn_devices else ("off",)
    limits = ("default",) if device == "cpu" else axes.power_limit
    for searching, watts in itertools.product(searches, limits):
        yield searching, watts if isinstance(watts, int) else None


def threads_of(values: Iterable[int | str], machine: Machine) -> tuple[int, ...]:
    """`all` -> as many as there are cores; `powers` -> 1, 2, 4, ... and all."""
    counts: dict[int, None] = {}
    for value in values:
        if isinstance(value, int):
            counts[value] = None
            continue
        powers = (2**exponent for exponent in range(machine.threads.bit_length())) if value == "powers" else ()
        counts |= dict.fromkeys([*powers, machine.threads])
    return tuple(counts)


def micros_of(block: MicroAxes, machine: Machine, *, follows_device: bool) -> Iterator[Micro]:
    """A block's micro-benchmarks; where it follows devices, at sizes that suit each of known speed."""
    devices = dict.fromkeys(name for pattern in block.device for name in devices_of(pattern, machine))
    threads = threads_of(block.threads, machine)
    most = max((count for count in threads if count <= machine.threads), default=min(threads))
    for variant, precision, device, count in itertools.product(block.variant, block.precision, devices, threads):
        speed = machine.speeds.get(device) if follows_device else None
        for size in follow(block.operation, block.size, speed):
            if device == "cpu" or count == most:  # the host's threads do nothing for an accelerator's operation
                yield Micro(
                    operation=block.operation, variant=variant, size=size, precision=precision, device=device,
                    threads=count,
                )  # fmt: skip
