"""Several processes for real: gloo over loopback, ranks that are killed or fail."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from torch import distributed

from bench.controller.launcher import Launcher
from bench.controller.process import Worker
from bench.machine import host
from bench.records.record import Status
from bench.worker.micro import processes
from bench.worker.nets.correctness import Unsuitable
from suites.case import Budget
from suites.micro import Micro
from tests.support.waiting import until

BUDGET = Budget(
    precision=0.5, min_samples=3, min_seconds=0, max_seconds=0.05, warmup_seconds=0.05, time_limit_seconds=100
)
FOREVER = Budget(precision=1e-9, min_seconds=90, max_seconds=90, warmup_seconds=0.05, time_limit_seconds=100)
pytestmark = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")


BOUND = {"OMP_PROC_BIND": "close", "OMP_PLACES": "cores"}
FAILING = """
import os
from bench.worker.micro import processes

template = os.getpid()
def build(name, build=processes.build):
    if os.getppid() != template:
        raise MemoryError("no room for another")
    return build(name)

processes.build = build
"""
RECORDING = """
import os
from pathlib import Path
import torch

def set_num_threads(count, set_them=torch.set_num_threads):
    with Path("threads").open("a") as file:
        file.write(f"{os.getpid()} {count}\\n")
    set_them(count)

torch.set_num_threads = set_num_threads
"""


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """In a folder with a `bench` of its own, and with threads bound: neither is to reach the processes it starts."""
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "bench").mkdir()
    (folder / "bench" / "__init__.py").write_text("raise ImportError('not this one')")
    with Worker(preload=("bench.worker.micro.measure",), folder=folder, environment=BOUND) as worker:
        yield worker


@pytest.fixture
def measure(worker):
    launcher = Launcher(worker)
    return lambda text, budget=BUDGET: launcher.measure(Micro.parse(text), budget)


def children(pid):
    """Process ids of the direct children of `pid` that are alive."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(path.parent.name))
    return found


def descendants(pid):
    own = children(pid)
    return own + [further for child in own for further in descendants(child)]


def places(pid):
    """The cores that each thread of `pid` may use."""
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            found.add(frozenset(os.sched_getaffinity(int(task.name))))
    return found


def template(worker):
    return worker.pid


def test_two_ranks_add_up(measure, worker):
    record, output = measure("all_reduce-2x4096-fp32-cpu-t1")
    assert record.outcome.status is Status.MEASURED, output
    assert (record.work.metric, record.work.amount) == ("bytes_per_second", 4096)  # 2 (n - 1) / n = 1
    assert len(record.seconds) >= 3
    assert record.case["processes"] == 2
    until(lambda: not children(template(worker)))


def test_once_is_a_step_of_all_ranks(worker):
    record, output = Launcher(worker).measure(Micro.parse("all_reduce-2x64-fp32-cpu-t1"), BUDGET, once=True)
    assert (record.outcome.status, record.outcome.reason) == (Status.SKIPPED, "ran once, was not measured"), output


def test_one_process_has_nobody_to_add_up_with(measure):
    record, _ = measure("all_reduce-1x4096-fp32-cpu-t1")
    assert (record.outcome.status, record.outcome.reason) == (
        Status.SKIPPED, "one process has no other to add up with",
    )  # fmt: skip


@pytest.mark.parametrize("victim", ["follower", "measurer"])
@pytest.mark.parametrize("name", ["all_reduce-2x65536-fp32-cpu-t1", "scaling-lenet-2x4-fp32-cpu-t1"])
def test_a_killed_rank_ends_its_case_and_leaves_nobody(worker, name, victim):
    launcher, answer = Launcher(worker), []
    case = Micro.parse(name)
    thread = threading.Thread(target=lambda: answer.append(launcher.measure(case, FOREVER)))
    thread.start()
    try:
        measurer = until(lambda: children(template(worker)))[0]
        follower = until(lambda: children(measurer))[0]
        time.sleep(1)  # into the sampling
        assert places(measurer) | places(follower) == {host.CORES}
        os.kill(follower if victim == "follower" else measurer, signal.SIGKILL)
    finally:
        thread.join(timeout=120)
    assert not thread.is_alive()
    record, _ = answer[0]
    if victim == "measurer":
        assert record.outcome.status is Status.CRASHED
        assert "killed by SIGKILL" in record.outcome.reason
    else:
        assert record.outcome.status is Status.FAILED
        assert "rank 1 was killed by SIGKILL" in record.outcome.reason
    until(lambda: not {measurer, follower} & set(descendants(os.getpid())))
    assert not list(Path(os.environ.get("TMPDIR", "/tmp")).glob(f"dlhw-ranks-{measurer}-*"))


def test_two_processes_train(measure, worker):
    record, output = measure("scaling-lenet-2x4-fp32-cpu-t1")
    assert record.outcome.status is Status.MEASURED, output
    assert (record.work.metric, record.work.amount) == ("images_per_second", 8)
    assert record.details == {"backend": "gloo"}
    assert len(record.seconds) >= 3
    until(lambda: not children(template(worker)))


def test_threads_that_openmp_has_bound_are_set_free(worker):
    """It binds those of every rank to the same cores."""
    launcher, answer = Launcher(worker), []
    case = Micro.parse("scaling-lenet-1x4-fp32-cpu-t2")
    thread = threading.Thread(target=lambda: answer.append(launcher.measure(case, FOREVER)))
    thread.start()
    try:
        measurer = until(lambda: children(template(worker)))[0]
        until(lambda: len(list(Path(f"/proc/{measurer}/task").iterdir())) > 1)
        until(lambda: places(measurer) == {host.CORES})
        time.sleep(1)  # into the sampling
        assert places(measurer) == {host.CORES}
        os.kill(measurer, signal.SIGKILL)
    finally:
        thread.join(timeout=120)


def test_every_rank_makes_its_pool_of_threads_before_autograd_does(tmp_path):
    """Two of autograd's threads that make it at once abort, now and then: "Invalid thread pool!"."""
    (tmp_path / "recording.py").write_text(RECORDING)
    preload = ("bench.worker.micro.measure", "recording")
    with Worker(preload=preload, folder=tmp_path, environment={"PYTHONPATH": str(tmp_path)}) as worker:
        Launcher(worker).measure(Micro.parse("scaling-lenet-2x4-fp32-cpu-t1"), BUDGET)
    set_by = [line.split() for line in (tmp_path / "threads").read_text().splitlines()]
    assert len({pid for pid, _ in set_by}) == 2
    assert {count for _, count in set_by} == {"1"}


def test_a_rank_that_fails_ends_its_case_and_says_why(tmp_path):
    """Both ranks of a net that the second one cannot build."""
    (tmp_path / "failing.py").write_text(FAILING)
    preload = ("bench.worker.micro.measure", "failing")
    with Worker(preload=preload, folder=tmp_path, environment={"PYTHONPATH": str(tmp_path)}) as worker:
        record, output = Launcher(worker).measure(Micro.parse("scaling-lenet-2x4-fp32-cpu-t1"), BUDGET)
    assert record.outcome.status is Status.FAILED
    assert record.outcome.reason.startswith("RuntimeError: rank 1 ended with code 1")
    assert "MemoryError: no room for another" in output


class Clock:
    name, overhead_seconds, steps_ahead, alone = "fake", 0.0, 1, False

    def samples(self, step, steps_per_sample, count):
        for _ in range(steps_per_sample * count + self.steps_ahead):
            step()
        return [1.0] * count


def test_other_ranks_are_told_of_every_step():
    told, taken = [], []
    clock = processes.Followed(Clock(), told.append)
    assert clock.samples(lambda: taken.append(1), 3, 4) == [1.0] * 4
    assert told == [len(taken)] == [13]
    assert clock.synchronised(lambda: taken.append(1), 5) == []
    assert len(taken) == 13


def test_a_library_that_torch_was_built_without_is_told_before_anything_is_started():
    """This torch has none for any device but the CPU; of CUDA's it says the name all the same."""
    with pytest.raises(Unsuitable, match="torch has no library that adds up tensors of meta over processes"):
        processes.backend_of("meta")
    if not distributed.is_xccl_available():
        with pytest.raises(Unsuitable, match="torch was built without xccl, which adds up tensors of xpu"):
            processes.backend_of("xpu")
    assert processes.backend_of("cpu") == "gloo"


@pytest.mark.parametrize(
    ("device", "rank", "own"), [("cpu", 1, "cpu"), ("cuda:0", 0, "cuda:0"), ("cuda:0", 3, "cuda:3")]
)
def test_every_rank_has_its_accelerator(device, rank, own):
    assert processes.device_of_rank(device, rank) == own
