"""Files that were written before the code had rooms are read as ever; each was made by a real run of that code."""

import json
import shutil
import statistics

import pytest

from bench.gate.journal import GateJournal
from bench.records.journal import launched, read, reusable
from bench.records.pair import Entry
from bench.records.record import Status
from reports.gate.judge import Terms, judge_pairs
from reports.gate.plan import Plan
from reports.gate.report import document
from reports.page import figures_gate
from reports.results.frames import load, records
from reports.results.recover import recover
from tests.support.runner import ROOT

FOLDER = ROOT / "tests" / "data" / "before_rooms"


@pytest.fixture(scope="module")
def results():
    return json.loads((FOLDER / "sweep.json").read_text())


def test_results_are_read(results):
    found = {record.id: record for record in records(results)}
    assert {status: sum(record.outcome.status is status for record in found.values()) for status in Status} == {
        **dict.fromkeys(Status, 0), Status.MEASURED: 5, Status.SKIPPED: 4,
    }  # fmt: skip
    assert all(len(record.sampling.launches) == 2 for record in found.values() if record.sampling)
    frame = load([FOLDER / "sweep.json"]).set_index("id")
    assert set(frame.index) == set(found)
    for benchmark in results["benchmarks"]:
        row, launches = frame.loc[benchmark["param"]], benchmark["extra_info"]["sampling"]["launches"]
        assert row["median_seconds"] == statistics.median(launch["median_seconds"] for launch in launches)


def test_a_journal_is_recovered_and_gone_on_with(results):
    recovered, warnings = recover(FOLDER / "sweep.jsonl")
    assert not warnings
    assert [each["param"] for each in recovered["benchmarks"]] == [each["param"] for each in results["benchmarks"]]
    assert [each["stats"]["data"] for each in recovered["benchmarks"]] == [
        each["stats"]["data"] for each in results["benchmarks"]
    ]
    runs, damaged = read(FOLDER / "sweep.jsonl")
    assert damaged == 0
    key = runs[0].header["key"]
    assert len(reusable(runs, key)) == 9
    assert {len(found) for found in launched(runs, key).values()} == {1}


def test_a_gate_is_shown():
    file = figures_gate.load(FOLDER / "gate.json")
    assert file.verdict == "PASS: 4 PASS"
    assert file.rows["smallest_seen"].gt(2).all()


def test_a_gates_journal_is_gone_on_with(tmp_path):
    path = tmp_path / "gate.jsonl"
    shutil.copy(FOLDER / "gate.jsonl", path)
    with GateJournal(path, {"pairs": None, "detect": None}, resume=True) as journal:
        plan = Plan.from_json(journal.taken["plan"])
    assert (plan.pairs, plan.confirm, len(plan.minimum_detectable)) == (6, 6, 2)
    assert plan.to_json() == journal.taken["plan"]
    assert len(journal.entries) == 6


def _told(row):
    """Without what was added since, and without the MDE, which long tails have made larger."""
    figures = {name: value for name, value in row["figures"].items() if name != "seen"}
    return {name: value for name, value in row.items() if name not in {"bytes", "work"}} | {"figures": figures}


def test_a_gate_written_today_has_the_same_keys():
    before = json.loads((FOLDER / "gate.json").read_text())
    cases = list(dict.fromkeys(row["case"] for row in before["rows"]))
    entries = [Entry.from_json(entry) for entry in before["entries"]]
    gate = judge_pairs(
        entries, Terms(tolerances=dict.fromkeys(cases, 0.02), confirm=6), base="abc base", head="def head"
    )
    now = json.loads(json.dumps(document(gate, strict=False)))
    assert now.keys() == before.keys() | {"ended"}
    assert {tuple(row) for row in now["rows"]} == {(*row, "bytes", "work") for row in before["rows"]}
    figures = {frozenset(row["figures"]) for row in [*now["rows"], *before["rows"]]}
    assert len(figures) == 1
    old, new = ([_told(row) for row in rows["rows"] if row["measure"] == "time"] for rows in (before, now))
    assert new == old
    for row in now["rows"]:  # these nets take next to nothing, and were told to take some percent of it more
        if row["measure"] == "memory":
            assert (row["verdict"], row["figures"]["ratio"], row["tolerance"]) == ("PASS", None, None)
            assert abs(row["bytes"]["difference"]) < 4 * 2**20
