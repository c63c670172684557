"""Measures one case, in the process that serves the request: `Measurer.run` is the flow."""

import contextlib
import gc
import math
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import torch

from bench.machine import host
from bench.records.messages import Event
from bench.records.record import (
    Check,
    Compile,
    Counts,
    Flops,
    Launch,
    Memory,
    Outcome,
    Record,
    Sampling,
    Status,
    Traffic,
)
from bench.worker import callgrind, instructions, memory, settings
from bench.worker.events import Events
from bench.worker.nets import compilation, correctness, workload
from bench.worker.nets.reference import Reference
from bench.worker.nets.traffic import step_counts
from bench.worker.nets.workload import Workload
from bench.worker.timing.clock import Clock, clock_for
from bench.worker.timing.sampling import FEWEST_SAMPLES, Samples, require_time, sample
from suites.architectures import default_input_shape
from suites.case import Budget, Case

REPORTING_SHARE = 0.05
"""Of the time limit: to count bytes and to report, once the samples are there."""


class Measurer:
    """Measures one case: `run` is the flow."""

    def __init__(
        self, events: Events, case: Case, budget: Budget, reference: Reference, callgrind_too: bool = False
    ) -> None:
        self._events = events
        self._case = case
        self._budget = budget
        self._reference = reference
        self._callgrind_too = callgrind_too
        self._start = time.perf_counter()
        self._wanted: dict[str, Any] = {}
        self._threads: set[int] = set()
        self._notes = dict(reference.notes)
        self._backends: dict[str, Any] | None = None
        self._checked: Check | None = None
        self._recorded_peak: tuple[int | None, int | None] | None = None

    def run(self, once: bool) -> Record:
        """Build, compile, check, sample; with `once` stop before sampling."""
        case, phase = self._case, self._events.phase
        if case.memory_format == "channels_last" and not self._reference.convolutions:
            raise correctness.Unsuitable(
                f"{case.architecture} has no convolutions, which is all that channels_last is for"
            )
        with phase("building"):
            self._set_up()
            peak, base_bytes = memory.host_peak(), memory.resident_bytes()
            tensors = correctness.load(self._reference.path)
            work = self._build(tensors)
        clock = clock_for(case.device, work.refresh)
        with work.context():
            compiled = self._compile(work, clock, tensors)
            with phase("checking"):
                start = clock.now()
                checked = self._check(work, tensors)
                check_seconds = clock.now() - start
        del tensors
        self._notes |= work.notes
        if refused := self._refused(checked, once):
            return self._record(outcome=refused)
        # Do not begin what cannot end: a first, cold step may take twice as long as the later ones.
        require_time(check_seconds / 2, FEWEST_SAMPLES + 2, self._left_seconds())
        peak.reset()
        memory.reset_accelerator(case.device)
        samples, disturbance, graphs = self._sample(work, clock)
        if problem := self._untrue() or compilation.problem_while_timed(case, graphs):
            return self._record(outcome=Outcome(Status.FAILED, problem))
        window_steps = self._count_energy(work, clock, samples)
        allocated, reserved = self._recorded_peak or memory.accelerator_peak(case.device)
        host_peak = peak.peak_bytes()
        traffic, counts = self._count(work, compiled)
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
            sampling=sampling_of(samples, clock.name, disturbance, host_peak if allocated is None else allocated),
            traffic=traffic,
            counts=counts,
        )

    def _sample(self, work: Workload, clock: Clock) -> tuple[Samples, dict[str, float | None], int]:
        """The samples, what the host did meanwhile, and how many graphs were compiled among them."""
        with work.context(), no_garbage_collection(), self._events.phase("sampling"):
            graphs = compilation.graphs()
            moments = [host.moment()]
            samples = sample(
                work.step, clock, self._budget, self._left_seconds(), warmed=lambda: moments.append(host.moment())
            )
            before, warm, after = *moments, host.moment()
            # memory that is written for the first time, in warm-up, is not what each step maps anew
            did = {**host.between(before, after), **host.kernel_between(warm, after)}
            return samples, did, compilation.graphs() - graphs

    def _count(self, work: Workload, compiled: Compile | None) -> tuple[Traffic | None, Counts]:
        """What needs no clock: of the net as it is written, of what the compiler made, of the processor's counter."""
        with self._events.phase("counting work"):
            traffic, counts = step_counts(self._case)
            with work.context():
                retired, reason = instructions.of_step(work.step, work.refresh)
            if retired is None and self._callgrind_too:
                retired, reason = callgrind.of_step(self._case.to_json(), asdict(self._reference))
                self._notes |= {} if reason else {"instructions": "instructions by valgrind's callgrind"}
        if traffic is None:
            self._notes["bytes"] = f"bytes {counts.reasons['bytes']}"
        reasons = {**counts.reasons, **({"instructions": reason} if reason else {})}
        graphs, kernels = (compiled.graphs, compiled.kernels) if compiled else (None, None)
        return traffic, replace(counts, graphs=graphs, kernels=kernels, instructions=retired, reasons=reasons)

    def _set_up(self) -> None:
        """Make the case's labels true, and take down what they are true by."""
        case = self._case
        torch.set_num_threads(case.threads)
        if case.device != "cpu":
            torch.accelerator.set_device_index(torch.device(case.device))
        self._backends = workload.set_precision(case.precision) | workload.set_cudnn_benchmark(case.cudnn_benchmark)
        self._wanted = settings.snapshot()

    def _build(self, tensors: Mapping[str, Any]) -> Workload:
        """The net; what it, or its module, has set for the whole process meanwhile is set back."""
        work = workload.workload(self._case, tensors)
        if names := settings.restore(self._wanted):
            self._notes["settings"] = f"building the net changed {', '.join(names)}: set back before anything was timed"
        return work

    def _check(self, work: Workload, tensors: Mapping[str, Any]) -> Check:
        """The check; and, of a person's eager net, how many threads its operators have."""
        if default_input_shape(self._case.architecture) is not None or self._case.compile_mode != "eager":
            return work.compare(tensors)
        with settings.threads_seen() as seen:
            checked = work.compare(tensors)
        self._threads |= seen
        return checked

    def _refused(self, checked: Check, once: bool) -> Outcome | None:
        """Why the case is not sampled."""
        self._checked = checked
        if correctness.closeness(checked) > 1:
            return _wrong(checked)
        if problem := self._untrue():
            return Outcome(Status.FAILED, problem)
        return Outcome(Status.SKIPPED, "ran once, was not measured") if once else None

    def _untrue(self) -> str:
        """Which label of the case is not true of the process as it is now; empty where all are."""
        if problem := settings.problem(self._wanted) or settings.belied(self._case.precision):
            return problem
        if strange := self._threads - {self._case.threads}:
            return f"the net runs operators with {min(strange)} threads, not {self._case.threads}"
        return ""

    def _compile(self, work: Workload, clock: Clock, tensors: Mapping[str, Any]) -> Compile | None:
        """What the first step of a compiled case took, which compiles, or recording one; None for an eager one."""
        if self._case.compile_mode == "eager":
            return None
        if not self._case.compiles:
            return self._record_step(work, clock, tensors)
        # compilers are processes of their own: they are not to share the one core that OpenMP may have bound us to
        with self._events.phase("compiling"), host.all_cores():
            compiled = compilation.first_step(work, clock)
        work.net.load_state_dict(tensors["state"])  # the step has moved the weights, which are yet to be checked
        self._wanted |= {name: value for name, value in settings.snapshot().items() if name == settings.COMPILERS}
        return compiled

    def _record_step(self, work: Workload, clock: Clock, tensors: Mapping[str, Any]) -> Compile:
        """What recording took. Its memory is a pool of the graph's own, taken then: replays allocate nothing."""
        memory.reset_accelerator(self._case.device)
        with self._events.phase("recording"):
            recorded = compilation.recorded(work, clock)
        self._recorded_peak = memory.accelerator_peak(self._case.device)
        self._notes["memory"] = "peak memory is that of recording the graph: replays allocate nothing"
        work.net.load_state_dict(tensors["state"])
        return recorded

    def _left_seconds(self) -> float:
        """Until the time limit of the case, but for what telling of it takes."""
        return (1 - REPORTING_SHARE) * self._budget.time_limit_seconds - (time.perf_counter() - self._start)

    def _count_energy(self, work: Workload, clock: Clock, samples: Samples) -> int | None:
        """Do nothing but step for a while, watched by the controller; how many steps, None where that cannot be."""
        wanted = self._budget.energy_seconds
        if not wanted or wanted * 1.5 > self._left_seconds() or work.refresh:
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
            flops=_flops(reference, self._case.batch_size),
            cost=dict(self._events.cost),
            check=self._checked,
            backends=self._backends,
            notes=self._notes or None,
            **parts,
        )


def _flops(reference: Reference, samples: int) -> Flops | None:
    forward, step = reference.forward_flops_per_image, reference.step_flops_per_image
    return None if forward is None or step is None else Flops(forward_per_image=forward, step=round(step * samples))


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
    what, _, kind = checked.reference.rpartition(" of ")
    return Outcome(
        Status.WRONG_RESULT,
        f"{what} differ from {kind.split()[0]} by {checked.relative_error:.2g} of their size; "
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
