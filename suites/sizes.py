"""Sizes of micro-benchmarks that follow the device: as large as fill it, as small as fit and end in time."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

Size = tuple[int, ...]

STEP_SECONDS = 0.25
"""No step of a chosen size takes longer, by the probe: some twenty of them end within a case's time limit."""
SHARE_OF_MEMORY = 8
"""One array has this part of the device's memory at most: a triad has three, drawing numbers one more."""
LARGEST_BYTES = 2**32
QUEUED_SECONDS = 2.5e-4
"""Of a product in a queue: longer than a launch, short enough for thousands of them."""
QUEUE_SECONDS = 1.0
"""Of a whole queue."""


@dataclass(frozen=True)
class Speed:
    """What a device does, as a short probe saw it; a choice takes powers of two of it, for the probe is no measurement.

    Attributes:
        flops_per_second: of a product in fp32.
        bytes_per_second: of a copy within the device, read and written.
        link_bytes_per_second: of a copy from the host's pinned memory.
        memory_bytes: of the device.
    """

    flops_per_second: float
    bytes_per_second: float
    link_bytes_per_second: float
    memory_bytes: int


def follow(operation: str, sizes: Iterable[Size], speed: Speed | None) -> tuple[Size, ...]:
    """The sizes to measure on a device: `sizes` where its speed is not known, or the operation follows nothing."""
    known = tuple(sizes)
    rule = RULES.get(operation)
    return known if speed is None or rule is None else tuple(dict.fromkeys(rule(known, speed)))


def _products(sizes: tuple[Size, ...], speed: Speed) -> list[Size]:
    """All sides by the power of two that makes the largest product fit."""
    flops, octets = max(2 * math.prod(size) for size in sizes), max(4 * max(size) ** 2 for size in sizes)
    by_time = _power_of_two(speed.flops_per_second * STEP_SECONDS / flops, 3)
    by_memory = _power_of_two(speed.memory_bytes / SHARE_OF_MEMORY / octets, 2)
    factor = min(by_time, by_memory)
    return [_scaled(size, factor) for size in sizes]


def _convolutions(sizes: tuple[Size, ...], speed: Speed) -> list[Size]:
    """As many images, a power of two, as let the largest kernel, 7 x 7, end in time; fewer channels if one does not."""
    chosen: list[Size] = []
    for images, wanted, pixels in sizes:
        channels = wanted
        while channels > 8 and 2 * (channels * 7 * pixels) ** 2 > 1.1 * speed.flops_per_second * STEP_SECONDS:
            channels //= 2
        flops, octets = 2 * (channels * 7 * pixels) ** 2, 4 * channels * pixels**2
        most = min(speed.flops_per_second * STEP_SECONDS / flops, speed.memory_bytes / SHARE_OF_MEMORY / octets)
        chosen.append((max(1, min(4 * images, round(_power_of_two(most, 1)))), channels, pixels))
    return chosen


def _around(sizes: tuple[Size, ...], speed: Speed) -> list[Size]:
    """The same distances from a smaller multiple of what the hardware likes."""
    middle = 2 ** round(math.log2(sizes[len(sizes) // 2][0]))
    (factor,) = _products(((middle,) * 3,), speed)
    here = max(32, min(middle, factor[0]))
    return [(size - middle + here,) for (size,) in sizes]


def _arrays(sizes: tuple[Size, ...], speed: Speed) -> list[Size]:
    """Those that fit and end in time, and larger ones up to what the device takes."""
    most = min(LARGEST_BYTES, speed.memory_bytes / SHARE_OF_MEMORY, speed.bytes_per_second * STEP_SECONDS / 2)
    return _up_to(sizes, most)


def _transfers(sizes: tuple[Size, ...], speed: Speed) -> list[Size]:
    """Those that fit, on the device and over the link."""
    most = min(speed.memory_bytes / SHARE_OF_MEMORY, speed.link_bytes_per_second * STEP_SECONDS)
    return [size for size in sizes if size[0] <= most] or list(sizes[:1])


def _queues(sizes: tuple[Size, ...], speed: Speed) -> list[Size]:
    """So many launches of a product of a side that suits the device."""
    side = _side(speed.flops_per_second * QUEUED_SECONDS / 2, 1024)
    longest = QUEUE_SECONDS * speed.flops_per_second / (2 * side**3)
    return [(side, size[-1]) for size in sizes if size[-1] <= max(longest, 16)]


def _overlaps(sizes: tuple[Size, ...], speed: Speed) -> list[Size]:
    """A product about as long as the copy; the copy ends in time."""
    longest = speed.link_bytes_per_second * STEP_SECONDS
    chosen: list[Size] = []
    for size in sizes:
        octets = min(size[-1], 2 ** math.floor(math.log2(longest)))
        chosen.append((_side(octets / speed.link_bytes_per_second * speed.flops_per_second / 2, 8192), octets))
    return chosen


def _up_to(sizes: tuple[Size, ...], most: float) -> list[Size]:
    found = [size[0] for size in sizes if size[0] <= most] or [sizes[0][0]]
    while found[-1] >= max(size[0] for size in sizes) and found[-1] * 4 <= most:
        found.append(found[-1] * 4)
    return [(octets,) for octets in found]


def _side(multiplications: float, most: int) -> int:
    """A power of two from 64 on whose cube is no more."""
    return max(64, min(most, round(_power_of_two(multiplications, 3))))


def _power_of_two(value: float, root: int) -> float:
    """The nearest one below the value's root; a little above it counts as below, for probes scatter."""
    return 2.0 ** math.floor(math.log2(value * 1.1) / root)


def _scaled(size: Size, factor: float) -> Size:
    return tuple(max(32, round(number * factor)) for number in size)


RULES: Mapping[str, Callable[[tuple[Size, ...], Speed], list[Size]]] = {
    "matmul": _products, "convolution": _convolutions, "alignment": _around, "copy": _arrays, "triad": _arrays,
    "transfer": _transfers, "queue": _queues, "overlap": _overlaps,
}  # fmt: skip
