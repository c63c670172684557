"""The screen that a sweep ends with."""

from dataclasses import replace

import pytest

from bench.machine.ceilings import Best, Ceilings
from bench.records.record import Traffic
from bench.sweep import ending
from suites import cases
from tests.support.samples import LENET, ended, faulting, measured, micro

TRAFFIC = Traffic(compulsory_bytes=1000, operator_bytes=1000, operators=11, by_size={"10": 1000})
KNOWN = Ceilings({"cpu-t2-fp32": Best(1e10, "a")}, {"cpu-t2": {2**20: Best(1e9, "b")}}, {"cpu-t2": Best(1e-6, "c")})


def fast(step=0.001, **changes):
    return measured(replace(LENET, **changes), (step,) * 7, traffic=TRAFFIC)


def test_the_fastest_setting_of_each_net_and_mode_with_what_bounds_it():
    records = [
        fast(batch_size=4), fast(batch_size=8), fast(batch_size=8, step=0.002, mode="training"),
        ended("skipped", "none", replace(LENET, architecture="nin")),
    ]  # fmt: skip
    header, inference, training = ending.best_settings(records, KNOWN)
    assert header.split()[:4] == ["fastest", "setting", "of", "images/s"]
    assert inference.split("  ")[0] == "lenet inference"
    assert "8,000" in inference
    assert "b8 fp32 contiguous eager cpu t2" in inference
    assert inference.endswith("compute-bound")
    assert "4,000" in training


def test_what_no_bound_tells_stands_beside_it():
    record = faulting((1e6, 0.494), record=fast(), samples=200, median_seconds=0.001)
    assert ending.best_settings([record], KNOWN)[1].endswith("compute-bound, page faults 49.4%")
    assert ending.best_settings([record], Ceilings())[1].endswith(" -")


def test_without_ceilings_it_says_how_to_have_them_once():
    lines = ending.best_settings([fast(), fast(mode="training")], Ceilings())
    assert lines[-1] == ending.HARDWARE
    assert sum(ending.HARDWARE in line for line in lines) == 1


def test_a_disturbed_setting_wins_only_where_all_are_and_says_so():
    calm, disturbed = fast(batch_size=4), measured(seconds=(0.0001,) * 7, noisy=("busy",))
    assert " b4 " in ending.best_settings([calm, disturbed], KNOWN)[1]
    (_, only, *_) = ending.best_settings([disturbed], KNOWN)
    assert "DISTURBED, as all of its settings" in only


def test_micro_benchmarks_and_nothing_have_no_table():
    assert ending.best_settings([micro("copy-64-fp32-cpu-t1", 1e9)], KNOWN) == []
    assert ending.best_settings([], KNOWN) == []


def test_many_nets_stay_on_the_screen():
    lines = ending.best_settings([fast(architecture=f"net{n}") for n in range(40)], KNOWN)
    assert len(lines) == 1 + ending.MOST_GROUPS + 1
    assert lines[-1] == f"and {40 - ending.MOST_GROUPS} more"


def test_what_was_not_measured_is_told_in_groups():
    accelerator = "{} needs an accelerator, and cpu is the host itself"
    ids = ["launch-enqueue-1-fp32-cpu-t2", "queue-64-fp32-cpu-t2"]
    records = [ended("skipped", accelerator.format(case_id.split("-")[0]), cases.parse(case_id)) for case_id in ids]
    records += [
        ended("skipped", f"batch {n} of this configuration ran out of time", replace(LENET, batch_size=2 * n))
        for n in (4, 8, 16)
    ]
    records += [ended("crashed", "killed by SIGKILL"), measured()]
    assert ending.not_measured(records) == [
        "   3 not measured: a smaller one of this configuration ran out of time",
        "   2 not measured: it needs an accelerator, and cpu is the host itself",
        f"   1 crashed: killed by SIGKILL ({LENET.id})",
    ]


def test_rare_reasons_are_counted():
    records = [ended("failed", "ValueError: " + "x" * n, replace(LENET, batch_size=n)) for n in range(1, 11)]
    lines = ending.not_measured(records)
    assert len(lines) == ending.MOST_REASONS + 1
    assert lines[-1] == f"{10 - ending.MOST_REASONS:4} for other reasons: dlhw table tells them"


def test_how_well_it_is_known_and_what_was_disturbed():
    aside = measured(noisy=())
    aside = replace(aside, sampling=replace(aside.sampling, set_aside="1 of 4 launches set aside as disturbed: steal"))
    reasons = ["co-running processes used 0.9 cores meanwhile"] * 2 + ["steal 9%: the hypervisor gave that share"]
    noisy = [measured(noisy=(reason,)) for reason in reasons]
    calm = [measured(seconds=(0.004,) * 7) for _ in range(5)]
    first, second, third = ending.spread([*calm, *noisy, aside])
    assert first == (
        "half of the intervals are within ±0.0%, nine in ten within ±75.0%; 9 of them within a single launch"
    )
    assert second.startswith("3 disturbed (NOISY)")
    assert second.endswith("2 by co-running processes, 1 by steal")
    assert third.startswith("1 case with launches that were disturbed and set aside")


def test_where_the_kernel_maps_memory_in_every_step_it_is_told():
    def one(batch_size, share, **parts):
        record = measured(replace(LENET, batch_size=batch_size), **parts)
        return faulting((1e6, share), record=record, samples=200, median_seconds=0.004)

    records = [one(1, 0.049), one(2, 0.05), one(4, 0.494), one(8, 0.9, noisy=("busy",)), measured()]
    assert ending.mapping(records) == [
        "page faults: in 2 cases the kernel was at work for 5.0% of a step or more, most of all 49.4% of "
        "lenet-inference-b4-fp32-contiguous-eager-cpu-t2: dlhw explain"
    ]
    assert ending.mapping(records[:1]) == []


def test_of_nothing_nothing_is_said():
    assert ending.spread([]) == ending.not_measured([]) == []


@pytest.mark.parametrize(
    ("reason", "kind"),
    [("174 involuntary context switches/s", "by context switches"), ("two modes: 33%", "in two modes"),
     ("steps became 8% slower", "drifted"), ("the cgroup's CPU quota stopped", "by a quota"), ("?", "otherwise")],
)  # fmt: skip
def test_every_kind_of_disturbance_has_a_word(reason, kind):
    assert ending.spread([measured(noisy=(reason,))])[-1].endswith(f"1 {kind}")
