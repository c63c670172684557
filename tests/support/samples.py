"""Small cases, records and results files, made by hand."""

import json
from dataclasses import replace

from bench.records.record import Check, Compile, Flops, Launch, Memory, Outcome, Record, Sampling, Status, Work
from suites.case import Case
from suites.micro import Micro

LENET = Case(
    architecture="lenet", input_shape=(1, 28, 28), mode="inference", batch_size=8, precision="fp32",
    memory_format="contiguous", compile_mode="eager", device="cpu", threads=2,
)  # fmt: skip
SECONDS = (0.004, 0.001, 0.003, 0.002, 0.005, 0.006, 0.007)
ENVIRONMENT = {
    "python": "3.11.2",
    "torch": {"version": "2.11.0", "git": "abc", "cuda": None, "hip": None, "cpu_capability": "AVX2"},
    "devices": [{"name": "cpu", "model": "Model 1", "uuid": None, "memory_bytes": 8 * 2**30}],
    "host": {"cpu": {"model": "Model 1"}, "cores": 2, "memory_bytes": 8 * 2**30, "system": "Linux", "kernel": "6.1"},
    "compile_problems": {},
    "unknown_architectures": {},
}


def measured(case=LENET, seconds=SECONDS, *, noisy=(), **parts):
    return Record(
        **{
            "id": case.id,
            "case": {**case.to_json(), "parameters": 61706} if isinstance(case, Case) else case.to_json(),
            "outcome": Outcome(Status.MEASURED),
            "seconds": seconds,
            "memory": Memory(
                peak_host_bytes=300 * 2**20, base_host_bytes=200 * 2**20, host_source="VmHWM", parameter_bytes=246824
            ),
            "flops": Flops(forward_per_image=833040, step=833040 * getattr(case, "batch_size", 1)),
            "check": Check(relative_error=7.2e-8, tolerance=1e-5, reference="outputs of fp64 eager, 4 images"),
            "sampling": Sampling(
                launches=(Launch(samples=len(seconds), warmup_steps=20, steady=True, median_seconds=0.004),),
                steps_per_sample=1, stop_reason="precision", noisy=noisy, clock="perf_counter",
            ),
            "cost": {"total": 1.5},
        }
        | parts
    )  # fmt: skip


def faulting(*launches, record=None, **facts):
    """A record of such launches: (page faults a second, cores' worth of the kernel's time) of each."""
    record = record or measured()
    (one,) = record.sampling.launches
    told = [replace(one, page_faults_per_second=faults, system_cores=cores, **facts) for faults, cores in launches]
    return replace(record, sampling=replace(record.sampling, launches=tuple(told)))


def compiled(seconds=30.0):
    return Compile(seconds=seconds, graph_breaks=1, cached=False)


def ended(status, reason, case=LENET):
    return Record(id=case.id, case=case.to_json(), outcome=Outcome(Status(status), reason))


def micro(text, figure, *, metric="flops_per_second", amount=1000.0, spread=0.0, **parts):
    """A record of the micro-benchmark `text` with this figure; with `spread` its samples differ by that share."""
    case = Micro.parse(text)
    step = figure * amount if metric == "seconds" else amount / figure
    if metric == "steps":
        amount, step = figure, 0.001
    seconds = tuple(step * (1 + spread * offset) for offset in (-1, -1, -1, 0, 1, 1, 1))
    return measured(
        case,
        seconds,
        **{"memory": None, "flops": None, "check": None, "work": Work(metric=metric, amount=amount)} | parts,
    )


def results(*records):
    """What a run writes of these records."""
    benchmarks = [
        {
            "param": record.id,
            "extra_info": record.extra_info(),
            "stats": {"median": 1.0, "data": list(record.seconds)},
        }
        for record in records
        if record.outcome.status is Status.MEASURED
    ]
    outcomes = [
        {"id": record.id, "case": record.case, "status": record.outcome.status, "reason": record.outcome.reason}
        for record in records
        if record.outcome.status is not Status.MEASURED
    ]
    return {
        "machine_info": {"node": "box", "python_version": "3.11.2", **ENVIRONMENT},
        "datetime": "2026-01-02T03:04:05+00:00",
        "benchmarks": benchmarks,
        "outcomes": outcomes,
        "dlhw": {"schema": 1, "suite": "mini", "fingerprint": "f00d", "digest": "d1"},
    }


def write(path, *records):
    path.write_text(json.dumps(results(*records)))
    return path
