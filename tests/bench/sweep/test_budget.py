"""A sweep within a budget, with a launcher that answers at once and a clock that its launches move."""

import itertools
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest

from bench.records.journal import read
from bench.records.record import Status, Traffic, outcomes
from bench.sweep import sweep as module
from bench.sweep.results import with_predictions
from bench.sweep.sweep import Sweep
from suites import suite
from suites.case import Case
from tests.bench.sweep.test_sweep import NODE, Bench, kept, name
from tests.support.samples import ended, measured

TEXT = """
[measure]
max_seconds = 0.5
precision = 0.05
[[sweep]]
architecture = "lenet"
mode = "inference"
precision = ["fp32", "tf32"]
batch_size = [1, 2, 4]
"""
REACHED = TEXT.replace("[1, 2, 4]", str(list(range(1, 61))))
ONE, TWO, FOUR = (name("fp32", size) for size in (1, 2, 4))
STEAL = 0.3


class Slow(Bench):
    """Every launch takes a second; the medians of a case differ, those of `stolen` numbers are disturbed."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock
        self.stolen = set()
        self.spread = itertools.cycle((1.0, 1.01, 0.99))

    def launch(self, case, budget, number):
        self.clock.now += 1.0
        self.launched.append((case.id, number))
        assert budget.min_samples == 3
        answer = self.answers.get(case.id)
        if callable(answer):
            answer = answer(number)
        factor = next(self.spread)
        found = measured(case, (0.004 * factor,) * 7, cost={"process": 1.0, "total": 1.0})
        if len(self.launched) in self.stolen:
            (one,) = found.sampling.launches
            found = replace(found, sampling=replace(found.sampling, launches=(replace(one, stolen_share=STEAL),)))
        return answer or found, "what it printed"


@pytest.fixture
def bench(monkeypatch):
    clock = SimpleNamespace(now=1000.0)
    bench = Slow(clock)
    monkeypatch.setattr(module, "Worker", bench.worker)
    monkeypatch.setattr(module, "Launcher", bench.launcher)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return bench


@pytest.fixture
def start(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    started = []

    def start(text=TEXT, *, seconds, resume=False):
        path = tmp_path / "own.toml"
        path.write_text(text)
        chosen = suite.load(str(path))
        sweep = Sweep(chosen, tmp_path / "r.journal.jsonl", resume=resume, budget_seconds=seconds)
        started.append(sweep)
        sweep.start()
        sweep.planned = tuple(sweep.cases)
        sweep.open_journal({"plan": list(sweep.cases)})
        return sweep

    yield start
    for sweep in started:
        sweep.close()


def go(sweep):
    """Launches until there is nothing to launch, then keeps each case's record, as the tests do."""
    while (case_id := sweep.next_launch()) is not None:
        sweep.launch(case_id)
    return {case_id: kept(sweep, case_id, NODE)[0] for case_id in sweep.planned}


def test_the_whole_run_fits_the_budget_and_what_was_not_reached_says_so(bench, start):
    sweep = start(seconds=2.5)
    assert sweep.left_seconds == 2.5
    found = go(sweep)
    assert bench.clock.now - 1000 <= 2.5 * 1.05
    assert bench.launched == [(ONE, 0), (TWO, 0)]
    assert found[FOUR].outcome.status is Status.SKIPPED
    assert found[FOUR].outcome.reason == "not reached within the budget of 2 s"
    assert sweep.unreached() == [FOUR]
    assert FOUR not in read(sweep.journal_path)[0][0].records, "a later run is to reach it"


def test_what_is_impossible_costs_nothing_and_is_not_unreached(bench, start):
    sweep = start(seconds=0.0)
    assert all(name("tf32", size) not in sweep.unreached() for size in (1, 2, 4))
    assert go(sweep)[name("tf32", 1)].outcome.reason.startswith("cpu has no TF32")


def test_launches_go_on_until_each_case_has_its_precision(bench, start):
    found = go(start(seconds=100))
    assert {record.id: len(record.sampling.launches) for record in found.values() if record.seconds} == {
        ONE: 3, TWO: 3, FOUR: 3,
    }  # fmt: skip
    assert bench.clock.now == 1009
    assert bench.asked == [], "no launch is left for the tests"


def test_every_launch_is_in_the_journal(bench, start):
    sweep = start(seconds=100)
    go(sweep)
    (part,), _ = read(sweep.journal_path)
    assert {case_id: len(records) for case_id, records in part.launches.items()} == {ONE: 3, TWO: 3, FOUR: 3}
    assert set(part.records) == set(sweep.planned)


def test_a_disturbed_launch_is_made_again_and_set_aside_but_not_silently(bench, start):
    bench.stolen = {2}
    found = go(start(seconds=100))
    disturbed = next(record for record in found.values() if record.sampling and record.sampling.set_aside)
    assert bench.launched[1][0] == disturbed.id
    assert disturbed.sampling.noisy == ()
    assert len(disturbed.sampling.launches) == 3
    assert disturbed.sampling.set_aside == (
        "1 of 4 launches set aside as disturbed: steal 30%: the hypervisor gave that share of the cores' time to others"
    )
    assert sum(case_id == disturbed.id for case_id, _ in bench.launched) == 4


def test_where_every_launch_was_disturbed_all_of_them_are_shown_as_such(bench, start):
    bench.stolen = set(range(1, 100))
    found = go(start(seconds=12))
    assert all(len(record.sampling.launches) == 4 for record in found.values() if record.seconds)
    assert found[ONE].sampling.noisy[0].endswith("(in 4 of 4 launches)")


def test_resuming_goes_on_improving(bench, start):
    first = start(seconds=4)
    go(first)
    first.close()
    made = len(bench.launched)
    again = start(seconds=100, resume=True)
    found = go(again)
    assert (made, len(bench.launched)) == (3, 9), "the fourth second is no time for a second and a third launch"
    assert {len(found[case_id].sampling.launches) for case_id in (ONE, TWO, FOUR)} == {3}


def test_what_is_known_not_to_work_is_not_tried_again_when_resuming(bench, start):
    bench.answers[ONE] = ended("out_of_memory", "too large", Case.parse(ONE))
    first = start(seconds=100)
    go(first)
    first.close()
    bench.launched.clear()
    found = go(start(seconds=100, resume=True))
    assert found[ONE].outcome.status is Status.OUT_OF_MEMORY
    assert found[TWO].outcome.reason == "batch 1 of this configuration ran out of memory"
    assert bench.launched == []


def test_launches_made_without_a_budget_are_others(bench, start, tmp_path):
    first = start(seconds=100)
    go(first)
    first.close()
    unlimited = Sweep(first.suite, first.journal_path, resume=True)
    unlimited.start()
    unlimited.open_journal({"plan": []})
    unlimited.close()
    assert unlimited.reused == {}


def test_a_launch_that_fails_is_the_cases_failure_but_a_slow_one_is_not(bench, start):
    bench.answers[ONE] = lambda number: ended("crashed", "killed", Case.parse(ONE)) if number == 1 else None
    bench.answers[FOUR] = lambda number: ended("timeout", "no end", Case.parse(FOUR)) if number == 1 else None
    found = go(start(seconds=100))
    assert found[ONE].outcome.status is Status.CRASHED
    assert {case_id: len(found[case_id].sampling.launches) for case_id in (TWO, FOUR)} == {TWO: 3, FOUR: 1}


def test_no_more_launches_than_are_asked_for(bench, start):
    bench.spread = itertools.cycle((1.0, 3.0))
    found = go(start(TEXT.replace("[measure]", "[measure]\nlaunches = 4"), seconds=1000))
    assert {len(record.sampling.launches) for record in found.values() if record.seconds} == {4}


def test_what_remains_is_what_is_left_of_the_budget_until_nothing_is_wanted(bench, start):
    sweep = start(seconds=100)
    assert sweep.remaining_seconds() == 100
    sweep.launch(ONE)
    assert sweep.remaining_seconds() == 99
    go(sweep)
    assert sweep.remaining_seconds() == 0
    assert sweep.standing.startswith("9 launches, 3 of 6 cases, half of them to ±")


def test_what_the_budget_did_not_reach_is_predicted_and_marked(bench, start):
    def answer(number, case):
        traffic = Traffic(compulsory_bytes=case.batch_size, operator_bytes=case.batch_size, operators=9, by_size={})
        return measured(case, (0.004,) * 7, cost={"process": 1.0, "total": 1.0}, traffic=traffic)

    sweep = start(REACHED, seconds=18.0)
    bench.answers = {case_id: partial(answer, case=case) for case_id, (case, _) in sweep.cases.items()}
    while (case_id := sweep.next_launch()) is not None:
        sweep.launch(case_id)
    for case_id in sweep.planned:
        record, _ = sweep.measure(case_id)
        sweep.keep(record, NODE)
    rest = outcomes({case_id: sweep.cases[case_id][0].to_json() for case_id in sweep.planned}, sweep.records)
    told = {each["id"]: each for each in with_predictions(rest, sweep)}
    missed = sweep.unreached()
    assert missed
    assert len(sweep.drawn) > 4
    assert {record.id for record in sweep.records.values() if record.seconds} >= sweep.drawn
    for case_id in missed:
        assert told[case_id]["status"] == "skipped"
        assert "not reached within the budget" in told[case_id]["reason"]
        assert told[case_id]["prediction"]["median_seconds"] == pytest.approx(0.004, rel=0.5)


def test_where_not_all_can_be_looked_at_the_most_telling_come_after_the_lot(bench, start):
    sweep = start(REACHED, seconds=18.0)
    assert bench.counted == [2, 3], "two batch sizes, in one precision, tell the work of all"
    go(sweep)
    order = [Case.parse(case_id).batch_size for case_id, _ in bench.launched]
    lot = len(sweep.drawn)
    assert {name("fp32", size) for size in order[:lot]} == sweep.drawn
    after = order[lot:]
    assert after != sorted(after), "not the cheapest, which would be the smallest"
    assert max(after) > 20, "large batches can tell of large ones"


def test_nets_whose_work_cannot_be_counted_are_looked_at_all_the_same(bench, start):
    bench.work = lambda _: {"reason": "no net of this name"}
    sweep = start(REACHED, seconds=18.0)
    go(sweep)
    assert len(bench.launched) > len(sweep.drawn) + 4
    assert set(sweep.telling.counts.values()) == {"no net of this name"}
