"""What goes wrong beside the measuring: a killed node's process, a folder that is full, one that is slow."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from bench.fleet import ledger
from bench.fleet.engines import slurm
from bench.fleet.engines.local import LocalRun
from bench.fleet.ledger import End
from bench.fleet.task import Message, Task
from suites.errors import DlhwError
from tests.bench.fleet.test_fleet import CASES, Scripted, records_of, run


def test_a_nodes_process_that_the_kernel_killed_is_lost_and_says_by_what():
    going = LocalRun(Task(attempt=1, arguments=("--suite", "smoke"), plan=True))
    os.kill(going.pid, signal.SIGKILL)  # as the kernel does where memory is exhausted
    while (lost := going.ended()) is None:
        time.sleep(0.01)
    assert lost.startswith("the node's process killed by SIGKILL")
    assert going.lines() == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_folder_ends_the_fleet_with_what_is_kept_and_it_goes_on_where_there_is_room(tmp_path):
    (tmp_path / "attempts").mkdir()
    third = tmp_path / "attempts" / "3.jsonl"
    third.symlink_to("/dev/full")  # real writes, to a real device, which answers as a full disk does
    engine = Scripted("a")
    with pytest.raises(DlhwError, match="cannot be written: No space left on device; what was measured is kept"):
        run(tmp_path, engine)
    assert engine.closed
    ends = {each.number: each.end for each in ledger.read(tmp_path).attempts.values()}
    assert ends == {1: End.DONE, 2: End.DONE, 3: End.CANCELLED}
    third.unlink()
    again = Scripted("a")
    whole, _ = run(tmp_path, again, resume=True)
    assert whole
    assert sum(len(task.cases) for _, task in again.tasks) == len(CASES) - 2  # the block that was kept is not measured
    assert records_of(tmp_path) == {"a": [case.id for case in CASES]}


@pytest.fixture
def done_job(tmp_path, monkeypatch):
    """A job of which Slurm says that it is done, and the file in which its node's words arrive."""
    command = tmp_path / "squeue"
    command.write_text("#!/bin/sh\necho COMPLETED\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return slurm.SlurmRun("7", tmp_path / "out.jsonl"), tmp_path / "out.jsonl"


def test_words_that_a_slow_shared_folder_shows_late_are_heard(done_job, monkeypatch):
    going, out = done_job
    moment = time.monotonic()
    monkeypatch.setattr(slurm.time, "monotonic", lambda: moment)
    assert going.ended() is None
    assert going.lines() == []
    last = json.dumps({"message": Message.ENDED, "exit_code": 0, "output": ""})
    out.write_text(last[:9])  # half of it, at first
    moment += slurm.GRACE_SECONDS - 0.1
    assert going.ended() is None
    assert going.lines() == []
    out.write_text(f"{last}\n")
    assert going.lines() == [last]
    moment += 0.2
    assert going.ended() == ""
