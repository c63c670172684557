"""Pairs of processes: whose turn it is, what a drift does to a ratio, what does not count, and processes that fail."""

import math
import os
import random
import shutil
import signal
from dataclasses import replace

import pytest

from bench.controller.launcher import Launcher
from bench.controller.process import Worker
from bench.gate import interleave
from bench.gate.interleave import PreparedCase, Rules, WorkerSide, disturbance, measure_pair, plan
from bench.machine.host import Moment
from bench.records.pair import Pair
from bench.records.record import Outcome, Status
from suites.case import Budget
from suites.micro import Micro
from tests.support.samples import LENET

BUDGET = Budget(warmup_seconds=0.05)
ALONE = Rules(threads=1)


class Machine:
    """Virtual time, on a machine that becomes slower by `drift` a second."""

    def __init__(self, drift=0.0):
        self.time, self.drift, self.turns, self.cores = 0.0, drift, [], []


class SideProcess:
    """A process whose step takes `step` seconds at first; `more` is what each of its slices says besides."""

    def __init__(self, machine, name, step, *, outcome=None, dies_after=math.inf, more=()):
        self.machine, self.name, self.step, self.outcome, self.left = machine, name, step, outcome, dies_after
        self.more = dict(more)

    def load(self, index, cores):
        self.machine.turns.append(self.name.upper())
        self.machine.cores.append(tuple(cores))
        return {"outcome": self.outcome, "step_seconds": self.step, "compile_seconds": None, "cpu_seconds": 5.0}

    def slice(self, steps, slower=0.0):
        self.left -= 1
        if self.left < 0:
            return {"outcome": {"status": "crashed", "reason": "killed by SIGKILL between two slices"}}
        self.machine.turns.append(self.name)
        seconds = []
        for _ in range(steps):
            seconds.append(self.step * (1 + slower) * (1 + self.machine.drift * self.machine.time))
            self.machine.time += seconds[-1]
        return {"seconds": seconds, "switches": 0, "cpu_seconds": 5.0, "peak_bytes": 7, **self.more}


def processes(base=2**-7, head=2**-7, drift=0.0, more=(), **head_parts):
    machine = Machine(drift)
    return machine, SideProcess(machine, "a", base, more=more), SideProcess(machine, "b", head, **head_parts)


@pytest.mark.parametrize("seed", range(6))
def test_turns_are_mirrored_and_the_coin_says_who_begins(seed):
    machine, base, head = processes()
    measure_pair(base, head, 0, random.Random(seed), ALONE)
    text = "".join(machine.turns)
    assert text[:10] in {"ABabbaabba", "BAbaabbaab"}
    assert text[0] == ("A" if random.Random(seed).random() < 0.5 else "B")


def test_both_begin_about_as_often():
    coin, firsts = random.Random(1), []
    for _ in range(200):
        machine, base, head = processes()
        measure_pair(base, head, 0, coin, ALONE)
        firsts.append(machine.turns[0])
    assert 80 < firsts.count("A") < 120


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.05, 3.0])
def test_the_ratio_is_heads_time_over_bases(factor):
    _, base, head = processes(head=2**-7 * factor)
    found = measure_pair(base, head, 0, random.Random(1), ALONE)
    assert found.log_ratio == pytest.approx(math.log(factor))
    assert found.peak_bytes == (7, 7)


def test_a_slowdown_put_in_is_heads():
    _, base, head = processes()
    assert measure_pair(base, head, 0, random.Random(1), ALONE, 0.05).log_ratio == pytest.approx(math.log(1.05))


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_machine_that_becomes_slower_slows_down_both(seed):
    _, base, head = processes(drift=0.5)
    found = measure_pair(base, head, 0, random.Random(seed), ALONE)
    assert found.head[-1] / found.head[0] > 1.2
    assert abs(found.log_ratio) < 0.001


def test_both_take_as_many_steps_and_the_slower_fills_its_slice():
    _machine, base, head = processes(base=2**-12, head=2**-11)
    taken = []
    for process in (base, head):
        own = process.slice
        process.slice = lambda steps, slower=0.0, own=own: taken.append(steps) or own(steps, slower)
    measure_pair(base, head, 0, random.Random(1), ALONE)
    assert set(taken) == {math.ceil(interleave.SLICE_SECONDS * 2**11)}


@pytest.mark.parametrize(
    ("step", "steps", "turns"),
    [
        (1e-4, 50, 60),
        (0.005, 1, 60),
        (0.01, 1, 30),
        (0.1, 1, interleave.FEWEST_TURNS),
        (3.0, 1, interleave.FEWEST_TURNS),
    ],
)
def test_slices_are_as_short_as_a_step_and_turns_come_in_twos(step, steps, turns):
    assert plan(step) == (steps, turns)
    assert turns % 2 == 0


def test_both_are_bound_to_the_same_cores_and_different_pairs_to_different_ones():
    seen = set()
    for seed in range(20):
        machine, base, head = processes()
        measure_pair(base, head, 0, random.Random(seed), Rules(threads=1, cores=(0, 2, 5)))
        assert machine.cores[0] == machine.cores[1]
        seen.add(machine.cores[0])
    assert seen == {(0,), (2,), (5,)}


def test_a_case_that_needs_all_cores_is_bound_to_none():
    machine, base, head = processes()
    measure_pair(base, head, 0, random.Random(1), Rules(threads=2, cores=(0, 1)))
    assert machine.cores == [(), ()]
    machine, base, head = processes()
    measure_pair(base, head, 0, random.Random(1), Rules(threads=1, cores=(0, 1), bind=False))
    assert machine.cores == [(), ()]


def test_a_half_that_cannot_measure_is_told_with_its_reason():
    gone = {"status": "out_of_memory", "reason": "no room"}
    _, base, head = processes(outcome=gone)
    found = measure_pair(base, head, 0, random.Random(1), ALONE)
    assert found == Pair(outcomes=(None, Outcome(Status.OUT_OF_MEMORY, "no room")))


def test_a_half_that_dies_between_two_slices_is_told():
    _, base, head = processes(dies_after=3)
    found = measure_pair(base, head, 0, random.Random(1), ALONE)
    assert found.outcomes == (None, Outcome(Status.CRASHED, "killed by SIGKILL between two slices"))
    assert found.log_ratio is None


def moments(*, others=0.0, stolen=0.0, known=True):
    """Before and after process a second, in which our processes used one core of two, others so many seconds."""
    counted = {"busy_seconds": 0.5 + others, "stolen_seconds": stolen, "all_seconds": 1.0} if known else {}
    zero = dict.fromkeys(counted, 0.0)
    return Moment(10.0, 3.0, 0, **zero), Moment(10.5, 3.02, 0, **counted)


@pytest.mark.parametrize(
    ("cores", "threads", "parts", "reason"),
    [
        (2, 1, {}, ""),
        (2, 1, {"others": 0.5}, ""),  # the other core is free to be used
        (2, 1, {"others": 0.8}, "co-running processes used 1.6 cores meanwhile"),
        (2, 2, {"others": 0.5}, "co-running processes used 1.0 cores meanwhile"),
        (2, 2, {"others": 0.04}, ""),
        (2, 1, {"stolen": 0.2}, "steal 20%: the hypervisor gave that share of the cores' time to others"),
        (2, 1, {"stolen": 0.02}, ""),
        (0, 1, {"known": False}, ""),
    ],
)
def test_what_disturbs_all_turns(cores, threads, parts, reason):
    before, after = moments(**parts)
    assert disturbance(before, after, 0.48, cores, threads) == reason  # and 0.02 s of the controller


@pytest.mark.parametrize(("rules", "counts"), [(Rules(1, (0, 1)), False), (Rules(2, (0, 1)), True)])
def test_a_turn_in_which_a_half_was_put_aside_counts_for_neither(rules, counts):
    _, base, head = processes(more={"switches": 1})
    found = measure_pair(base, head, 0, random.Random(1), rules)
    assert len(found.base) == len(found.head) == len(found.disturbed)
    put_aside = {"involuntary context switches"}
    assert (set(found.disturbed) != put_aside) == counts
    _, base, head = processes(more={"switches": 1}, head=0.1)  # one in so long a time is nothing
    base.step = 0.1
    assert set(measure_pair(base, head, 0, random.Random(1), Rules(1, (0, 1))).disturbed) == {""}


@pytest.mark.parametrize(
    ("base", "head", "reason"),
    [
        ({"sm_clock_hertz": 1.98e9}, {"sm_clock_hertz": 1.98e9}, ""),
        ({"sm_clock_hertz": 1.98e9}, {"sm_clock_hertz": 1.9e9}, "the GPU's clock changed from 1980 to 1900 MHz"),
        ({"slowdowns": []}, {"slowdowns": ["power cap"]}, "the GPU was slowed down: power cap"),
        ({}, {"sm_clock_hertz": 1e9}, ""),
    ],
)
def test_a_gpu_that_changes_its_clock_is_seen(base, head, reason):
    _, first, second = processes(more=base)
    second.more = head
    found = measure_pair(first, second, 0, random.Random(1), ALONE)
    assert set(found.disturbed) == {reason}
    assert (found.log_ratio is None) == bool(reason)


@pytest.fixture(scope="module")
def reference():
    with Worker() as worker:
        found = Launcher(worker).reference(LENET)
        assert not isinstance(found, Outcome)
        yield found


COPY = Micro.parse("copy-65536-fp32-cpu-t1")
REDUCE = Micro.parse("all_reduce-2x1024-fp32-cpu-t1")


@pytest.fixture
def real(reference):
    """Two fresh interpreters that know LeNet at batch 8, a net without its file, and micro-benchmarks."""
    prepared = [
        PreparedCase(replace(LENET, threads=1), reference), PreparedCase(LENET, {**reference, "path": "nowhere.pt"}),
        PreparedCase(LENET, Outcome(Status.SKIPPED, "not in base's suite")), PreparedCase(COPY, None),
        PreparedCase(REDUCE, None),
    ]  # fmt: skip
    workers = [Worker(fork=False), Worker(fork=False)]
    yield [WorkerSide(worker, prepared, [BUDGET] * len(prepared)) for worker in workers], workers
    for worker in workers:
        worker.close()


def test_two_real_processes_take_turns(real):
    (base, head), workers = real
    found = measure_pair(base, head, 0, random.Random(1), Rules(1, tuple(os.sched_getaffinity(0))))
    assert found.outcomes == (None, None)
    assert len(found.base) == len(found.head) >= interleave.FEWEST_TURNS
    assert min(*found.base, *found.head) > 0
    assert all(isinstance(peak, int) for peak in found.peak_bytes)
    assert workers[0].pid != workers[1].pid
    bound = [len(os.sched_getaffinity(worker.pid)) for worker in workers]
    assert bound == ([1, 1] if len(os.sched_getaffinity(0)) > 1 else bound)


def test_a_case_that_fails_leaves_the_process_for_the_next(real):
    (base, head), _ = real
    found = measure_pair(base, head, 1, random.Random(1), ALONE)
    assert {outcome.status for outcome in found.outcomes} == {Status.FAILED}
    assert measure_pair(base, head, 3, random.Random(1), ALONE).base  # a micro-benchmark


def test_what_a_side_does_not_have_is_not_asked_for(real):
    (base, _), workers = real
    assert base.load(2, ())["outcome"] == {"status": "skipped", "reason": "not in base's suite"}
    assert workers[0].alive


def test_an_operation_that_measures_elsewhere_takes_no_turns(real):
    (base, _), _ = real
    assert base.load(4, ())["outcome"]["status"] == "skipped"
    assert "takes no turns" in base.load(4, ())["outcome"]["reason"]


def test_a_process_that_is_killed_is_a_crash_and_the_other_lives(real):
    (base, head), workers = real
    base.load(0, ())
    head.load(0, ())
    os.kill(workers[1].pid, signal.SIGKILL)
    assert head.slice(1)["outcome"]["reason"].startswith("killed by SIGKILL between two slices")
    assert head.load(0, ())["outcome"]["status"] is Status.CRASHED
    assert (head.alive, base.alive) == (False, True)
    assert len(base.slice(2)["seconds"]) == 2


def test_a_process_that_imported_other_code_is_a_failure(reference):
    with Worker(fork=False) as worker:
        process = WorkerSide(
            worker, [PreparedCase(LENET, reference)], [BUDGET], proves=lambda case, source: f"from {source}"
        )
        found = process.load(0, ())["outcome"]
    assert found["status"] is Status.FAILED
    assert found["reason"].endswith("suites/architectures/lenet.py")


@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++"))), reason="torch.compile needs a C++ compiler")
def test_a_compiled_case_has_its_compile_time_and_finds_no_kernels():
    case = replace(LENET, compile_mode="default", threads=1)
    with Worker() as template, Worker(fork=False) as worker:
        launcher = Launcher(template)
        prepared, cache = [PreparedCase(case, launcher.reference(case))], launcher.compiler_cache(case)
        process = WorkerSide(worker, prepared, [BUDGET], compiler_cache=cache)
        first, again = process.load(0, ()), process.load(0, ())
    assert first["outcome"] is again["outcome"] is None
    assert min(first["compile_seconds"], again["compile_seconds"]) > 100 * first["step_seconds"]  # cold both times
