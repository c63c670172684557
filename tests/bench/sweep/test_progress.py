"""The lines that a person sees while a sweep runs."""

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
        (measured(seconds=FEW), f"{ID}  3.00 ms [1.18, 5.74]  2,667 img/s  ±75.9%  300 MiB"),
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


def test_what_is_done_and_what_remains():
    left = [120.0]
    shown = Progress(["a", "b", "c"], lambda: left[0])
    assert (len(shown), shown.planned, shown.done, progress.eta(shown)) == (
        3,
        ("a", "b", "c"),
        "[0/3]",
        "ETA 2 min 00 s",
    )
    shown.see("a")
    shown.see("a")
    left[0] = 60.4
    assert (shown.done, progress.eta(shown)) == ("[1/3]", "ETA 1 min 00 s")


def test_numbers_of_cases_are_aligned():
    shown = Progress(map(str, range(108)), lambda: 0.0)
    for number in range(13):
        shown.see(str(number))
    assert shown.done == "[ 13/108]"
