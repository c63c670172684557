"""What only a measuring process can tell `dlhw doctor`: each probe returns plain facts, and judges nothing."""

import contextlib
import ctypes
import itertools
import math
import mmap
import os
import re
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch.utils.benchmark import Timer

from bench.records.messages import Event
from bench.worker import memory
from bench.worker.events import Events
from bench.worker.nets import flops as counting
from bench.worker.nets.measure import no_garbage_collection
from bench.worker.timing import sampling
from bench.worker.timing.clock import HostClock, Step, clock_for
from suites.architectures import ARCHITECTURES, build

KNOWN_ALLOCATION_BYTES = 256 * 2**20
MAPPED_BYTES, MAPPINGS = 64 * 2**20, 7
TURN_SECONDS = 0.15
"""What is timed in a turn of either instrument."""
PRODUCT_SIZE = 1024


def instrument(events: Events, device: str, alternations: int) -> dict[str, Any]:
    """Means of dlhw's samples and of torch.utils.benchmark, by turns in this one process, for each workload.

    Means over the same number of steps: a median of single steps and a median of means of many, as the two would show
    them, differ wherever the distribution is skewed, whoever takes them.
    """
    torch.set_num_threads(1)  # the instrument is in question, not the scheduler
    if device != "cpu":
        torch.accelerator.set_device_index(torch.device(device))  # torch.utils.benchmark waits for that one alone
    found = {}
    with torch.inference_mode(), no_garbage_collection():
        for name, step in _workloads(device).items():
            with events.phase(f"agreement: {name}"):
                found[name] = _by_turns(step, device, alternations)
    return found


def _workloads(device: str) -> dict[str, Step]:
    def net(name: str) -> Step:
        module = build(name).eval().to(device)
        images = torch.randn(1, *ARCHITECTURES[name].input_shape, device=device)
        return lambda: module(images)

    left, right = torch.randn(2, PRODUCT_SIZE, PRODUCT_SIZE, device=device)
    return {"LeNet b1": net("lenet"), "ResNet-18 b1": net("resnet18"), "matrix product": lambda: left @ right}


def _by_turns(step: Step, device: str, alternations: int) -> dict[str, Any]:
    clock = clock_for(device)
    timer = Timer("step()", globals={"step": step}, num_threads=1)
    warm = sampling.warm_up(step, clock, limit_seconds=1.0)
    steps_per_sample = sampling.calibrate(warm.step_seconds, clock.overhead_seconds)
    samples = max(3, math.ceil(TURN_SECONDS / (steps_per_sample * warm.step_seconds)))
    steps = steps_per_sample * samples

    def ours() -> float:
        clock.samples(step, 1, max(steps // 100, 2))  # as many as Timer takes to warm up
        return statistics.fmean(clock.samples(step, steps_per_sample, samples))

    def theirs() -> float:
        return float(timer.timeit(steps).mean)

    turns: list[tuple[float, float]] = []
    for turn in range(alternations):
        first, second = (ours, theirs) if turn % 2 == 0 else (theirs, ours)
        pair = first(), second()
        turns.append(pair if turn % 2 == 0 else pair[::-1])
    return {
        "steps_per_sample": steps_per_sample,
        "steps": steps,
        "ours_seconds": [turn[0] for turn in turns],
        "theirs_seconds": [turn[1] for turn in turns],
    }


def clock(events: Events, alternations: int) -> dict[str, float]:
    """What the host's clock can tell apart, and what taking a sample costs after a step of LeNet at batch 1."""
    torch.set_num_threads(1)
    readings = [time.perf_counter() for _ in range(10_000)]
    ticks = [later - earlier for earlier, later in itertools.pairwise(readings) if later > earlier]
    with torch.inference_mode(), no_garbage_collection():
        lenet = _workloads("cpu")["LeNet b1"]
        step_seconds = sampling.warm_up(lenet, HostClock(), limit_seconds=1.0).step_seconds
        costs = [_cost_of_a_sample(lenet, math.ceil(TURN_SECONDS / step_seconds)) for _ in range(alternations)]
    return {
        "tick_seconds": min(ticks),
        "overhead_seconds": statistics.median(costs),
        "lenet_step_seconds": step_seconds,
    }


def _cost_of_a_sample(step: Step, count: int) -> float:
    """All time that goes by for samples of single steps, less the time of as many steps in a bare loop."""
    host = HostClock()
    start = time.perf_counter()
    host.samples(step, 1, count)
    between = time.perf_counter()
    for _ in itertools.repeat(None, count):
        step()
    return (between - start - (time.perf_counter() - between)) / count


def known_allocation(events: Events, device: str) -> dict[str, Any]:
    """What the instrument for memory makes of an allocation of known size."""
    peak = memory.host_peak()
    torch.ones(2**20, device=device)  # what a first allocation brings along, threads and context, is not part of it
    if device == "cpu":
        peak.reset()
        before = memory.resident_bytes()
        held = torch.ones(KNOWN_ALLOCATION_BYTES // 4)
        seen = peak.peak_bytes() - before
    else:
        memory.reset_accelerator(device)
        before = torch.accelerator.memory_allocated(device)
        held = torch.ones(KNOWN_ALLOCATION_BYTES // 4, device=device)
        seen = (memory.accelerator_peak(device)[0] or 0) - before
    expected = held.numel() * held.element_size()
    source = peak.source if device == "cpu" else "torch's allocator"
    return {"expected_bytes": expected, "seen_bytes": seen, "source": source}


def page_faults(events: Events) -> dict[str, float]:
    """What writing into memory takes that the kernel has yet to map, and into the same memory again: seconds a byte."""
    torch.set_num_threads(1)
    first, again, faults = [], [], []
    for _ in range(MAPPINGS):
        with mmap.mmap(-1, MAPPED_BYTES) as memory_of_ours:
            numbers = torch.frombuffer(memory_of_ours, dtype=torch.uint8)
            before, start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
            numbers.fill_(1)
            between = time.perf_counter()
            faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
            numbers.fill_(1)
            first.append((between - start) / MAPPED_BYTES)
            again.append((time.perf_counter() - between) / MAPPED_BYTES)
            del numbers  # which holds the mapping
    return {
        "first_seconds": statistics.median(first),
        "again_seconds": statistics.median(again),
        "faults": statistics.median(faults) / MAPPED_BYTES,
    }


def flops(events: Events) -> dict[str, int]:
    """FLOPs of one image's forward pass, of every net that comes with dlhw."""
    found = {}
    for name, architecture in ARCHITECTURES.items():
        with torch.device("meta"), torch.no_grad():
            net, image = build(name).eval(), torch.empty(1, *architecture.input_shape)
            found[name] = counting.count(partial(net, image))
    return found


def kernels(events: Events) -> dict[str, str]:
    """What oneDNN runs for a convolution of each precision, in its own words, as in `brg_conv_fwd:avx512_core_amx`."""
    found = {}
    for name, dtype in {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}.items():
        convolution = torch.nn.Conv2d(64, 64, 3).to(dtype).eval()
        images = torch.randn(1, 64, 32, 32).to(dtype)
        told = torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON)
        with _standard_output() as lines, torch.inference_mode(), contextlib.suppress(RuntimeError), told:
            convolution(images)
        names = re.findall(r",exec,cpu,convolution,([^,]+),", "".join(lines()))
        found[name] = names[-1] if names else "none of oneDNN"
    return found


@contextlib.contextmanager
def _standard_output() -> Iterator[Callable[[], list[str]]]:
    """Catch what the process prints meanwhile, C code too; the value tells it afterwards."""
    sys.stdout.flush()
    kept = os.dup(1)
    lines: list[str] = []
    with tempfile.TemporaryFile("w+") as file:
        os.dup2(file.fileno(), 1)
        try:
            yield lambda: lines
        finally:
            ctypes.CDLL(None).fflush(None)
            os.dup2(kept, 1)
            os.close(kept)
            file.seek(0)
            lines.extend(file)


def energy(events: Events, device: str, seconds: float) -> dict[str, Any]:
    """Keep `device` busy with matrix products while the controller watches; how many it did."""
    clock = clock_for(device)
    product = _workloads(device)["matrix product"]
    sampling.warm_up(product, clock, limit_seconds=1.0)
    steps = 0
    with events.phase("energy"):
        end = clock.now() + seconds
        while clock.now() < end:
            clock.samples(product, 1, 10)
            steps += 10
    events.emit(Event.PHASE, name="reporting")
    return {"steps": steps}


PROBES: dict[str, Callable[..., dict[str, Any]]] = {
    "instrument": instrument,
    "clock": clock,
    "known_allocation": known_allocation,
    "page_faults": page_faults,
    "flops": flops,
    "kernels": kernels,
    "energy": energy,
}
