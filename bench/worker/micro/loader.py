"""The input pipeline: images from files to batches, as the d2l course prepares them (its section 3.5)."""

import itertools
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bench.machine import host
from bench.worker.micro.prepared import SEED, Order, Prepared

if TYPE_CHECKING:
    from collections.abc import Iterator

MADE_UP = 8192
"""Images that are made where no data set is given: more than the workers keep ready."""
PREFETCHED = 2
"""Batches that a worker has ready, torch's default."""
SIDE = 28
_FILES = {"train": MADE_UP, "t10k": 16}


def loader(order: Order) -> Prepared:
    """The next batches of FashionMNIST, shuffled, resized to 96 or 224 pixels or not at all, as tensors.

    Real images where `--data-root` leads to them, else random ones in files of the same format, read by the same code.
    """
    workers, images = order.case.size
    if workers:
        host.stay_on(host.CORES)  # which workers inherit
    dataset, source = fashion_mnist(order, int(order.case.variant.lstrip("abcdefghijklmnopqrstuvwxyz")))
    generator = torch.Generator().manual_seed(SEED)
    batches = torch.utils.data.DataLoader(
        dataset, batch_size=images, shuffle=True, drop_last=True, num_workers=workers, generator=generator,
        persistent_workers=workers > 0,
    )  # fmt: skip
    if not len(batches):
        raise ValueError(f"a batch of {images} images, of {len(dataset)} that there are")
    endless: Iterator[Any] = itertools.chain.from_iterable(itertools.repeat(batches))
    # Workers hand over in bursts: a step is as long as all of them need to fill their queues anew.
    rounds = max(1, workers) * PREFETCHED

    def step() -> None:
        for _ in range(rounds):
            next(endless)

    details = {"dataset": source, "images": len(dataset), "transform": repr(dataset.transform), "batches": rounds}
    return Prepared(step, "images_per_second", rounds * images, details=details)


def fashion_mnist(order: Order, side: int) -> tuple[Any, str]:
    """torchvision's data set, and where its images come from.

    Raises:
        FileNotFoundError: the given folder does not hold it.
    """
    from torchvision.datasets import FashionMNIST
    from torchvision.transforms import v2

    resize = [v2.Resize(side, antialias=True)] if side != SIDE else []
    transform = v2.Compose([*resize, v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    root, source = order.data_root, "FashionMNIST from --data-root"
    if root is None:
        root, source = _made_up(order), "random images in FashionMNIST's files, made by dlhw"
    try:
        return FashionMNIST(root, train=True, transform=transform), source
    except RuntimeError as error:
        raise FileNotFoundError(
            f"--data-root {root}: no FashionMNIST in it; expected: {root}/FashionMNIST/raw/train-images-idx3-ubyte"
        ) from error


def _made_up(order: Order) -> Path:
    root = Path(order.closing.enter_context(tempfile.TemporaryDirectory(prefix="dlhw-", ignore_cleanup_errors=True)))
    generator = torch.Generator().manual_seed(SEED)
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name, count in _FILES.items():
        images = torch.randint(256, (count, SIDE, SIDE), dtype=torch.uint8, generator=generator)
        labels = torch.randint(10, (count,), dtype=torch.uint8, generator=generator)
        write_idx(raw / f"{name}-images-idx3-ubyte", images)
        write_idx(raw / f"{name}-labels-idx1-ubyte", labels)
    return root


def write_idx(path: Path, values: torch.Tensor) -> None:
    """Write bytes of any shape in the format of MNIST's files (http://yann.lecun.com/exdb/mnist)."""
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    path.write_bytes(header + values.numpy().tobytes())
