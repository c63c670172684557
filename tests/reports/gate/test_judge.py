"""Verdicts from pairs: of handmade entries with exact numbers, of random ones, and of pairs recorded for real."""

import csv
import math
import random
from dataclasses import replace

import pytest
from scipy import stats

from bench.gate.journal import read
from bench.records.record import Status
from reports.gate.judge import POSITIVE, Judgement, Terms, judge_pairs
from reports.gate.paired import confirms
from reports.gate.statistics import Verdict
from tests.support.entries import CASES, SPREAD, entries, entry, lost, noisy, seeded
from tests.support.runner import ROOT

LENET, OTHER = CASES[:2]
DATA = ROOT / "tests" / "data"


def terms(*cases, tolerance=0.02, **parts):
    return Terms(tolerances=dict.fromkeys(cases or (LENET,), tolerance), confirm=6, **parts)


def judged(found, *cases, **parts):
    return judge_pairs(found, terms(*cases, **parts), base="b", head="h")


def row(found, case=LENET, measure="time"):
    (only,) = (each for each in found.rows if (each.case, each.measure) == (case, measure))
    return only


def test_the_same_code_passes_with_its_figures():
    found = row(judged(entries(LENET)))
    assert found.verdict is Verdict.PASS
    assert found.figures.ratio == pytest.approx(1.0)
    half = stats.t.ppf(0.975, 5) * stats.sem(SPREAD)
    assert math.log(found.figures.high) == pytest.approx(half)
    assert found.figures.launches == (6, 6)
    assert 1.02 < found.figures.minimum_detectable < 1.03


def test_a_candidate_is_judged_by_its_fresh_pairs_alone():
    found = row(judged(entries(LENET, 0.08) + entries(LENET, 0.05, stage=2)))
    assert (found.verdict, found.reason) == (Verdict.REGRESSED, "confirmed by 6 fresh pairs")
    assert found.figures.ratio == pytest.approx(1.05)
    assert found.figures.p < 1e-4


def test_a_candidate_that_fresh_pairs_do_not_confirm_passes():
    found = row(judged(entries(LENET, 0.08) + entries(LENET, stage=2)))
    assert (found.verdict, found.reason) == (Verdict.PASS, "flagged, not confirmed by 6 fresh pairs")
    assert found.figures.ratio == pytest.approx(1.0)


def test_a_candidate_whose_confirmation_is_missing_is_inconclusive():
    found = judged(entries(LENET, 0.08))
    assert row(found).verdict is Verdict.INCONCLUSIVE
    assert "not confirmed, for the run ended before" in row(found).reason
    assert (found.exit_code(strict=False), found.exit_code(strict=True)) == (0, 3)


def test_slower_within_the_tolerance_of_the_case_is_no_candidate():
    slower = entries(LENET, 0.05) + entries(OTHER, 0.05)
    own = Terms(tolerances={LENET: 0.02, OTHER: 0.06}, confirm=6)
    assert Judgement(slower, own).candidates() == [LENET]


def test_what_pass_excludes():
    three = entries(LENET, 0.03, spread=[2 * offset for offset in SPREAD])
    assert row(judged(three, tolerance=0.03)).verdict is Verdict.PASS  # surely less than 6 % slower
    assert row(judged(three, tolerance=0.03, detect=0.031)).verdict is Verdict.INCONCLUSIVE


def test_six_pairs_that_happened_to_agree_are_no_quieter_machine():
    own = row(judged(entries(LENET))).figures.minimum_detectable
    assert row(judged(entries(LENET), remembered={LENET: 0.0001})).figures.minimum_detectable == own
    assert row(judged(entries(LENET), remembered={LENET: 0.02})).figures.minimum_detectable > 1.04 > own


def test_faster_is_improved():
    assert row(judged(entries(LENET, -0.1))).verdict is Verdict.IMPROVED


@pytest.mark.parametrize(
    ("found", "verdict", "reason"),
    [
        ([lost(LENET, head="x", number=n) for n in (1, 2, 3)], Verdict.MISSING, "crashed: x"),
        ([lost(LENET, head="not in head's suite", status=Status.SKIPPED)], Verdict.MISSING,
         "skipped: not in head's suite"),
        ([lost(LENET, base="x", number=n) for n in (1, 2, 3)], Verdict.NEW, "base: crashed: x"),
        ([lost(LENET, base="x", head="y")], Verdict.INCONCLUSIVE, "measured in neither: crashed: y"),
        ([lost(LENET, head="y"), *entries(LENET)[1:3]], Verdict.INVALID, "2 of 3 pairs were measured; crashed: y"),
        ([], Verdict.INCONCLUSIVE, "not measured: the run ended before it"),
    ],
    ids=["head fails", "removed", "base fails", "both fail", "too few", "none"],
)  # fmt: skip
def test_what_cannot_be_judged_is_a_row_with_its_reason(found, verdict, reason):
    only = row(judged(found))
    assert (only.verdict, only.reason, only.figures) == (verdict, reason, None)


def test_what_neither_side_can_do_is_left_out_and_said():
    found = judged([lost(LENET, base="no TF32", head="no TF32", status=Status.SKIPPED)])
    assert found.rows == ()
    assert found.left_out == ((LENET, "skipped: no TF32"),)
    assert found.exit_code(strict=False) == 5


def test_a_pair_that_was_lost_is_told_and_the_rest_is_judged():
    found = row(judged([*entries(LENET), lost(LENET, head="killed by SIGKILL", number=7)]))
    assert (found.verdict, found.noisy) == (Verdict.PASS, ("1 of 7 pairs lost: crashed: killed by SIGKILL",))


@pytest.mark.parametrize(("times", "verdict"), [(3, Verdict.PASS), (4, Verdict.INVALID)])
def test_code_that_fails_now_and_then_does_not_pass(times, verdict):
    failing = [lost(LENET, head="killed by SIGSEGV", number=7 + n) for n in range(times)]
    found = judged([*entries(LENET), *failing])
    assert row(found).verdict is verdict
    if verdict is Verdict.INVALID:
        reason = "6 of 10 pairs were measured; crashed: killed by SIGSEGV"
        assert (row(found).reason, found.exit_code(strict=False)) == (reason, 6)


def disturbed(share, count=10):
    reasons = ["co-running processes used 1.0 cores meanwhile"] * round(share * count) + [""] * round(
        (1 - share) * count
    )
    return {"base": (1.0,) * count, "head": (1.0,) * count, "disturbed": tuple(reasons)}


@pytest.mark.parametrize(("share", "verdict"), [(0.0, Verdict.PASS), (0.2, Verdict.PASS), (0.3, Verdict.INVALID)])
def test_a_case_that_was_disturbed_too_often_is_invalid(share, verdict):
    found = judged([entry(LENET, offset / 100, number=n, **disturbed(share)) for n, offset in enumerate(SPREAD)])
    assert row(found).verdict is verdict
    if verdict is Verdict.INVALID:
        reason = "co-running processes used 1.0 cores meanwhile; 18 of 60 turns were disturbed"
        assert (row(found).reason, found.exit_code(strict=False)) == (reason, 6)


@pytest.mark.parametrize(("share", "told"), [(0.04, []), (0.12, ["36 of 300 turns do not count"])])
def test_turns_that_do_not_count_are_told_where_they_are_many(share, told):
    parts = disturbed(share, 50)
    found = row(judged([entry(LENET, offset, number=n, **parts) for n, offset in enumerate(SPREAD)]))
    assert [text.partition(":")[0] for text in found.noisy] == told


def controls(negative=0.0, positive=0.06):
    return [
        *entries(LENET, negative, control="negative"),
        *entries(OTHER, positive, control="positive", injected=0.06),
    ]


def test_controls_that_say_what_is_known_leave_the_verdicts_alone():
    found = judged(entries(LENET) + entries(OTHER) + controls(), LENET, OTHER)
    assert (found.invalid, found.exit_code(strict=False)) == ("", 0)
    assert [(each.case, each.verdict) for each in found.controls] == [
        (LENET, Verdict.PASS), (OTHER, Verdict.REGRESSED),
    ]  # fmt: skip


@pytest.mark.parametrize("shift", [0.03, -0.03])
def test_base_that_differs_from_itself_makes_the_run_invalid(shift):
    both = entries(LENET, 0.2) + entries(LENET, 0.2, stage=2) + entries(OTHER)
    found = judged(both + controls(negative=shift), LENET, OTHER)
    assert found.invalid.startswith(f"base differs from itself, by {100 * shift:+.1f} % in {LENET}")
    assert {each.verdict for each in found.rows if each.figures} == {Verdict.INVALID}
    assert found.exit_code(strict=False) == 6


def test_a_run_that_misses_what_was_put_in_is_invalid():
    both = entries(LENET) + entries(OTHER)
    found = judged(both + controls(positive=0.0), LENET, OTHER)
    assert found.invalid == "none of 1 slowdowns put in on purpose was seen: a regression would not have been either"
    seen = entries(LENET, 0.06, control="positive", injected=0.06)
    one = judged(both + controls(positive=0.0) + seen, LENET, OTHER)
    assert one.invalid == ""
    assert [each.verdict for each in one.controls if each.measure == POSITIVE] == [Verdict.PASS, Verdict.REGRESSED]


def test_a_slowdown_that_was_put_into_head_is_told():
    found = row(judged(entries(LENET, 0.0, injected=0.05)))
    assert (found.reason, found.noisy) == ("head slowed down by 5 % on purpose", ())


def test_a_shift_of_all_is_one_finding():
    shifted = [each for case in CASES for each in entries(case, 0.04)]
    confirmed = [each for case in CASES for each in entries(case, 0.04, stage=2)]
    found = judged(shifted + confirmed, *CASES)
    assert found.shift == pytest.approx((1.04, 1.04, 1.04))
    assert {each.verdict for each in found.rows} == {Verdict.REGRESSED}


MIB = 2**20


def memory(base, head):
    peaks = [{"peak_bytes": (base + n % 2 * MIB, head + n % 3 * MIB)} for n in range(6)]
    return judged([entry(LENET, offset, number=n, **peaks[n]) for n, offset in enumerate(SPREAD)])


@pytest.mark.parametrize(
    ("base", "head", "verdict"),
    [
        (100 * MIB, 100 * MIB, Verdict.PASS),
        (100 * MIB, 120 * MIB, Verdict.REGRESSED),
        (100 * MIB, 70 * MIB, Verdict.IMPROVED),
        (1 * MIB, 3 * MIB, Verdict.PASS),  # three times as much, and how pages fall
    ],
)
def test_memory_is_judged_by_its_own_rule(base, head, verdict):
    assert row(memory(base, head), measure="memory").verdict is verdict


def compile_time(head):
    seconds = [{"compile_seconds": (10.0 + n % 2, head + n % 3 / 2)} for n in range(6)]
    return judged([entry(LENET, offset, number=n, **seconds[n]) for n, offset in enumerate(SPREAD)])


@pytest.mark.parametrize(("head", "verdict"), [(10.0, Verdict.PASS), (15.0, Verdict.REGRESSED)])
def test_compile_time_is_judged_by_its_own_rule(head, verdict):
    assert row(compile_time(head), measure="compile").verdict is verdict


def run(rng, effects, *, count=6):
    """What both stages call regressed."""
    found = noisy(rng, CASES, effects, count=count) + noisy(rng, CASES, effects, count=count, stage=2)
    look = Judgement(found, terms(*CASES))
    return [case for case in look.candidates() if confirms(look.confirmation.by_case()[case], 0.02, len(CASES))]


@pytest.mark.parametrize("effect", [0.0, 0.02])
def test_the_suites_error_is_held(effect):
    rng = seeded(11)
    alarms = sum(bool(run(rng, dict.fromkeys(CASES, effect))) for _ in range(200))
    assert stats.binomtest(alarms, 200, 0.05, alternative="greater").pvalue > 0.01


def test_what_is_said_to_be_seen_is_seen_four_times_in_five():
    rng, hits = seeded(12), 0
    for _ in range(200):
        printed = row(judged(noisy(rng, CASES, {}), *CASES)).figures.minimum_detectable - 1
        hits += LENET in run(rng, {LENET: printed})
    assert 0.72 <= hits / 200 <= 0.88


def recorded():
    """Log ratios of real pairs of the same code, whole pairs by row; docs/gate-validation.md says how they came."""
    with (DATA / "same_code_pairs.csv").open() as file:
        rows = list(csv.reader(file))
    return rows[0], [[float(value) for value in values] for values in rows[1:]]


def resampled(coin, effects, runs):
    names, pairs = recorded()
    for _ in range(runs):
        found = [
            entry(name, ratio + math.log1p(effects.get(name, 0.0)), stage=stage, number=number)
            for stage in (1, 2)
            for number, ratios in enumerate(coin.choices(pairs, k=6), 1)
            for name, ratio in zip(names, ratios, strict=True)
        ]
        yield judged(found, *names)


def test_the_gate_is_green_on_recorded_pairs_of_the_same_code():
    alarms = sum(found.exit_code(strict=False) == 1 for found in resampled(random.Random(1), {}, 100))
    assert stats.binomtest(alarms, 100, 0.05, alternative="greater").pvalue > 0.01


def test_a_first_runs_minimum_detectable_slowdown_holds_for_recorded_pairs_and_their_long_tails():
    coin, (names, _) = random.Random(3), recorded()
    hits = 0
    for place in range(80):
        case = names[place % len(names)]
        (first,) = resampled(coin, {}, 1)
        (second,) = resampled(coin, {case: row(first, case).figures.minimum_detectable - 1}, 1)
        hits += row(second, case).verdict is Verdict.REGRESSED
    assert stats.binomtest(hits, 80, 0.8).pvalue > 0.01, "four in five; without the tails it were two in three"


def test_the_gate_is_red_on_recorded_pairs_with_one_case_slower():
    names, _ = recorded()
    found = list(resampled(random.Random(2), {names[3]: 0.05}, 100))
    assert sum(row(each, names[3]).verdict is Verdict.REGRESSED for each in found) >= 85
    assert not any(row(each, name).verdict is Verdict.REGRESSED for each in found[:30] for name in names[4:])


def test_a_recorded_run_is_green_and_red_when_its_raw_slices_are_slower():
    _, found = read(DATA / "same_code.jsonl")
    names = dict.fromkeys(each.case for each in found if not each.control)
    green = judged(found, *names)
    assert (green.invalid, green.exit_code(strict=False)) == ("", 0)
    slower = [
        replace(each, pair=replace(each.pair, head=tuple(1.08 * value for value in each.pair.head)))
        if not each.control and each.case == next(iter(names))
        else each
        for each in found
    ]
    assert Judgement(slower, terms(*names)).candidates() == [next(iter(names))]
    fresh = [replace(each, stage=2) for each in slower if not each.control and each.case == next(iter(names))]
    red = judged(slower + fresh, *names)
    assert [each.case for each in red.rows if each.verdict is Verdict.REGRESSED] == [next(iter(names))]
    assert red.exit_code(strict=False) == 1
