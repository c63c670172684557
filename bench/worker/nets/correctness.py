"""The check: is what a case computes what the same weights give in fp64?

`prepare` makes, once per net, input shape, mode and number of check images: the seeded weights that every
case of the net starts from, its FLOPs, and the reference. `compare` holds a case's result against it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils._pytree import tree_map_only

from bench.records.record import Check
from bench.worker.nets.flops import forward_flops, step_flops
from suites.architectures import ARCHITECTURES, TORCHVISION, Shape, build, default_input_shape
from suites.case import Mode, Precision

SEED = 20261123
CALIBRATION_IMAGES = 4
GRADIENT_SAMPLES = 4096
"""Entries of each parameter's gradient that are kept; all of VGG-11's in fp64 would be 1 GB."""

UNIT_ROUNDOFF: dict[Precision, float] = {
    "fp32": 2**-24, "tf32": 2**-11, "bf16": 2**-8, "fp16": 2**-11, "amp_bf16": 2**-8, "amp_fp16": 2**-11,
}  # fmt: skip
SAFETY = 4
"""One draw of roundings scatters around its size, and kernels round in more places than between layers."""


class Unsuitable(Exception):  # noqa: N818
    """The net cannot do what the case asks for; the case is skipped with this reason."""


@dataclass(frozen=True)
class Reference:
    """What `prepare` found, as plain data; the tensors lie in the file at `path`."""

    path: str
    parameters: int
    forward_flops_per_image: int
    step_flops_per_image: int
    convolutions: bool


def load(path: str) -> dict[str, Any]:
    """What `prepare` wrote: `state` (mapped, not read), `classes`, `output`, `gradients`, `sensitivity`."""
    tensors = torch.load(path, mmap=True)
    return tensors | torch.load(f"{path}.reference")  # type: ignore[no-any-return]


def check_batch(input_shape: Shape, images: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Seeded normal images (images, channels, height, width) in fp32 and random labels (images,), on the CPU."""
    generator = torch.Generator().manual_seed(SEED)
    x = torch.randn(images, *input_shape, generator=generator)
    return x, torch.randint(classes, (images,), generator=generator)


def prepare(architecture: str, input_shape: Shape, mode: Mode, images: int, path: Path) -> Reference:
    """Make weights and reference, write them to `path`.

    Raises:
        Unsuitable: the net does not take images of this shape.
    """
    forward, step, classes = _count(architecture, input_shape, mode)
    net = _fresh(architecture)
    _calibrate(net, input_shape)
    tensors = {
        "state": {key: tensor.detach() for key, tensor in net.state_dict().items()},
        "classes": classes,
    }
    torch.save(tensors, path)
    batch = check_batch(input_shape, images, classes)
    output, gradients = _run(net.double(), mode, *batch)
    sensitivity = _sensitivity(net, mode, *batch, output, gradients)
    torch.save({"output": output, "gradients": gradients, "sensitivity": sensitivity}, f"{path}.reference")
    return Reference(
        path=str(path),
        parameters=sum(parameter.numel() for parameter in net.parameters()),
        forward_flops_per_image=forward,
        step_flops_per_image=step,
        convolutions=any(isinstance(module, nn.Conv2d) for module in net.modules()),
    )


def compare(
    output: torch.Tensor,
    gradients: Mapping[str, torch.Tensor],
    tensors: Mapping[str, Any],
    precision: Precision,
) -> Check:
    """Hold a case's logits (batch, classes) and, in training, gradients against the reference in `tensors`.

    Returns the comparison, of outputs or of gradients, that comes closer to its tolerance or exceeds it further.
    """
    reference = tensors["output"]
    tiled = output.detach().double().cpu().reshape(-1, *reference.shape)
    found = {"outputs": _relative(tiled - reference, reference, len(tiled))}
    if gradients:
        found["gradients"] = _relative_gradients(gradients, tensors["gradients"])
    allowed = tolerances(precision, tensors["sensitivity"])
    checks = [
        Check(
            relative_error=error,
            tolerance=allowed[what],
            reference=f"{what} of fp64 eager, {len(reference)} images",
        )
        for what, error in found.items()
    ]
    return max(checks, key=lambda check: check.relative_error / (check.tolerance or math.ulp(0.0)))


def tolerances(precision: Precision, sensitivity: Mapping[str, float]) -> dict[str, float]:
    """Relative l2 distance from fp64 that rounding explains, of `outputs` and of `gradients`.

    `sensitivity` is what rounding to bf16 does to this very net: how badly it is conditioned. Rounding to unit
    roundoff u, in sums of at most 2^12 terms that are kept in fp32, does r = sqrt(u^2 + 2^12 * 2^-48) / 2^-8 times
    as much to a smooth function (Higham & Mary, A new approach to probabilistic rounding error analysis, 2019:
    independent roundings add in squares). Gradients are not smooth: a value near a kink of a ReLU or a maximum
    sends all of its gradient elsewhere, the share of such values grows with r, and the distance with its root.
    A tolerance above 1 says that nothing can be told: so it is with gradients behind a normalisation over two
    images, which are 0 but for rounding.
    """
    ratio = math.sqrt(UNIT_ROUNDOFF[precision] ** 2 + 2.0**12 * 2.0**-48) / UNIT_ROUNDOFF["bf16"]
    scale = {"outputs": ratio, "gradients": math.sqrt(ratio)}
    return {what: SAFETY * error * scale[what] for what, error in sensitivity.items()}


def sampled_gradients(net: nn.Module, scale: float = 1.0) -> dict[str, torch.Tensor]:
    """Up to `GRADIENT_SAMPLES` evenly spaced entries of each parameter's gradient, in fp64, over `scale`."""
    return {
        name: _thin(parameter.grad).double().cpu() / scale
        for name, parameter in net.named_parameters()
        if parameter.grad is not None
    }


def _fresh(architecture: str) -> nn.Module:
    """The net with seeded weights: the course's nets with He's, so that a mistake in the first layer shows
    at the output; other nets with their own.
    """
    torch.manual_seed(SEED)
    if architecture not in ARCHITECTURES:
        return build(architecture)
    with torch.device("meta"):
        net = build(architecture)
    for module in net.to_empty(device="cpu").modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.uniform_(module.bias, -0.1, 0.1)
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_parameters()
    return net


def _count(architecture: str, input_shape: Shape, mode: Mode) -> tuple[int, int, int]:
    """(forward FLOPs an image, a step's FLOPs an image, classes), found on the meta device."""
    net = on_meta(architecture) or build(architecture).to("meta")
    x = torch.empty(2, *input_shape, device="meta")
    try:
        logits = net.eval()(x)
    except (RuntimeError, AssertionError) as error:
        if default_input_shape(architecture) in (None, input_shape):  # a mistake in the net, not in the size
            raise
        raise Unsuitable(f"{architecture} does not take {_text(input_shape)} images: {error}") from error
    if logits.ndim != 2 or len(logits) != len(x):
        shape = " x ".join(map(str, logits.shape))
        raise Unsuitable(f"{architecture} makes {shape} numbers of 2 images of {_text(input_shape)}, not 2 x classes")
    forward = forward_flops(net, x)
    try:
        step = step_flops(net.train(mode == "training"), x, mode)
    except ValueError as error:  # normalisation over a single value, even with two images
        raise Unsuitable(f"{architecture} cannot train on {_text(input_shape)} images: {error}") from error
    return forward // len(x), step // len(x), logits.shape[1]


def on_meta(architecture: str) -> nn.Module | None:
    """The net without memory for its weights; None for a net that may hold tensors which no state dict knows."""
    if architecture not in ARCHITECTURES and not architecture.startswith(TORCHVISION):
        return None
    try:
        with torch.device("meta"):
            net = build(architecture)
    except NotImplementedError:  # the builder reads values, which nothing on meta has
        return None
    tensors = {name for name, _ in (*net.named_parameters(), *net.named_buffers())}
    return net if tensors <= net.state_dict().keys() else None


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _calibrate(net: nn.Module, input_shape: Shape) -> None:
    """Give normalisation the statistics of real activations: untrained ones let a deep net's values explode."""
    norms = [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momenta = [module.momentum for module in norms]
    net.eval()
    for module in norms:
        module.train()
        module.momentum = 1.0
    with torch.no_grad():
        net(check_batch(input_shape, CALIBRATION_IMAGES, 1)[0])
    for module, momentum in zip(norms, momenta, strict=True):
        module.momentum = momentum


def _run(
    net: nn.Module, mode: Mode, images: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits and, in training, sampled gradients of `net` in the precision of its own weights."""
    images = images.to(next(net.parameters()).dtype)
    if mode == "inference":
        with torch.no_grad():
            return net.eval()(images), {}
    net.train().zero_grad(set_to_none=True)
    without_chance(net)
    try:
        output = net(images)
    except ValueError as error:  # normalisation over a single value
        raise Unsuitable(f"a batch of {len(images)}: {error}") from error
    functional.cross_entropy(output, labels).backward()
    return output.detach(), sampled_gradients(net)


def _sensitivity(
    net: nn.Module, mode: Mode, images: torch.Tensor, labels: torch.Tensor,
    reference: torch.Tensor, references: Mapping[str, torch.Tensor],
) -> dict[str, float]:  # fmt: skip
    """How far from the reference `net` is with every weight, image, layer's output and gradient rounded to bf16.

    The arithmetic itself is fp32's, so this is what rounding does, and no kernel of any device has a part in it.
    """
    for parameter in net.parameters():
        parameter.data = _rounded(parameter.data)
    net.float()
    layers = [module for module in net.modules() if not any(module.children())]
    hooks = [layer.register_forward_hook(_rounded_output) for layer in layers]
    output, gradients = _run(net, mode, _rounded(images), labels)
    for hook in hooks:
        hook.remove()
    found = {"outputs": _relative(output.double() - reference, reference, 1)}
    if gradients:
        found["gradients"] = _relative_gradients(gradients, references)
    return found


def _rounded_output(layer: nn.Module, inputs: Any, output: Any) -> Any:
    return tree_map_only(torch.Tensor, _rounded, output)  # some layers return several tensors


def _rounded(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor` to bf16 and back; autograd rounds its gradient in the same way."""
    return tensor.bfloat16().float()


def without_chance(net: nn.Module) -> dict[Any, Any]:
    """Set every dropout's share to 0 and return what it was: two runs can then be compared.

    Stochastic depth is torchvision's, known by its name: importing torchvision for it would cost a second.
    """
    shares: dict[Any, Any] = {
        module: module.p
        for module in net.modules()
        if isinstance(module, nn.modules.dropout._DropoutNd) or type(module).__name__ == "StochasticDepth"
    }
    for module in shares:
        module.p = 0.0
    return shares


def _thin(tensor: torch.Tensor) -> torch.Tensor:
    flat = tensor.detach().contiguous().reshape(-1)
    return flat[:: max(1, len(flat) // GRADIENT_SAMPLES)]


def _relative(difference: torch.Tensor, reference: torch.Tensor, times: int) -> float:
    """l2 norm of `difference` over that of `reference` repeated `times`; infinite where it is not a number."""
    distance, size = float(difference.norm()), float(reference.norm()) * math.sqrt(times)
    if size == 0:
        return 0.0 if distance == 0 else math.inf
    return distance / size if math.isfinite(distance) else math.inf


def _relative_gradients(gradients: Mapping[str, torch.Tensor], references: Mapping[str, torch.Tensor]) -> float:
    difference = [gradients[name] - value for name, value in references.items()]
    return _relative(torch.cat(difference), torch.cat(list(references.values())), 1)
