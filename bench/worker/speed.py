"""How fast an accelerator is, roughly and within a second: sizes to measure at are chosen by it (suites/sizes.py)."""

import time
from collections.abc import Callable
from typing import Any

import torch

LONG_ENOUGH_SECONDS = 2e-3
"""Against a launch and a synchronisation."""
TRIES = 3
SIDES = (128, 256, 512, 1024, 2048, 4096)
OCTETS = tuple(2**power for power in range(18, 29, 2))
SHARE_OF_MEMORY = 16


def probe(device: str, memory_bytes: int) -> dict[str, Any]:
    """FLOP/s of an fp32 product, bytes/s of a copy within the device, and of one from the host's pinned memory."""
    torch.accelerator.set_device_index(torch.device(device))
    fitting = [octets for octets in OCTETS if octets * SHARE_OF_MEMORY <= memory_bytes] or [OCTETS[0]]

    def product(side: int) -> tuple[Callable[[], object], float]:
        left, right = torch.randn(2, side, side).to(device)
        return lambda: torch.mm(left, right), 2.0 * side**3

    def copy(octets: int) -> tuple[Callable[[], object], float]:
        source = torch.ones(octets // 4, device=device)
        return source.clone, 2.0 * octets

    def link(octets: int) -> tuple[Callable[[], object], float]:
        source = torch.ones(octets // 4, pin_memory=True)
        return lambda: source.to(device, non_blocking=True), float(octets)

    sides = [side for side in SIDES if 4 * side**2 <= fitting[-1]]
    return {
        "flops_per_second": _rate(device, product, sides),
        "bytes_per_second": _rate(device, copy, fitting),
        "link_bytes_per_second": _rate(device, link, fitting),
    }


def _rate(device: str, make: Callable[[int], tuple[Callable[[], object], float]], sizes: list[int]) -> float:
    """Of the first size that takes long enough, else of the last.

    Each is done once before, for what a first one costs; then the fastest of three counts: others only slow it down.
    """
    rate = 0.0
    for size in sizes:
        step, amount = make(size)
        step()
        torch.accelerator.synchronize(device)
        seconds = min(_waited_for(step, device) for _ in range(TRIES))
        rate = amount / seconds
        if seconds >= LONG_ENOUGH_SECONDS:
            break
    return rate


def _waited_for(step: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    step()
    torch.accelerator.synchronize(device)
    return time.perf_counter() - start
