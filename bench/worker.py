"""The measuring process: `python -m bench.worker --results FD`.

Requests come as JSON lines on stdin; events go as JSON lines to the file descriptor FD; whatever a net prints
goes to stdout and stderr, apart from both. With `--fork` a request is served by a child, forked from this warm
template, which has imported torch but started no thread and touched no accelerator; without, by the process itself,
which then ends. Either way `started`, `phase`, `result` are what a request answers, and the end of the process that
served it, told by `exited` or by the end of the pipe.
"""

import argparse
import contextlib
import gc
import importlib
import itertools
import json
import os
import select
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import host
from bench.events import Events
from bench.record import Outcome, Status, plain
from suites.case import Budget, Case
from suites.micro import Micro

PRELOAD = ("bench.measure",)
FORK_PRELOAD = ("torch._dynamo", "torch.utils.flop_counter", "bench.environment")
"""What only some children need, and none should spend its time on."""


PROTOCOL = 1
"""Of slices: a gate holds two versions of this code side by side, and must know that both understand it."""


class Server:
    """Serves requests, telling `events` what comes of them."""

    def __init__(self, events: Events) -> None:
        self._events = events

    def serve(self, request: Mapping[str, Any]) -> None:
        """Answer one request with a `result`; an exception becomes an outcome."""
        self._events.tell("started", pid=os.getpid())
        operations: dict[str, Callable[..., dict[str, Any]]] = {
            "describe": self._describe,
            "prepare": self._prepare,
            "warm_compiler": self._warm_compiler,
            "measure": self._measure,
            "operate": self._operate,
            "layers": self._layers,
            "slices": self._slices,
            "probe": self._probe,
        }
        try:
            answer = operations[request["op"]](**request["arguments"])
        except Exception as error:  # noqa: BLE001 - a net may raise anything, and every outcome is a row
            traceback.print_exc()
            answer = {"outcome": asdict(outcome_of(error))}
        self._events.tell("result", **plain(answer))

    def _describe(self, architectures: list[str]) -> dict[str, Any]:
        from bench import environment

        return {
            "environment": environment.describe(architectures),
            "worker": str(Path(__file__).resolve()),
            "protocol": PROTOCOL,
        }

    def _prepare(self, architecture: str, input_shape: list[int], mode: Any, images: int, path: str) -> dict[str, Any]:
        import torch

        from bench import check, environment, memory

        memory.keep_freed()
        torch.set_num_threads(environment.usable_cores())
        channels, height, width = input_shape
        with self._events.phase("preparing the check"):
            reference = check.prepare(architecture, (channels, height, width), mode, images, Path(path))
        return {"reference": asdict(reference)}

    def _probe(self, name: str, **arguments: Any) -> dict[str, Any]:
        from bench import probe

        return {"facts": probe.PROBES[name](self._events, **arguments)}

    def _warm_compiler(self, cache: str) -> dict[str, Any]:
        """Do what a machine's first compilation does once: probe the instruction set, precompile headers."""
        import torch

        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        with self._events.phase("warming the compiler"):
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
        from bench.measure import Measurer

        _compile_apart(compiler_cache)
        measurer = Measurer(self._events, Case.from_json(case), Budget(**budget), Reference(**reference))
        return measurer.run(once).to_json()

    def _operate(
        self,
        case: dict[str, Any],
        budget: dict[str, Any],
        data_root: str | None,
        compiler_cache: str | None,
        once: bool,
    ) -> dict[str, Any]:
        from bench.micro.measure import MicroMeasurer

        _compile_apart(compiler_cache)
        root = Path(data_root) if data_root else None
        return MicroMeasurer(self._events, Micro.from_json(case), Budget(**budget), root).run(once).to_json()

    def _layers(self, case: dict[str, Any], budget: dict[str, Any], reference: dict[str, Any]) -> dict[str, Any]:
        from bench.check import Reference
        from bench.layers import layers

        return {"layers": layers(self._events, Case.from_json(case), Budget(**budget), Reference(**reference))}

    def _slices(self, cases: list[dict[str, Any]], compiler_cache: str | None) -> dict[str, Any]:
        """Goes on to read commands from stdin: for a fresh interpreter, whose template's they would be otherwise."""
        from bench.slices import Slices

        def fresh_cache() -> None:
            _compile_apart(compiler_cache, next(numbers))

        numbers = itertools.count()
        Slices(self._events, cases, fresh_cache).serve(lambda: _read_line(0))
        return {}


def _compile_apart(compiler_cache: str | None, number: int = 0) -> None:
    """A cache of its own: no case finds another's kernels, nor what a killed one left half written."""
    if compiler_cache is not None:
        own = f"{compiler_cache}-{os.getpid()}-{number}"
        shutil.copytree(compiler_cache, own, dirs_exist_ok=True)
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = own


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


def main() -> None:
    """Serve requests from stdin until it ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", type=int, required=True)
    parser.add_argument("--fork", action="store_true")
    parser.add_argument("--preload", nargs="*", default=[])
    parser.add_argument("--scratch", type=Path, help="a folder to remove when stdin ends, however the controller ended")
    options = parser.parse_args()
    for module in (*PRELOAD, *(FORK_PRELOAD if options.fork else ()), *options.preload):
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # a child's collection would otherwise touch, and so copy, every page that it shares
    events = Events(options.results)
    events.tell("ready", pid=os.getpid(), threads=_threads())
    while request := _read_line(0):
        if not options.fork:
            _harden(json.loads(request))
            Server(events).serve(json.loads(request))
            return
        _serve_in_child(events, json.loads(request), options.scratch)
    shutil.rmtree(options.scratch, ignore_errors=True)


def _serve_in_child(events: Events, request: Mapping[str, Any], scratch: Path) -> None:
    """Fork, wait for the child's end, and tell it; end the child if the controller is gone."""
    template = os.getpid()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            host.end_with_parent(template)
            _harden(request)
            os.close(0)
            Server(events).serve(request)
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
    events.tell("exited", pid=child, status=os.waitstatus_to_exitcode(status))


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


if __name__ == "__main__":
    main()
