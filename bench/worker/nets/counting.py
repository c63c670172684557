"""How many FLOPs a case has: without values where a net can do without, else with real ones, else why not."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bench.worker import settings
from bench.worker.nets import building, flops, inputs
from bench.worker.nets.building import SEED
from bench.worker.nets.correctness import Unsuitable
from bench.worker.nets.outputs import loss_for
from suites.architectures import ARCHITECTURES, default_input_shape
from suites.case import Case

FEW = 2
"""Samples that FLOPs are counted with: normalisation trains on no single one."""
ONE_VALUE = "more than 1 value per channel"
"""What torch says of a normalisation over a single value."""


@dataclass(frozen=True)
class Counted:
    """FLOPs a sample of a forward pass and of a step; None where they cannot be counted, for `reason`.

    Attributes:
        by_sample: twice the samples have twice the FLOPs; where not, they are those of the case's own batch alone.
    """

    forward: float | None
    step: float | None
    by_sample: bool = True
    reason: str = ""


def count(case: Case) -> Counted:
    """On the meta device, where nothing is computed; where the net cannot be there, with real tensors on the CPU.

    Raises:
        Unsuitable: a known net does not take samples of this shape.
    """
    own = default_input_shape(case.architecture) is None
    ways = [(build, samples) for build in (building.without_values, building.fresh)
            for samples in dict.fromkeys((FEW, case.batch_size))]  # fmt: skip
    first: Exception | None = None
    wanted = settings.snapshot()
    for build, samples in ways:
        try:
            net = build(case)
            settings.restore(wanted)
            device = "meta" if build is building.without_values else "cpu"
            few = _count(net, case, samples, device)
            if not own or _doubles(net, case, samples, device, few):
                return Counted(*few)
            return Counted(*_count(net, case, case.batch_size, device), by_sample=False)
        except Unsuitable:
            raise
        except Exception as error:  # noqa: BLE001 - a net may raise anything
            first = first or error
    assert first is not None
    _known_to_be_unsuitable(case, first)
    return Counted(None, None, reason=f"FLOPs not counted: {type(first).__name__}: {first_line(first)}")


def _doubles(net: nn.Module, case: Case, samples: int, device: str, few: tuple[float, float]) -> bool:
    """Whether each sample has FLOPs of its own and nothing else has any; unknown of a net of one batch size."""
    try:
        return _count(net, case, 2 * samples, device) == few
    except Exception:  # noqa: BLE001 - it takes no other number of samples
        return False


def _count(net: nn.Module, case: Case, samples: int, device: str) -> tuple[float, float]:
    """FLOPs a sample of a forward pass and of a step, the latter without the gradient of the inputs."""
    given, generator = inputs.make(case, samples, SEED)
    given = given.map(lambda tensor: tensor.to(device))
    held: list[Any] = []
    with torch.no_grad():
        forward = flops.count(lambda: held.append(given.fresh().into(net.eval())))
    outputs = held.pop()
    _require_classes(case, outputs, samples)
    if case.mode == "inference":
        return _each(forward, samples), _each(forward, samples)
    net.train()

    def step() -> None:
        values = given.fresh()
        outputs = values.into(net)
        loss = loss_for(case, outputs, samples)
        loss.of(outputs, values, loss.labels(samples, generator).to(device)).backward()

    try:
        return _each(forward, samples), _each(flops.count(step), samples)
    except ValueError as error:  # normalisation over a single value, even with two samples
        if ONE_VALUE not in str(error):
            raise
        text = _text(case)
        raise Unsuitable(f"{case.architecture} cannot train on {text} images: {error}") from error


def _each(total: int, samples: int) -> float:
    """A whole number wherever it is one."""
    return total // samples if total % samples == 0 else total / samples


def _require_classes(case: Case, outputs: Any, samples: int) -> None:
    """The course's nets take images of their own size for several small ones where the pixels happen to suit.

    Raises:
        Unsuitable: the outputs are not (samples, classes).
    """
    if case.architecture not in ARCHITECTURES or (outputs.ndim == 2 and len(outputs) == samples):
        return
    shape = " x ".join(map(str, outputs.shape))
    raise Unsuitable(
        f"{case.architecture} makes {shape} numbers of {samples} images of {_text(case)}, not {samples} x classes"
    )


def _known_to_be_unsuitable(case: Case, error: Exception) -> None:
    """Nets that come with dlhw, or with torchvision, are right: it is the size that they do not take.

    Raises:
        Unsuitable: so it is.
    """
    if default_input_shape(case.architecture) not in (None, case.input_shape):
        text = _text(case)
        raise Unsuitable(f"{case.architecture} does not take {text} images: {first_line(error)}") from error


def _text(case: Case) -> str:
    return "x".join(map(str, case.input_shape))


def first_line(error: Exception) -> str:
    """What an exception says, in a line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
