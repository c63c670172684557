"""Planning a gate: pairs from noise, time or the slowdown to be seen; and the noise that is remembered."""

import math
import statistics

import pytest

from reports.gate import plan as module
from reports.gate.paired import planned
from reports.gate.plan import ASSUMED_SD, Noise, confirming, keep, kept, learnt, plan
from suites.errors import DlhwError
from tests.support.entries import CASES, SPREAD, entries, entry

TOLERANCES = dict.fromkeys(CASES, 0.02)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def known(sd, seconds=1.0):
    return dict.fromkeys(CASES, Noise(sd, 30, seconds))


def test_without_knowledge_it_says_what_it_assumes():
    found = plan(TOLERANCES, {}, controls=6)
    assert (found.pairs, found.confirm, found.known) == (6, 6, 0)
    assert set(found.minimum_detectable.values()) == {planned(6, ASSUMED_SD, 0.02, 8)}
    assert "none yet; 1.5 % assumed" in found.sentence()
    seconds = module.START_SECONDS + 14 * module.PLAY_SECONDS
    assert found.seconds == pytest.approx(6 * seconds)


def test_what_is_known_shortens_or_lengthens_it():
    found = plan(TOLERANCES, known(0.005, seconds=0.5), controls=0)
    assert found.seconds == pytest.approx(6 * (module.START_SECONDS + 8 * 0.5))
    assert found.known == 8
    assert max(found.minimum_detectable.values()) < planned(6, ASSUMED_SD, 0.02, 8)


def test_detect_takes_as_many_pairs_as_the_noisiest_case_needs():
    noise = known(0.005) | {CASES[3]: Noise(0.02, 30, 1.0)}
    found = plan(TOLERANCES, noise, controls=0, detect=0.04)
    assert found.minimum_detectable[CASES[3]] <= 1.04 < planned(found.pairs - 1, 0.02, 0.02, 8)


def test_a_slowdown_that_cannot_be_detected_is_told_before_anything_runs():
    with pytest.raises(DlhwError, match=r"--detect 3%: .*-b8-.* differs by 20.0 % .* more than 60 pairs"):
        plan(TOLERANCES, known(0.005) | {CASES[3]: Noise(0.2, 30, 1.0)}, controls=0, detect=0.03)
    with pytest.raises(DlhwError, match="--detect 2%"):
        plan(TOLERANCES, known(0.005), controls=0, detect=0.02)


def test_a_budget_buys_pairs_and_keeps_a_quarter_for_confirming():
    found = plan(TOLERANCES, known(0.01), controls=0, budget_seconds=600.0)
    assert found.pairs == math.floor(0.75 * 600 / 13)
    assert found.seconds <= 450


def test_a_budget_that_buys_too_little_says_what_is_needed():
    with pytest.raises(DlhwError, match=r"--budget 30 s: a pair of all cases takes about 13 s, .* at least 1 min 10 s"):
        plan(TOLERANCES, known(0.01), controls=0, budget_seconds=30.0)


def test_what_is_put_in_exceeds_what_is_seen_and_twice_the_tolerance():
    assert plan(TOLERANCES, known(0.0001), controls=6).injected == pytest.approx(0.04)
    noisy = plan(TOLERANCES, known(0.03), controls=6)
    assert noisy.injected == pytest.approx(1.5 * (statistics.median(noisy.minimum_detectable.values()) - 1))


def test_a_run_is_learnt_from_and_remembered():
    case = CASES[0]
    keep(entries(case, 0.3), "f00d")  # a regression is no noise
    sd = statistics.stdev(SPREAD)
    assert kept("f00d")[case] == Noise(pytest.approx(sd), 5, 1.5)
    keep(entries(case, spread=[3 * offset for offset in SPREAD]), "f00d")
    assert kept("f00d")[case] == Noise(pytest.approx(sd * math.sqrt((1 + 9) / 2)), 10, 1.5)
    assert kept("beef") == {}


def test_controls_tell_of_noise_too_and_confirmation_does_not():
    case = CASES[0]
    both = entries(case) + entries(case, 0.06, control="positive")
    assert learnt(both) == Noise(pytest.approx(statistics.stdev(SPREAD)), 10, 1.5)
    keep([*entries(case), *entries(case, spread=[99.0, -99.0, 0.0], stage=2)], "f00d")
    assert kept("f00d")[case].sd == pytest.approx(statistics.stdev(SPREAD))
    assert learnt([entry(case)]) is None


def test_long_ago_fades():
    case = CASES[0]
    for _ in range(40):
        keep(entries(case), "f00d")
    assert kept("f00d")[case].pairs <= module.MOST_REMEMBERED
    for _ in range(40):
        keep(entries(case, spread=[10 * offset for offset in SPREAD]), "f00d")
    assert kept("f00d")[case].sd == pytest.approx(10 * statistics.stdev(SPREAD), rel=0.02)


@pytest.mark.parametrize("content", ["{", "[1]", '{"a": {"sd": "x"}}', '{"a": 1}'])
def test_damaged_memory_is_one_clear_error(cache, content):
    path = cache / "dlhw" / "noise" / "f00d.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(DlhwError, match=r"f00d\.json: damaged; delete it"):
        kept("f00d")


def test_candidates_get_as_many_fresh_pairs_as_their_noise_asks_for():
    assert confirming([(0.005, 0.02)], 6, 8) == 6
    assert 6 < confirming([(0.016, 0.02), (0.005, 0.02)], 6, 8) < 12
    assert confirming([(0.3, 0.02)], 6, 8) == 12
    assert confirming([(0.3, 0.0)], 6, 8) == 12
