"""ResNet-18.

Source: Zhang et al., Dive into Deep Learning, section 7.6; He et al., Deep residual learning for image
recognition, 2015. Deviations of the book from the paper, kept: biases in the convolutions although
normalisation follows, no normalisation on the shortcut, one input channel, ten classes, 96 x 96 images.
"""

import torch
from torch import nn
from torch.nn import functional


class Residual(nn.Module):
    """relu(g(x) + x), with a 1 x 1 convolution on the shortcut where the shape changes.

    (batch, in_channels, h, w) -> (batch, channels, h / stride, w / stride).
    """

    def __init__(
        self, in_channels: int, channels: int, *, use_1x1conv: bool = False, stride: int = 1, inplace: bool = False
    ) -> None:
        super().__init__()
        self.inplace = inplace
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=3, padding=1, stride=stride)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.conv3 = nn.Conv2d(in_channels, channels, kernel_size=1, stride=stride) if use_1x1conv else None
        self.bn1 = nn.BatchNorm2d(channels)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the block.

        The notes also make an in-place `self.relu`, "which saves memory", and never call it; what they
        run, and so does this unless it is told otherwise, is the functional, out-of-place ReLU.
        """
        y = functional.relu(self.bn1(self.conv1(x)), inplace=self.inplace)
        y = self.bn2(self.conv2(y))
        if self.conv3 is not None:
            x = self.conv3(x)
        y += x
        return functional.relu(y, inplace=self.inplace)


def resnet_block(
    in_channels: int, channels: int, residuals: int, *, first_block: bool = False, inplace: bool = False
) -> list[Residual]:
    """`residuals` residual blocks; the first halves height and width, unless it opens the net."""
    opening = (
        Residual(channels, channels, inplace=inplace)
        if first_block
        else Residual(in_channels, channels, use_1x1conv=True, stride=2, inplace=inplace)
    )
    return [opening, *(Residual(channels, channels, inplace=inplace) for _ in range(residuals - 1))]


def resnet18(*, inplace: bool = False) -> nn.Sequential:
    """ResNet-18 for (batch, 1, 96, 96) images -> (batch, 10) logits; 11,178,378 parameters."""
    return nn.Sequential(
        nn.Sequential(
            nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3), nn.BatchNorm2d(64), nn.ReLU(inplace=inplace),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        ),
        nn.Sequential(*resnet_block(64, 64, 2, first_block=True, inplace=inplace)),
        nn.Sequential(*resnet_block(64, 128, 2, inplace=inplace)),
        nn.Sequential(*resnet_block(128, 256, 2, inplace=inplace)),
        nn.Sequential(*resnet_block(256, 512, 2, inplace=inplace)),
        nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip


def resnet18_inplace() -> nn.Sequential:
    """The same with every ReLU in place, as the notes advise, to see whether it saves memory."""
    return resnet18(inplace=True)
