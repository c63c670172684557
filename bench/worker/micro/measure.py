"""Measures one micro-benchmark, in the process that serves the request: `MicroMeasurer.run` is the flow."""

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from bench.machine import host
from bench.records.record import Outcome, Record, Status, Work
from bench.worker import settings
from bench.worker.events import Events
from bench.worker.micro import accelerator, caches, compute, convergence, loader, memory, processes
from bench.worker.micro.prepared import Elsewhere, Order, Prepared
from bench.worker.nets import workload
from bench.worker.nets.measure import no_garbage_collection, sampling_of
from suites.case import Budget
from suites.micro import OPERATIONS, Micro

BUILDERS: Mapping[str, Callable[[Order], Prepared | Elsewhere]] = {
    "memory_latency": memory.memory_latency,
    "stride": memory.stride,
    "copy": memory.copy,
    "triad": memory.triad,
    "threads": compute.threads,
    "dispatch": compute.dispatch,
    "vectorised": compute.vectorised,
    "matmul": compute.matmul,
    "convolution": compute.convolution,
    "alignment": compute.alignment,
    "fusion": compute.fusion,
    "transfer": accelerator.transfer,
    "launch": accelerator.launch,
    "queue": accelerator.queue,
    "overlap": accelerator.overlap,
    "cache": caches.cache,
    "all_reduce": processes.all_reduce,
    "scaling": processes.scaling,
    "loader": loader.loader,
    "convergence": convergence.convergence,
}


class MicroMeasurer:
    """Measures one micro-benchmark: `run` is the flow."""

    def __init__(self, events: Events, case: Micro, budget: Budget, data_root: Path | None = None) -> None:
        self._events = events
        self._case = case
        self._budget = budget
        self._data_root = data_root
        self._start = time.perf_counter()

    def run(self, once: bool) -> Record:
        """Prepare, sample; with `once` only do it once."""
        case, phase = self._case, self._events.phase
        with contextlib.ExitStack() as closing:
            with phase("building"):
                torch.set_num_threads(case.threads)
                if case.device != "cpu" and not OPERATIONS[case.operation].parallel:  # ranks, forked, set their own
                    torch.accelerator.set_device_index(torch.device(case.device))
                backends = workload.set_precision(case.precision) | workload.set_cudnn_benchmark("off")
                prepared = BUILDERS[case.operation](Order(case, self._events, closing, self._data_root))
            if once:
                prepared.step()
                return self._record(outcome=Outcome(Status.SKIPPED, "ran once, was not measured"))
            with torch.inference_mode(case.operation in INFERENCE), no_garbage_collection(), phase("sampling"):
                before = host.moment()
                measured = prepared.measure(case.device, self._budget, self._left_seconds())
                disturbance = host.between(before, host.moment())
        if problem := settings.belied(case.precision):
            return self._record(outcome=Outcome(Status.FAILED, problem))
        return self._record(
            outcome=Outcome(Status.MEASURED),
            seconds=measured.samples.seconds,
            work=Work(metric=measured.metric, amount=measured.amount),
            details=measured.details,
            sampling=sampling_of(measured.samples, measured.clock_name, disturbance),
            backends=backends,
        )

    def _left_seconds(self) -> float:
        """Until the time limit of the case."""
        return self._budget.time_limit_seconds - (time.perf_counter() - self._start)

    def _record(self, **parts: object) -> Record:
        return Record(id=self._case.id, case=self._case.to_json(), cost=dict(self._events.cost), **parts)  # type: ignore[arg-type]


INFERENCE = frozenset(BUILDERS) - {"scaling", "convergence"}
"""Operations without autograd."""
