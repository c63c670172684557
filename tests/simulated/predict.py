"""What a case must take on a simulated device, by the device's own count of one step: run where torch has one."""

import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch

from bench.worker.nets import correctness, reference, workload
from suites.case import Case
from tests.simulated.device import truths

FOLDER = tempfile.TemporaryDirectory()


def prepared(case):
    """What the case is checked against, as cases of the same net and mode are: made once, for forked children too."""
    return _prepared(
        replace(case, device="cpu", precision="fp32", memory_format="contiguous", batch_size=case.check_images)
    )


@cache
def _prepared(on_host):
    return reference.prepare(on_host, Path(FOLDER.name) / on_host.id)


def predicted(case_id, batch=None):
    """Of one step: FLOPs, seconds by the device and by the formula for fp32, peak bytes of it and of its check."""
    case = Case.parse(case_id)
    case = case if batch is None else replace(case, batch_size=batch)
    index = torch.device(case.device).index
    torch.accelerator.set_device_index(index)
    workload.set_precision(case.precision)
    tensors = correctness.load(prepared(case).path)
    torch.accelerator.reset_peak_memory_stats(index)
    work = workload.workload(case, tensors)
    with work.context():
        work.compare(tensors)
        checked = torch.sim.counters(index)["peak"]
        work.step()
        torch.accelerator.reset_peak_memory_stats(index)
        with torch.sim.operators() as operators:
            work.step()
    truth, peak = truths()[index], torch.sim.counters(index)["peak"]
    formula = sum(
        max(flops / truth["fp32"], octets / truth["bandwidth"]) + truth["latency"] for _, flops, octets, _ in operators
    )
    _, flops, _, seconds = zip(*operators, strict=True)
    return {"flops": sum(flops), "seconds": sum(seconds), "formula": formula, "peak": peak, "most": max(checked, peak)}
