"""Pairs of processes: whose turn it is, what a drift does to a ratio, and processes that fail."""

import math
import os
import random
import signal

import pytest
from samples import LENET

from bench import duet
from bench.duet import Pair, WorkerHalf, play, shuffled
from bench.launch import Worker
from bench.launcher import Launcher
from bench.record import Outcome, Status
from suites.case import Budget

BUDGET = Budget(warmup_seconds=0.05)


class Machine:
    """Virtual time, on a machine that becomes slower by `drift` a second."""

    def __init__(self, drift=0.0):
        self.time, self.drift, self.turns = 0.0, drift, []


class Half:
    """A half whose step takes `step` seconds at first."""

    def __init__(self, machine, name, step, *, outcome=None, dies_after=math.inf):
        self.machine, self.name, self.step, self.outcome, self.left = machine, name, step, outcome, dies_after

    def load(self, index):
        self.machine.turns.append(self.name.upper())
        return {"outcome": self.outcome, "step_seconds": self.step}

    def slice(self, steps):
        self.left -= 1
        if self.left < 0:
            return ()
        self.machine.turns.append(self.name)
        seconds = []
        for _ in range(steps):
            seconds.append(self.step * (1 + self.machine.drift * self.machine.time))
            self.machine.time += seconds[-1]
        return seconds


def halves(base=2**-7, head=2**-7, drift=0.0, **head_parts):
    machine = Machine(drift)
    return machine, Half(machine, "a", base), Half(machine, "b", head, **head_parts)


@pytest.mark.parametrize("seed", range(6))
def test_turns_are_mirrored_and_the_coin_says_who_begins(seed):
    machine, base, head = halves()
    play(base, head, 0, random.Random(seed), turns=4)
    text = "".join(machine.turns)
    assert text in {"ABabbaabba", "BAbaabbaab"}
    assert text[0] == ("A" if random.Random(seed).random() < 0.5 else "B")


def test_both_begin_about_as_often():
    coin, firsts = random.Random(1), []
    for _ in range(200):
        machine, base, head = halves()
        play(base, head, 0, coin, turns=1)
        firsts.append(machine.turns[0])
    assert 80 < firsts.count("A") < 120


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.05, 3.0])
def test_the_ratio_is_heads_time_over_bases(factor):
    _, base, head = halves(head=2**-7 * factor)
    found = play(base, head, 0, random.Random(1))
    assert found.log_ratio == pytest.approx(math.log(factor))
    assert (len(found.base), len(found.head)) == (duet.TURNS, duet.TURNS)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_machine_that_becomes_slower_slows_down_both(seed):
    _, base, head = halves(drift=0.5)
    found = play(base, head, 0, random.Random(seed))
    assert found.head[-1] / found.head[0] > 1.2
    assert abs(found.log_ratio) < 0.01


def test_both_take_as_many_steps_and_the_slower_fills_its_slice():
    _machine, base, head = halves(head=2**-6)
    taken = []
    for half in (base, head):
        own = half.slice
        half.slice = lambda steps, own=own: taken.append(steps) or own(steps)
    play(base, head, 0, random.Random(1))
    assert set(taken) == {math.ceil(duet.SLICE_SECONDS * 2**6)}


def test_a_half_that_cannot_measure_is_told_with_its_reason():
    gone = {"status": "out_of_memory", "reason": "no room"}
    _, base, head = halves(outcome=gone)
    found = play(base, head, 0, random.Random(1))
    assert found == Pair(None, outcomes=(None, Outcome(Status.OUT_OF_MEMORY, "no room")))


def test_a_half_that_dies_between_two_slices_is_told():
    _, base, head = halves(dies_after=3)
    found = play(base, head, 0, random.Random(1))
    assert found.outcomes == (None, Outcome(Status.CRASHED, "ended between two slices"))
    assert found.log_ratio is None


def test_each_pair_has_an_order_of_its_own():
    coin = random.Random(1)
    orders = [tuple(shuffled(8, coin)) for _ in range(5)]
    assert len(set(orders)) == 5
    assert all(sorted(order) == list(range(8)) for order in orders)


@pytest.fixture(scope="module")
def reference():
    with Worker() as worker:
        found = Launcher(worker)._reference(LENET)
        assert not isinstance(found, Outcome)
        yield found


@pytest.fixture
def real(reference):
    """Two fresh interpreters that know LeNet at batch 8, and a net that does not exist."""
    nowhere = {**reference, "path": "nowhere.pt"}
    workers = [Worker(fork=False), Worker(fork=False)]
    yield [WorkerHalf(worker, [(LENET, reference), (LENET, nowhere)], BUDGET) for worker in workers], workers
    for worker in workers:
        worker.close()


def test_two_real_processes_take_turns(real):
    (base, head), workers = real
    found = play(base, head, 0, random.Random(1), turns=3)
    assert found.outcomes == (None, None)
    assert (len(found.base), len(found.head)) == (3, 3)
    assert found.log_ratio == sorted(math.log(h / b) for b, h in zip(found.base, found.head, strict=True))[1]
    assert workers[0].pid != workers[1].pid


def test_a_case_that_fails_leaves_the_process_for_the_next(real):
    (base, head), _ = real
    found = play(base, head, 1, random.Random(1))
    assert {outcome.status for outcome in found.outcomes} == {Status.FAILED}
    assert play(base, head, 0, random.Random(1), turns=1).log_ratio is not None


def test_a_process_that_is_killed_is_a_crash_and_the_other_lives(real):
    (base, head), workers = real
    base.load(0)
    head.load(0)
    os.kill(workers[1].pid, signal.SIGKILL)
    assert head.slice(1) == ()
    assert head.load(0)["outcome"]["status"] is Status.CRASHED
    assert len(base.slice(2)) == 2
