"""What may stand in a suite file."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from suites import quantities
from suites.architectures import default_input_shape
from suites.axes import Axes, MicroAxes
from suites.case import Budget
from suites.errors import DlhwError
from suites.inputs import OwnNet

Tolerance = Annotated[float, Field(ge=0, lt=1)]
"""Slower by this share is no regression, as 0.02."""


class Gate(BaseModel):
    """How `dlhw gate` judges a suite's cases, where their blocks do not say otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tolerance: Tolerance = 0.02


class Sweep(Axes):
    """Axes, and how their cases differ from the suite's budget and tolerance."""

    measure: Budget = Budget()
    tolerance: Tolerance | None = None


class MicroSweep(MicroAxes):
    """Axes of an operation, and how its cases differ from the suite's budget and tolerance.

    `follows_device`: on an accelerator whose speed is known, sizes like these that suit it (`suites.sizes`).
    """

    follows_device: bool = False
    measure: Budget = Budget()
    tolerance: Tolerance | None = None


class SuiteFile(BaseModel):
    """What may stand in a suite file; `budget` is the time of a whole run, as `3m`, where no `--budget` is given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str = ""
    budget: str | None = None
    measure: Budget = Budget()
    gate: Gate = Gate()
    architectures: dict[str, OwnNet] = Field(default_factory=dict)
    sweep: tuple[Sweep, ...] = ()
    micro: tuple[MicroSweep, ...] = ()

    @property
    def budget_seconds(self) -> float | None:
        """`budget` in seconds."""
        return None if self.budget is None else quantities.seconds(self.budget, "budget")

    @field_validator("budget")
    @classmethod
    def _budget_is_a_time(cls, text: str | None) -> str | None:
        try:
            if text is not None and quantities.seconds(text, "budget") <= 0:
                raise ValueError("a budget is longer than nothing, as in 3m")
        except DlhwError as error:
            raise ValueError(str(error)) from error
        return text

    @model_validator(mode="after")
    def _sweeps_nets_of_known_shape(self) -> "SuiteFile":
        if not self.sweep and not self.micro:
            raise ValueError("a suite needs at least one [[sweep]] or [[micro]]")
        for name in self.architectures:
            if default_input_shape(name) is not None:
                raise ValueError(f"[architectures.{name}]: this net has its own input shape; image_size changes it")
        for name in dict.fromkeys(name for sweep in self.sweep for name in sweep.architecture):
            if default_input_shape(name) is None and name not in self.architectures:
                raise ValueError(
                    f'a net of your own needs its input shape: [architectures."{name}"] input_shape = [3, 64, 64]'
                )
        return self

    @model_validator(mode="after")
    def _sizes_only_images(self) -> "SuiteFile":
        for sweep in self.sweep:
            sized = any(size != "own" for size in sweep.image_size)
            unsized = [name for name in sweep.architecture if name in self.architectures
                       and len(self.architectures[name].input_shape) < 3]  # fmt: skip
            if sized and unsized:
                raise ValueError(f"image_size: {unsized[0]} takes no images (input_shape = [channels, height, width])")
        return self
