"""Figures that others have published for the same nets: other machines, other software, each with its source."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A throughput in images/s, and the range over builds where there were several.

    Attributes:
        architecture, mode, pixels: what it is called here; where they agree, one's own figure can stand beside it.
    """

    architecture: str
    mode: str
    pixels: int
    net: str
    what: str
    machine: str
    images_per_second: float
    low: float | None
    high: float | None
    source: str


_BOOK = "notebooks of the d2l course (d2l-ai/d2l-zh-pytorch-slides): median and range of official builds, 2021-2023"
_V100 = "Tesla V100-SXM2-16GB, fp32"
_TIMM = "timm, results/benchmark-infer-amp-*-pt240-cu124-rtx4090"
_4090 = "GeForce RTX 4090, AMP"
_BUILDS = [
    ("lenet", 28, "LeNet", "batch 256", 83_718, 55_000, 103_000, 130),
    ("alexnet", 224, "AlexNet", "batch 128", 4_146, 3_904, 4_190, 79),
    ("nin", 224, "NiN", "batch 128", 3_200, 3_053, 3_226, 73),
    ("googlenet", 96, "GoogLeNet", "batch 128", 3_471, 3_266, 3_590, 82),
    ("resnet18", 96, "ResNet-18", "batch 256", 4_682, 4_606, 5_061, 77),
]
_ROWS = [
    ("torchvision:resnet18", "torchvision ResNet-18", "batch 1024, 224 px, contiguous", 13_537),
    ("torchvision:resnet18", "torchvision ResNet-18", "batch 512, 224 px, channels_last", 18_247),
    ("torchvision:resnet18", "torchvision ResNet-18", "batch 256, 224 px, compiled", 25_949),
    ("torchvision:vgg11", "torchvision VGG-11", "batch 1024, 224 px, contiguous", 4_384),
]
PUBLISHED = (
    *(
        Published(
            name, "training", px, net, f"training, {batch}, {px} px", _V100, median, low, high, f"{_BOOK} ({builds})"
        )
        for name, px, net, batch, median, low, high, builds in _BUILDS
    ),
    *(
        Published(name, "inference", 224, net, f"inference, {what}", _4090, images_per_second, None, None, _TIMM)
        for name, net, what, images_per_second in _ROWS
    ),
)
"""The book's VGG-11 was trained with a quarter of the channels, and is not the net that is measured here."""
