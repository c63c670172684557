"""What else the host did meanwhile."""

import mmap
import multiprocessing
import os
import time

import pytest

from bench.machine import host
from bench.machine.host import Moment, between, kernel_between

STAT = "cpu  100 20 30 1000 7 4 3 50 9 9\ncpu0 1 2 3\n"


def test_the_kernels_ticks_become_seconds(tmp_path, monkeypatch):
    path = tmp_path / "stat"
    path.write_text(STAT)
    monkeypatch.setattr(host, "_STAT", path)
    tick = 1 / os.sysconf("SC_CLK_TCK")
    found = host.moment()
    assert found.busy_seconds == pytest.approx((100 + 20 + 30 + 4 + 3) * tick)
    assert found.stolen_seconds == pytest.approx(50 * tick)
    assert found.all_seconds == pytest.approx(1214 * tick)


@pytest.mark.parametrize("text", [None, "", "cpu 1 2", "cpu a b c d e f g h"])
def test_where_the_kernel_tells_nothing_nothing_is_guessed(text, tmp_path, monkeypatch):
    path = tmp_path / "stat"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(host, "_STAT", path)
    found = host.moment()
    assert found.busy_seconds is found.stolen_seconds is found.all_seconds is None
    later = Moment(found.at_seconds + 2, found.own_seconds + 1, found.own_switches + 30)
    rate = pytest.approx(15.0)  # what two seconds are depends on how long the machine has been up
    told = between(found, later)
    assert (told["stolen_share"], told["other_cores"], told["switches_per_second"]) == (None, None, rate)


def test_others_are_what_is_busy_beside_us():
    before = Moment(10.0, 1.0, 5, busy_seconds=100.0, stolen_seconds=3.0, all_seconds=200.0)
    after = Moment(12.0, 2.5, 9, busy_seconds=103.0, stolen_seconds=3.5, all_seconds=204.0)
    assert between(before, after) == {
        "stolen_share": 0.125, "other_cores": 0.75, "switches_per_second": 2.0, "throttled_share": None,
    }  # fmt: skip


def test_what_the_kernel_did_for_us_is_by_the_second():
    before = Moment(10.0, 1.0, 5, own_faults=100, own_system_seconds=0.25)
    after = Moment(12.0, 2.5, 9, own_faults=900, own_system_seconds=0.75)
    assert kernel_between(before, after) == {"page_faults_per_second": 400.0, "system_cores": 0.25}
    assert set(kernel_between(after, after).values()) == {None}


def test_ticks_are_coarse_and_others_are_never_less_than_none():
    before = Moment(0.0, 0.0, 0, busy_seconds=0.0, stolen_seconds=0.0, all_seconds=0.0)
    after = Moment(1.0, 1.0, 0, busy_seconds=0.98, stolen_seconds=0.0, all_seconds=2.0)
    assert between(before, after)["other_cores"] == 0.0


def test_no_time_has_no_rates():
    now = Moment(1.0, 1.0, 1, 1.0, 1.0, 1.0)
    assert set(between(now, now).values()) == {None}
    still = Moment(2.0, 1.0, 1, 1.0, 1.0, 1.0)
    assert between(now, still)["stolen_share"] is None


@pytest.mark.parametrize(
    ("own", "throttled", "share"),
    [
        (1.0, 1.0, 0.5),  # one thread, stopped for half of two seconds
        (1.0, 3.0, 0.75),  # two threads: each ran for half a second of two
        (0.2, 0.1, 0.05),  # a process that sleeps most of the time
        (2.0, 0.0, 0.0),
    ],
)
def test_the_share_in_which_a_quota_stopped_the_process(own, throttled, share):
    before = Moment(10.0, 5.0, 0, throttled_seconds=7.0)
    after = Moment(12.0, 5.0 + own, 0, throttled_seconds=7.0 + throttled)
    assert between(before, after)["throttled_share"] == pytest.approx(share)


def test_memory_written_for_the_first_time_is_page_faults_and_the_kernels_time_is_of_ours():
    octets = 64 * 2**20
    before = host.moment()
    with mmap.mmap(-1, octets) as memory:
        memory.write(bytes(octets))
        after = host.moment()
    assert after.own_faults - before.own_faults >= octets / 2**21  # of 2 MiB, where the kernel has such pages
    kernels, ours = after.own_system_seconds - before.own_system_seconds, after.own_seconds - before.own_seconds
    assert 0 <= kernels <= ours + 1e-6


def _spin(ready, stop):
    ready.set()
    while not stop.is_set():
        pass


def test_a_busy_neighbour_is_seen():
    if host.moment().busy_seconds is None:
        pytest.skip("this kernel does not tell what the cores do")
    context = multiprocessing.get_context("spawn")
    ready, stop = context.Event(), context.Event()
    neighbour = context.Process(target=_spin, args=(ready, stop), daemon=True)
    neighbour.start()
    try:
        assert ready.wait(60)
        before = host.moment()
        time.sleep(1.0)
        assert between(before, host.moment())["other_cores"] > 0.2
    finally:
        stop.set()
        neighbour.join()


TWO = """cpu  60 0 0 140 0 0 0 10
cpu0 50 0 0 50 0 0 0 0
cpu1 10 0 0 90 0 0 0 10
intr 1 2 3
"""


@pytest.mark.parametrize(
    ("cores", "busy", "stolen"),
    [(None, 60, 10), ((0,), 50, 0), ((1,), 10, 10), ((0, 1), 60, 10), ((0, 7), None, None), ((), None, None)],
)
def test_of_some_cores_alone(cores, busy, stolen, tmp_path, monkeypatch):
    (tmp_path / "stat").write_text(TWO)
    monkeypatch.setattr(host, "_STAT", tmp_path / "stat")
    found, tick = host.moment(cores), 1 / os.sysconf("SC_CLK_TCK")
    expected = (None, None) if busy is None else pytest.approx((busy * tick, stolen * tick))
    assert (found.busy_seconds, found.stolen_seconds) == expected


def test_a_process_stays_where_it_is_put():
    mine = os.sched_getaffinity(0)
    assert set(host.fastest_cores()) <= mine
    try:
        host.stay_on([max(mine)])
        assert os.sched_getaffinity(0) == {max(mine)}
        host.stay_on([])
        assert os.sched_getaffinity(0) == {max(mine)}
    finally:
        host.stay_on(mine)


@pytest.mark.skipif(len(host.CORES) < 2, reason="needs two cores")
def test_a_bound_thread_can_have_all_cores_for_a_while():
    one = {min(host.CORES)}
    try:
        os.sched_setaffinity(0, one)
        with host.all_cores():
            assert os.sched_getaffinity(0) == host.CORES
        assert os.sched_getaffinity(0) == one
    finally:
        os.sched_setaffinity(0, host.CORES)
