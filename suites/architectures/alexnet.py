"""AlexNet.

Source: Zhang et al., Dive into Deep Learning, section 7.1; Krizhevsky et al., ImageNet classification with
deep convolutional neural networks, 2012. Deviations of the book from the paper, kept: one input channel,
padding 1 in the first convolution, no local response normalisation, no split over two GPUs, ten classes.
"""

from torch import nn


def alexnet() -> nn.Sequential:
    """AlexNet for (batch, 1, 224, 224) images -> (batch, 10) logits; 46,764,746 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 96, kernel_size=11, stride=4, padding=1), nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(96, 256, kernel_size=5, padding=2), nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(256, 384, kernel_size=3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 384, kernel_size=3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, kernel_size=3, padding=1), nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2), nn.Flatten(),
        nn.Linear(6400, 4096), nn.ReLU(), nn.Dropout(p=0.5),
        nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(p=0.5),
        nn.Linear(4096, 10),
    )  # fmt: skip
