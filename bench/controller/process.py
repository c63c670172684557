"""The controller's end of a measuring process: start it, ask it, watch it end."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from bench.controller import variables
from bench.machine import cache
from bench.machine.sensors import Watch
from bench.records.messages import Event
from suites.errors import DlhwError

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT_SECONDS = 300.0
"""Importing torch from a cold, slow disk may take minutes; never this long."""
PREPARE_LIMIT_SECONDS = 600.0
GRACE_SECONDS = 5.0
"""What a process that is told to end is given to do so."""
OUTPUT_TAIL_BYTES = 4000


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What became of a request.

    Attributes:
        result: the worker's answer; None if it ended without one.
        exit_code: as subprocess has it, negative for a signal; None while it lives.
        timed_out: the controller ended it.
        phase: what it was doing last.
        pid: of the process that served it.
        output: the tail of what it printed.
    """

    result: Mapping[str, Any] | None
    exit_code: int | None
    timed_out: bool
    phase: str
    pid: int | None
    output: str
    out_of_memory_kills: int
    seconds: float


@dataclass
class _Events:
    """Events of one request, as they come in; each phase is told to `watch` at once."""

    watch: Watch | None = None
    pid: int | None = None
    phase: str = "starting"
    result: dict[str, Any] | None = None
    exit_code: int | None = None
    ended: bool = False
    unread: bytes = field(default=b"")
    answers: list[dict[str, Any]] = field(default_factory=list)

    def take(self, data: bytes) -> None:
        """Take in what came from the pipe; a line that a killed process left torn is passed over."""
        *lines, self.unread = (self.unread + data).split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError):
                self._event(json.loads(line))

    def _event(self, event: dict[str, Any]) -> None:
        match event.pop("event"):
            case Event.STARTED:
                self.pid = event["pid"]
            case Event.PHASE:
                self.phase = event["name"]
                if self.watch is not None:
                    self.watch.phase(self.phase)
            case Event.RESULT:
                self.result = event
            case Event.EXITED:
                self.exit_code, self.ended = event["status"], True
            case Event.READY:
                self.result, self.ended = event, True
            case Event.LOADED | Event.SLICE:
                self.answers.append(event)


class Worker:
    """A measuring process: with `fork` a warm template whose children serve, else a fresh interpreter a request.

    Args:
        python: the interpreter; any that has torch and can import `root`.
        root: the folder whose `bench` it is to import.
        folder: where a person's own nets lie, and the process's working folder; default: ours.
        preload: modules that the template imports once, for all of its children.

    Raises:
        DlhwError: there is no place for temporary files.
    """

    def __init__(
        self, *, python: str = sys.executable, root: Path = ROOT, fork: bool | None = None, preload: Sequence[str] = (),
        environment: Mapping[str, str] | None = None, folder: Path | None = None,
    ) -> None:  # fmt: skip
        cache.temporary_folder()
        self._python = python
        self._root = root
        self._folder = folder or Path.cwd()
        self._fork = sys.platform == "linux" if fork is None else fork
        self._preload = tuple(preload)
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._results = -1
        self._conversation = _Events()
        self.last_words = ""
        self.timed_out = False
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this object
        self._scratch = tempfile.TemporaryDirectory(prefix="dlhw-", ignore_cleanup_errors=True)
        self.scratch = Path(self._scratch.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Of the template or interpreter; None before the first request."""
        return self._process.pid if self._process else None

    def request(self, operation: str, limit_seconds: float, watch: Watch | None = None, **arguments: Any) -> Reply:
        """Ask for `operation` and wait for its end, no longer than `limit_seconds`, while `watch` watches.

        Raises:
            DlhwError: the measuring process cannot be started at all.
        """
        start = time.perf_counter()
        self._ensure_started()
        written = self._log.seek(0, os.SEEK_END)
        kills = _out_of_memory_kills()
        events = _Events(watch)
        self._write({"op": operation, "arguments": arguments})
        timed_out = self._wait_or_kill(events, limit_seconds)
        self.last_words = self._output(written)
        return Reply(
            result=events.result,
            exit_code=events.exit_code,
            timed_out=timed_out,
            phase=events.phase,
            pid=events.pid,
            output=self.last_words,
            out_of_memory_kills=_out_of_memory_kills() - kills,
            seconds=time.perf_counter() - start,
        )

    def start(self) -> None:
        """Start the process where there is none, and wait until it is ready.

        Raises:
            DlhwError: it cannot be started at all.
        """
        self._ensure_started()

    @property
    def alive(self) -> bool:
        """Whether the conversation can go on."""
        return not self._conversation.ended

    @property
    def exit_code(self) -> int | None:
        """Of a conversation that has ended, as subprocess has it; None while it goes on."""
        return self._conversation.exit_code

    def begin(self, operation: str, **arguments: Any) -> None:
        """Start a conversation: an operation that goes on to read commands. `ask` goes on with it, `close` ends it.

        Raises:
            DlhwError: the measuring process cannot be started at all.
        """
        self._ensure_started()
        self._conversation = _Events()
        self._write({"op": operation, "arguments": arguments})

    def ask(self, command: Mapping[str, Any], limit_seconds: float) -> dict[str, Any] | None:
        """The answer to a command; None where the process has ended, or gave none in time and was killed."""
        events = self._conversation
        events.answers.clear()
        if not events.ended:
            self._write(command)
            self.timed_out = self._wait_or_kill(events, limit_seconds)
        self.last_words = self._output(0)
        return events.answers[0] if events.answers else None

    def _write(self, message: Mapping[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died since; waiting finds out
            self._process.stdin.write(f"{json.dumps(message)}\n".encode())
            self._process.stdin.flush()

    def close(self) -> None:
        """End the process and all it started, and remove the scratch folder."""
        self._stop()
        self._log.close()
        self._scratch.cleanup()

    def _ensure_started(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self._stop()
        self.scratch.mkdir(exist_ok=True)  # the process before took it along
        self._results, child_end = os.pipe()
        fork = ["--fork"] if self._fork else []
        command = [
            self._python, "-P", "-m", "bench.worker", "--results", str(child_end), *fork,
            "--scratch", str(self.scratch), "--preload", *self._preload,
        ]  # fmt: skip
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=self._log, stderr=self._log, pass_fds=(child_end,),
                start_new_session=True, env=self._variables(), cwd=self._folder,
            )  # fmt: skip
        except OSError as error:
            os.close(self._results)
            raise DlhwError(f"the measuring process ({self._python}) did not start: {error}") from error
        finally:
            os.close(child_end)
        events = _Events()
        if self._wait_or_kill(events, START_LIMIT_SECONDS) or events.result is None:
            raise DlhwError(f"the measuring process ({self._python}) did not start:\n{self._output(0)}")

    def _variables(self) -> dict[str, str]:
        path = os.pathsep.join(map(str, (self._root, self._folder, self._folder / "src")))
        return {
            **variables.for_worker(os.environ),
            "PYTHONPATH": os.pathsep.join(filter(None, (path, os.environ.get("PYTHONPATH")))),
            **self._environment,
        }

    def _wait_or_kill(self, events: _Events, limit_seconds: float) -> bool:
        """Read events until the request has ended; True if that had to be forced."""
        if self._read(events, limit_seconds):
            return False
        _kill_group(events.pid if events.pid is not None else self._process.pid if self._process else None)
        if not self._read(events, GRACE_SECONDS):
            self._stop()
        return True

    def _read(self, events: _Events, limit_seconds: float) -> bool:
        deadline = time.monotonic() + limit_seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._results, selectors.EVENT_READ)
            while not events.ended and not events.answers:
                left = max(0.0, deadline - time.monotonic())
                period = events.watch.period_seconds if events.watch else None
                if not selector.select(left if period is None else min(period, left)):
                    if events.watch is None or left <= 0:
                        return False
                    events.watch.tick()
                    continue
                data = os.read(self._results, 1 << 16)
                if not data:
                    self._ended_by_itself(events)
                events.take(data)
        return True

    def _ended_by_itself(self, events: _Events) -> None:
        """The pipe has closed: an interpreter that served its request, or a template that was killed."""
        assert self._process is not None
        events.exit_code, events.ended = self._process.wait(), True
        _kill_group(events.pid)

    def _output(self, start: int) -> str:
        end = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(start, end - OUTPUT_TAIL_BYTES))
        return self._log.read().decode(errors="replace").strip()

    def _stop(self) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()  # a template that serves kills its child when this ends
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            _kill_group(self._process.pid)
            self._process.wait()
        os.close(self._results)
        self._process = None


def _out_of_memory_kills() -> int:
    """Processes that the kernel has killed for want of memory so far, on this machine and in this cgroup."""
    kills = 0
    for source in (
        "/proc/vmstat",
        "/sys/fs/cgroup/memory.events",
        "/sys/fs/cgroup/memory/memory.oom_control",
    ):
        with contextlib.suppress(OSError):
            for line in Path(source).read_text().splitlines():
                name, _, count = line.partition(" ")
                kills += int(count) if name == "oom_kill" else 0
    return kills


def _kill_group(pid: int | None) -> None:
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
