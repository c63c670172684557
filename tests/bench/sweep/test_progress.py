"""The lines that a person sees while a sweep runs."""

from types import SimpleNamespace

import pytest

from bench.records.record import Memory, Status, Work
from bench.sweep import progress
from bench.sweep.progress import Progress, line, peak_bytes, tally, word
from tests.support.samples import SECONDS, ended, measured

ID = "lenet-inference-b8-fp32-contiguous-eager-cpu-t2"
FEW = SECONDS[:5]


def on_accelerator(allocated):
    return Memory(
        peak_host_bytes=300, base_host_bytes=200, host_source="VmHWM", peak_allocated_bytes=allocated, parameter_bytes=9
    )


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (measured(), f"{ID}  4.00 ms [1.00, 7.00]  2,000 img/s  ±75.0%  300 MiB"),
        (measured(seconds=FEW), f"{ID}  3.00 ms  2,667 img/s  ±-  300 MiB"),
        (
            measured(noisy=("no steady state", "the machine was busy")),
            f"{ID}  4.00 ms [1.00, 7.00]  2,000 img/s  ±75.0%  300 MiB  no steady state; the machine was busy",
        ),
        (measured(memory=None, sampling=None), f"{ID}  4.00 ms [1.00, 7.00]  2,000 img/s  ±75.0%  -"),
        (measured(memory=on_accelerator(2**20)), f"{ID}  4.00 ms [1.00, 7.00]  2,000 img/s  ±75.0%  1.00 MiB"),
        (ended("timeout", "no end after 3 s"), f"{ID}  no end after 3 s"),
    ],
)
def test_a_line_says_it_all(record, text):
    assert line(record) == text


@pytest.mark.parametrize(
    ("work", "figure"),
    [
        (Work(metric="bytes_per_second", amount=2**20), "262 MB/s"),
        (Work(metric="flops_per_second", amount=8e6), "2.00 GFLOP/s"),
        (Work(metric="seconds", amount=4000), "1.00 us"),
        (Work(metric="images_per_second", amount=16), "4,000 img/s"),
        (Work(metric="steps", amount=340), "340 steps"),
    ],
)
def test_a_micro_benchmark_says_its_own_figure_and_no_memory(work, figure):
    assert line(measured(work=work)) == f"{ID}  4.00 ms [1.00, 7.00]  {figure}  ±75.0%"


def test_a_launch_is_told_in_brief():
    assert progress.brief(measured()) == f"{ID}  4.00 ms"
    assert progress.brief(ended("crashed", "launch 1 of 3: killed")) == f"{ID}  launch 1 of 3: killed  CRASHED"


@pytest.mark.parametrize(
    ("record", "verdict"),
    [
        (measured(), "ok"),
        (measured(noisy=("busy",)), "NOISY"),
        (ended("skipped", ""), "skipped"),
        (ended("out_of_memory", ""), "OUT OF MEMORY"),
        (ended("timeout", ""), "TIMEOUT"),
        (ended("crashed", ""), "CRASHED"),
        (ended("failed", ""), "FAILED"),
        (ended("wrong_result", ""), "WRONG RESULT"),
    ],
)
def test_the_verdict_in_a_word(record, verdict):
    assert word(record) == verdict


def test_every_status_has_a_word():
    assert set(progress.WORDS) == set(Status)


@pytest.mark.parametrize(
    ("memory", "peak"), [(None, None), (on_accelerator(None), 300), (on_accelerator(0), 0), (on_accelerator(50), 50)]
)
def test_the_peak_is_the_accelerators_where_there_is_one(memory, peak):
    assert peak_bytes(measured(memory=memory)) == peak


def test_a_tally_begins_with_the_most_frequent():
    records = [
        ended("timeout", ""),
        measured(),
        measured(noisy=("busy",)),
        measured(),
        measured(),
        ended("timeout", ""),
    ]
    assert tally(records) == "3 ok, 2 TIMEOUT, 1 NOISY"


def test_a_tally_of_nothing():
    assert tally([]) == "nothing"


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until a test sets its `now`."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def pass_case(shown, clock, case_id, seconds):
    shown.begin()
    clock.now += seconds
    shown.end(case_id)


def test_the_rest_is_judged_by_what_was_expected_of_the_cases_so_far(clock):
    shown = Progress({"a": 2.0, "b": 2.0, "c": 6.0})
    assert (len(shown), shown.planned, shown.done, shown.eta_seconds) == (3, ("a", "b", "c"), "[0/3]", None)
    pass_case(shown, clock, "a", 1.0)
    assert (shown.done, shown.eta_seconds) == ("[1/3]", 4.0)
    clock.now += 50
    pass_case(shown, clock, "b", 3.0)
    assert (shown.done, shown.eta_seconds) == ("[2/3]", 6.0)
    pass_case(shown, clock, "c", 9.0)
    assert (shown.done, shown.eta_seconds) == ("[3/3]", 0.0)


def test_a_part_of_a_case_counts_as_such(clock):
    shown = Progress({"a": 6.0, "b": 6.0})
    shown.begin()
    clock.now += 1.0
    shown.advance("a", 4.0)
    assert (shown.done, shown.eta_seconds) == ("[0/2]", 5.0)
    pass_case(shown, clock, "a", 2.0)
    assert (shown.done, shown.eta_seconds) == ("[1/2]", 3.0)


def test_cases_that_are_not_measured_say_nothing_of_the_rest(clock):
    shown = Progress({"a": 0.0, "b": 4.0, "c": 4.0})
    pass_case(shown, clock, "a", 100.0)
    assert (shown.done, shown.eta_seconds) == ("[1/3]", None)
    pass_case(shown, clock, "b", 1.0)
    assert shown.eta_seconds == 1.0


def test_a_case_that_gave_up_early_leaves_an_estimate_that_is_no_less_than_nothing(clock):
    shown = Progress({"a": 3.0, "b": 1.0})
    pass_case(shown, clock, "a", 0.0)
    assert shown.eta_seconds == 0.0


def test_numbers_of_cases_are_aligned(clock):
    shown = Progress(dict.fromkeys(map(str, range(108)), 1.0))
    for number in range(13):
        pass_case(shown, clock, str(number), 1.0)
    assert shown.done == "[ 13/108]"
