"""What a net returns, whatever nest it is in, and the loss that training makes of it."""

import dataclasses
import inspect
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from bench.worker.nets.inputs import Inputs, named
from suites.case import Case

CROSS_ENTROPY = "cross-entropy against random labels"
OWN_OUTPUT = "the net's own output, a number"
SUM = "the sum of the net's outputs, which are numbers"
MEAN_SQUARE = "the mean square of all floating outputs"


def floats(outputs: Any) -> dict[str, torch.Tensor]:
    """Every floating or complex tensor in a nest of tuples, lists, mappings and dataclasses: path -> tensor.

    The path of a net's only output is empty, of others it reads `['logits']`, `[0].hidden`.
    """
    return {path: tensor for path, tensor in _walk(outputs, "") if tensor.is_floating_point() or tensor.is_complex()}


def _walk(value: Any, path: str) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield path, value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _walk(getattr(value, field.name), f"{path}.{field.name}")
    elif isinstance(value, types.SimpleNamespace):
        yield from _walk(vars(value), path)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk(item, f"{path}[{key!r}]")
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        for name in value._fields:
            yield from _walk(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _walk(item, f"{path}[{index}]")


@dataclass(frozen=True)
class Loss:
    """What a training step minimises.

    Attributes:
        said: what it is, for the record.
        own: `package.module:function` of a person, called with the outputs, and with the inputs if it takes two.
        classes: of random labels; None where none are needed.
    """

    said: str
    own: str = ""
    classes: int | None = None

    def labels(self, samples: int, generator: torch.Generator) -> torch.Tensor:
        """Random labels (samples,); of one class where none are needed."""
        return torch.randint(self.classes or 1, (samples,), generator=generator)

    def of(self, outputs: Any, inputs: Inputs, labels: torch.Tensor) -> torch.Tensor:
        """The loss, a number."""
        if self.own:
            return _own_loss(self.own, outputs, inputs)
        found = list(floats(outputs).values())
        if self.said == CROSS_ENTROPY:
            return functional.cross_entropy(found[0], labels)
        if self.said == MEAN_SQUARE:
            found = [each.abs().float().square().mean() for each in found]
        return torch.stack([each.sum() for each in found]).sum() if len(found) > 1 else found[0].sum()


def loss_for(case: Case, outputs: Any, samples: int) -> Loss:
    """The person's own, else what the outputs are made for.

    Raises:
        ValueError: there is no floating output.
    """
    found = list(floats(outputs).values())
    if case.signature.loss:
        return Loss(case.signature.loss, own=case.signature.loss)
    if not found:
        raise ValueError("the net has no floating output that it could be trained by; name a loss")
    if len(found) == 1 and found[0].ndim == 2 and len(found[0]) == samples and not found[0].is_complex():
        return Loss(CROSS_ENTROPY, classes=found[0].shape[1])
    if all(each.ndim == 0 for each in found):
        return Loss(OWN_OUTPUT if len(found) == 1 else SUM)
    return Loss(MEAN_SQUARE)


def _own_loss(path: str, outputs: Any, inputs: Inputs) -> torch.Tensor:
    """`loss(outputs)`, or `loss(outputs, inputs)`: of one input the tensor, of several the tuple, of named the dict.

    Raises:
        ValueError: it gives no single number.
    """
    function = named(path)
    given: Any = dict(inputs.kwargs) or (inputs.args[0] if len(inputs.args) == 1 else inputs.args)
    found = function(outputs, given) if _places(function) > 1 else function(outputs)
    if not isinstance(found, torch.Tensor) or found.numel() != 1:
        size = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise ValueError(f"{path} is no single number, but {size}")
    return found.reshape(())


def _places(function: Any) -> int:
    """How many arguments it needs by place; one where that cannot be told."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in by_place and each.default is inspect.Parameter.empty for each in parameters)
