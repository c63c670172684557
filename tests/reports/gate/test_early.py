"""After two pairs: what a run will be able to see, from entries with exact numbers."""

import math
import re
import statistics
from dataclasses import replace

import pytest
from scipy import stats

from reports.gate import early
from reports.gate.judge import Terms
from reports.gate.paired import planned
from reports.gate.plan import plan
from tests.support.entries import CASES, entries, entry, lost, noisy, seeded

PLAN = plan(dict.fromkeys(CASES, 0.02), {}, controls=6, pairs=6)
TERMS = Terms(tolerances=dict.fromkeys(CASES, 0.02), confirm=6)


def pairs(sd, cases=CASES, **parts):
    """Two pairs of each case whose log ratios have just this standard deviation."""
    return [each for case in cases for each in entries(case, spread=(sd / math.sqrt(2), -sd / math.sqrt(2)), **parts)]


def usual(sd):
    """Of pairs that all have this one: each is two numbers, of which half of all spread less, and half more."""
    return sd * math.sqrt((4 / stats.chi2.median(1) + 1) / 5)


def test_on_a_quiet_machine_it_says_what_the_plan_did():
    found = early.look(pairs(0.015), TERMS, PLAN)
    assert found.detectable == pytest.approx(planned(6, usual(0.015), 0.02, 8) - 1)
    assert (found.hopeless, found.cases, found.worth) == (0, 8, True)
    assert found.sentence() == (
        f"after 2 pairs: minimum detectable slowdown {100 * found.detectable:.1f} % in the middle case, 5 % asked for"
    )


def test_beyond_three_times_what_was_asked_it_is_not_worth_its_time():
    assert early.look(pairs(0.05), TERMS, PLAN).worth
    found = early.look(pairs(0.5), TERMS, PLAN)
    assert found.detectable > 3 * found.asked
    assert (found.hopeless, found.worth, found.pairs, found.seconds) == (8, False, None, None)
    assert found.advice().startswith("8 of 8 cases would not be decided: ended by the third pair; not even 200 pairs")


def test_how_many_minutes_would_do():
    found = early.look(pairs(0.15), replace(TERMS, detect=0.1), PLAN)
    assert not found.worth
    assert 30 < found.pairs < 100
    assert found.seconds == pytest.approx(4 / 3 * found.pairs * (5 + 8 * 1.5))
    assert re.search(rf"about \d+ min.* would do \(--pairs {found.pairs}\); --go-on", found.advice())
    assert planned(found.pairs, usual(0.15), 0.02, 8) <= 1.1 < planned(found.pairs - 1, usual(0.15), 0.02, 8)


def test_a_case_that_is_loud_alone_ends_nothing():
    found = early.look(pairs(0.01, CASES[1:]) + pairs(0.9, CASES[:1]), TERMS, PLAN)
    assert 0 < found.hopeless < 4
    assert found.worth


def test_in_the_middle_of_many_runs_it_sees_what_the_plan_did():
    found = [early.look(noisy(seeded(seed), CASES, {}, sd=0.015, count=2), TERMS, PLAN) for seed in range(15)]
    middle = statistics.median(each.detectable for each in found)
    assert middle == pytest.approx(PLAN.minimum_detectable[CASES[0]] - 1, abs=0.01)
    assert all(each.worth for each in found)


def test_controls_tell_of_noise_too():
    quiet, loud = pairs(0.01), pairs(0.4, control="negative")
    assert early.look(quiet + loud, TERMS, PLAN).detectable > 5 * early.look(quiet, TERMS, PLAN).detectable


def test_turns_that_are_lost_already_make_a_case_invalid_however_quiet_the_rest():
    def some(count):
        turns = ("steal",) * count + ("",) * (20 - count)
        shape = {"base": (1.0,) * 20, "head": (1.0,) * 20, "disturbed": turns}
        return [entry(case, number=number, **shape) for case in CASES for number in (1, 2)]

    assert early.look(some(12), TERMS, PLAN).disturbed == 0  # 24 of 120 turns: just not more than a fifth
    found = early.look(some(13), TERMS, PLAN)
    assert (found.disturbed, found.worth) == (8, False)
    assert "8 of 8 cases are too disturbed already" in found.sentence()
    assert "measure where, or when, nothing else runs" in found.advice()


def test_cases_that_a_side_does_not_have_are_not_looked_at():
    assert early.look([lost(case, head="gone") for case in CASES], TERMS, PLAN) is None
    found = early.look([*pairs(0.01, CASES[:2]), *(lost(case, head="gone") for case in CASES[2:])], TERMS, PLAN)
    assert found.cases == 2
