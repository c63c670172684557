"""GoogLeNet.

Source: Zhang et al., Dive into Deep Learning, section 7.4; Szegedy et al., Going deeper with convolutions,
2014. Deviations of the book from the paper, kept: no auxiliary heads, no local response normalisation, no
dropout, one input channel, ten classes, 96 x 96 images. Kept from the notes: no ReLU in the second block.
"""

import torch
from torch import nn
from torch.nn import functional


class Inception(nn.Module):
    """Four parallel paths over the same input, joined along the channels.

    (batch, in_channels, h, w) -> (batch, c1 + c2[1] + c3[1] + c4, h, w).
    """

    def __init__(self, in_channels: int, c1: int, c2: tuple[int, int], c3: tuple[int, int], c4: int) -> None:
        super().__init__()
        self.p1_1 = nn.Conv2d(in_channels, c1, kernel_size=1)
        self.p2_1 = nn.Conv2d(in_channels, c2[0], kernel_size=1)
        self.p2_2 = nn.Conv2d(c2[0], c2[1], kernel_size=3, padding=1)
        self.p3_1 = nn.Conv2d(in_channels, c3[0], kernel_size=1)
        self.p3_2 = nn.Conv2d(c3[0], c3[1], kernel_size=5, padding=2)
        self.p4_1 = nn.MaxPool2d(kernel_size=3, stride=1, padding=1)
        self.p4_2 = nn.Conv2d(in_channels, c4, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the four paths and join them."""
        p1 = functional.relu(self.p1_1(x))
        p2 = functional.relu(self.p2_2(functional.relu(self.p2_1(x))))
        p3 = functional.relu(self.p3_2(functional.relu(self.p3_1(x))))
        p4 = functional.relu(self.p4_2(self.p4_1(x)))
        return torch.cat((p1, p2, p3, p4), dim=1)


def _halve() -> nn.MaxPool2d:
    return nn.MaxPool2d(kernel_size=3, stride=2, padding=1)


def googlenet() -> nn.Sequential:
    """GoogLeNet for (batch, 1, 96, 96) images -> (batch, 10) logits; 5,977,530 parameters."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3), nn.ReLU(), _halve()),
        nn.Sequential(
            nn.Conv2d(64, 64, kernel_size=1), nn.ReLU(),
            nn.Conv2d(64, 192, kernel_size=3, padding=1),
            _halve(),
        ),
        nn.Sequential(
            Inception(192, 64, (96, 128), (16, 32), 32),
            Inception(256, 128, (128, 192), (32, 96), 64),
            _halve(),
        ),
        nn.Sequential(
            Inception(480, 192, (96, 208), (16, 48), 64),
            Inception(512, 160, (112, 224), (24, 64), 64),
            Inception(512, 128, (128, 256), (24, 64), 64),
            Inception(512, 112, (144, 288), (32, 64), 64),
            Inception(528, 256, (160, 320), (32, 128), 128),
            _halve(),
        ),
        nn.Sequential(
            Inception(832, 256, (160, 320), (32, 128), 128),
            Inception(832, 384, (192, 384), (48, 128), 128),
            nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(),
        ),
        nn.Linear(1024, 10),
    )  # fmt: skip
