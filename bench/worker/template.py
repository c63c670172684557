"""The process that serves requests: `python -m bench.worker --results FD`.

Requests come as JSON lines on stdin; events go as JSON lines to the file descriptor FD; whatever a net prints
goes to stdout and stderr, apart from both. With `--fork` a request is served by a child, forked from this warm
template, which has imported torch but started no thread and touched no accelerator; without, by the process itself,
which then ends. `bench.records.messages` has the protocol.
"""

import argparse
import contextlib
import gc
import importlib
import json
import os
import select
import shutil
import signal
import sys
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from bench.machine import host
from bench.records.messages import Event, Operation
from bench.worker.events import Events
from bench.worker.server import Server, read_line

PRELOAD = ("bench.worker.nets.measure",)
FORK_PRELOAD = ("torch._dynamo", "torch.utils.flop_counter", "bench.worker.environment")
"""What only some children need, and none should spend its time on. Dynamo takes a second: each optimizer imports it,
and each dispatch mode, such as a FLOP counter."""
COMPILER = "torch._inductor.compile_fx"
"""Imported by a template when something is to be compiled: a second, and 80 MiB whose pages each fork has to map."""


def main() -> None:
    """Serve requests from stdin until it ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", type=int, required=True)
    parser.add_argument("--fork", action="store_true")
    parser.add_argument("--preload", nargs="*", default=[])
    parser.add_argument("--scratch", type=Path, help="a folder to remove when stdin ends, however the controller ended")
    options = parser.parse_args()
    if not options.fork:
        _end_with_controller()
    del sys.argv[1:]  # a net that reads its arguments when it is imported is not to find ours
    _import((*PRELOAD, *(FORK_PRELOAD if options.fork else ()), *options.preload))
    events = Events(options.results)
    events.emit(Event.READY, pid=os.getpid(), threads=_threads())
    while request := read_line(0):
        if not options.fork:
            _harden(json.loads(request))
            Server(events).serve(json.loads(request))
            _end(0)
        wanted = json.loads(request)
        if _compiles(wanted):
            with contextlib.suppress(ImportError):  # the child will say so of its case
                _import((COMPILER,))
        _serve_in_child(events, wanted, options.scratch)
    shutil.rmtree(options.scratch, ignore_errors=True)


def _compiles(request: Mapping[str, Any]) -> bool:
    """Whether torch.compile's backend is needed for what is asked."""
    return request["op"] == Operation.WARM_COMPILER or bool(request["arguments"].get("compiler_cache"))


def _import(modules: Iterable[str]) -> None:
    """For good: looking for garbage in between takes an eighth of the time.

    At the end it is looked for once. Without that, steps of ResNet-18's training took 3 % longer in the children (9 of
    11 turns of both, torch 2.14), perhaps for what malloc then maps anew in each step; LeNet's did not.
    """
    gc.disable()
    try:
        for module in modules:
            importlib.import_module(module)
    finally:
        gc.enable()
    gc.collect()
    gc.freeze()  # a child's collection would otherwise touch, and so copy, every page that it shares


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
            _end(status)
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
    events.emit(Event.EXITED, pid=child, status=os.waitstatus_to_exitcode(status))


def _end_with_controller() -> None:
    """What measures by itself cannot watch its stdin, as a template does for its child: a thread sleeps meanwhile.

    The kernel's signal would come at the end of the thread that started this process, which is one of a pool.
    """
    if hasattr(os, "pidfd_open"):
        threading.Thread(target=_wait_and_end, args=(os.pidfd_open(os.getppid()),), daemon=True).start()


def _wait_and_end(controller: int) -> None:
    select.select([controller], [], [])
    _kill_group(os.getpid())
    os._exit(1)


def _end(status: int) -> NoReturn:
    """All is told: wait for no thread that a net has started."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _harden(request: Mapping[str, Any]) -> None:
    """Be the process that dies when memory runs out, and the only one: a group of its own, its own limit."""
    _join_group(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    limit = (request["arguments"].get("budget") or {}).get("memory_limit_bytes")
    if limit:
        from bench.worker import memory

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
