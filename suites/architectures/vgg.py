"""VGG.

Source: Zhang et al., Dive into Deep Learning, section 7.2; Simonyan & Zisserman, Very deep convolutional
networks for large-scale image recognition, 2014 (configuration A). Deviations of the book, kept: one input
channel, ten classes. The book trains a net of a quarter of these channels; this is the net as it defines it.
"""

from torch import nn

VGG11_BLOCKS = ((1, 64), (1, 128), (2, 256), (2, 512), (2, 512))
"""(number of convolutions, output channels) of each block."""


def vgg_block(convolutions: int, in_channels: int, out_channels: int) -> nn.Sequential:
    """Convolutions of 3 x 3 with ReLU, then a pooling that halves height and width."""
    layers: list[nn.Module] = []
    for _ in range(convolutions):
        layers += [nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1), nn.ReLU()]
        in_channels = out_channels
    return nn.Sequential(*layers, nn.MaxPool2d(kernel_size=2, stride=2))


def vgg11() -> nn.Sequential:
    """VGG-11 for (batch, 1, 224, 224) images -> (batch, 10) logits; 128,806,154 parameters."""
    blocks: list[nn.Module] = []
    in_channels = 1
    for convolutions, out_channels in VGG11_BLOCKS:
        blocks.append(vgg_block(convolutions, in_channels, out_channels))
        in_channels = out_channels
    return nn.Sequential(
        *blocks, nn.Flatten(),
        nn.Linear(in_channels * 7 * 7, 4096), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(4096, 10),
    )  # fmt: skip
