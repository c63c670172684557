"""Whether a node is ours alone: what is found against what a measurement needs, and locks that hold."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from bench.fleet import alone
from bench.fleet.alone import Standing
from bench.fleet.engines.local import LocalRun
from bench.fleet.task import Task
from tests.support.runner import ROOT
from tests.support.waiting import until

FINE = Standing(cores=8, online=8, quota=None, niceness=0, other_cores=0.05, variables={}, gpus={"GPU-1": ()})


def problems(found, whole_node=True, wanted=(), own=()):
    return alone.problems(found, dict(wanted), whole_node=whole_node, max_other_cores=0.2, own=own)


def test_a_node_of_our_own_has_no_problems():
    assert problems(FINE) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"niceness": 15}, "niceness is 15: others go before it"),
        ({"cores": 2}, "2 of 8 cores only"),
        ({"quota": 3.5}, "a cgroup's quota of 3.5 cores"),
        ({"other_cores": 1.25}, "co-running processes use 1.2 cores"),
        ({"variables": {"OMP_NUM_THREADS": "1"}}, "variables that nobody asked for: OMP_NUM_THREADS=1"),
        ({"gpus": {"GPU-1": (), "GPU-2": (4711,)}}, "process 4711 is on GPU-2"),
    ],
)
def test_what_an_engine_takes_away_is_told(change, reason):
    assert problems(replace(FINE, **change)) == [reason]


def test_what_was_asked_for_is_no_problem():
    assert problems(replace(FINE, variables={"OMP_NUM_THREADS": "4"}), wanted={"OMP_NUM_THREADS": "4"}) == []
    assert problems(replace(FINE, variables={"OMP_NUM_THREADS": "1"}), wanted={"OMP_NUM_THREADS": "4"})
    assert problems(replace(FINE, gpus={"GPU-1": (7,)}), own=[7]) == []


def test_a_machine_that_is_not_asked_to_be_whole_may_be_a_part():
    assert problems(replace(FINE, cores=2, quota=1.0), whole_node=False) == []


def test_other_versions_are_told():
    assert alone.differing({"torch": "2.15.0", "dlhw": "a"}, {"torch": "2.14.1", "dlhw": "a"}) == [
        "torch 2.14.1 here, 2.15.0 wanted"
    ]


def test_two_tasks_never_hold_the_same_core():
    asks = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from bench.fleet.alone import hold_cores
with hold_cores(0.0, {{7001, 7002}}) as taken:
    print(taken)
"""
    with alone.hold_cores(0.0, {7002, 7003}) as taken:
        assert taken == ""
        other = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True).stdout
        assert other.strip() == "core 7002 is measured on by another task"
    with alone.hold_cores(0.0, {7001, 7002}) as taken:
        assert taken == ""


def test_tasks_on_other_cores_run_at_the_same_time():
    with alone.hold_cores(0.0, {7011}) as first, alone.hold_cores(0.0, {7012}) as second:
        assert (first, second) == ("", "")


def test_what_a_killed_task_left_is_in_nobodys_way(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / f"dlhw-fleet-{os.getpid()}").mkdir()
    first, second = alone.scratch("fleet"), alone.scratch("fleet")
    assert len({*tmp_path.iterdir()}) == 3
    assert first.stat().st_mode & 0o777 == second.stat().st_mode & 0o777 == 0o700


def test_a_nodes_process_whose_parent_has_gone_before_it_could_ask_begins_nothing(tmp_path):
    parent = subprocess.Popen([sys.executable, "-c", ""])
    parent.wait()
    (tmp_path / "task.json").write_text("no task, as who reads it would find")
    command = [sys.executable, "-P", "-m", "bench.fleet.node", "task.json", "out.jsonl"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DLHW_PARENT": str(parent.pid)}
    late = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert (late.returncode, late.stderr) == (1, b"")
    in_time = subprocess.run(
        command, cwd=tmp_path, env=environment | {"DLHW_PARENT": str(os.getpid())}, capture_output=True, check=False
    )
    assert b"JSONDecodeError" in in_time.stderr


def test_a_nodes_process_that_raises_leaves_its_last_words():
    run = LocalRun(Task(attempt=1, arguments=(), wait_seconds="soon"))
    until(lambda: run.ended() is not None, 60)
    assert run.lines() == []
    assert run.ended().startswith("the node's process ended with code 1; TypeError: ")
