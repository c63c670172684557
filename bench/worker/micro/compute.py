"""Arithmetic: matrix products, convolutions, threads, and what an operation costs beside its work."""

import time
from collections.abc import Callable

import torch
from torch.nn import functional

from bench.worker.micro.memory import copy
from bench.worker.micro.prepared import Order, Prepared, random

ALIGNED_IMAGES, ALIGNED_PIXELS = 8, 28
CHAIN: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (
    lambda x: x + 1.0, lambda x: x * 0.5, torch.relu, lambda x: x - 0.25,
)  # fmt: skip


def matmul(order: Order) -> Prepared:
    """(rows, inner) x (inner, columns): two FLOPs for each of rows * inner * columns."""
    return _product(order, *order.case.size)


def _product(order: Order, rows: int, inner: int, columns: int) -> Prepared:
    left, right = random(order, rows, inner), random(order, inner, columns)
    out = left.new_empty(rows, columns)
    return Prepared(lambda: torch.mm(left, right, out=out), "flops_per_second", 2 * rows * inner * columns)


def convolution(order: Order) -> Prepared:
    """images x channels x pixels x pixels to as many channels, padded, stride 1: two FLOPs a multiply-add.

    Multiplications with the padding are counted, as a net's are; an algorithm that needs fewer may exceed the peak.
    """
    kernel, _, layout = order.case.variant.partition("_")
    images, channels, pixels = order.case.size
    return _convolution(order, images, channels, pixels, int(kernel[1:]), layout)


def _convolution(order: Order, images: int, channels: int, pixels: int, kernel: int, layout: str) -> Prepared:
    memory_format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    x = random(order, images, channels, pixels, pixels).to(memory_format=memory_format)
    weight = random(order, channels, channels, kernel, kernel).to(memory_format=memory_format)
    flops = 2 * images * channels**2 * kernel**2 * pixels**2
    return Prepared(lambda: functional.conv2d(x, weight, padding=kernel // 2), "flops_per_second", flops)


def alignment(order: Order) -> Prepared:
    """A matrix product of that side, or a 3 x 3 convolution of that many channels."""
    (elements,) = order.case.size
    if order.case.variant == "matmul":
        return _product(order, elements, elements, elements)
    return _convolution(order, ALIGNED_IMAGES, elements, ALIGNED_PIXELS, 3, "channels_last")


def threads(order: Order) -> Prepared:
    """A matrix product of that side, or a copy of that many bytes; how many threads do it is the case's own axis."""
    if order.case.variant == "copy":
        return copy(order)
    (side,) = order.case.size
    return _product(order, side, side, side)


def dispatch(order: Order) -> Prepared:
    """c = a + b: next to no work where there are few elements, so what remains is the cost of asking."""
    (elements,) = order.case.size
    left, right = random(order, elements), random(order, elements)
    out = torch.empty_like(left)
    return Prepared(lambda: torch.add(left, right, out=out), "seconds", 1)


def vectorised(order: Order) -> Prepared:
    """c[i] = a[i] + b[i], element by element in Python, or at once."""
    (elements,) = order.case.size
    left, right = random(order, elements), random(order, elements)
    out = torch.empty_like(left)

    def loop() -> None:
        for index in range(elements):
            out[index] = left[index] + right[index]

    step = loop if order.case.variant == "loop" else lambda: torch.add(left, right, out=out)
    return Prepared(step, "seconds", elements)


def fusion(order: Order) -> Prepared:
    """So many elementwise operations one after the other, eager or compiled into one."""
    operations, elements = order.case.size
    x = random(order, elements)

    def chain(x: torch.Tensor) -> torch.Tensor:
        for index in range(operations):
            x = CHAIN[index % len(CHAIN)](x)
        return x

    if order.case.variant == "eager":
        return Prepared(lambda: chain(x), "seconds", 1)
    compiled = torch.compile(chain)
    with order.events.phase("compiling"), torch.inference_mode():
        start = time.perf_counter()
        compiled(x)
        seconds = time.perf_counter() - start
    from torch._inductor.async_compile import shutdown_compile_workers

    shutdown_compile_workers()  # they are not to share the cores with what is timed
    return Prepared(lambda: compiled(x), "seconds", 1, details={"compile_seconds": seconds})
