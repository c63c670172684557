"""Many launches of a case to one record."""

import pytest

from bench.controller.combine import best_of, combine
from bench.records.record import Check, Launch, Memory, Record, Sampling
from bench.records.summary import by_launch
from suites.case import Budget
from tests.support.samples import LENET, compiled, measured, micro

BUDGET = Budget(precision=0.9, launches=3)
SAME = [1.0] * 6


def launch(seconds, *, reason="precision", steps=1, facts=None, **parts):
    one = Launch(samples=len(seconds), warmup_steps=1, steady=True, median_seconds=seconds[0], **(facts or {}))
    sampling = Sampling(
        launches=(one,), steps_per_sample=steps, stop_reason=reason, synchronised_seconds=tuple(seconds[:1])
    )
    return measured(seconds=tuple(seconds), sampling=sampling, **parts)


def memory(host, allocated):
    return Memory(
        peak_host_bytes=host, base_host_bytes=1, host_source="VmHWM", peak_allocated_bytes=allocated, parameter_bytes=9
    )


def together(*records):
    return combine(records, BUDGET, cores=2)


def test_one_launch_stays_what_it_is():
    alone = launch(SAME)
    assert together(alone) == alone


def test_samples_follow_launch_by_launch():
    series = [(1.0,) * 7, (3.0, 2.0) * 4, (4.0,) * 6]
    whole = together(*map(launch, series))
    assert by_launch(whole) == tuple(series)
    assert whole.sampling.synchronised_seconds == (1.0, 3.0, 4.0)
    assert whole.id == LENET.id


@pytest.mark.parametrize(
    ("allocated", "highest"), [((None, None, None), None), ((30, None, 20), 30), ((None, 5, 20), 20)]
)
def test_peaks_are_the_highest_and_unknown_stays_unknown(allocated, highest):
    found = [launch(SAME, memory=memory(*peaks)) for peaks in zip((5, 9, 7), allocated, strict=True)]
    assert together(*found).memory == memory(9, highest)


def test_the_check_nearest_to_failing_speaks_for_all():
    checks = [Check(relative_error=error, tolerance=limit, reference="r") for error, limit in ((3, 9), (4, 20), (1, 2))]
    assert together(*(launch(SAME, check=check) for check in checks)).check == checks[2]


def test_compile_time_is_the_middle_launchs_and_costs_are_summed():
    costs = [{"building": cost, "sampling": 1.0} for cost in (1.0, 2.0, 4.0)]
    found = [launch(SAME, compile=compiled(s), cost=cost) for s, cost in zip((30.0, 10.0, 20.0), costs, strict=True)]
    assert together(*found).compile == compiled(20.0)
    assert together(*found).cost == {"building": 7.0, "sampling": 3.0}


def test_how_it_was_sampled_is_told_of_the_launch_known_least():
    wide = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    whole = together(launch(SAME, steps=8), launch(wide, reason="max_seconds", steps=2))
    assert (whole.sampling.stop_reason, whole.sampling.steps_per_sample) == ("max_seconds", 8)


def test_the_first_launchs_sensors_are_kept_and_everybodys_noise_is_told():
    whole = together(
        launch(SAME, sensors={"energy_joules": 7.0, "throttle_reasons": {"power cap": 0.5}}),
        launch(SAME, sensors={"energy_joules": None, "throttle_reasons": {"power cap": 0.25}}),
        launch(SAME, facts={"other_cores": 1.0}),
    )
    assert whole.sensors["energy_joules"] == 7.0
    assert whole.sampling.noisy == (
        "the GPU was slowed down for 50% of the time (power cap) (in 2 of 3 launches)",
        "co-running processes used 1.0 cores meanwhile (in 1 of 3 launches)",
    )


def test_what_a_micro_benchmarks_step_does_is_kept():
    one = launch(SAME)
    found = [
        micro("copy-64-fp32-cpu-t1", 128.0, metric="bytes_per_second", details={"note": "x"}, sampling=one.sampling)
        for _ in range(3)
    ]
    assert (together(*found).work, together(*found).details) == (found[0].work, {"note": "x"})
    assert (together(*found).memory, together(*found).check, together(*found).compile) == (None, None, None)


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_it_survives_being_written_and_read(count):
    whole = together(*(launch([1.0 + n] * 6) for n in range(count)))
    assert Record.from_json(whole.to_json()) == whole


def judged(*records):
    return [combine([record], BUDGET, cores=2) for record in records]


def test_a_disturbed_launch_is_set_aside_and_that_is_said():
    quiet = [launch([seconds] * 6, facts={"stolen_share": 0.0}) for seconds in (1.0, 1.1)]
    stolen = launch([5.0] * 6, facts={"stolen_share": 0.95})
    whole = best_of(judged(quiet[0], stolen, quiet[1]), BUDGET, cores=2)
    assert by_launch(whole) == ((1.0,) * 6, (1.1,) * 6)
    assert whole.disturbed == ()
    assert whole.sampling.set_aside.startswith("1 of 3 launches set aside as disturbed: steal 95%")


def test_where_every_launch_was_disturbed_none_is_set_aside():
    stolen = [launch([seconds] * 6, facts={"stolen_share": 0.95}) for seconds in (1.0, 1.1)]
    whole = best_of(judged(*stolen), BUDGET, cores=2)
    assert len(by_launch(whole)) == 2
    assert (whole.sampling.set_aside, len(whole.disturbed)) == ("", 1)


def test_undisturbed_launches_are_all_there():
    whole = best_of(judged(launch(SAME), launch(SAME)), BUDGET, cores=2)
    assert whole == together(launch(SAME), launch(SAME))
