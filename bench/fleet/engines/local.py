"""The engine that is always there: this machine, a clean process for each task."""

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import threading
from queue import Empty, SimpleQueue

from bench.controller import launcher
from bench.fleet.node import PARENT
from bench.fleet.task import ROOT, Node, Task


class LocalRun:
    """A task in a process of this machine."""

    def __init__(self, task: Task, environment: dict[str, str] | None = None) -> None:
        self._lines: SimpleQueue[str] = SimpleQueue()
        variables = os.environ if environment is None else environment
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "bench.fleet.node", "-", "-"], text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**variables, "PYTHONPATH": str(ROOT), PARENT: str(os.getpid())},
        )  # fmt: skip
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:  # that it has ended is told by `ended`
            pipe.write(json.dumps(task.to_json()))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._last_words: list[str] = []
        self._words = threading.Thread(target=self._hear, daemon=True)
        self._words.start()

    @property
    def pid(self) -> int:
        """Of the node's process."""
        return self._process.pid

    def lines(self) -> list[str]:
        """As `Run` says."""
        found = []
        with contextlib.suppress(Empty):
            while True:
                found.append(self._lines.get_nowait())
        return found

    def ended(self) -> str | None:
        """As `Run` says."""
        code = self._process.poll()
        if code is None or self._reader.is_alive():
            return None
        if code == 0:
            return ""
        self._words.join(1)
        return f"the node's process {launcher.ending(code)}" + "".join(f"; {line}" for line in self._last_words[-1:])

    def cancel(self) -> None:
        """As `Run` says."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if line.endswith("\n"):
                    self._lines.put(line)

    def _hear(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            self._last_words.extend(line.strip() for line in lines if line.strip())


class Local:
    """This machine alone."""

    whole_node = False

    def nodes(self) -> list[Node]:
        """As `Engine` says."""
        return [Node(name=platform.node() or "localhost", address="localhost", cores=os.cpu_count() or 1)]

    def start(self, node: Node, task: Task) -> LocalRun:
        """As `Engine` says."""
        return LocalRun(task)

    def close(self) -> None:
        """Nothing was started that outlives its run."""
