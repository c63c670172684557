"""What launches are thought to cost, before and after the machine has shown it."""

from dataclasses import replace

import pytest

from bench.machine import cache
from bench.sweep import costs as module
from bench.sweep.costs import Costs, kept, step_guess
from suites import cases
from suites.case import Budget
from suites.errors import DlhwError
from tests.support.samples import LENET, compiled, ended, measured

BUDGET = Budget().short()
NETS = [replace(LENET, architecture=name, input_shape=(1, 224, 224)) for name in module.NETS]
SLOWER = 4.0


def on_slow_machine(case):
    """The record of a launch on a machine whose steps take four times as long as guessed."""
    step = SLOWER * step_guess(case)
    launch = 0.3 + 10 * step
    return measured(case, (step,) * 5, cost={"process": launch, "total": launch})


def test_more_work_is_thought_to_take_longer():
    small, large, training = (
        step_guess(replace(LENET, architecture="vgg11", **changes))
        for changes in ({}, {"batch_size": 64}, {"batch_size": 64, "mode": "training"})
    )
    assert small < large < training
    assert step_guess(replace(LENET, precision="bf16")) < step_guess(LENET)


def test_every_net_and_operation_has_a_guess():
    for case in (*NETS, replace(LENET, architecture="my.net:build"), cases.parse("copy-64-fp32-cpu-t1")):
        assert 0 < Costs().launch(case, BUDGET) < 60


def test_one_nets_launches_tell_of_the_others():
    costs = Costs()
    before = costs.measuring(NETS[-1], BUDGET)
    for case in NETS[:-1]:
        for size in (1, 2, 4, 8, 16):
            sized = replace(case, batch_size=size)
            costs.learn(sized, BUDGET, on_slow_machine(sized))
    truth = on_slow_machine(NETS[-1]).cost["process"]
    assert abs(costs.measuring(NETS[-1], BUDGET) - truth) < abs(before - truth) / 2


def test_a_slower_machine_is_slower_in_what_it_has_not_measured_yet():
    """Inference alone was measured, at a quarter of the speed: training is thought to be as slow."""
    costs = Costs()
    for case in NETS:
        for size in (1, 2, 4, 8, 16):
            sized = replace(case, mode="inference", batch_size=size)
            costs.learn(sized, BUDGET, on_slow_machine(sized))
    training = replace(NETS[-1], mode="training", batch_size=256)
    long = Budget(min_seconds=0, max_seconds=1000, time_limit_seconds=10_000)
    assert costs.measuring(training, long) == pytest.approx(SLOWER * Costs().measuring(training, long), rel=0.1)


def test_compiling_is_thought_to_take_longer_where_all_else_did():
    costs = Costs()
    for case in NETS:
        costs.learn(case, BUDGET, measured(case, (1e-4,) * 5, cost={"process": 3.0, "total": 3.0}))
    lazy = replace(LENET, compile_mode="default")
    assert costs.measuring(lazy, BUDGET) > 3 * module.COMPILE_SECONDS


def test_a_reference_is_made_for_each_number_of_check_images():
    costs = Costs()
    of_four, of_two = replace(NETS[3], batch_size=8), replace(NETS[3], batch_size=2)
    costs.learn(of_four, BUDGET, measured(of_four, cost={"process": 1.0, "total": 2.0}))
    assert costs.launch(replace(of_four, batch_size=64), BUDGET) == costs.measuring(
        replace(of_four, batch_size=64), BUDGET
    )
    assert costs.launch(of_two, BUDGET) > costs.measuring(of_two, BUDGET) + 0.1


def test_what_was_made_with_the_compilers_cache_is_not_taken_for_it():
    costs, lazy = Costs(), replace(LENET, compile_mode="default")
    costs.learn(lazy, BUDGET, measured(lazy, compile=compiled(5.0), cost={"process": 6.0, "total": 16.1}))
    other = replace(NETS[-1], batch_size=8)
    alone = Costs()
    made = costs.launch(other, BUDGET) - costs.measuring(other, BUDGET)
    assert made == pytest.approx(alone.launch(other, BUDGET) - alone.measuring(other, BUDGET), rel=0.1)


def test_what_a_case_took_is_what_it_will_take():
    costs = Costs()
    costs.learn(LENET, BUDGET, measured(cost={"process": 1.25, "total": 3.0}))
    assert costs.measuring(LENET, BUDGET) == costs.launch(LENET, BUDGET) == 1.25


def test_what_cases_share_is_counted_once_and_not_again_when_it_is_there():
    costs, other = Costs(), replace(LENET, batch_size=16)
    alone = [costs.measuring(case, BUDGET) for case in (LENET, other)]
    shared = costs.rest([(LENET, BUDGET, 1), (other, BUDGET, 1)]) - sum(alone)
    assert shared > 0
    assert costs.launch(other, BUDGET) == pytest.approx(alone[1] + shared)
    costs.learn(LENET, BUDGET, measured(cost={"process": 1.0, "total": 1.5}))
    assert costs.launch(other, BUDGET) == costs.measuring(other, BUDGET)


def test_what_has_several_launches_costs_so_many_times():
    costs = Costs(known={LENET.id: 2.0})
    once, thrice, never = (costs.rest([(LENET, BUDGET, launches)]) for launches in (1, 3, 0))
    assert (thrice - once, never) == (pytest.approx(4.0), 0.0)


def test_compiling_is_dear_until_it_is_known():
    lazy = replace(LENET, compile_mode="default")
    costs = Costs()
    before = costs.launch(lazy, BUDGET)
    assert before > module.COMPILER_SECONDS + module.COMPILE_SECONDS
    costs.learn(lazy, BUDGET, measured(lazy, compile=compiled(20.0), cost={"process": 21.0, "total": 41.0}))
    another = replace(lazy, batch_size=2)
    assert module.COMPILE_SECONDS < costs.launch(another, BUDGET) < 41.0


def test_a_compiler_that_an_earlier_run_has_warmed_is_cheap(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    lazy = replace(LENET, compile_mode="default")
    before = Costs(compiler_seconds=module.compiler_seconds("2.14"))
    cache.write(cache.compiler("2.14"), {})
    after = Costs(compiler_seconds=module.compiler_seconds("2.14"))
    assert before.launch(lazy, BUDGET) - after.launch(lazy, BUDGET) == pytest.approx(8.0)
    assert module.compiler_seconds("2.15") == module.COMPILER_SECONDS


def test_disturbed_steps_tell_nothing_of_other_cases():
    calm, disturbed = Costs(), Costs()
    disturbed.learn(LENET, BUDGET, measured(seconds=(9.0,) * 5, noisy=("busy",), cost={"process": 9, "total": 9}))
    other = replace(LENET, batch_size=64)
    assert disturbed.measuring(other, BUDGET) == calm.measuring(other, BUDGET)


def test_a_case_that_failed_tells_what_it_took():
    costs = Costs()
    costs.learn(LENET, BUDGET, replace(ended("timeout", "too slow"), cost={"process": 30.0, "total": 30.0}))
    assert costs.measuring(LENET, BUDGET) == 30.0
    costs.learn(replace(LENET, batch_size=2), BUDGET, ended("crashed", "killed"))


def test_a_machine_is_known_again():
    costs = Costs()
    costs.learn(LENET, BUDGET, measured(cost={"process": 1.25, "total": 1.25}))
    module.keep(costs, "f00d", "way")
    assert kept("f00d", "way") == {LENET.id: 1.25}
    assert kept("f00d", "another way") == kept("beef", "way") == {}
    assert Costs(kept("f00d", "way")).measuring(LENET, BUDGET) == 1.25


def test_a_machine_that_is_slower_than_it_was_is_known_by_its_first_cases():
    sized = [replace(LENET, batch_size=size) for size in (1, 2, 3, 4)]
    costs = Costs({case.id: 1.0 for case in sized})
    for case in sized[:3]:
        costs.learn(case, BUDGET, measured(case, cost={"process": 2.0, "total": 2.0}))
    assert costs.measuring(sized[3], BUDGET) == 2.0


@pytest.mark.parametrize("content", ["[1]", '{"a": "soon"}', "{"])
def test_a_damaged_file_is_one_clear_error(content):
    path = cache.path_of("costs/bad-way")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    with pytest.raises(DlhwError, match=r"bad-way.json: damaged"):
        kept("bad", "way")
