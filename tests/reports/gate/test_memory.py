"""Memory in bytes, and what is certain though times are not: verdicts, exit codes, and the same word everywhere."""

import json
from xml.etree import ElementTree

import pytest
from scipy import stats

from bench.records.record import Status
from reports.gate import report
from reports.gate.judge import Terms, judge_pairs
from reports.gate.memory import PAGES_BYTES, RATIO_FROM_BYTES, paired_rows, unpaired_rows
from reports.gate.statistics import Verdict
from reports.gate.verdicts import Gate, Row, in_order
from reports.page import figures_gate
from suites import units
from tests.support.entries import CASES, SPREAD, entries, entry, lost

LENET, OTHER, THIRD = CASES[:3]
MIB = 2**20


def with_peaks(case, base, head):
    """Six pairs; base and head in MiB, a number or six of them."""
    bases, heads = (value if isinstance(value, list) else [value] * 6 for value in (base, head))
    return [
        entry(case, offset, number=n, peak_bytes=(int(bases[n] * MIB), int(heads[n] * MIB)))
        for n, offset in enumerate(SPREAD)
    ]


def judged(found, *cases, tolerance=0.02):
    return judge_pairs(found, Terms(tolerances=dict.fromkeys(cases or (LENET,), tolerance), confirm=6),
                       base="b", head="h")  # fmt: skip


def memory(found, case=LENET):
    (only,) = (each for each in found.rows if (each.case, each.measure) == (case, "memory"))
    return only


def cells(row):
    (found,) = report.text(Gate((row,), None, 0.02, "", "", "")).to_dict("records")
    return found


@pytest.mark.parametrize(
    ("base", "head", "verdict", "told"),
    [
        (0.05, 0.45, Verdict.PASS, "+0.4 MiB [+0.4, +0.4]"),  # nine times as much, and nothing
        (0, 0, Verdict.PASS, "+0.0 MiB [+0.0, +0.0]"),
        (0, 32, Verdict.REGRESSED, "+32.0 MiB [+32.0, +32.0]"),
        (2, 34, Verdict.REGRESSED, "+32.0 MiB [+32.0, +32.0]"),
        (30, 2, Verdict.IMPROVED, "-28.0 MiB [-28.0, -28.0]"),
        (39, 39, Verdict.PASS, "+0.0 MiB [+0.0, +0.0]"),
        (40, 42, Verdict.PASS, "+2.0 MiB [+2.0, +2.0], +5.0%"),
        (100, 103.9, Verdict.PASS, "+3.9 MiB [+3.9, +3.9], +3.9%"),  # within 4 MiB
        (100, 104.1, Verdict.REGRESSED, "+4.1 MiB [+4.1, +4.1], +4.1%"),
        (1000, 1019, Verdict.PASS, "+19.0 MiB [+19.0, +19.0], +1.9%"),  # within 2 %
        (1000, 1021, Verdict.REGRESSED, "+21.0 MiB [+21.0, +21.0], +2.1%"),
        (20_480, 40_960, Verdict.REGRESSED, "+20.0 GiB [+20.0, +20.0], +100.0%"),
    ],
)
def test_memory_is_told_in_bytes_and_over_a_base_that_is_enough_as_a_ratio(base, head, verdict, told):
    row = memory(judged(with_peaks(LENET, base, head)))
    assert (row.verdict, cells(row)["head over base"]) == (verdict, told)
    assert (row.figures is None) == (base * MIB < RATIO_FROM_BYTES)


def test_the_interval_is_students_in_bytes():
    base, head = [1, 2, 1, 3, 2, 1], [2.5, 2.0, 1.5, 3.0, 4.0, 1.0]
    row = memory(judged(with_peaks(LENET, base, head)))
    differences = [(after - before) * MIB for before, after in zip(base, head, strict=True)]
    half = stats.t.ppf(0.975, 5) * stats.sem(differences)
    assert row.bytes.difference == pytest.approx(sum(differences) / 6)
    assert (row.bytes.low, row.bytes.high) == pytest.approx(
        (row.bytes.difference - half, row.bytes.difference + half)
    )  # fmt: skip
    assert row.bytes.p == pytest.approx(stats.ttest_1samp(differences, PAGES_BYTES, alternative="greater").pvalue)
    assert (row.bytes.base, row.bytes.tolerance) == (pytest.approx(10 / 6 * MIB), PAGES_BYTES)
    assert row.bytes.minimum_detectable > PAGES_BYTES
    assert cells(row)["MDE"] == f"+{row.bytes.minimum_detectable / MIB:.1f} MiB"


def test_a_ratio_is_of_the_same_bytes():
    row = memory(judged(with_peaks(LENET, [100, 101, 99, 100, 102, 98], [150, 151, 149, 150, 152, 149])))
    assert row.figures.ratio == pytest.approx(1 + row.bytes.difference / row.bytes.base)
    assert row.figures.low == pytest.approx(1 + row.bytes.low / row.bytes.base)
    assert row.figures.p == row.bytes.p
    assert row.tolerance == pytest.approx(0.04)


def test_what_varies_too_much_is_inconclusive():
    wild = [1, 30, 2, 25, 4, 18]
    assert memory(judged(with_peaks(LENET, wild, wild[::-1]))).verdict is Verdict.INCONCLUSIVE


def test_fewer_than_three_peaks_are_no_row():
    found = judged([*with_peaks(LENET, 1, 2)[:2], *entries(LENET)[2:]])
    assert [row.measure for row in found.rows] == ["time"]
    assert paired_rows({}, {}) == unpaired_rows({}, {}) == []


def test_launches_are_held_together_by_welchs_test():
    base, head = [1e6, 2e6, 3e6], [2e6, 3e6, 2.5e6, 3e6]
    (row,) = unpaired_rows({"x": (base, head)}, {"x": 0.02})
    theirs = stats.ttest_ind(head, base, equal_var=False)
    assert (row.bytes.low, row.bytes.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert (row.verdict, row.figures, row.bytes.launches) == (Verdict.PASS, None, (3, 4))


def test_the_largest_comes_first_whether_it_has_a_ratio_or_not():
    found = judged([*with_peaks(LENET, 0, 10), *with_peaks(OTHER, 0, 30), *with_peaks(THIRD, 0, 20)],
                   LENET, OTHER, THIRD)  # fmt: skip
    assert [row.case for row in in_order(found.rows) if row.measure == "memory"] == [OTHER, THIRD, LENET]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0.4 * MIB,), "+0.4 MiB"), ((-0.01 * MIB, -0.2 * MIB, 0.2 * MIB), "+0.0 MiB [-0.2, +0.2]"),
        ((1500 * MIB,), "+1,500.0 MiB"), ((-12 * 2**30, -13 * 2**30, -11 * 2**30), "-12.0 GiB [-13.0, -11.0]"),
    ],
)  # fmt: skip
def test_differences_of_bytes_have_a_sign_and_one_unit(values, text):
    assert units.more_octets(*values) == text


DISTURBED = {"base": (1.0,) * 4, "head": (1.0,) * 4, "disturbed": ("stolen",) * 4}


def disturbed(case, base, head):
    peaks = (base * MIB, head * MIB)
    return [entry(case, number=n, **DISTURBED, peak_bytes=peaks) for n in range(1, 7)]


def failed_controls():
    """Base that differs from itself."""
    return entries(LENET, 0.03, control="negative")


def compiled(seconds):
    return [entry(LENET, offset, number=n, compile_seconds=seconds) for n, offset in enumerate(SPREAD)]


GONE = lost(OTHER, head="not in head's suite", status=Status.SKIPPED)
RUNS = {
    "a disturbed case takes 32 MiB more": (disturbed(LENET, 8, 40), (LENET,), 1),
    "another case takes 32 MiB more": ([*disturbed(LENET, 8, 8), *with_peaks(OTHER, 8, 40)], (LENET, OTHER), 1),
    "the controls failed, 32 MiB more": ([*with_peaks(LENET, 8, 40), *failed_controls()], (LENET,), 1),
    "the controls failed, a case is missing": ([*entries(LENET), *failed_controls(), GONE], (LENET, OTHER), 1),
    "a disturbed case, another is missing": ([*disturbed(LENET, 8, 8), GONE], (LENET, OTHER), 1),
    "a disturbed case, another is surely slower": (
        [*disturbed(LENET, 8, 8), *entries(OTHER, 0.1), *entries(OTHER, 0.1, stage=2)], (LENET, OTHER), 1,
    ),
    "a disturbed case of the same memory": (disturbed(LENET, 8, 9), (LENET,), 6),
    "the controls failed, less memory": ([*with_peaks(LENET, 40, 8), *failed_controls()], (LENET,), 6),
    "the controls failed, slower": (
        [*entries(LENET, 0.2), *entries(LENET, 0.2, stage=2), *failed_controls()], (LENET,), 6,
    ),
    "the controls failed, compiles longer": ([*compiled((10.0, 20.0)), *failed_controls()], (LENET,), 6),
    "no case is old": ([lost(LENET, base="x"), *failed_controls()], (LENET,), 6),
    "compiles longer": (compiled((10.0, 20.0)), (LENET,), 1),
}  # fmt: skip


@pytest.mark.parametrize(("found", "cases", "code"), RUNS.values(), ids=RUNS)
def test_what_is_certain_decides_and_what_rests_on_invalid_times_does_not(found, cases, code, tmp_path):
    gate = judged(found, *cases)
    assert (gate.exit_code(strict=False), gate.exit_code(strict=True)) == (code, code)
    word = {1: "REGRESSED", 6: "INVALID"}[code]
    document = report.document(gate, strict=False)
    assert (document["verdict"], document["exit_code"]) == (word, code)
    assert report.markdown(gate, strict=False).startswith(f"## dlhw gate: {word}: ")
    suite = ElementTree.fromstring(report.junit(gate))
    verdicts = [row.verdict for row in gate.rows]
    assert int(suite.get("failures")) == sum(verdict in report.FAILURES for verdict in verdicts)
    path = tmp_path / "gate.json"
    path.write_text(json.dumps(document))
    assert figures_gate.load(path).verdict.startswith(f"{word}: ")


@pytest.mark.parametrize("name", ["the controls failed, slower", "the controls failed, compiles longer"])
def test_times_of_an_invalid_run_are_all_invalid(name):
    found, cases, _ = RUNS[name]
    assert {row.verdict for row in judged(found, *cases).rows if row.measure != "memory"} == {Verdict.INVALID}


def test_what_decides_is_said_beside_why_times_are_invalid(tmp_path):
    found, cases, _ = RUNS["the controls failed, 32 MiB more"]
    gate = judged(found, *cases)
    certain = f"Certain, though times are INVALID: REGRESSED {LENET} memory +32.0 MiB [+32.0, +32.0]"
    said = report.messages(gate, strict=False)
    assert said[0] == "REGRESSED: 1 REGRESSED, 1 INVALID"
    assert said[1].startswith("base differs from itself")
    assert said[2] == certain
    assert f"- {certain}" in report.markdown(gate, strict=False)
    assert report.github(gate)[0].startswith(f"::error title=REGRESSED {LENET}::memory +32.0 MiB [+32.0, +32.0] ")
    (tmp_path / "gate.json").write_text(json.dumps(report.document(gate, strict=False)))
    first, *_ = figures_gate.figures([figures_gate.load(tmp_path / "gate.json")])
    assert f"Certain, though times are INVALID: {LENET} memory REGRESSED." in first.finding


def test_a_missing_case_is_certain_without_figures():
    found, cases, _ = RUNS["a disturbed case, another is missing"]
    assert report.certain(judged(found, *cases)) == f"Certain, though times are INVALID: MISSING {OTHER} time"


@pytest.mark.parametrize("name", ["a disturbed case of the same memory", "compiles longer"])
def test_where_all_is_valid_or_nothing_decides_there_is_nothing_to_say(name):
    found, cases, _ = RUNS[name]
    assert report.certain(judged(found, *cases)) == ""


def test_a_row_of_bytes_alone_is_a_comparison():
    (row,) = paired_rows({LENET: ([0, 0, 0], [1, 2, 3])}, {LENET: 0.02})
    assert Gate((row,), None, 0.02, "", "", "").exit_code(strict=True) == 0
    assert Gate((Row(LENET, "time", Verdict.NEW),), None, 0.02, "", "", "").exit_code(strict=True) == 5


def test_many_that_are_certain_are_counted():
    rows = [Row(f"case{n}", "time", Verdict.MISSING, reason="x") for n in range(7)]
    gate = Gate((*rows, Row("y", "time", Verdict.INVALID, reason="z")), None, 0.02, "", "", "")
    assert report.certain(gate).endswith("MISSING case4 time; 2 more")


def test_scripts_get_bytes_and_no_ratio_where_none_says_anything():
    gate = judged([*with_peaks(LENET, 0.05, 0.45), *with_peaks(OTHER, 100, 120)], LENET, OTHER)
    rows = {(row["case"], row["measure"]): row for row in report.document(gate, strict=False)["rows"]}
    small, large, time_ = (rows[key] for key in ((LENET, "memory"), (OTHER, "memory"), (LENET, "time")))
    keys = ["verdict", "ratio", "low", "high", "p", "launches", "seen"]
    assert all(sorted(row["figures"]) == sorted(keys) for row in (small, large, time_))
    assert [small["figures"][name] for name in ("ratio", "low", "high", "seen")] == [None] * 4
    assert (small["figures"]["verdict"], small["figures"]["launches"]) == ("PASS", [6, 6])
    assert small["bytes"] == {
        "difference": small["bytes"]["high"], "low": small["bytes"]["high"], "high": pytest.approx(0.4 * MIB, abs=1),
        "p": 1.0, "base": int(0.05 * MIB), "tolerance": 4 * MIB, "launches": [6, 6], "seen": 4 * MIB,
    }  # fmt: skip
    assert large["figures"]["ratio"] == pytest.approx(1.2)
    assert time_["bytes"] is None


def test_the_page_draws_bytes(tmp_path):
    gate = judged([*with_peaks(LENET, 0.05, 0.45), *with_peaks(OTHER, 100, 120)], LENET, OTHER)
    (tmp_path / "gate.json").write_text(json.dumps(report.document(gate, strict=False)))
    time_, drawn, _ = figures_gate.figures([figures_gate.load(tmp_path / "gate.json")])
    assert (drawn.id, drawn.question) == ("gate-1-memory", "Does head take more memory? (gate.json)")
    points = {trace.name: dict(zip(trace.y, trace.x, strict=True)) for trace in drawn.plot.data}
    assert points["REGRESSED"] == {OTHER: 20 * MIB}
    assert points["PASS"] == {LENET: pytest.approx(0.4 * MIB, abs=1)}
    assert points["minimum detectable"] == {LENET: 4 * MIB, OTHER: 4 * MIB}
    table = time_.data[time_.data["measure"] == "memory"].set_index("case")
    assert table["change"].isna()[LENET]
    assert table["change"][OTHER] == pytest.approx(20.0)
