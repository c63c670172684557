"""Host and device: transfers, launches, the queue between them, and work at the same time.

All that is asked of torch is in `Device`, so that the operations can be examined where there is no accelerator.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch

from bench.worker.micro.prepared import Order, Prepared
from bench.worker.timing.clock import EnqueueClock

QUEUED_SIDE = 1024
"""Of the products in a queue, where the size says no other: longer than a launch, short enough for thousands."""
OVERLAPPED_SIDE = 2048
"""Of the one beside a copy: about as long as that."""
LAUNCHES = 100
"""In a step of `launch`, few enough not to fill any queue."""


class Device(Protocol):
    """What the operations need of a device."""

    def buffer(self, octets: int, *, on_device: bool, pinned: bool = False) -> Any:
        """Memory, of the device or of the host; pinned memory of the host can be read by the device itself."""

    def copy(self, target: Any, source: Any) -> None:
        """Queue a copy; it may return before it is done."""

    def kernel(self, elements: int) -> Callable[[], object]:
        """Queues an elementwise operation on so many numbers."""

    def product(self, side: int) -> Callable[[], object]:
        """Queues a product of two square matrices, which keeps the device busy for a while."""

    def synchronise(self) -> None:
        """Wait until the queue is empty."""

    def beside(self) -> AbstractContextManager[object]:
        """What is queued inside may run beside what follows outside, until `join`."""

    def join(self) -> None:
        """Let what follows wait for what was queued beside."""


class TorchDevice:
    """A device of torch."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._side = torch.Stream(name)

    def buffer(self, octets: int, *, on_device: bool, pinned: bool = False) -> torch.Tensor:
        """Uninitialised pages do not exist yet: these are written."""
        if on_device:
            return torch.ones(octets, dtype=torch.uint8, device=self._name)
        return torch.ones(octets, dtype=torch.uint8, pin_memory=pinned)

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """Does not wait, where source and target let it."""
        target.copy_(source, non_blocking=True)

    def kernel(self, elements: int) -> Callable[[], object]:
        """An addition in place."""
        values = torch.zeros(elements, device=self._name)
        return lambda: values.add_(1.0)

    def product(self, side: int) -> Callable[[], object]:
        """In the device's own fp32."""
        left, right = torch.randn(2, side, side, device=self._name)
        out = torch.empty_like(left)
        return lambda: torch.mm(left, right, out=out)

    def synchronise(self) -> None:
        """Waits for all streams."""
        torch.accelerator.synchronize(self._name)

    def beside(self) -> AbstractContextManager[object]:
        """On a stream of its own, after what was queued before."""
        self._side.wait_stream(torch.accelerator.current_stream(self._name))
        return self._side

    def join(self) -> None:
        """The current stream waits for that one."""
        torch.accelerator.current_stream(self._name).wait_stream(self._side)


def device_of(order: Order) -> Device:
    """The device of a case."""
    return TorchDevice(order.case.device)


def transfer(order: Order) -> Prepared:
    """A copy of so many bytes from host to device (`h2d`), back (`d2h`), or within the device (`d2d`)."""
    device = device_of(order)
    (octets,) = order.case.size
    direction, _, memory = order.case.variant.partition("_")
    pinned = memory == "pinned"
    source = device.buffer(octets, on_device=direction.startswith("d"), pinned=pinned and direction == "h2d")
    target = device.buffer(octets, on_device=direction.endswith("d"), pinned=pinned and direction == "d2h")
    return Prepared(lambda: device.copy(target, source), "bytes_per_second", octets)


def launch(order: Order) -> Prepared:
    """`enqueue`: what a launch costs the host; `synchronise`: a launch and the wait for its end."""
    device = device_of(order)
    (elements,) = order.case.size
    kernel = device.kernel(elements)

    def enqueue() -> None:
        for _ in range(LAUNCHES):
            kernel()

    def wait() -> None:
        kernel()
        device.synchronise()

    if order.case.variant == "enqueue":
        return Prepared(enqueue, "seconds", LAUNCHES, EnqueueClock(device.synchronise, alone=True))
    return Prepared(wait, "seconds", 1, EnqueueClock(device.synchronise))


def queue(order: Order) -> Prepared:
    """So many launches behind a long one: once the queue is full, a launch waits for a kernel to end."""
    device = device_of(order)
    launches = order.case.size[-1]
    product = device.product(_side(order, QUEUED_SIDE))

    def step() -> None:
        for _ in range(launches):
            product()

    return Prepared(step, "seconds", launches, EnqueueClock(device.synchronise, alone=True))


def _side(order: Order, usual: int) -> int:
    """Of the products: as the size says, where it does."""
    return order.case.size[0] if len(order.case.size) > 1 else usual


def overlap(order: Order) -> Prepared:
    """Products, a copy from pinned memory, or both at once."""
    device = device_of(order)
    octets = order.case.size[-1]
    source, target = device.buffer(octets, on_device=False, pinned=True), device.buffer(octets, on_device=True)
    product = device.product(_side(order, OVERLAPPED_SIDE))

    def both() -> None:
        with device.beside():
            device.copy(target, source)
        product()
        device.join()

    steps = {"compute": product, "copy": lambda: device.copy(target, source), "both": both}
    return Prepared(steps[order.case.variant], "seconds", 1)
