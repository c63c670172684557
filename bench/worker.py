"""The measuring process: `python -m bench.worker --results FD`.

Requests come as JSON lines on stdin; events go as JSON lines to the file descriptor FD; whatever a net prints
goes to stdout and stderr, apart from both. With `--fork` a request is served by a child, forked from this warm
template, which has imported torch but started no thread and touched no accelerator; without, by the process itself,
which then ends. Either way `started`, `phase`, `result` are what a request answers, and the end of the process that
served it, told by `exited` or by the end of the pipe.
"""

import argparse
import contextlib
import ctypes
import gc
import importlib
import json
import math
import os
import select
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.record import Compile, Flops, Launch, Memory, Outcome, Record, Sampling, Status, plain
from suites.case import Budget, Case

PRELOAD = (
    "torch",
    "torch._dynamo",
    "torch.utils.flop_counter",
    "bench.check",
    "bench.workload",
    "bench.environment",
)


class Server:
    """Serves requests, telling events to `results`."""

    def __init__(self, results: int) -> None:
        self._results = results
        self.cost: dict[str, float] = {}

    def tell(self, event: str, **details: Any) -> None:
        """Write one event. The newline ahead ends a line that a killed process left unfinished."""
        line = json.dumps({"event": event, **details})
        _write_all(self._results, f"\n{line}\n".encode())

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Tell that a phase begins, and keep what it cost."""
        self.tell("phase", name=name)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.cost[name] = self.cost.get(name, 0.0) + time.perf_counter() - start

    def serve(self, request: Mapping[str, Any]) -> None:
        """Answer one request with a `result`; an exception becomes an outcome."""
        self.tell("started", pid=os.getpid())
        operations: dict[str, Callable[..., dict[str, Any]]] = {
            "describe": self._describe,
            "prepare": self._prepare,
            "warm_compiler": self._warm_compiler,
            "measure": self._measure,
        }
        try:
            answer = operations[request["op"]](**request["arguments"])
        except Exception as error:  # noqa: BLE001 - a net may raise anything, and every outcome is a row
            traceback.print_exc()
            answer = {"outcome": asdict(outcome_of(error))}
        self.tell("result", **plain(answer))

    def _describe(self, architectures: list[str]) -> dict[str, Any]:
        from bench import environment

        return {"environment": environment.describe(architectures), "worker": str(Path(__file__).resolve())}

    def _prepare(self, architecture: str, input_shape: list[int], mode: Any, images: int, path: str) -> dict[str, Any]:
        import torch

        from bench import check, environment, memory

        memory.keep_freed()
        torch.set_num_threads(environment.usable_cores())
        channels, height, width = input_shape
        with self.phase("preparing the check"):
            reference = check.prepare(architecture, (channels, height, width), mode, images, Path(path))
        return {"reference": asdict(reference)}

    def _warm_compiler(self, cache: str) -> dict[str, Any]:
        """Do what a machine's first compilation does once: probe the instruction set, precompile headers."""
        import torch

        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        with self.phase("warming the compiler"):
            torch.compile(torch.sigmoid)(torch.randn(64))
        return {"cache": cache}

    def _measure(
        self,
        case: dict[str, Any],
        budget: dict[str, Any],
        reference: dict[str, Any],
        compiler_cache: str | None,
        once: bool,
    ) -> dict[str, Any]:
        from bench.check import Reference

        if compiler_cache is not None:
            # A cache of its own: no case finds another's kernels, nor what a killed one left half written.
            own = f"{compiler_cache}-{os.getpid()}"
            shutil.copytree(compiler_cache, own, dirs_exist_ok=True)
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = own
        return Measurer(self, Case.from_json(case), Budget(**budget), Reference(**reference)).run(once).to_json()


class Measurer:
    """Measures one case: `run` is the flow."""

    def __init__(self, server: Server, case: Case, budget: Budget, reference: Any) -> None:
        self._server = server
        self._case = case
        self._budget = budget
        self._reference = reference
        self._start = time.perf_counter()

    def run(self, once: bool) -> Record:
        """Build, compile, check, sample; with `once` stop before sampling."""
        import torch

        from bench import check, memory, workload
        from bench.clock import clock_for

        case, phase = self._case, self._server.phase
        if case.memory_format == "channels_last" and not self._reference.convolutions:
            raise check.Unsuitable(f"{case.architecture} has no convolutions, which is all that channels_last is for")
        with phase("building"):
            torch.set_num_threads(case.threads)
            if case.device != "cpu":
                torch.accelerator.set_device_index(torch.device(case.device))
            backends = workload.set_precision(case.precision)
            peak = memory.host_peak()
            base_bytes = memory.resident_bytes()
            tensors = check.load(self._reference.path)
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
        self._give_up_early(check_seconds)
        peak.reset()
        memory.reset_accelerator(case.device)
        with work.context(), _no_garbage_collection(), phase("sampling"):
            samples, steal = self._sample(work, clock)
        window_steps = self._count_energy(work, clock, samples)
        allocated, reserved = memory.accelerator_peak(case.device)
        return self._record(
            outcome=Outcome(Status.MEASURED),
            seconds=samples.seconds,
            memory=Memory(
                peak_host_bytes=peak.peak_bytes(),
                base_host_bytes=base_bytes,
                host_source=peak.source,
                peak_allocated_bytes=allocated,
                peak_reserved_bytes=reserved,
                parameter_bytes=work.parameter_bytes,
            ),
            compile=compiled and replace(compiled, seconds=max(0.0, compiled.seconds - samples.warm_up.step_seconds)),
            sensors={"window_steps": window_steps},
            check=checked,
            sampling=self._sampling(samples, clock.name, steal),
            backends=backends,
        )

    def _compile(self, work: Any, clock: Any, tensors: Mapping[str, Any]) -> Compile | None:
        """What the first step of a compiled case took, which compiles; None for an eager one."""
        if self._case.compile_mode == "eager":
            return None
        with self._server.phase("compiling"):
            start = clock.now()
            work.step()
            seconds = clock.now() - start
        from torch._dynamo.utils import counters
        from torch._inductor.async_compile import shutdown_compile_workers

        shutdown_compile_workers()  # idle or not, they are not to share the cores with what is timed
        work.net.load_state_dict(tensors["state"])  # the step has moved the weights, which are yet to be checked
        hits = counters["inductor"]["fxgraph_cache_hit"]
        return Compile(seconds=seconds, graph_breaks=sum(counters["graph_break"].values()), cached=hits > 0)

    def _give_up_early(self, step_seconds: float) -> None:
        """Do not begin what cannot end: a first, cold step may take twice as long as the later ones."""
        from bench.sampling import require_time

        elapsed = time.perf_counter() - self._start
        require_time(step_seconds / 2, self._budget.min_samples + 2, self._budget.time_limit_seconds - elapsed)

    def _sample(self, work: Any, clock: Any) -> tuple[Any, float | None]:
        from bench.sampling import sample

        before = _steal_ticks()
        left = self._budget.time_limit_seconds - (time.perf_counter() - self._start)
        samples = sample(work.step, clock, self._budget, left)
        after = _steal_ticks()
        if before is None or after is None or after[1] == before[1]:
            return samples, None
        return samples, (after[0] - before[0]) / (after[1] - before[1])

    def _count_energy(self, work: Any, clock: Any, samples: Any) -> int | None:
        """Do nothing but step for a while, watched by the controller; how many steps, None if there is no time."""
        import statistics

        wanted = self._budget.energy_seconds
        left = self._budget.time_limit_seconds - (time.perf_counter() - self._start)
        if not wanted or wanted * 1.5 > left:
            return None
        steps: int = math.ceil(wanted / statistics.median(samples.seconds))
        with work.context(), _no_garbage_collection():
            clock.now()
            with self._server.phase("energy"):
                for _ in range(steps):
                    work.step()
                clock.now()  # waits for the device
            self._server.tell("phase", name="reporting")
        return steps

    def _sampling(self, samples: Any, clock_name: str, steal: float | None) -> Sampling:
        import statistics

        from bench.sampling import noise

        launch = Launch(
            samples=len(samples.seconds),
            warmup_steps=samples.warm_up.steps,
            steady=samples.warm_up.steady,
            median_seconds=statistics.median(samples.seconds),
        )
        return Sampling(
            launches=(launch,),
            steps_per_sample=samples.steps_per_sample,
            stop_reason=samples.stop_reason,
            noisy=noise(samples, self._budget, steal),
            clock=clock_name,
            synchronised_seconds=samples.synchronised_seconds,
        )

    def _record(self, **parts: Any) -> Record:
        reference = self._reference
        return Record(
            id=self._case.id,
            case=self._case.to_json() | {"parameters": reference.parameters},
            flops=Flops(
                forward_per_image=reference.forward_flops_per_image,
                step=reference.step_flops_per_image * self._case.batch_size,
            ),
            cost=dict(self._server.cost),
            **parts,
        )


def outcome_of(error: Exception) -> Outcome:
    """The outcome that an exception of a net or of torch stands for, with its first line as the reason."""
    import torch

    from bench.check import Unsuitable

    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, Unsuitable):
        return Outcome(Status.SKIPPED, text)
    if isinstance(error, TimeoutError):
        return Outcome(Status.TIMEOUT, text)
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or _is_allocation_failure(str(error)):
        return Outcome(Status.OUT_OF_MEMORY, text)
    if "not implemented for 'Half'" in text or "not implemented for 'BFloat16'" in text:
        return Outcome(Status.SKIPPED, f"torch cannot do this here: {text}")
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return Outcome(Status.FAILED, f"{type(error).__name__}: {text} ({Path(frame.filename).name}:{frame.lineno})")


def _is_allocation_failure(text: str) -> bool:
    words = ("can't allocate memory", "not enough memory", "bad_alloc", "out of memory", "_ALLOC_FAILED")
    return any(word in text for word in words)


def _wrong(checked: Any) -> Outcome:
    return Outcome(
        Status.WRONG_RESULT,
        f"{checked.reference.split(' of ')[0]} differ from fp64 by {checked.relative_error:.2g} of their size; "
        f"rounding explains {checked.tolerance:.2g}",
    )


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Collect now rather than in the middle of a sample."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _steal_ticks() -> tuple[int, int] | None:
    """(ticks stolen by the hypervisor, all ticks) since boot, over all cores; None where not told."""
    try:
        ticks = [int(part) for part in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    except (OSError, IndexError, ValueError):
        return None
    return ticks[7], sum(ticks)


def main() -> None:
    """Serve requests from stdin until it ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", type=int, required=True)
    parser.add_argument("--fork", action="store_true")
    parser.add_argument("--preload", nargs="*", default=[])
    parser.add_argument("--scratch", type=Path, help="a folder to remove when stdin ends, however the controller ended")
    options = parser.parse_args()
    for module in (*PRELOAD, *options.preload):
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # a child's collection would otherwise touch, and so copy, every page that it shares
    results = Server(options.results)
    results.tell("ready", pid=os.getpid(), threads=_threads())
    while request := _read_line(0):
        if not options.fork:
            _harden(json.loads(request))
            results.serve(json.loads(request))
            return
        _serve_in_child(results, json.loads(request), options.scratch)
    shutil.rmtree(options.scratch, ignore_errors=True)


def _serve_in_child(results: Server, request: Mapping[str, Any], scratch: Path) -> None:
    """Fork, wait for the child's end, and tell it; end the child if the controller is gone."""
    template = os.getpid()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _end_with_parent(template)
            _harden(request)
            os.close(0)
            results.serve(request)
            status = 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    _join_group(child)
    ended = os.pidfd_open(child)
    readable, _, _ = select.select([ended, 0], [], [])
    orphaned = ended not in readable  # requests come one at a time: what can be read now is the end of the pipe
    if orphaned:
        _kill_group(child)
    _, status = os.waitpid(child, 0)
    os.close(ended)
    _kill_group(child)  # what the child started, such as a compiler's workers
    if orphaned:
        shutil.rmtree(scratch, ignore_errors=True)
        sys.exit(1)
    results.tell("exited", pid=child, status=os.waitstatus_to_exitcode(status))


def _harden(request: Mapping[str, Any]) -> None:
    """Be the process that dies when memory runs out, and the only one: a group of its own, its own limit."""
    _join_group(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    limit = (request["arguments"].get("budget") or {}).get("memory_limit_bytes")
    if limit:
        from bench import memory

        memory.limit(limit)


def _join_group(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _end_with_parent(parent: int) -> None:
    """Ask the kernel for SIGKILL at the parent's death, which may have come already (prctl(2))."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _threads() -> int:
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else 0


def _read_line(descriptor: int) -> bytes:
    """One line, read byte by byte: nothing is buffered that a forked child would inherit."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(descriptor, 1)
        if not byte:
            return b""
        line += byte
    return line


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


if __name__ == "__main__":
    main()
