"""Data sets and training: torchvision's own reader over files that the test writes, and steps to a loss."""

import contextlib
import struct

import pytest
import torch

from bench.worker.micro import convergence, loader
from bench.worker.micro.prepared import Order
from suites.case import Budget
from suites.micro import Micro

FACTS = torch.arange(40, dtype=torch.uint8)


def idx(path, values):
    """The format of MNIST's files, written by hand: magic number, sizes, bytes."""
    sizes = struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(bytes([0, 0, 8, values.ndim]) + sizes + bytes(values.flatten().tolist()))


@pytest.fixture
def root(tmp_path):
    """FashionMNIST with 40 images: all pixels of image n are n, and so is its label, modulo 10."""
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train", "t10k"):
        idx(raw / f"{name}-images-idx3-ubyte", FACTS[:, None, None].expand(40, 28, 28))
        idx(raw / f"{name}-labels-idx1-ubyte", FACTS % 10)
    return tmp_path


@pytest.fixture
def order():
    with contextlib.ExitStack() as closing:

        def order(operation, variant, size, data_root=None):
            case = Micro(
                operation=operation, variant=variant, size=size, precision="fp32", device="cpu", threads=1
            )  # fmt: skip
            return Order(case, None, closing, data_root)

        yield order


def batches(ready):
    """The endless batches behind a step."""
    return next(cell.cell_contents for cell in ready.step.__closure__ if hasattr(cell.cell_contents, "__next__"))


@pytest.mark.parametrize(("variant", "side"), [("own28", 28), ("resize96", 96), ("resize224", 224)])
def test_images_are_resized_and_made_tensors(order, root, variant, side):
    ready = loader.loader(order("loader", variant, (0, 8), root))
    images, labels = next(batches(ready))
    assert (images.shape, images.dtype) == ((8, 1, side, side), torch.float32)
    found = {(round(255 * float(image.mean())), int(label)) for image, label in zip(images, labels, strict=True)}
    assert all(value % 10 == label for value, label in found)
    assert (ready.metric, ready.amount) == ("images_per_second", 2 * 8)
    assert ready.details["dataset"] == "FashionMNIST from --data-root"
    assert ready.details["images"] == 40


def test_every_image_comes_once_an_epoch_and_epochs_are_shuffled_anew(order, root):
    endless = batches(loader.loader(order("loader", "own28", (0, 8), root)))
    epochs = [[int(255 * image.mean() + 0.5) for _ in range(5) for image in next(endless)[0]] for _ in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [FACTS.tolist()] * 2
    assert epochs[0] != epochs[1] != FACTS.tolist()


@pytest.mark.parametrize(("workers", "rounds"), [(0, 2), (1, 2), (2, 4)])
def test_a_step_is_as_long_as_the_workers_queues(order, root, workers, rounds):
    ready = loader.loader(order("loader", "own28", (workers, 8), root))
    assert (ready.amount, ready.details["batches"]) == (rounds * 8, rounds)
    ready.step()
    ready.step()


def test_without_a_data_set_images_are_made_up_and_that_is_said(order):
    ready = loader.loader(order("loader", "own28", (0, 8)))
    images, labels = next(batches(ready))
    assert ready.details["dataset"] == "random images in FashionMNIST's files, made by dlhw"
    assert ready.details["images"] == loader.MADE_UP
    assert 0.4 < float(images.mean()) < 0.6
    assert set(labels.tolist()) <= set(range(10))


def test_what_is_written_is_what_the_format_says(tmp_path):
    values = FACTS.reshape(2, 4, 5)
    loader.write_idx(tmp_path / "ours", values)
    idx(tmp_path / "theirs", values)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_a_folder_without_the_data_set_is_one_clear_error(order, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no FashionMNIST in it; expected: .*train-images-idx3-ubyte"
    ) as caught:
        loader.loader(order("loader", "own28", (0, 8), tmp_path))
    assert str(caught.value).startswith(f"--data-root {tmp_path}: ")
    assert str(caught.value).endswith("FashionMNIST/raw/train-images-idx3-ubyte")


def test_a_batch_larger_than_the_data_set_is_one_clear_error(order, root):
    with pytest.raises(ValueError, match="a batch of 41 images, of 40 that there are"):
        loader.loader(order("loader", "own28", (0, 41), root))


EASY = Budget()


@pytest.fixture
def easy(monkeypatch):
    monkeypatch.setattr(convergence, "BATCH_SIZE", 16)
    monkeypatch.setattr(convergence, "NOISE", 0.1)


def test_steps_are_counted_until_the_mean_loss_is_low_enough(order, easy):
    measured = convergence.convergence(order("convergence", "lenet_bn", (1,))).measure("cpu", EASY, 60.0)
    losses = measured.details["loss"]
    assert (measured.metric, measured.amount) == ("steps", len(losses))
    means = [sum(losses[end - 20 : end]) / 20 for end in range(20, len(losses) + 1)]
    assert means[-1] <= 0.6
    assert all(mean > 0.6 for mean in means[:-1])
    assert len(measured.samples.seconds) == len(losses)
    assert measured.details["dataset"] == "ten smooth patterns under noise, made by dlhw"


def test_a_seed_gives_the_same_task_and_another_one_another(order, easy):
    def losses(seed):
        operation = convergence.convergence(order("convergence", "lenet_bn", (seed,)))
        return [operation.step() for _ in range(3)]

    assert losses(1) == losses(1) != losses(2)


def test_a_given_data_set_is_trained_on(order, root, easy):
    operation = convergence.convergence(order("convergence", "lenet_bn", (1,), root))
    images, labels = next(cell for cell in closure(operation.step) if hasattr(cell, "__next__")).__next__()
    assert images.shape == (16, 1, 28, 28)
    assert torch.equal((255 * images.mean((1, 2, 3))).round().long() % 10, labels)


def closure(function):
    return [cell.cell_contents for cell in function.__closure__]


def test_a_loss_that_is_not_reached_in_time_is_told(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(convergence.time, "perf_counter", lambda: float(next(clock)))
    with pytest.raises(TimeoutError, match=r"the loss is still 2.30 after 10 steps, not 0.6"):
        convergence._until(lambda: 2.3, limit_seconds=10.0)
