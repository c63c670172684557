"""Host and device: transfers, launches, the queue between them, and work at the same time.

All that is asked of torch is in `Device`, so that the operations can be examined where there is no accelerator.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch

from bench.worker.micro.prepared import Order, Prepared
from bench.worker.nets.correctness import Unsuitable
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
        self._second: torch.Stream | None = None

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

    @property
    def _side(self) -> torch.Stream:
        """Made when it is first used: not every device has a second one."""
        if self._second is None:
            self._second = _second_stream(self._name)
        return self._second

    def join(self) -> None:
        """The current stream waits for that one."""
        torch.accelerator.current_stream(self._name).wait_stream(self._side)


def _second_stream(name: str) -> torch.Stream:
    """One beside the current one.

    Raises:
        Unsuitable: the device has no other.
    """
    try:
        stream = torch.Stream(name)
    except (RuntimeError, NotImplementedError) as error:
        why = str(error).partition("\n")[0]
        raise Unsuitable(f"{name} has no second stream, so nothing runs beside: {why}") from error
    if stream == torch.accelerator.current_stream(name):
        raise Unsuitable(f"{name} has no second stream, so nothing runs beside")
    return stream


def device_of(order: Order) -> Device:
    """The device of a case."""
    return TorchDevice(order.case.device)


def transfer(order: Order) -> Prepared:
    """A copy of so many bytes from host to device (`h2d`), back (`d2h`), within the device (`d2d`), or to the next one
    of its kind (`peer`).
    """
    device = device_of(order)
    (octets,) = order.case.size
    if order.case.variant == "peer":
        return _to_peer(order.case.device, octets)
    direction, _, memory = order.case.variant.partition("_")
    pinned = memory == "pinned"
    source = device.buffer(octets, on_device=direction.startswith("d"), pinned=pinned and direction == "h2d")
    target = device.buffer(octets, on_device=direction.endswith("d"), pinned=pinned and direction == "d2h")
    return Prepared(lambda: device.copy(target, source), "bytes_per_second", octets)


def _to_peer(name: str, octets: int) -> Prepared:
    """By the shortest way that the two have; whether they reach one another's memory is told, where torch can."""
    own = torch.device(name)
    peer = torch.device(own.type, ((own.index or 0) + 1) % torch.accelerator.device_count())
    source, target = TorchDevice(str(own)), TorchDevice(str(peer))
    theirs = target.buffer(octets, on_device=True)
    ours = source.buffer(octets, on_device=True)
    asks = getattr(torch.get_device_module(own), "can_device_access_peer", None)
    reaches = None if asks is None else bool(asks(own.index, peer.index))
    details = {"peer": str(peer), "peer_access": reaches}
    return Prepared(lambda: source.copy(theirs, ours), "bytes_per_second", octets, details=details)


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
    """A product, a copy from pinned memory, both at once, or two `products` at once."""
    device = device_of(order)
    octets = order.case.size[-1]
    source, target = device.buffer(octets, on_device=False, pinned=True), device.buffer(octets, on_device=True)
    product = device.product(_side(order, OVERLAPPED_SIDE))

    def both() -> None:
        with device.beside():
            device.copy(target, source)
        product()
        device.join()

    other = device.product(_side(order, OVERLAPPED_SIDE)) if order.case.variant == "products" else product

    def products() -> None:
        with device.beside():
            other()
        product()
        device.join()

    steps = {"products": products, "compute": product, "copy": lambda: device.copy(target, source), "both": both}
    return Prepared(steps[order.case.variant], "seconds", 1)
