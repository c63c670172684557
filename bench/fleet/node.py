"""On a node: verify that it is ours alone, measure a block, and tell every line of the journal as it is written.

`python -m bench.fleet.node TASK.json OUT.jsonl`, or with `-` for standard input and output. A process of its own, clean
of what the engine's workers carry; it ends with its parent, whose id is in DLHW_PARENT: one that was killed before this
process could ask who its parent is would leave it behind, to measure for nobody.
"""

import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from bench.fleet import alone
from bench.fleet.task import Message, Task, software
from bench.machine import host
from bench.sweep import command

PARENT = "DLHW_PARENT"
POLL_SECONDS = 0.2
OUTPUT_LINES = 20


class Speaker:
    """Writes messages, a line of JSON each, whole and at once."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def say(self, kind: Message, **content: Any) -> None:
        """Write a message."""
        self._file.write(json.dumps({"message": kind, **content}) + "\n")
        self._file.flush()


def main() -> int:
    """Do the task that the first argument names, and tell it to the second."""
    _, source, target = sys.argv
    host.end_with_parent(int(os.environ.pop(PARENT, os.getppid())))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    task = Task.from_json(json.loads(sys.stdin.read() if source == "-" else Path(source).read_text()))
    with contextlib.ExitStack() as stack:
        file = sys.stdout if target == "-" else stack.enter_context(Path(target).open("a"))
        return serve(task, Speaker(file))


def serve(task: Task, speaker: Speaker) -> int:
    """Do `task`; 0 where it was measured, 1 where it was refused."""
    reasons = alone.differing(task.software or {}, software())
    if reasons:
        return _refuse(speaker, reasons)
    wanted = task.variables or {}
    with alone.hold_cores(task.wait_seconds) as taken:
        before, reasons = alone.await_quiet(
            wanted, 0.0 if taken else task.wait_seconds,
            whole_node=task.whole_node, max_other_cores=task.max_other_cores,
        )  # fmt: skip
        if taken or reasons:
            return _refuse(speaker, [taken] if taken else reasons)
        speaker.say(Message.READY, host=platform.node(), process=os.getpid(), standing=asdict(before))
        code, output = _measure(task, speaker)
        _, reasons = alone.await_quiet(
            wanted, 2.0, whole_node=task.whole_node, max_other_cores=task.max_other_cores
        )  # fmt: skip
        gone = sorted({*before.gpus} - {*alone.gpus()})
        reasons += [f"{uuid} is gone" for uuid in gone]
    if reasons:
        return _refuse(speaker, [f"afterwards {reason}" for reason in reasons])
    speaker.say(Message.ENDED, exit_code=code, output=output)
    return 0


def _refuse(speaker: Speaker, reasons: Sequence[str]) -> int:
    speaker.say(Message.REFUSED, reason="; ".join(reasons))
    return 1


def _measure(task: Task, speaker: Speaker) -> tuple[int, str]:
    """(exit code of pytest, the tail of what it printed)."""
    folder = alone.scratch("fleet")
    try:
        process = _start(task, folder)
        journal = _Tail(folder / "journal.jsonl", len(task.earlier))
        with _ended_with_us(process):
            while process.poll() is None:
                time.sleep(POLL_SECONDS)
                _tell(journal, speaker)
        _tell(journal, speaker)
        if task.plan and (folder / "plan.json").is_file():
            speaker.say(Message.PLAN, plan=json.loads((folder / "plan.json").read_text()))
        printed = (folder / "output.txt").read_text(errors="replace").splitlines()
        return process.returncode, "\n".join(printed[-OUTPUT_LINES:])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tell(journal: "_Tail", speaker: Speaker) -> None:
    for line in journal.lines():
        speaker.say(Message.LINE, line=line)


def _start(task: Task, folder: Path) -> "subprocess.Popen[bytes]":
    ours = ["--plan", str(folder / "plan.json")] if task.plan else []
    if task.cases:
        (folder / "cases.txt").write_text("".join(f"{case}\n" for case in task.cases))
        ours += ["--cases", str(folder / "cases.txt")]
    if task.earlier:
        (folder / "journal.jsonl").write_text("".join(f"{line}\n" for line in task.earlier))
        ours += ["--resume"]
    work = Path(task.folder) if task.folder and Path(task.folder).is_dir() else folder
    arguments = with_suite(task, work, folder)
    environment = alone.clean(os.environ, task.variables or {}, command.set_aside(os.environ))
    with (folder / "output.txt").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "pytest", *command.options(folder), *arguments, *ours,
             "--journal", str(folder / "journal.jsonl")],
            cwd=work, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True, preexec_fn=_ending_with(os.getpid()),  # noqa: PLW1509 - single-threaded here
        )  # fmt: skip


def _ending_with(parent: int) -> Any:
    return lambda: host.end_with_parent(parent)


def with_suite(task: Task, work: Path, folder: Path) -> list[str]:
    """The arguments; a suite file that is not on this node is written to `folder` and named instead."""
    arguments = list(task.arguments)
    place = suite_place(arguments)
    if task.suite_text is None or place is None:
        return arguments
    index, name = place
    if (work / name).is_file():
        return arguments
    path = folder / Path(name).name
    path.write_text(task.suite_text)
    arguments[index] = str(path) if arguments[index] == name else f"--suite={path}"
    return arguments


def suite_place(arguments: Sequence[str]) -> tuple[int, str] | None:
    """(index of the argument that names the suite, its name); None where none does."""
    for index, argument in enumerate(arguments):
        if argument == "--suite" and index + 1 < len(arguments):
            return index + 1, arguments[index + 1]
        if argument.startswith("--suite="):
            return index, argument.removeprefix("--suite=")
    return None


@contextlib.contextmanager
def _ended_with_us(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Whatever ends us ends the sweep, and gives it time to end its own."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


class _Tail:
    """Lines of a file that another process appends to."""

    def __init__(self, path: Path, known: int) -> None:
        self._path, self._known, self._place = path, known, 0

    def lines(self) -> list[str]:
        """Those that came since the last call, whole ones only; the `known` first lines are passed over."""
        if not self._path.is_file():
            return []
        with self._path.open("rb") as file:
            file.seek(self._place)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._place += len(whole) + len(newline)
        found = [line for line in whole.decode(errors="replace").split("\n") if line]
        skipped, self._known = min(self._known, len(found)), max(0, self._known - len(found))
        return found[skipped:]


if __name__ == "__main__":
    sys.exit(main())
