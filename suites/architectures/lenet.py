"""LeNet, plain and with batch normalisation.

Source: Zhang et al., Dive into Deep Learning, sections 6.6 (LeNet) and 7.5 (batch normalisation);
LeCun et al., Gradient-based learning applied to document recognition, 1998. Deviations of the book from
the paper, kept: a plain linear output layer in place of the Gaussian one, and complete connections
between the feature maps of the second convolution.
"""

import torch
from torch import nn


class Reshape(nn.Module):
    """Any batch of 784 numbers an image -> (batch, 1, 28, 28)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Reshape `x`."""
        # The notes write view(), which refuses a strided batch; reshape() is the same for all others.
        return x.reshape(-1, 1, 28, 28)


def lenet() -> nn.Sequential:
    """LeNet for (batch, 1, 28, 28) images -> (batch, 10) logits; 61,706 parameters."""
    return nn.Sequential(
        Reshape(),
        nn.Conv2d(1, 6, kernel_size=5, padding=2), nn.Sigmoid(),
        nn.AvgPool2d(kernel_size=2, stride=2),
        nn.Conv2d(6, 16, kernel_size=5), nn.Sigmoid(),
        nn.AvgPool2d(kernel_size=2, stride=2), nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120), nn.Sigmoid(),
        nn.Linear(120, 84), nn.Sigmoid(),
        nn.Linear(84, 10),
    )  # fmt: skip


def lenet_bn() -> nn.Sequential:
    """LeNet with batch normalisation for (batch, 1, 28, 28) -> (batch, 10) logits; 44,878 parameters.

    As the book's section writes it, with the framework's own layers: no padding in the first
    convolution, so that 16 x 4 x 4 features reach the first linear layer; normalisation before each sigmoid.
    """
    return nn.Sequential(
        nn.Conv2d(1, 6, kernel_size=5), nn.BatchNorm2d(6), nn.Sigmoid(),
        nn.AvgPool2d(kernel_size=2, stride=2),
        nn.Conv2d(6, 16, kernel_size=5), nn.BatchNorm2d(16), nn.Sigmoid(),
        nn.AvgPool2d(kernel_size=2, stride=2), nn.Flatten(),
        nn.Linear(256, 120), nn.BatchNorm1d(120), nn.Sigmoid(),
        nn.Linear(120, 84), nn.BatchNorm1d(84), nn.Sigmoid(),
        nn.Linear(84, 10),
    )  # fmt: skip
