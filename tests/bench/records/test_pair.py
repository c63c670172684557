"""The format of a pair: what its ratio is a function of, and that it survives being written."""

import json
import math

import pytest

from bench.records.pair import Entry, Pair
from bench.records.record import Outcome, Status
from tests.support.entries import ENTRY


def turns(base, head, disturbed=None):
    return Pair(base=tuple(base), head=tuple(head), disturbed=tuple(disturbed or [""] * len(base)))


def test_the_ratio_is_the_median_over_blocks_of_two_turns():
    found = turns([1, 1, 1, 1, 1, 1], [2, 2, 8, 2, 4, 4])
    assert found.log_ratio == pytest.approx(math.log(4))  # of blocks 2, 4 and 4


def test_who_finds_warm_caches_drops_out():
    # A B B A: the second of two slices of one process in a row takes 1, any other 1.5; head takes 10 % more.
    base = [1.5, 1.5, 1.0, 1.5, 1.0, 1.5]
    head = [1.1 * value for value in (1.5, 1.0, 1.5, 1.0, 1.5, 1.0)]
    assert turns(base[2:], head[2:]).log_ratio == pytest.approx(math.log(1.1))


def test_a_turn_that_was_disturbed_takes_its_block_along():
    found = turns([1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 9, 2], ["", "", "", "", "stolen", ""])
    assert found.log_ratio == 0.0


@pytest.mark.parametrize(("disturbed", "known"), [(2, True), (3, False), (4, False)])
def test_with_half_of_the_blocks_disturbed_there_is_no_ratio(disturbed, known):
    reasons = ["stolen"] * (2 * disturbed - 1) + [""] * (9 - 2 * disturbed + 2)
    found = turns([1] * 10, [1] * 10, reasons)
    assert (found.log_ratio is not None) == known


def test_no_turns_no_ratio():
    assert Pair(outcomes=(None, Outcome(Status.CRASHED, "x"))).log_ratio is None


def test_an_entry_survives_being_written():
    assert Entry.from_json(json.loads(json.dumps(ENTRY.to_json()))) == ENTRY


@pytest.mark.parametrize(
    "damage",
    [
        {"pair": None}, {"stage": ...}, {"pair": {**ENTRY.to_json()["pair"], "head": [0.3]}},
        {"pair": {**ENTRY.to_json()["pair"], "head": [0.3, 0.0]}},
        {"pair": {**ENTRY.to_json()["pair"], "outcomes": [None, {"status": "odd", "reason": ""}]}},
    ],
    ids=["no pair", "no stage", "turns do not match", "no time", "no such status"],
)  # fmt: skip
def test_a_damaged_entry_is_refused(damage):
    data = {key: value for key, value in {**ENTRY.to_json(), **damage}.items() if value is not ...}
    with pytest.raises((LookupError, TypeError, ValueError)):
        Entry.from_json(data)
