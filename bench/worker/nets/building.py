"""A net, built of a case: with seeded weights for the check, and with these weights again for what is timed."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from bench.worker.nets import inputs
from suites.architectures import ARCHITECTURES, TORCHVISION, build
from suites.case import Case

SEED = 20261123
CALIBRATION_SAMPLES = 4


def fresh(case: Case) -> nn.Module:
    """The net with seeded weights: the course's nets with He's, so that a mistake in the first layer shows
    at the output; other nets with their own.
    """
    torch.manual_seed(SEED)
    if case.architecture not in ARCHITECTURES:
        return whole(case)
    with torch.device("meta"):
        net = build(case.architecture)
    for module in net.to_empty(device="cpu").modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.uniform_(module.bias, -0.1, 0.1)
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_parameters()
    return net


def with_weights(case: Case, state: Mapping[str, torch.Tensor]) -> nn.Module:
    """Build without initialising where that is safe: drawing VGG-11's weights takes longer than measuring it."""
    net = on_meta(case.architecture)
    net = net.to_empty(device="cpu") if net is not None else whole(case)
    net.load_state_dict(state)
    return net


def on_meta(architecture: str) -> nn.Module | None:
    """The net without memory for its weights; None for a net that may hold tensors which no state dict knows."""
    if architecture not in ARCHITECTURES and not architecture.startswith(TORCHVISION):
        return None
    try:
        with torch.device("meta"):
            net = build(architecture)
    except (NotImplementedError, RuntimeError):  # the builder reads values, which nothing on meta has
        return None
    tensors = {name for name, _ in (*net.named_parameters(), *net.named_buffers())}
    return net if tensors <= net.state_dict().keys() else None


def without_values(case: Case) -> nn.Module:
    """The net on the meta device.

    Raises:
        Exception: a person's net cannot be there.
    """
    return on_meta(case.architecture) or whole(case).to("meta")


def whole(case: Case) -> nn.Module:
    """The net with all its parameters: lazy ones get their sizes from a dry run of the case's inputs."""
    net = build(case.architecture)
    if any(is_lazy(tensor) for tensor in (*net.parameters(), *net.buffers())):
        training = net.training
        with torch.no_grad():
            inputs.make(case, case.batch_size, SEED)[0].into(net.eval())
        net.train(training)
    return net


def calibrate(net: nn.Module, case: Case) -> None:
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
        _run_some(net, case)
    for module, momentum in zip(norms, momenta, strict=True):
        module.momentum = momentum


def _run_some(net: nn.Module, case: Case) -> None:
    """On a few samples, or where it takes no few, on the case's own number."""
    try:
        inputs.make(case, CALIBRATION_SAMPLES, SEED)[0].into(net)
    except Exception:
        if case.batch_size == CALIBRATION_SAMPLES:
            raise
        inputs.make(case, case.batch_size, SEED)[0].into(net)


def cast(net: nn.Module, dtype: torch.dtype) -> None:
    """As `net.to(dtype)`, which refuses a net of fake tensors."""
    for tensor in (*net.parameters(), *net.buffers()):
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(dtype)


def lay_out(net: nn.Module, memory_format: str) -> str:
    """Put weights of four and five dimensions into `memory_format`; what has to be said of it.

    torch's own `net.to(memory_format=...)` refuses a net that has both.
    """
    dimensions: set[int] = set()
    for tensor in (*net.parameters(), *net.buffers()):
        wanted = format_of(memory_format, tensor.dim())
        if wanted is not torch.contiguous_format:
            tensor.data = laid_out(tensor.data, memory_format)
            dimensions.add(tensor.dim())
    return "tensors of five dimensions are channels_last_3d" if 5 in dimensions else ""


def laid_out(tensor: torch.Tensor, memory_format: str) -> torch.Tensor:
    """In `memory_format`, and so that torch goes on in it.

    A tensor of one channel is contiguous in both formats, and `contiguous` leaves it as it is; torch then tells them
    apart by strides that no element is reached by, which `to` sets.
    """
    wanted = format_of(memory_format, tensor.dim())
    return tensor.contiguous(memory_format=wanted).to(memory_format=wanted)


def format_of(memory_format: str, dimensions: int) -> torch.memory_format:
    """torch's memory format for a tensor of so many dimensions."""
    known: dict[int, Any] = {4: torch.channels_last, 5: torch.channels_last_3d}
    if memory_format == "contiguous":
        return torch.contiguous_format
    return known.get(dimensions, torch.contiguous_format)  # type: ignore[no-any-return]
