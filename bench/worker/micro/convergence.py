"""How many steps a net trains to a given loss: what a layer is worth, beside what it costs."""

import itertools
import time
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn import functional

from bench.worker.micro.loader import fashion_mnist
from bench.worker.micro.prepared import Elsewhere, Measured, Order
from bench.worker.timing.sampling import Samples, WarmUp
from suites.architectures import ARCHITECTURES, build
from suites.case import Budget

BATCH_SIZE = 256
LEARNING_RATES = {"lenet": 0.9, "lenet_bn": 1.0}
"""As the d2l course trains them, sections 6.6 and 7.5."""
TARGET_LOSS = 0.6
WINDOW = 20
"""The loss is a mean over so many steps."""
CLASSES = 10
NOISE = 5.0
"""So much that a step teaches little: both nets need more steps than the window has."""


def convergence(order: Order) -> Elsewhere:
    """SGD from a seed's weights until the mean loss of 20 steps is below 0.6.

    On FashionMNIST where `--data-root` leads to it; else on a task of the same shape: ten smooth patterns under noise.
    """
    net = _initialised(order)
    optimizer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATES[order.case.variant])
    batches, source = _batches(order)

    def step() -> float:
        images, labels = next(batches)
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    def measure(device: str, budget: Budget, limit_seconds: float) -> Measured:
        losses, seconds = _until(step, limit_seconds)
        samples = Samples(tuple(seconds), 1, WarmUp(0, True, seconds[0]), "loss reached", ())
        details = {"dataset": source, "target_loss": TARGET_LOSS, "loss": losses}
        return Measured(samples, "steps", len(losses), "perf_counter", details)

    return Elsewhere(step, measure)


def _until(step: Callable[[], float], limit_seconds: float) -> tuple[list[float], list[float]]:
    """(loss, seconds) of every step until the loss is reached.

    Raises:
        TimeoutError: it is not reached in time.
    """
    losses: list[float] = []
    readings = [time.perf_counter()]
    while len(losses) < WINDOW or sum(losses[-WINDOW:]) / WINDOW > TARGET_LOSS:
        losses.append(step())
        readings.append(time.perf_counter())
        if readings[-1] - readings[0] > 0.9 * limit_seconds:
            raise TimeoutError(f"the loss is still {losses[-1]:.2f} after {len(losses)} steps, not {TARGET_LOSS}")
    return losses, [later - earlier for earlier, later in itertools.pairwise(readings)]


def _initialised(order: Order) -> nn.Module:
    """Xavier's initialisation, as the course has it."""
    torch.manual_seed(order.case.size[0])
    net = build(order.case.variant)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
    return net.to(order.case.device).train()


def _batches(order: Order) -> tuple[Iterator[tuple[torch.Tensor, torch.Tensor]], str]:
    generator = torch.Generator().manual_seed(order.case.size[0])
    if order.data_root is None:
        return _patterns(order, generator), "ten smooth patterns under noise, made by dlhw"
    dataset, source = fashion_mnist(order, 28)
    return _drawn(order, dataset.data, dataset.targets, generator), source


def _patterns(order: Order, generator: torch.Generator) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    channels, side, _ = ARCHITECTURES[order.case.variant].input_shape
    coarse = torch.randn(CLASSES, channels, 7, 7, generator=generator)
    patterns = functional.interpolate(coarse, size=(side, side), mode="bilinear")
    while True:
        labels = torch.randint(CLASSES, (BATCH_SIZE,), generator=generator)
        images = patterns[labels] + NOISE * torch.randn(BATCH_SIZE, channels, side, side, generator=generator)
        yield images.to(order.case.device), labels.to(order.case.device)


def _drawn(
    order: Order, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    while True:
        chosen = torch.randint(len(images), (BATCH_SIZE,), generator=generator)
        x = images[chosen].unsqueeze(1).float() / 255
        yield x.to(order.case.device), labels[chosen].to(order.case.device)
