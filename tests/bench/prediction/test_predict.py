"""What is told of cases that were not measured: a time and its interval, or why there is none."""

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from bench.machine.ceilings import Best, Ceilings
from bench.prediction import intervals, mean, model
from bench.prediction.choose import Design, choose
from bench.prediction.facts import Facts, KnownWork, StepWork, uncounted
from bench.prediction.intervals import Calibration
from bench.prediction.memory import MemoryNeed
from bench.prediction.predict import predict
from bench.records.record import Memory, Outcome, Status
from suites.case import Case
from suites.micro import Micro
from tests.support import grid

NETS = [record for record in grid.records() if record.seconds]
OF_RESNET = [record for record in NETS if record.case["architecture"] == "resnet18"]
WANTED = replace(Case.from_json(OF_RESNET[0].case), batch_size=64)


def predicted(case, records=OF_RESNET, **given):
    return predict(records, [case], **given)[case.id]


def ending(status, reason="it fell over", **axes):
    case = replace(WANTED, **axes)
    return replace(OF_RESNET[0], id=case.id, case=case.to_json(), outcome=Outcome(status, reason), seconds=(),
                   memory=None, flops=None, traffic=None, sampling=None)  # fmt: skip


def test_a_batch_beyond_the_measured_ones_is_told_with_an_interval():
    found = predicted(WANTED)
    assert 0.13 < found.median_seconds < 0.3  # twice what batch 32 took, or a little more
    assert found.low < found.median_seconds < found.high
    assert (found.coverage, found.expected, found.reason) == (0.9, "", "")


def test_what_was_measured_is_not_predicted():
    assert predict(OF_RESNET, [Case.from_json(OF_RESNET[3].case)]) == {}


def test_too_few_cases_give_a_time_and_no_interval():
    found = predicted(WANTED, OF_RESNET[:19])
    assert found.median_seconds > 0
    assert (found.low, found.high, found.coverage) == (None, None, None)
    assert found.reason == "no interval: 19 cases were measured here, it needs 20"


def test_few_that_were_drawn_do_for_an_interval_beside_those_that_were_chosen():
    ten = [record.id for record in OF_RESNET[::7]]
    alike, by_lot = predicted(WANTED), predicted(WANTED, drawn=ten)
    assert by_lot.low < by_lot.median_seconds < by_lot.high
    assert by_lot.median_seconds == alike.median_seconds
    assert by_lot.high != alike.high


@pytest.mark.parametrize(
    ("axes", "reason"),
    [
        ({"precision": "fp16"}, "nothing was measured with precision fp16"),
        ({"compile_mode": "default"}, "nothing was measured with compile mode default"),
        ({"threads": 1}, "nothing was measured with threads 1"),
        ({"device": "cuda:0"}, "0 cases were measured here; a prediction needs 10"),
        ({"architecture": "vgg11", "input_shape": (1, 224, 224)}, "the work of vgg11 in inference was not counted"),
    ],
)
def test_what_nothing_is_like_is_not_timed(axes, reason):
    found = predicted(replace(WANTED, **axes))
    assert (found.median_seconds, found.reason) == (None, reason)


def test_a_net_that_was_never_measured_is_timed_by_its_counted_work():
    """ResNet-18's work, under another name: it is told by what nets do, at a wider interval."""
    others = [record for record in NETS if record.case["architecture"] != "resnet18"]
    known = KnownWork(OF_RESNET)
    small = [
        replace(Case.from_json(OF_RESNET[0].case), mode="inference", precision="fp32", batch_size=n) for n in (2, 4)
    ]
    counts = {replace(case, architecture="own:net"): known.of(case) for case in small}
    own, true = predicted(replace(WANTED, architecture="own:net"), others, counts=counts), predicted(WANTED)
    assert own.median_seconds == pytest.approx(true.median_seconds, rel=0.35)
    assert own.low < true.median_seconds < own.high
    assert own.high / own.low > true.high / true.low


def test_why_work_is_not_known_is_told():
    case = replace(WANTED, architecture="own:net")
    found = predicted(case, counts={case: "ImportError: no module named own"})
    assert found.reason == "the work of own:net in inference was not counted: ImportError: no module named own"


def test_two_batch_sizes_of_a_net_are_counted_and_no_more():
    sizes = [
        replace(WANTED, batch_size=size, precision=kind) for size in (1, 8, 4, 16) for kind in ("bf16", "amp_bf16")
    ]
    wanted = uncounted(sizes, KnownWork(()))
    assert [(case.batch_size, case.precision, case.memory_format) for case in wanted] == [
        (4, "fp32", "contiguous"), (8, "fp32", "contiguous"),
    ]  # fmt: skip
    assert uncounted(sizes, KnownWork(OF_RESNET)) == []
    assert [case.batch_size for case in uncounted([sizes[0]], KnownWork(()))] == [1]


def test_work_in_other_precisions_follows_from_single_precision():
    """Bytes to 12 %, operators to 12 %, of every net, mode and batch size of the grid."""
    exact = KnownWork(NETS)
    single = KnownWork(record for record in NETS if record.case["precision"] == "fp32")
    for record in NETS:
        case = Case.from_json(record.case)
        found, true = single.of(case), exact.of(case)
        assert found.flops == pytest.approx(true.flops)
        assert found.compulsory_bytes == pytest.approx(true.compulsory_bytes, rel=0.01)
        assert found.bytes == pytest.approx(true.bytes, rel=0.12)
        assert found.operators == pytest.approx(true.operators, rel=0.12)


def test_micro_benchmarks_are_not_predicted():
    case = Micro.parse("copy-65536-fp32-cpu-t2")
    assert predicted(case).reason == "micro-benchmarks are measured, not predicted"


def test_memory_that_would_not_do_is_told_and_not_timed():
    found = predicted(replace(WANTED, batch_size=4096), memory_bytes={"cpu": 2**30})
    assert (found.median_seconds, found.expected) == (None, "out_of_memory")
    assert found.reason.endswith("of 1.00 GiB")
    assert predicted(WANTED, memory_bytes={"cpu": 2**40}).expected == ""


def test_a_batch_beyond_one_that_ran_out_of_memory_is_told_and_not_timed():
    records = [*OF_RESNET, ending(Status.OUT_OF_MEMORY)]
    assert predicted(replace(WANTED, batch_size=128), records).expected == "out_of_memory"
    assert predicted(WANTED, records).reason == "batch 64 of this configuration ran out of memory"
    assert predicted(replace(WANTED, batch_size=48), records).median_seconds > 0


def test_what_fails_is_told_and_not_timed_and_what_is_slow_is_timed():
    compiling = ending(Status.FAILED, "Dynamo gave up", batch_size=1)
    found = predicted(WANTED, [*OF_RESNET, compiling])
    assert (found.median_seconds, found.expected) == (None, "failed")
    assert found.reason == "batch 1 of this configuration: Dynamo gave up"
    assert predicted(WANTED, [*OF_RESNET, ending(Status.TIMEOUT)]).median_seconds > 0


def test_memory_grows_by_as_much_with_every_image():
    def record(batch_size, octets):
        case = replace(WANTED, batch_size=batch_size)
        memory = Memory(peak_host_bytes=octets, base_host_bytes=0, host_source="", parameter_bytes=0)
        return replace(OF_RESNET[0], id=case.id, case=case.to_json(), memory=memory)

    need = MemoryNeed([record(2, 300), record(10, 700)])
    assert need.of(replace(WANTED, batch_size=32)) == 1800
    assert need.of(replace(WANTED, mode="training")) is None
    assert MemoryNeed([record(2, 300)]).of(WANTED) is None
    assert MemoryNeed([record(2, 300), record(4, 200)]).of(replace(WANTED, batch_size=64)) == 300


def calibrated(scores, spreads=None, weights=None):
    ones = np.ones(len(scores))
    return Calibration(np.asarray(scores, dtype=float), ones if spreads is None else spreads,
                       ones if weights is None else weights)  # fmt: skip


def test_the_reach_is_the_score_that_all_but_a_tenth_stay_below():
    at = np.ones(1)
    assert np.isnan(calibrated(np.arange(1, 20)).reach(at)[0])
    assert calibrated(np.arange(20, 0, -1)).reach(at)[0] == 19  # rank ceil(21 x 0.9)
    assert calibrated(np.arange(1, 101)).reach(at)[0] == 91


def test_each_case_is_in_one_fold_and_a_group_in_none_but_its_own():
    assert sorted(chain(*intervals.folds(range(45)))) == list(range(45))
    assert len(intervals.folds(range(45))) == 20
    by_net = intervals.folds("aabbcab")
    assert sorted(map(sorted, by_net)) == [[0, 1, 5], [2, 3, 6], [4]]


@pytest.mark.parametrize(
    ("architecture", "family"),
    [("torchvision:resnet50", "resnet"), ("resnet18", "resnet"), ("lenet_bn", "lenet"), ("my.nets:VGG_tiny", "vgg"),
     ("my.nets:_2", "")],
)  # fmt: skip
def test_nets_of_a_family_have_its_name(architecture, family):
    assert model.family(architecture) == family


def test_what_was_drawn_counts_for_more():
    weights = np.where(np.arange(40) < 20, 6.0, 1.0)
    low, high = np.linspace(0, 1, 20), np.linspace(2, 3, 20)
    assert calibrated([*low, *high], weights=weights).reach(np.ones(1))[0] < 2.6
    assert calibrated([*high, *low], weights=weights).reach(np.ones(1))[0] > 2.9


def test_scores_count_where_they_were_made_as_far_from_what_was_measured():
    spreads = np.repeat([0.05, 0.5], 30)
    near, far = calibrated([*np.linspace(0, 1, 30), *np.linspace(2, 3, 30)], spreads).reach(np.array([0.05, 0.5]))
    assert near < 1
    assert far > 2.8


def test_unlike_scores_are_let_in_until_an_interval_rests_on_ten():
    """Two are as far away as the predicted case: they alone would say nothing."""
    spreads = np.array([*[0.05] * 38, 1.0, 1.0])
    assert calibrated(np.arange(40), spreads).reach(np.ones(1))[0] >= 36


def test_rates_are_those_that_the_times_were_made_of():
    facts = [Facts(Case.from_json(record.case), KnownWork([record]).of(Case.from_json(record.case))) for record in NETS]
    amounts = mean.terms(facts)
    true = np.where(amounts.any(axis=0), np.arange(1, len(mean.TERMS) + 1) * 1e-11, 0)
    found = mean.rates(amounts, amounts @ true)
    np.testing.assert_allclose(found, true, rtol=1e-5, atol=1e-16)


def test_ceilings_speak_where_nothing_was_measured():
    known = Ceilings(
        {"cpu-t2-fp32": Best(4e11, "a"), "cpu-t2-bf16": Best(2e12, "b")}, {"cpu-t2": {1000: Best(2e10, "c")}},
        {"cpu-t2": Best(3e-6, "d")},
    )  # fmt: skip
    best = mean.best_seconds(known, "cpu", 2)
    fp32 = [record for record in OF_RESNET if record.case["precision"] == "fp32"]
    facts = [Facts(Case.from_json(each.case), KnownWork([each]).of(Case.from_json(each.case))) for each in fp32]
    rates = dict(zip(mean.TERMS, mean.rates(mean.terms(facts), np.ones(len(facts)), best), strict=True))
    assert rates["flops half"] == pytest.approx(2 / 2e12)  # a thread's share of the work
    assert rates["bytes half"] == pytest.approx(2 / 2e10)
    assert best["operators training"] == 3e-6


def test_the_process_is_scikit_learns():
    """Cases that differ in their batch alone, and the same covariance written down for scikit-learn."""
    facts = [Facts(replace(WANTED, batch_size=2**power), StepWork(1e9, 1e8, 1e7, 70, 1e7)) for power in range(8)]
    seconds = np.exp(np.sin(np.arange(6)))
    ours = model.fit(facts[:6], seconds)
    centre, spread = ours.predict(facts[6:])
    batches = np.arange(8)[:, None] / 3
    per_image = np.log(2) / 5 * 3  # of a doubling, a third of a length of `batches`: FLOPs an image halve
    kernel = ConstantKernel(model.COMPONENTS[-1].variance)
    for part in model.COMPONENTS[:-1]:
        length = part.lengths.get("batch") or part.lengths["work"] / per_image
        kernel += ConstantKernel(part.variance) * RBF(length)
    oracle = GaussianProcessRegressor(kernel, alpha=model.NOISE, optimizer=None)
    left = np.log(seconds) - mean.log_seconds(mean.terms(facts[:6]), ours.solution.rates) - ours.solution.offset
    rest, sd = oracle.fit(batches[:6], left).predict(batches[6:], return_std=True)
    there = mean.log_seconds(mean.terms(facts[6:]), ours.solution.rates) + ours.solution.offset
    np.testing.assert_allclose(centre, there + rest, rtol=1e-6)
    np.testing.assert_allclose(spread, np.sqrt(sd**2 + model.NOISE), rtol=1e-6)


def test_compiled_and_replayed_steps_have_a_variance_of_their_own():
    """A graph can be ten times as fast as the eager step: to know that one is not to know the graph."""
    modes = ("eager", "default", "max-autotune", "cuda-graph")
    facts = [
        Facts(replace(WANTED, compile_mode=mode, batch_size=size), StepWork(1e9 * size, 1e8, 1e7, 70, 1e7))
        for mode in modes
        for size in (1, 64)
    ]
    shared = model.covariance(facts, facts)
    np.testing.assert_allclose(np.diag(shared), model.variance(facts), rtol=1e-12)
    assert np.linalg.eigvalsh(shared).min() > 0
    eager, *others = (shared[place, place] for place in range(0, 8, 2))
    assert others == pytest.approx([eager + model.COMPILED.variance] * 3)
    twins = [shared[0, place] for place in range(2, 8, 2)]
    assert twins == pytest.approx([model.KEPT * eager] * 3)
    _, spread = model.fit(facts[:2], [1.0, 2.0]).predict(facts[2:])
    assert spread.min() ** 2 > model.COMPILED.variance


FACTS = [Facts(Case.from_json(record.case), KnownWork([record]).of(Case.from_json(record.case))) for record in NETS]
COSTS = {record.id: record.cost["total"] for record in NETS}


def test_a_choice_keeps_to_its_budget_and_has_a_random_part():
    found = choose(FACTS, COSTS, 120.0, seed=3)
    assert 110 < sum(COSTS[name] for name in (*found.random, *found.chosen)) <= 120
    assert len(found.random) == 20
    assert not set(found.random) & set(found.chosen)
    assert choose(FACTS, COSTS, 120.0, seed=3) == found
    assert set(choose(FACTS, COSTS, 120.0, seed=4).random) != set(found.random)


def test_a_small_budget_draws_fewer_and_passes_none_over_for_its_cost():
    few, many = (choose(FACTS, COSTS, seconds, seed=3).random for seconds in (12.0, 1000.0))
    assert 0 < len(few) < 20
    assert few == many[: len(few)]


def test_what_is_left_to_be_learnt_is_the_variance_of_the_process():
    """What a design has after some cases were measured, and what a model that was fitted to them has."""
    design = Design(FACTS[:40])
    for number in range(0, 40, 3):
        design.add(FACTS[number].case.id)
    design.add("no candidate")
    measured = [FACTS[number] for number in range(0, 40, 3)]
    _, spread = model.fit(measured, np.ones(len(measured))).predict(FACTS[:40])
    own = spread**2 - model.NOISE
    np.testing.assert_allclose(np.diag(design._left), own, atol=1e-9)
    unlike = [FACTS[number].case.id for number in (1, 30, 38)]
    assert design.best(dict.fromkeys(unlike, 1.0)) in unlike
    assert design.best({unlike[0]: 1e6, unlike[1]: 1.0}) == unlike[1]
    assert design.best({"no candidate": 1.0}) is None


def test_a_choice_spreads_over_nets_modes_and_precisions():
    found = choose(FACTS, dict.fromkeys(COSTS, 1.0), 45.0, seed=0).chosen
    cases = [facts.case for facts in FACTS if facts.case.id in found]
    assert len({case.architecture for case in cases}) == 7
    assert len({(case.mode, case.precision) for case in cases}) >= 5
    assert len({case.memory_format for case in cases}) == 2
