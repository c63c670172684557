"""A device's last cache: the same read with its data in it, and after something else has filled it.

The clock takes each read alone, between events; what comes before it is no part of it, as in triton.testing.do_bench.
"""

import torch

from bench.worker.micro.prepared import Order, Prepared, random
from bench.worker.timing.clock import clock_for

FLUSHING_BYTES = 2**29
"""Where nobody says how large the cache is: twice the largest that is known (MI300: 256 MB; B200: 126 MB)."""
TIMES_THE_CACHE = 4
SHARE_OF_MEMORY = 4


def cache(order: Order) -> Prepared:
    """A sum over an array: `warm` after the same sum, `flushed` after writing more than the cache holds."""
    (octets,) = order.case.size
    values = random(order, max(1, octets // 4))
    total = values.new_empty(())
    known, large = _sizes(order.case.device)
    flushing = torch.empty(large if order.case.variant == "flushed" else 1, dtype=torch.uint8, device=values.device)

    def flush() -> None:
        flushing.zero_()

    def read() -> None:
        torch.sum(values, (), out=total)

    before = flush if order.case.variant == "flushed" else read
    details = {"cache_bytes": known, "flushed_by_bytes": large if order.case.variant == "flushed" else 0}
    clock = clock_for(order.case.device, before)
    return Prepared(read, "bytes_per_second", values.numel() * 4, clock, details=details)


def _sizes(device: str) -> tuple[int | None, int]:
    """The cache, as torch's properties of the device have it, and how much is written to flush it."""
    place = torch.device(device)
    describe = getattr(torch.get_device_module(place), "get_device_properties", None)
    facts = describe(place.index or 0) if describe else None
    known = getattr(facts, "L2_cache_size", None)
    wanted = TIMES_THE_CACHE * known if known else FLUSHING_BYTES
    memory = getattr(facts, "total_memory", None)
    return known, min(wanted, memory // SHARE_OF_MEMORY) if memory else wanted
