"""Case: one thing to measure, and Budget: how long to measure it for."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field

from suites.architectures import default_input_shape
from suites.errors import DlhwError
from suites.inputs import PLAIN, Shape, Signature

Mode = Literal["inference", "training"]
Precision = Literal["fp32", "tf32", "bf16", "fp16", "amp_bf16", "amp_fp16"]
MemoryFormat = Literal["contiguous", "channels_last"]
CompileMode = Literal["eager", "default", "reduce-overhead", "max-autotune", "cuda-graph"]
Toggle = Literal["off", "on"]
UNCOMPILED: frozenset[CompileMode] = frozenset({"eager", "cuda-graph"})
"""Modes that have no compiler: a graph replays what eager code has launched."""

_N = "[1-9][0-9]*"


def one_of(kind: Any) -> str:
    """A regular expression of a literal type's values."""
    return "|".join(map(re.escape, get_args(kind)))


_ID = re.compile(
    rf"(?P<architecture>.+?)(?:@(?P<size>{_N}(?:[x+]{_N})*))?"
    rf"-(?P<mode>{one_of(Mode)})-b(?P<batch_size>{_N})-(?P<precision>{one_of(Precision)})"
    rf"-(?P<memory_format>{one_of(MemoryFormat)})-(?P<compile_mode>{one_of(CompileMode)})"
    rf"-(?P<device>[\w:]+)-t(?P<threads>{_N})(?P<cudnn_benchmark>-cudnn_benchmark)?(?:-(?P<power_limit>{_N})W)?"
)


UNSAID: dict[str, Any] = {"cudnn_benchmark": "off", "power_limit": None}
"""Fields that neither id nor data tell where they are so, as they did not in results of before."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One net, measured in one way on one device.

    Attributes:
        architecture: a name that `suites.architectures` understands.
        input_shape: of one sample: channels, height and width of an image; empty where `signature` has the inputs.
        batch_size: samples a step.
        device: torch's name of it: `cpu`, `cuda:0`, ...
        threads: intra-op threads on the host.
        cudnn_benchmark: whether cuDNN tries its algorithms, and keeps the fastest; torch's default is off.
        power_limit: watts that the device is limited to; None: whatever limit it has.
    """

    architecture: str
    input_shape: Shape
    mode: Mode
    batch_size: int
    precision: Precision
    memory_format: MemoryFormat
    compile_mode: CompileMode
    device: str
    threads: int
    cudnn_benchmark: Toggle = "off"
    power_limit: int | None = None
    signature: Signature = PLAIN

    @cached_property
    def id(self) -> str:
        """Stable and unique; reads `resnet18-inference-b8-bf16-channels_last-eager-cpu-t2`.

        What is as torch and the driver have it, search and power limit, is not in it.
        """
        searching = "-cudnn_benchmark" if self.cudnn_benchmark == "on" else ""
        limited = f"-{self.power_limit}W" if self.power_limit else ""
        return (
            f"{self.architecture}{self._size_suffix()}-{self.mode}-b{self.batch_size}-{self.precision}"
            f"-{self.memory_format}-{self.compile_mode}-{self.device}-t{self.threads}"
            f"{searching}{limited}"
        )

    @property
    def compiles(self) -> bool:
        """Whether torch.compile is asked for."""
        return self.compile_mode not in UNCOMPILED

    @cached_property
    def configuration(self) -> "tuple[Any, ...]":
        """All that tells two cases apart but the batch size."""
        return tuple(getattr(self, field.name) for field in fields(self) if field.name != "batch_size")

    @property
    def group(self) -> str:
        """What it is shown with."""
        return f"{self.architecture} {self.mode}"

    @property
    def scale(self) -> int:
        """Grows with the memory and time that it needs."""
        return self.batch_size

    @property
    def processes(self) -> int:
        """That work at it, its own included."""
        return 1

    @property
    def check_images(self) -> int:
        """How many different images the check needs: a divisor of the batch size, so that they tile the batch.

        A batch that repeats the same images has, in exact arithmetic, the outputs, the batch statistics and
        the mean gradients of the images alone; so a reference of a few images serves every batch size.
        """
        size = self.batch_size
        odd = next((d for d in range(3, math.isqrt(size) + 1, 2) if size % d == 0), size)
        return next((divisor for divisor in (4, 2) if size % divisor == 0), odd)

    def _size_suffix(self) -> str:
        """Nothing for the net's own size, `@64` for a square of its own channels, else `@3x64x48`, `@3x64x48+128`."""
        default = default_input_shape(self.architecture)
        shape = self.input_shape
        if shape == default or self.signature.make_inputs:
            return ""
        if default and shape[:-2] == default[:-2] and shape[-1] == shape[-2]:
            return f"@{shape[-1]}"
        shapes = [each.shape for each in self.signature.inputs] or [shape]
        return "@" + "+".join("x".join(map(str, each or (1,))) for each in shapes)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Make the case whose id is `text`.

        Raises:
            DlhwError: `text` is no case id.
        """
        match = _ID.fullmatch(text)
        if match is None:
            raise DlhwError(f"{text!r} is no case id; one reads resnet18-inference-b8-fp32-contiguous-eager-cpu-t2")
        parts: dict[str, Any] = match.groupdict()
        shape = _parse_shape(parts["architecture"], parts.pop("size"), text)
        numbers = {name: int(parts[name]) for name in ("batch_size", "threads", "power_limit") if parts[name]}
        searching = "on" if parts["cudnn_benchmark"] else "off"
        case = cls(**parts | numbers | {"input_shape": shape, "cudnn_benchmark": searching})
        if case.id != text:
            raise DlhwError(f"{text!r} is no case id; that case's is {case.id}")
        return case

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Make a case of what `to_json` gave, or of a record's `case`, which holds more."""
        known = {field.name: (UNSAID | dict(data))[field.name] for field in fields(cls) if field.name != "signature"}
        return cls(**known | {"input_shape": tuple(known["input_shape"])}, signature=Signature.from_json(data))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types only; of search, power limit and signature what is not as by default."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "signature"}
        known = {name: value for name, value in values.items() if name not in UNSAID or value != UNSAID[name]}
        return {"kind": "net", **known, "input_shape": list(self.input_shape), **self.signature.to_json()}


def _parse_shape(architecture: str, size: str | None, text: str) -> Shape:
    default = default_input_shape(architecture)
    if size is not None and "+" in size:
        raise DlhwError(f"{text!r}: what this net is called with stands in its suite file: name that, by --suite FILE")
    if size is not None and ("x" in size or default is None):
        return tuple(int(number) for number in size.split("x"))
    if default is None:
        raise DlhwError(f"{text!r}: the id of a net of your own holds its input shape, as in my.net:build@3x64x64-...")
    return (*default[:-2], int(size), int(size)) if size else default


class Budget(BaseModel):
    """How long one case is measured for, and when it is given up; but for `launches` all is one launch's.

    Attributes:
        launches: fresh processes that measure the case, one after the other. One says nothing of how much
            processes of the same code differ; two to five give an interval by Student's t, more by ranks.
        precision: wanted half width of the median's 95 % interval, as a share of the median; sampling
            ends once it is reached.
        min_samples: never fewer; the interval needs 6.
        min_seconds: sample for at least this long, however steady the first samples look.
        max_seconds: sample for no longer than this, once `min_samples` are there.
        warmup_seconds: give up waiting for a steady state after this long.
        time_limit_seconds: a case that takes longer from start to end is ended; its outcome is `timeout`.
        energy_seconds: after sampling, step for this long while energy is counted, where it can be; 0: do not.
        memory_limit_bytes: private memory that the measuring process may have on the host; None: no limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    launches: int = Field(1, ge=1)
    precision: float = Field(0.01, gt=0, lt=1)
    min_samples: int = Field(6, ge=1)
    min_seconds: float = Field(0.2, ge=0)
    max_seconds: float = Field(1.0, gt=0)
    warmup_seconds: float = Field(1.0, ge=0)
    time_limit_seconds: float = Field(60.0, gt=0)
    energy_seconds: float = Field(0.0, ge=0)
    memory_limit_bytes: int | None = Field(None, gt=0)

    def updated(self, changes: Mapping[str, Any]) -> Self:
        """The budget with `changes`; more time to sample does not come off the time limit."""
        more_seconds = max(0.0, changes.get("max_seconds", 0.0) - self.max_seconds)
        limit = {"time_limit_seconds": self.time_limit_seconds + more_seconds}
        return self.model_copy(update=limit | dict(changes))

    def short(self) -> Self:
        """One launch of many within the budget of a run: a short look, however slow the step; energy is not counted.

        What is left of the time goes into further launches, which say more of a case than more samples of one do.
        """
        return self.model_copy(
            update={
                "min_samples": min(self.min_samples, SHORT.min_samples),
                "min_seconds": min(self.min_seconds, SHORT.min_seconds),
                "max_seconds": min(self.max_seconds, SHORT.max_seconds),
                "warmup_seconds": min(self.warmup_seconds, SHORT.warmup_seconds),
                "time_limit_seconds": max(self.time_limit_seconds, SHORT.time_limit_seconds),
                "energy_seconds": 0.0,
            }
        )


SHORT = Budget(min_samples=3, min_seconds=0.1, max_seconds=0.25, warmup_seconds=0.25, time_limit_seconds=30)
"""What `Budget.short` leaves of a launch at most, and the least time limit. Three samples of a slow step have an
interval that says something; where its time limit comes first there are two."""
