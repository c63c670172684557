"""The check: is what a case computes what the same weights give in fp64?

`bench.worker.nets.reference` makes the reference; `compare` holds a case's result against it.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from bench.records.record import Check
from bench.worker.nets.outputs import floats
from suites.case import Precision

GRADIENT_SAMPLES = 4096
"""Entries of each parameter's gradient that are kept; all of VGG-11's in fp64 would be 1 GB."""

UNIT_ROUNDOFF: dict[Precision, float] = {
    "fp32": 2**-24, "tf32": 2**-11, "bf16": 2**-8, "fp16": 2**-11, "amp_bf16": 2**-8, "amp_fp16": 2**-11,
}  # fmt: skip
SAFETY = 4
"""One draw of roundings scatters around its size, and kernels round in more places than between layers."""


class Unsuitable(Exception):  # noqa: N818
    """The net cannot do what the case asks for; the case is skipped with this reason."""


def load(path: str) -> dict[str, Any]:
    """What `reference.prepare` wrote: `state` (mapped, not read), and all that is known of the reference."""
    return read(path) | read(f"{path}.reference")


def read(path: str) -> dict[str, Any]:
    """A file that this project wrote a moment ago: what it holds of a person's net may be of any class."""
    return torch.load(path, mmap=True, weights_only=False)  # type: ignore[no-any-return]


def compare(
    outputs: Any, gradients: Mapping[str, torch.Tensor], tensors: Mapping[str, Any], precision: Precision
) -> Check:
    """Hold a case's outputs and, in training, gradients against the reference in `tensors`.

    Every floating tensor of the outputs is compared by itself. Returns the comparison, of one of them or of the
    gradients, that comes closer to its tolerance or exceeds it further.
    """
    if tensors["inconclusive"]:
        return Check(relative_error=None, tolerance=None, reference="none", inconclusive=tensors["inconclusive"])
    found = output_errors(floats(outputs), tensors["outputs"])
    if gradients:
        found["gradients"] = relative_gradients(gradients, tensors["gradients"])
    allowed = tolerances(precision, tensors["sensitivity"])
    kind = f"{tensors['reference']}, {tensors['samples']} samples"
    checks = [
        Check(relative_error=error, tolerance=allowed.get(what, 0.0), reference=f"{what} of {kind}")
        for what, error in found.items()
    ]
    return max(checks, key=closeness)


def closeness(check: Check) -> float:
    """The error as a share of its tolerance; nothing where the check is inconclusive."""
    if check.relative_error is None or check.tolerance is None:
        return -1.0
    return check.relative_error / (check.tolerance or math.ulp(0.0))


def output_errors(outputs: Mapping[str, torch.Tensor], references: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """`outputs` and path -> distance from the reference; infinite where one is missing, or of another size."""
    found = {f"outputs{path}": math.inf for path in outputs.keys() ^ references.keys()}
    for path in outputs.keys() & references.keys():
        found[f"outputs{path}"] = _output_error(outputs[path].detach(), references[path])
    return found


def _output_error(output: torch.Tensor, reference: torch.Tensor) -> float:
    """Of an output, or of one that repeats the reference, sample by sample, any number of times."""
    wide = output.to(reference.dtype).cpu()
    if wide.shape == reference.shape:
        return relative(*_numbers(wide, reference))
    tiled = (
        wide.ndim > 0 and wide.shape[1:] == reference.shape[1:] and len(reference) and not len(wide) % len(reference)
    )
    if not tiled:
        return math.inf
    times = wide.reshape(-1, *reference.shape)
    return relative(*_numbers(times, reference.expand_as(times)))


def _numbers(output: torch.Tensor, reference: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(difference, reference) where the reference is a number; a difference that is none where only one of them is."""
    finite = reference.isfinite()
    if bool(finite.all()):
        return output - reference, reference
    difference = torch.where(finite, output - reference, torch.zeros_like(reference))
    return torch.where(finite == output.isfinite(), difference, math.nan), torch.where(finite, reference, 0)


def tolerances(precision: Precision, sensitivity: Mapping[str, float]) -> dict[str, float]:
    """Relative l2 distance from fp64 that rounding explains, of `outputs` and of `gradients`.

    `sensitivity` is what rounding to bf16 does to this very net: how badly it is conditioned. Rounding to unit
    roundoff u, in sums of at most 2^12 terms that are kept in fp32, does r = sqrt(u^2 + 2^12 * 2^-48) / 2^-8 times
    as much to a smooth function (Higham & Mary, A new approach to probabilistic rounding error analysis, 2019:
    independent roundings add in squares). Gradients are not smooth: a value near a kink of a ReLU or a maximum
    sends all of its gradient elsewhere, the share of such values grows with r, and the distance with its root.
    No result is better than its own rounding, however well conditioned. A tolerance above 1 says that nothing can be
    told: so it is with gradients behind a normalisation over two images, which are 0 but for rounding.
    """
    unit = UNIT_ROUNDOFF[precision]
    ratio = math.sqrt(unit**2 + 2.0**12 * 2.0**-48) / UNIT_ROUNDOFF["bf16"]
    return {
        what: max(SAFETY * error * (math.sqrt(ratio) if what == "gradients" else ratio), unit)
        for what, error in sensitivity.items()
    }


def sampled_gradients(net: nn.Module, scale: float = 1.0) -> dict[str, torch.Tensor]:
    """Up to `GRADIENT_SAMPLES` evenly spaced entries of each parameter's gradient, in fp64, over `scale`."""
    return {
        name: _wide(_thin(parameter.grad)) / scale
        for name, parameter in net.named_parameters()
        if parameter.grad is not None
    }


@contextlib.contextmanager
def without_chance(net: nn.Module) -> Iterator[None]:
    """Every dropout's share is 0 meanwhile: two runs can then be compared.

    Stochastic depth is torchvision's, known by its name: importing torchvision for it would cost a second.
    """
    shares = [
        (module, name, getattr(module, name)) for module in net.modules() for name in [_share_of_chance(module)] if name
    ]
    for module, name, _ in shares:
        setattr(module, name, 0.0)
    try:
        yield
    finally:
        for module, name, share in shares:
            setattr(module, name, share)


def has_chance(net: nn.Module) -> bool:
    """Whether a step of training leaves something to chance."""
    return any(name and getattr(module, name) > 0 for module in net.modules() for name in [_share_of_chance(module)])


def _share_of_chance(module: nn.Module) -> str:
    """The attribute that says how much of a module's input is dropped; empty for one that drops nothing."""
    if isinstance(module, nn.modules.dropout._DropoutNd) or type(module).__name__ == "StochasticDepth":
        return "p"
    return "dropout" if isinstance(module, nn.MultiheadAttention | nn.RNNBase) else ""


def _thin(tensor: torch.Tensor) -> torch.Tensor:
    flat = (tensor.to_dense() if tensor.is_sparse else tensor).detach().contiguous().reshape(-1)
    return flat[:: max(1, len(flat) // GRADIENT_SAMPLES)]


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64).cpu()


def relative(difference: torch.Tensor, reference: torch.Tensor) -> float:
    """l2 norm of `difference` over that of `reference`; infinite where it is not a number."""
    distance, size = float(difference.norm()), float(reference.norm())
    if size == 0:
        return 0.0 if distance == 0 else math.inf
    return distance / size if math.isfinite(distance) else math.inf


def relative_gradients(gradients: Mapping[str, torch.Tensor], references: Mapping[str, torch.Tensor]) -> float:
    """Distance of all gradients as one vector; infinite where one is missing."""
    if not references.keys() <= gradients.keys():
        return math.inf
    difference = [gradients[name] - value for name, value in references.items()]
    if not difference:
        return 0.0
    return relative(torch.cat(difference), torch.cat(list(references.values())))
