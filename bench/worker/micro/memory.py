"""The memory hierarchy: latency, strides, bandwidth.

Sizes are bytes of one array; a copy touches two, a triad three. Bandwidths count what the operation asks for, as
STREAM does (McCalpin, 1995): a cache that reads a line before it is written moves more.
"""

import ctypes
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch

from bench.worker.micro.prepared import SEED, Order, Prepared, random
from bench.worker.nets.correctness import Unsuitable

HOPS = 2**17
"""Of a chain, in one step: long against the clock, short against the patience."""
GATHERED = 2**16
STRIDED = 2**16
LINE_BYTES = 64
CHASE = """
void *chase(void **at, long hops) { while (hops--) at = *at; return at; }
"""


def memory_latency(order: Order) -> Prepared:
    """`chase`: each read's address is what the read before it found, in random order, one a cache line.

    `gather`: independent reads in random order, which the hardware overlaps: a throughput, no latency.
    """
    (octets,) = order.case.size
    if order.case.variant == "gather":
        values = random(order, max(1, octets // 4))
        index = torch.randint(len(values), (GATHERED,), generator=torch.Generator().manual_seed(SEED))
        index, found = index.to(order.case.device), values.new_empty(GATHERED)
        return Prepared(lambda: torch.index_select(values, 0, index, out=found), "seconds", GATHERED)
    chain = _chain(octets)
    chase = _compiled_chase(order)
    start = chain.data_ptr()
    kept = {"chain": chain, "at": start}  # the chain must outlive its last reader

    def step() -> None:
        kept["at"] = chase(kept["at"], HOPS)

    return Prepared(step, "seconds", HOPS, details={"note": "dependent reads, misses of the TLB included"})


def _chain(octets: int) -> torch.Tensor:
    """One cycle through all cache lines in random order: in each the address of the next."""
    words = LINE_BYTES // 8
    lines = max(2, octets // LINE_BYTES)
    chain = torch.zeros(lines * words, dtype=torch.int64)
    order = torch.randperm(lines, generator=torch.Generator().manual_seed(SEED))
    chain[order * words] = chain.data_ptr() + order.roll(-1) * LINE_BYTES
    return chain


def _compiled_chase(order: Order) -> "ctypes._NamedFuncPointer":
    """The loop, in C: an interpreter's would hide what it measures.

    Raises:
        Unsuitable: there is no C compiler.
    """
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang"))), None)
    if compiler is None:
        raise Unsuitable("following a chain of reads needs a C compiler (cc, or CC naming one), and there is none")
    folder = Path(order.closing.enter_context(tempfile.TemporaryDirectory()))
    (folder / "chase.c").write_text(CHASE)
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", "chase.so", "chase.c"], cwd=folder, check=True)
    chase = ctypes.CDLL(str(folder / "chase.so")).chase
    chase.restype, chase.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_long)
    return chase


def stride(order: Order) -> Prepared:
    """`step`: a sum over every n-th of as many numbers; `rows`, `columns`: sums over a matrix's, one by one."""
    (elements,) = order.case.size
    if order.case.variant == "step":
        view = random(order, STRIDED * elements)[::elements]
        return Prepared(view.sum, "seconds", STRIDED)
    matrix = random(order, elements, elements)
    lines = (matrix if order.case.variant == "rows" else matrix.t()).unbind()

    def step() -> None:
        for line in lines:
            line.sum()

    return Prepared(step, "seconds", elements**2)


def copy(order: Order) -> Prepared:
    """From one array into another: two bytes moved for each of its own."""
    (octets,) = order.case.size
    source = random(order, max(1, octets // 4))
    target = torch.empty_like(source).fill_(1.0)  # every page is there before it is timed
    return Prepared(lambda: target.copy_(source), "bytes_per_second", 2 * source.numel() * 4)


def triad(order: Order) -> Prepared:
    """c = a + s * b: three bytes moved for each of an array's."""
    (octets,) = order.case.size
    first = random(order, max(1, octets // 4))
    second, third = first.clone(), first.clone()
    return Prepared(lambda: torch.add(first, second, alpha=3.0, out=third), "bytes_per_second", 3 * first.numel() * 4)
