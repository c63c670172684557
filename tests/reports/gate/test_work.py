"""Both sides' work held together: what changed, what it explains, and where it decides."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from bench.records.record import COUNTED, Counts
from reports.cli import app
from reports.gate import report, stored, work
from reports.gate.judge import Terms, judge_pairs
from reports.gate.statistics import Verdict
from tests.support.entries import CASES, entries, pair
from tests.support.samples import LENET, measured, write

CASE = CASES[0]
MIB = 2**20
BASE = Counts(
    operators={"aten::convolution": 20, "aten::relu": 17, "aten::t": 1}, flops=1_000_000, bytes=100 * MIB,
    allocations=40, allocated_bytes=50 * MIB,
)  # fmt: skip
HEAD = Counts(
    operators={"aten::convolution": 21, "aten::relu": 17, "aten::t": 3}, flops=1_019_000, bytes=103 * MIB,
    allocations=41, allocated_bytes=51 * MIB,
)  # fmt: skip
UNKNOWN = Counts(reasons=dict.fromkeys(COUNTED, "base: its dlhw is of before there was counting"))


def gate(found, base=BASE, head=HEAD, **parts):
    terms = Terms(tolerances={CASE: 0.02}, confirm=6, counts={CASE: (base, head)}, **parts)
    return judge_pairs(found, terms, base="b", head="h")


def row(found, measure):
    (only,) = (each for each in found.rows if each.measure == measure)
    return only


def undecided():
    return entries(CASE, spread=(0.4, -0.4, 0.3, -0.3, 0.2, -0.2))


def disturbed():
    return [replace(each, pair=pair(0.0, disturbed=("steal", "steal"))) for each in entries(CASE)]


def test_what_changed_is_told_operator_by_operator():
    found = work.amounts((BASE, HEAD))
    assert (
        found.change
        == "+1 aten::convolution, +2 aten::t, +1.9 % FLOPs, +3.00 MiB (+3 %) moved, +1 allocations (+1.00 MiB)"
    )
    assert found.growth == pytest.approx(3 / 38), "operators are what has grown most"
    assert work.amounts((BASE, BASE)).change == ""


def test_less_is_told_too_and_is_no_growth():
    found = work.amounts((HEAD, BASE))
    assert found.growth == 0.0
    assert found.change.startswith("-1 aten::convolution, -2 aten::t, -1.9 % FLOPs, -3.00 MiB (-2.9 %) moved")


def test_of_many_operators_the_most_changed_are_named():
    many = replace(BASE, operators={**BASE.operators, **{f"aten::op{index}": index for index in range(1, 8)}})
    assert work.amounts((BASE, many)).change == (
        "+7 aten::op7, +6 aten::op6, +5 aten::op5, +4 aten::op4, +6 of 3 other operators"
    )


def test_a_graph_break_is_more_work():
    compiled = ({"graphs": 1, "graph_breaks": 0, "kernels": 12}, {"graphs": 2, "graph_breaks": 1, "kernels": 13})
    found = work.amounts((BASE, BASE), compiled)
    assert found.change == "+1 graph, +1 graph break, +1 kernel"
    assert found.growth == float("inf")


@pytest.mark.parametrize(("found", "time"), [(undecided, Verdict.INCONCLUSIVE), (disturbed, Verdict.INVALID)])
def test_more_work_is_a_verdict_where_the_time_says_nothing(found, time):
    judged = gate(found())
    assert row(judged, "time").verdict is time
    assert (row(judged, "work").verdict, row(judged, "work").reason) == (Verdict.MORE_WORK, f"its time is {time}")
    assert judged.exit_code(strict=False) == 3
    assert replace(judged, fail_on_work=True).exit_code(strict=False) == 1
    assert report.headline(judged, strict=False).startswith("MORE_WORK: ")


def test_where_the_time_is_decided_work_explains_and_does_not_judge():
    passed = gate(entries(CASE))
    assert (row(passed, "time").verdict, row(passed, "work").verdict) == (Verdict.PASS, Verdict.PASS)
    assert row(passed, "work").reason == "its time is PASS"
    regressed = gate(entries(CASE, 0.08) + entries(CASE, 0.08, stage=2))
    assert (row(regressed, "time").verdict, row(regressed, "work").verdict) == (Verdict.REGRESSED, Verdict.PASS)
    assert "work: +1 aten::convolution, +2 aten::t, +1.9 % FLOPs" in row(regressed, "time").reason
    same = gate(entries(CASE, 0.08) + entries(CASE, 0.08, stage=2), head=BASE)
    assert row(same, "time").reason.endswith("done otherwise, not more of it")


def test_within_the_tolerance_no_time_is_replaced():
    little = replace(BASE, flops=1_010_000)
    judged = gate(undecided(), head=little)
    assert row(judged, "work").verdict is Verdict.PASS
    assert row(judged, "work").work.change == "+1 % FLOPs"
    assert judged.exit_code(strict=False) == 0


def test_what_base_cannot_count_is_no_row_but_a_reason():
    judged = gate(undecided(), base=UNKNOWN)
    assert [each.measure for each in judged.rows] == ["time"]
    assert judged.notes == (f"work of 1 case, {CASE} for one: base: its dlhw is of before there was counting",)


def test_what_was_compiled_comes_from_the_pairs():
    made = ({"graphs": 1, "graph_breaks": 0, "kernels": 4}, {"graphs": 1, "graph_breaks": 0, "kernels": 6})
    found = [replace(each, pair=replace(each.pair, compiled=made)) for each in entries(CASE)]
    assert row(gate(found, head=BASE), "work").work.change == "+2 kernels"


def test_an_ended_run_says_nothing_of_times_and_all_of_work():
    judged = gate(entries(CASE, 0.3, spread=(0.0, 0.4, -0.4)), ended="too loud")
    assert (row(judged, "time").verdict, row(judged, "work").verdict) == (Verdict.INCONCLUSIVE, Verdict.MORE_WORK)
    same = gate(entries(CASE)[:3], ended="too loud", base=UNKNOWN)
    assert (same.exit_code(strict=False), same.exit_code(strict=True)) == (0, 3)
    assert report.messages(same, strict=False)[:2] == ["INCONCLUSIVE: 1 INCONCLUSIVE", "too loud"]


def test_in_every_form():
    judged = gate(disturbed())
    (cells,) = report.text(judged).query("measure == 'work'").to_numpy().tolist()
    assert cells[:2] == ["MORE_WORK", CASE]
    assert cells[3].startswith("+1 aten::convolution")
    (told,) = (each for each in report.document(judged, strict=False)["rows"] if each["measure"] == "work")
    assert told["work"]["head"]["operators"]["aten::convolution"] == 21
    assert told["figures"] is None
    assert "| MORE_WORK |" in report.markdown(judged, strict=False)
    assert "MORE_WORK" in report.certain(judged)
    assert any(line.startswith("::error title=MORE_WORK") for line in report.github(judged))


def test_stored_results_tell_of_work_even_with_a_single_launch(tmp_path):
    base = write(tmp_path / "base.json", measured(LENET, counts=BASE))
    head = write(tmp_path / "head.json", measured(LENET, counts=HEAD))
    found = stored.judged(base, head)
    assert {each.measure: each.verdict for each in found.rows} == {
        "time": Verdict.INCOMPARABLE, "work": Verdict.MORE_WORK,
    }  # fmt: skip
    for arguments, code in (([], 3), (["--work", "fail"], 1)):
        done = CliRunner().invoke(app, ["gate", str(head), "--baseline", str(base), *arguments])
        assert done.exit_code == code
    older = stored.judged(write(tmp_path / "older.json", measured(LENET)), head)
    assert older.notes == (f"work of 1 case, {LENET.id} for one: {stored.UNCOUNTED}",)


def test_on_the_disk_it_is_work(tmp_path):
    data = json.loads(write(tmp_path / "r.json", measured(LENET, counts=BASE)).read_text())
    assert data["benchmarks"][0]["extra_info"]["work"]["operators"] == BASE.operators
