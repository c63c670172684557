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
PUBLISHED = (
    Published(
        "lenet", "training", 28, "LeNet", "training, batch 256, 28 px", _V100, 83_718, 55_000, 103_000, f"{_BOOK} (130)"
    ),
    Published(
        "alexnet",
        "training",
        224,
        "AlexNet",
        "training, batch 128, 224 px",
        _V100,
        4_146,
        3_904,
        4_190,
        f"{_BOOK} (79)",
    ),
    Published(
        "nin", "training", 224, "NiN", "training, batch 128, 224 px", _V100, 3_200, 3_053, 3_226, f"{_BOOK} (73)"
    ),
    Published(
        "googlenet",
        "training",
        96,
        "GoogLeNet",
        "training, batch 128, 96 px",
        _V100,
        3_471,
        3_266,
        3_590,
        f"{_BOOK} (82)",
    ),
    Published(
        "resnet18",
        "training",
        96,
        "ResNet-18",
        "training, batch 256, 96 px",
        _V100,
        4_682,
        4_606,
        5_061,
        f"{_BOOK} (77)",
    ),
    Published(
        "torchvision:resnet18",
        "inference",
        224,
        "torchvision ResNet-18",
        "inference, batch 1024, 224 px, contiguous",
        _4090,
        13_537,
        None,
        None,
        _TIMM,
    ),
    Published(
        "torchvision:resnet18",
        "inference",
        224,
        "torchvision ResNet-18",
        "inference, batch 512, 224 px, channels_last",
        _4090,
        18_247,
        None,
        None,
        _TIMM,
    ),
    Published(
        "torchvision:resnet18",
        "inference",
        224,
        "torchvision ResNet-18",
        "inference, batch 256, 224 px, compiled",
        _4090,
        25_949,
        None,
        None,
        _TIMM,
    ),
    Published(
        "torchvision:vgg11",
        "inference",
        224,
        "torchvision VGG-11",
        "inference, batch 1024, 224 px, contiguous",
        _4090,
        4_384,
        None,
        None,
        _TIMM,
    ),
)
"""The book's VGG-11 was trained with a quarter of the channels, and is not the net that is measured here."""
