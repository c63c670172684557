"""Measures one case, in the process that serves the request: `Measurer.run` is the flow."""

import contextlib
import gc
import math
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from bench.machine import host
from bench.records.messages import Event
from bench.records.record import Check, Compile, Flops, Launch, Memory, Outcome, Record, Sampling, Status
from bench.worker import memory
from bench.worker.events import Events
from bench.worker.nets import correctness, workload
from bench.worker.nets.correctness import Reference
from bench.worker.nets.traffic import step_traffic
from bench.worker.nets.workload import Workload
from bench.worker.timing.clock import Clock, clock_for
from bench.worker.timing.sampling import Samples, require_time, sample
from suites.case import Budget, Case


class Measurer:
    """Measures one case: `run` is the flow."""

    def __init__(self, events: Events, case: Case, budget: Budget, reference: Reference) -> None:
        self._events = events
        self._case = case
        self._budget = budget
        self._reference = reference
        self._start = time.perf_counter()

    def run(self, once: bool) -> Record:
        """Build, compile, check, sample; with `once` stop before sampling."""
        case, phase = self._case, self._events.phase
        if case.memory_format == "channels_last" and not self._reference.convolutions:
            raise correctness.Unsuitable(
                f"{case.architecture} has no convolutions, which is all that channels_last is for"
            )
        with phase("building"):
            torch.set_num_threads(case.threads)
            if case.device != "cpu":
                torch.accelerator.set_device_index(torch.device(case.device))
            backends = workload.set_precision(case.precision)
            peak = memory.host_peak()
            base_bytes = memory.resident_bytes()
            tensors = correctness.load(self._reference.path)
            work = workload.workload(case, tensors)
        clock = clock_for(case.device)
        with work.context():
            compiled = self._compile(work, clock, tensors)
            with phase("checking"):
                start = clock.now()
                checked = work.compare(tensors)
                check_seconds = clock.now() - start
        del tensors
        if checked.relative_error > checked.tolerance:
            return self._record(outcome=_wrong(checked), check=checked, backends=backends)
        if once:
            return self._record(outcome=Outcome(Status.SKIPPED, "ran once, was not measured"), check=checked)
        # Do not begin what cannot end: a first, cold step may take twice as long as the later ones.
        require_time(check_seconds / 2, self._budget.min_samples + 2, self._left_seconds())
        peak.reset()
        memory.reset_accelerator(case.device)
        with work.context(), no_garbage_collection(), phase("sampling"):
            before = host.moment()
            samples = sample(work.step, clock, self._budget, self._left_seconds())
            disturbance = host.between(before, host.moment())
        window_steps = self._count_energy(work, clock, samples)
        allocated, reserved = memory.accelerator_peak(case.device)
        host_peak = peak.peak_bytes()
        with phase("counting bytes"):
            traffic = step_traffic(case)
        return self._record(
            outcome=Outcome(Status.MEASURED),
            seconds=samples.seconds,
            memory=Memory(
                peak_host_bytes=host_peak,
                base_host_bytes=base_bytes,
                host_source=peak.source,
                peak_allocated_bytes=allocated,
                peak_reserved_bytes=reserved,
                parameter_bytes=work.parameter_bytes,
            ),
            compile=compiled and replace(compiled, seconds=max(0.0, compiled.seconds - samples.warm_up.step_seconds)),
            sensors={"window_steps": window_steps},
            check=checked,
            sampling=sampling_of(samples, clock.name, disturbance, host_peak if allocated is None else allocated),
            traffic=traffic,
            backends=backends,
        )

    def _compile(self, work: Workload, clock: Clock, tensors: Mapping[str, Any]) -> Compile | None:
        """What the first step of a compiled case took, which compiles; None for an eager one."""
        if self._case.compile_mode == "eager":
            return None
        with self._events.phase("compiling"):
            start = clock.now()
            work.step()
            seconds = clock.now() - start
        from torch._dynamo.utils import counters
        from torch._inductor.async_compile import shutdown_compile_workers

        shutdown_compile_workers()  # idle or not, they are not to share the cores with what is timed
        work.net.load_state_dict(tensors["state"])  # the step has moved the weights, which are yet to be checked
        hits = counters["inductor"]["fxgraph_cache_hit"]
        return Compile(seconds=seconds, graph_breaks=sum(counters["graph_break"].values()), cached=hits > 0)

    def _left_seconds(self) -> float:
        """Until the time limit of the case."""
        return self._budget.time_limit_seconds - (time.perf_counter() - self._start)

    def _count_energy(self, work: Workload, clock: Clock, samples: Samples) -> int | None:
        """Do nothing but step for a while, watched by the controller; how many steps, None if there is no time."""
        wanted = self._budget.energy_seconds
        if not wanted or wanted * 1.5 > self._left_seconds():
            return None
        steps = math.ceil(wanted / statistics.median(samples.seconds))
        with work.context(), no_garbage_collection():
            clock.now()
            with self._events.phase("energy"):
                for _ in range(steps):
                    work.step()
                clock.now()  # waits for the device
            self._events.emit(Event.PHASE, name="reporting")
        return steps

    def _record(self, **parts: Any) -> Record:
        reference = self._reference
        return Record(
            id=self._case.id,
            case=self._case.to_json() | {"parameters": reference.parameters},
            flops=Flops(
                forward_per_image=reference.forward_flops_per_image,
                step=reference.step_flops_per_image * self._case.batch_size,
            ),
            cost=dict(self._events.cost),
            **parts,
        )


def sampling_of(
    samples: Samples, clock_name: str, disturbance: Mapping[str, float | None], peak_bytes: int | None = None
) -> Sampling:
    """The record of one launch's sampling."""
    launch = Launch(
        samples=len(samples.seconds),
        warmup_steps=samples.warm_up.steps,
        steady=samples.warm_up.steady,
        median_seconds=statistics.median(samples.seconds),
        steps_per_sample=samples.steps_per_sample,
        stop_reason=samples.stop_reason,
        peak_bytes=peak_bytes,
        **disturbance,
    )
    return Sampling(
        launches=(launch,),
        steps_per_sample=samples.steps_per_sample,
        stop_reason=samples.stop_reason,
        clock=clock_name,
        synchronised_seconds=samples.synchronised_seconds,
    )


def _wrong(checked: Check) -> Outcome:
    return Outcome(
        Status.WRONG_RESULT,
        f"{checked.reference.split(' of ')[0]} differ from fp64 by {checked.relative_error:.2g} of their size; "
        f"rounding explains {checked.tolerance:.2g}",
    )


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Collect now rather than in the middle of a sample."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
