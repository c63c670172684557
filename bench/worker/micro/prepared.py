"""What an operation hands over to be measured."""

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bench.worker.events import Events
from bench.worker.timing.clock import Clock, Step, clock_for
from bench.worker.timing.sampling import Samples, sample
from suites.case import Budget, Precision
from suites.micro import Micro

DTYPES: Mapping[Precision, torch.dtype] = {
    "fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16,
}  # fmt: skip
SEED = 20
DISTINCT = 2**20 + 7
"""Odd, so that no row of a large matrix is like another."""


@dataclass(frozen=True)
class Order:
    """What is wanted of an operation.

    Attributes:
        closing: runs when the measurement is over: whatever was started is ended by it.
        data_root: a folder with data sets, where one was given.
    """

    case: Micro
    events: Events
    closing: ExitStack
    data_root: Path | None = None


@dataclass(frozen=True)
class Prepared:
    """A step that can be timed, and what its time means.

    Attributes:
        metric, amount: as `bench.records.record.Work` has them.
        clock: None for the device's own.
        details: for the record.
    """

    step: Step
    metric: str
    amount: float
    clock: Clock | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def measure(self, device: str, budget: Budget, limit_seconds: float) -> "Measured":
        """Sample the step."""
        clock = self.clock or clock_for(device)
        samples = sample(self.step, clock, budget, limit_seconds)
        return Measured(samples, self.metric, self.amount, clock.name, self.details)


@dataclass(frozen=True)
class Elsewhere:
    """An operation that several processes take part in, or that ends by itself.

    Attributes:
        step: does it once, in short.
        measure: does it all.
    """

    step: Step
    measure: Callable[[str, Budget, float], "Measured"]


@dataclass(frozen=True)
class Measured:
    """Samples, and what their time means."""

    samples: Samples
    metric: str
    amount: float
    clock_name: str
    details: Mapping[str, Any] = field(default_factory=dict)


def dtype_of(case: Micro) -> torch.dtype:
    """The type of the operands.

    Raises:
        ValueError: the precision is one of autocast's, of which a single operation knows nothing.
    """
    if case.precision not in DTYPES:
        raise ValueError(f"{case.operation} has operands of one type; precisions: {', '.join(DTYPES)}")
    return DTYPES[case.precision]


def random(order: Order, *shape: int) -> torch.Tensor:
    """Seeded normal numbers, of the case's precision, on its device: zeros draw less power and flatter.

    Beyond `DISTINCT` they repeat: drawing more would take longer than measuring.
    """
    generator = torch.Generator().manual_seed(SEED)
    count = math.prod(shape)
    distinct = torch.randn(min(count, DISTINCT), generator=generator).to(order.case.device, dtype_of(order.case))
    return (
        distinct.repeat(-(-count // len(distinct)))[:count].reshape(shape)
        if count > DISTINCT
        else distinct.reshape(shape)
    )
