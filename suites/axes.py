"""The axes of a sweep, and why a combination of them cannot be measured on a machine."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, PositiveInt, StringConstraints, field_validator

from suites.architectures import ARCHITECTURES, TORCHVISION
from suites.case import Case, CompileMode, MemoryFormat, Mode, Precision
from suites.errors import did_you_mean

_OWN_NET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a plan needs to know of the machine it is made for.

    Attributes:
        devices: torch's names of the devices present, `cpu` first.
        threads: cores that this process may use.
        tf32_devices: the devices whose matrix units know TF32.
        compile_problems: device type -> why torch.compile cannot work there; absent where it can.
        unknown_architectures: name -> why it leads to no net.
    """

    devices: tuple[str, ...]
    threads: int
    tf32_devices: frozenset[str] = frozenset()
    compile_problems: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    unknown_architectures: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def impossible(case: Case, machine: Machine) -> str | None:
    """Why `case` cannot be measured on `machine`, in plain words; None if nothing is known against it."""
    if case.device not in machine.devices:
        return f"there is no device {case.device} here (present: {', '.join(machine.devices)})"
    if case.precision == "tf32" and case.device not in machine.tf32_devices:
        return f"{case.device} has no TF32 (NVIDIA GPUs of compute capability 8.0 and above have)"
    if case.threads > machine.threads:
        return f"{case.threads} threads asked for, but this process may use {machine.threads} cores"
    if case.compile_mode != "eager":
        return machine.compile_problems.get(case.device.partition(":")[0])
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
    "batch_size",
)  # fmt: skip
_DEVICE = r"^(all|[a-z]+(:\d+)?)$"


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
    device: tuple[Annotated[str, StringConstraints(pattern=_DEVICE)], ...] = ("all",)
    threads: tuple[PositiveInt | Literal["all"], ...] = ("all",)
    batch_size: tuple[PositiveInt, ...] = (1,)

    @field_validator(*AXES, mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, value: Any) -> Any:
        values = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(item, bool) for item in values):
            raise ValueError("should be a valid integer or text, not true or false")
        return values

    @field_validator(*AXES)
    @classmethod
    def _some_and_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if not values:
            raise ValueError("an axis needs at least one value")
        return tuple(dict.fromkeys(values))


def devices_of(pattern: str, machine: Machine) -> tuple[str, ...]:
    """`all` -> every device present; `cuda` -> every GPU; a device that is absent stays, to be skipped."""
    if pattern == "all":
        return machine.devices
    if ":" in pattern or pattern == "cpu":
        return (pattern,)
    return tuple(name for name in machine.devices if name.startswith(f"{pattern}:")) or (f"{pattern}:0",)
