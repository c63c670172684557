"""What a net is called with: tensors by place and by name, made of a case's description or by a person's function."""

import importlib
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map_only

from suites.case import Case
from suites.errors import DlhwError
from suites.inputs import INTEGERS, Input


@dataclass(frozen=True)
class Inputs:
    """Arguments of a call; each may be a tensor, or a nest of them."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def into(self, call: Callable[..., Any]) -> Any:
        """What `call` makes of them."""
        return call(*self.args, **self.kwargs)

    def map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Inputs":
        """The same nest with every tensor changed."""
        args, kwargs = tree_map_only(torch.Tensor, change, (self.args, dict(self.kwargs)))
        return Inputs(args, kwargs)

    @property
    def tensors(self) -> list[torch.Tensor]:
        """All tensors, in order."""
        return [leaf for leaf in tree_leaves((self.args, dict(self.kwargs))) if isinstance(leaf, torch.Tensor)]

    def tiled(self, samples: int, times: int) -> "Inputs":
        """Every tensor of so many samples repeated; the others, which are not of single samples, as they are."""

        def repeat(tensor: torch.Tensor) -> torch.Tensor:
            if times == 1 or tensor.ndim == 0 or len(tensor) != samples:
                return tensor
            return tensor.repeat(times, *[1] * (tensor.ndim - 1))

        return self.map(repeat)

    def fresh(self) -> "Inputs":
        """Copies: what a call does to them stays with it."""
        return self.map(torch.clone)


def make(case: Case, samples: int, seed: int) -> tuple[Inputs, torch.Generator]:
    """Seeded inputs of so many samples, in fp32 on the CPU; and the generator, for what is drawn next.

    Raises:
        DlhwError: the person's function cannot be found, or makes no tensors.
    """
    generator = torch.Generator().manual_seed(seed)
    if case.signature.make_inputs:
        return _made_by(case.signature.make_inputs, samples, seed), generator
    wanted = case.signature.inputs or (Input(shape=case.input_shape),)
    drawn = [(each.name, _draw(each, samples, generator)) for each in wanted]
    by_place = tuple(tensor for name, tensor in drawn if not name)
    return Inputs(by_place, {name: tensor for name, tensor in drawn if name}), generator


def sizes(case: Case, device: str) -> Inputs:
    """The inputs of a step, with any values: drawing numbers takes longer than counting them."""
    if case.signature.make_inputs:
        return make(case, case.batch_size, 0)[0].map(lambda tensor: tensor.to(device))
    wanted = case.signature.inputs or (Input(shape=case.input_shape),)
    drawn = [(each.name, torch.empty(case.batch_size, *each.shape, dtype=_dtype(each), device=device))
             for each in wanted]  # fmt: skip
    return Inputs(tuple(each for name, each in drawn if not name), {name: each for name, each in drawn if name})


def named(path: str) -> Callable[..., Any]:
    """The function `package.module:name`.

    Raises:
        DlhwError: it is not there.
    """
    module, _, name = path.partition(":")
    try:
        found = operator.attrgetter(name)(importlib.import_module(module))
    except (ImportError, AttributeError) as error:
        raise DlhwError(f"{path}: {error}") from error
    if not callable(found):
        raise DlhwError(f"{path} is not callable")
    return found  # type: ignore[no-any-return]


def _draw(wanted: Input, samples: int, generator: torch.Generator) -> torch.Tensor:
    shape, dtype = (samples, *wanted.shape), _dtype(wanted)
    if wanted.dtype == "bool":
        return torch.randint(2, shape, generator=generator).bool()
    if wanted.dtype in INTEGERS:
        assert wanted.high is not None
        return torch.randint(wanted.low, wanted.high, shape, generator=generator).to(dtype)
    return torch.randn(shape, generator=generator, dtype=dtype)


def _dtype(wanted: Input) -> torch.dtype:
    """Real numbers are made in fp32, and cast to the case's precision later."""
    dtype: torch.dtype = getattr(torch, wanted.dtype)
    return torch.float32 if dtype.is_floating_point else dtype


def _made_by(path: str, samples: int, seed: int) -> Inputs:
    """One tensor, a list or tuple by place, or a dict by name."""
    found = named(path)(samples, seed)
    if isinstance(found, Mapping):
        inputs = Inputs((), {str(name): value for name, value in found.items()})
    else:
        inputs = Inputs(tuple(found) if isinstance(found, list | tuple) else (found,))
    if not inputs.tensors:
        raise DlhwError(f"{path}({samples}, {seed}) made no tensor, but {type(found).__name__}")
    return inputs.map(lambda tensor: tensor.detach().cpu())
