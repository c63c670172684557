"""FLOPs of a net, counted on the meta device: nothing is computed, no weight exists."""

from typing import TYPE_CHECKING

from suites.case import Mode

if TYPE_CHECKING:
    import torch
    from torch import nn


def forward_flops(net: "nn.Module", images: "torch.Tensor") -> int:
    """FLOPs of `net(images)`; both on the meta device. 2 per multiply-add, convolutions and products only.

    Source: torch.utils.flop_counter. Never hand it a compiled net: under the counter, Dynamo does not compile.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(images)
    return int(counter.get_total_flops())


def step_flops(net: "nn.Module", images: "torch.Tensor", mode: Mode) -> int:
    """FLOPs of one step: forward, and in training backward too, without the gradient of `images`."""
    from torch.utils.flop_counter import FlopCounterMode

    if mode == "inference":
        return forward_flops(net, images)
    with FlopCounterMode(display=False) as counter:
        net(images).sum().backward()
    return int(counter.get_total_flops())
