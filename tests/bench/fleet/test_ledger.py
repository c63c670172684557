"""The fleet's journal: what was done is known after whatever ended the controller."""

import json

import pytest

from bench.fleet import ledger, publish
from bench.fleet.ledger import Attempt, End, Ledger
from suites.case import Case
from suites.errors import DlhwError
from tests.support.samples import measured


@pytest.fixture
def begun(tmp_path):
    book = Ledger(tmp_path)
    book.begin({"arguments": ["--suite", "smoke"]})
    yield book
    book.close()


def tried(book, number, block, node="a", end=End.DONE, team="a", reason=""):
    attempt = Attempt(number, block, node, team)
    book.started(attempt)
    if end is not None:
        attempt.end, attempt.reason, attempt.seconds = end, reason, 1.5
        book.ended(attempt)
    return attempt


def test_what_was_written_is_read(begun, tmp_path):
    expected = [tried(begun, 1, "x"), tried(begun, 2, "y", end=End.LOST, reason="gone"), tried(begun, 3, "y", end=None)]
    found = ledger.read(tmp_path)
    assert list(found.attempts.values()) == expected
    assert found.done("a") == {"x"}
    assert found.unfinished("a", "y").number == 3
    assert found.unfinished("a", "x") is None
    assert found.unfinished("b", "y") is None


def test_a_torn_line_is_passed_over(begun, tmp_path):
    tried(begun, 1, "x")
    with (tmp_path / "fleet.jsonl").open("ab") as file:
        file.write(b'{"kind": "started", "att')
    assert ledger.read(tmp_path).done("a") == {"x"}
    begun.close()
    again = Ledger(tmp_path)  # the controller that resumes: its first line is no part of the torn one
    tried(again, 2, "y")
    again.close()
    assert ledger.read(tmp_path).done("a") == {"x", "y"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no journal of a fleet"),
        ('{"kind": "header"}\n', "no journal of a fleet"),
        ('{"kind": "fleet", "schema": 99}\n', "written by a later dlhw (schema 99"),
        (None, "no fleet has run in this folder"),
    ],
)
def test_what_is_no_journal_of_a_fleet_is_told(text, reason, tmp_path):
    if text is not None:
        (tmp_path / "fleet.jsonl").write_text(text)
    with pytest.raises(DlhwError, match=reason.replace("(", r"\(")):
        ledger.read(tmp_path)


def test_two_fleets_in_one_folder(begun, tmp_path):
    with pytest.raises(DlhwError, match="another fleet runs in this folder"):
        Ledger(tmp_path)


def header(plan):
    return json.dumps({"kind": "header", "key": {"fingerprint": "f"}, "plan": plan, "schema": 1})


def record(case_id):
    return json.dumps({"kind": "record", "node_id": "n", "record": measured(Case.parse(case_id)).to_json()})


CASE = "lenet-training-b{}-fp32-contiguous-eager-cpu-t2"


def test_a_block_that_ran_twice_counts_once(begun, tmp_path):
    for number in (1, 2):
        tried(begun, number, "lenet-training", node="ab"[number - 1], team="kind")
        for line in (header([CASE.format(number)]), record(CASE.format(number))):
            begun.keep(number, line)
    (path,) = publish.write(tmp_path)
    assert path.name == "a.journal.jsonl"
    assert path.read_text().splitlines() == [header([CASE.format(1)]), record(CASE.format(1))]


def test_what_a_lost_node_has_of_a_block_does_not_count(begun, tmp_path):
    tried(begun, 1, "lenet-training", node="a", team="kind", end=End.LOST)
    begun.keep(1, record(CASE.format(1)))
    tried(begun, 2, "lenet-training", node="b", team="kind")
    begun.keep(2, record(CASE.format(1)))
    assert [path.name for path in publish.write(tmp_path)] == ["b.journal.jsonl"]


def test_blocks_that_nobody_measured_are_rows_with_the_reason(begun, tmp_path):
    case = measured(Case.parse(CASE.format(8))).case
    begun.plan("a", {"cases": [{"id": CASE.format(8), "case": case, "seconds": 1.0}]})
    tried(begun, 1, "other", team="a")
    begun.keep(1, header([]))
    (path,) = publish.write(tmp_path, {"a": {"lenet-training": "a: the node was lost"}})
    last = json.loads(path.read_text().splitlines()[-1])["record"]
    assert last["id"] == CASE.format(8)
    assert last["outcome"] == {"status": "skipped", "reason": "no node has measured it: a: the node was lost"}
