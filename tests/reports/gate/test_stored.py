"""The gate over stored results: its error rates, its verdicts, its words and exit codes."""

import json
import math
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from bench.records.record import Launch, Sampling
from reports.cli import app
from reports.gate import report, stored
from reports.gate.statistics import (
    Difference,
    Verdict,
    common_shift,
    difference,
    holm,
    judge,
    minimum_detectable,
    upper_p,
)
from tests.support.samples import LENET, ended, measured, results

QUIET = (1.0, 1.001, 0.999, 1.0005, 0.9995)


def record(medians, case=LENET, *, peaks=None, noisy=()):
    """A case whose launches have these medians, in milliseconds, and peaks."""
    launches = [
        Launch(
            samples=7, warmup_steps=1, steady=True, median_seconds=median / 1000,
            peak_bytes=(peaks[index] if peaks else 10**8),
        )
        for index, median in enumerate(medians)
    ]  # fmt: skip
    seconds = tuple(median / 1000 for median in medians for _ in range(7))
    sampling = Sampling(launches=tuple(launches), steps_per_sample=1, stop_reason="precision", noisy=noisy)
    return measured(case, seconds, sampling=sampling)


def case(batch_size):
    return replace(LENET, batch_size=batch_size)


@pytest.fixture
def gate(tmp_path):
    """Judges two lists of records; `changes` to the head's file."""

    def gate(base, head, **changes):
        for name, records in (("base.json", base), ("head.json", head)):
            data = results(*records)
            if name == "head.json":
                data["dlhw"] |= changes
            (tmp_path / name).write_text(json.dumps(data))
        return stored.judged(tmp_path / "base.json", tmp_path / "head.json")

    return gate


def times(found):
    return [row for row in found.rows if row.measure == "time"]


def test_a_difference_is_welchs():
    rng = np.random.default_rng(1)
    base, head = rng.lognormal(0, 0.02, 5), rng.lognormal(0.03, 0.05, 7)
    found = difference(list(base), list(head))
    theirs = stats.ttest_ind(np.log(head), np.log(base), equal_var=False, alternative="greater")
    assert found.mean == pytest.approx(np.log(head).mean() - np.log(base).mean())
    assert upper_p(found, 0.0) == pytest.approx(theirs.pvalue)
    assert found.freedom == pytest.approx(theirs.df)
    assert found.launches == (5, 7)


def test_holm_is_scipys_bonferroni_stepwise():
    assert holm([0.001, 0.04, 0.03, 0.2]) == [True, False, False, False]
    assert holm([0.01, 0.011, 0.02, 0.04]) == [True, True, True, True]
    assert holm([0.06]) == [False]
    assert holm([]) == []


def suites(effect, *, count, cases=8, launches=5, spread=0.01, slowed=0):
    """For each of many suites, which cases are called regressed; `slowed` of them are slower by `effect`."""
    rng = np.random.default_rng(7)
    for _ in range(count):
        p_values = []
        for index in range(cases):
            base, head = rng.lognormal(0, spread, launches), rng.lognormal(0, spread, launches)
            shift = 1 + effect if index < slowed else 1.0
            p_values.append(upper_p(difference(list(base), list(head * shift)), math.log(1.02)))
        yield holm(p_values)


def test_the_same_code_is_seldom_called_slower():
    alarms = sum(any(found) for found in suites(0.0, count=600))
    assert stats.binomtest(alarms, 600).proportion_ci(method="exact").low <= 0.05
    assert alarms <= 600 * 0.05


def test_even_at_the_tolerance_the_suites_error_is_held():
    alarms = sum(any(found) for found in suites(0.02, count=600, slowed=8))
    assert stats.binomtest(alarms, 600, 0.05, alternative="greater").pvalue > 0.001


def test_what_is_said_to_be_seen_is_seen_four_times_in_five():
    launches, spread = 5, 0.01
    known = Difference(0.0, spread * math.sqrt(2 / launches), 2 * launches - 2, (launches, launches))
    seen = minimum_detectable(known, 0.02, 0.05 / 8)
    caught = sum(found[0] for found in suites(seen - 1, count=600, slowed=1))
    assert 0.72 <= caught / 600 <= 0.88


def test_verdicts():
    quiet = [math.log(value) for value in QUIET]
    error = math.sqrt(2 * np.var(quiet, ddof=1) / 5)

    def verdict(percent, scale=1.0):
        return judge([Difference(math.log1p(percent / 100), error * scale, 8, (5, 5))], [0.02], [0.05])[0].verdict

    assert [verdict(p) for p in (-10, 0, 1.9, 10)] == [
        Verdict.IMPROVED, Verdict.PASS, Verdict.PASS, Verdict.REGRESSED,
    ]  # fmt: skip
    assert [verdict(p, 60) for p in (0, 4)] == [Verdict.INCONCLUSIVE] * 2


def test_a_row_has_its_figures(gate):
    row = times(gate([record(QUIET)], [record([1.1 * value for value in QUIET])]))[0]
    assert row.verdict is Verdict.REGRESSED
    assert row.figures.ratio == pytest.approx(1.1)
    assert row.figures.low < 1.1 < row.figures.high < 1.102
    assert row.figures.p < 1e-6
    assert 1.02 < row.figures.minimum_detectable < 1.03
    assert row.figures.launches == (5, 5)


def test_launches_that_do_not_differ_at_all(gate):
    same, slow = record([1.0] * 3), record([1.05] * 3)
    assert times(gate([same], [same]))[0].verdict is Verdict.PASS
    assert times(gate([same], [slow]))[0].verdict is Verdict.REGRESSED


def test_memory_is_judged_by_itself(gate):
    peaks = [10**8, 10**8 + 4096, 10**8]
    found = gate([record(QUIET[:3], peaks=peaks)], [record(QUIET[:3], peaks=[2 * peak for peak in peaks])])
    assert {(row.measure, row.verdict) for row in found.rows} == {
        ("memory", Verdict.REGRESSED), ("time", Verdict.PASS),
    }  # fmt: skip
    assert found.rows[0].figures.ratio == pytest.approx(2.0)


def test_cases_that_are_gone_new_or_broken(gate):
    base = [record(QUIET, case(1)), record(QUIET, case(2)), ended("timeout", "slow", case(4)), record(QUIET, case(8))]
    head = [record(QUIET, case(1)), ended("crashed", "killed by SIGSEGV", case(2)), record(QUIET, case(4)),
            record(QUIET, case(16))]  # fmt: skip
    found = {(row.case, row.verdict, row.reason) for row in times(gate(base, head))}
    assert found == {
        (case(1).id, Verdict.PASS, ""),
        (case(2).id, Verdict.MISSING, "crashed: killed by SIGSEGV"),
        (case(8).id, Verdict.MISSING, "not in head"),
        (case(4).id, Verdict.NEW, "not measured in base"),
        (case(16).id, Verdict.NEW, "not measured in base"),
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fingerprint": "beef"}, "another machine, torch or Python (fingerprint f00d and beef)"),
        ({"digest": "d2"}, "another way of measuring (digest d1 and d2)"),
    ],
)
def test_what_cannot_be_compared_is_no_pass(gate, changes, reason):
    found = gate([record(QUIET)], [record(QUIET)], **changes)
    assert [(row.verdict, row.reason) for row in found.rows] == [(Verdict.INCOMPARABLE, reason)]
    assert found.exit_code(strict=False) == 4


def test_too_few_launches_are_no_pass(gate):
    found = gate([record(QUIET)], [record(QUIET[:2])])
    (row,) = times(found)
    assert (row.verdict, row.reason) == (
        Verdict.INCOMPARABLE, "5 and 2 launches; 3 of each are needed: --launches 5",
    )  # fmt: skip
    assert found.exit_code(strict=False) == 4


WILD = (1.0, 1.3, 0.8, 1.2, 0.7)


@pytest.mark.parametrize(
    ("base", "head", "code", "strict"),
    [
        ([record(QUIET)], [record(QUIET)], 0, 0),
        ([record(QUIET)], [record([2 * value for value in QUIET])], 1, 1),
        ([record(QUIET)], [record([value / 2 for value in QUIET])], 0, 0),
        ([record(QUIET), record(QUIET, case(2))], [record(QUIET)], 1, 1),
        ([record(WILD)], [record(WILD)], 0, 3),
        ([], [], 5, 5),
        ([ended("timeout", "x")], [ended("timeout", "x")], 5, 5),
        ([], [record(QUIET)], 5, 5),
    ],
    ids=["pass", "regressed", "improved", "missing", "inconclusive", "empty", "nothing measured", "only new"],
)
def test_exit_codes(gate, base, head, code, strict):
    found = gate(base, head)
    assert (found.exit_code(strict=False), found.exit_code(strict=True)) == (code, strict)


def test_a_shift_of_all_is_one_finding(gate):
    sizes = [2**n for n in range(8)]
    found = gate([record(QUIET, case(n)) for n in sizes], [record([1.04 * v for v in QUIET], case(n)) for n in sizes])
    assert found.shift == (pytest.approx(1.04), pytest.approx(1.04), pytest.approx(1.04))
    assert "All cases have moved together, +4.0% [+4.0%, +4.0%]: one cause" in report.markdown(found, strict=False)
    one = gate(
        [record(QUIET, case(n)) for n in sizes],
        [record([1.3 * v if n == 1 else v for v in QUIET], case(n)) for n in sizes],
    )
    assert one.shift is None
    assert common_shift([]) is None


def test_the_worst_comes_first(gate):
    sizes = (1, 2, 4, 8)
    factors = (1.0, 1.3, 0.7, 1.5)
    base = [record(QUIET, case(n)) for n in sizes]
    head = [record([f * v for v in QUIET], case(n)) for n, f in zip(sizes, factors, strict=True)]
    rows = times(gate(base, head))
    assert [(row.verdict, round(row.figures.ratio, 1)) for row in rows] == [
        (Verdict.REGRESSED, 1.5), (Verdict.REGRESSED, 1.3), (Verdict.IMPROVED, 0.7), (Verdict.PASS, 1.0),
    ]  # fmt: skip


def test_a_comment_folds_what_is_beyond_twenty_rows(gate):
    sizes = range(1, 31)
    found = gate([record(QUIET, case(n)) for n in sizes], [record(QUIET, case(n)) for n in sizes])
    comment = report.markdown(found, strict=False)
    assert comment.startswith("## dlhw gate: PASS: 60 PASS\n")
    assert comment.count("| PASS |") == 60
    assert comment.index("40 more") > comment.index("| PASS |")
    assert comment.split("<details>")[0].count("| PASS |") == 20


HOSTILE = 'a"><script>\x01|\n::error::%'


def test_what_could_not_be_decided_is_not_called_a_pass(gate):
    found = gate([record(WILD)], [record(WILD)])
    assert report.headline(found, strict=False) == "INCONCLUSIVE: 1 INCONCLUSIVE, 1 PASS"
    assert report.document(found, strict=False)["verdict"] == "INCONCLUSIVE"


def test_junit_is_xml_whatever_a_case_is_called(gate):
    name = f"x.y:{HOSTILE}"
    broken = {**record(QUIET).case, "architecture": name}
    base = replace(record(QUIET), id=name, case=broken)
    tree = ElementTree.fromstring(report.junit(gate([base], [])))
    assert (tree.get("tests"), tree.get("failures")) == ("1", "1")
    assert "MISSING" in tree[0][0].get("message")
    (line,) = report.github(gate([base], []))
    assert line.startswith("::error title=MISSING ")
    assert "\n" not in line


@pytest.fixture
def command(gate, tmp_path):
    def command(base, head, *options):
        gate(base, head)
        arguments = ["gate", str(tmp_path / "head.json"), "--baseline", str(tmp_path / "base.json"), *options]
        return CliRunner().invoke(app, arguments)

    return command


def test_the_command_says_it_all(command, tmp_path):
    found = command([record(QUIET)], [record([1.1 * value for value in QUIET])], "--json", str(tmp_path / "g.json"),
                    "--junit", str(tmp_path / "g.xml"), "--markdown", str(tmp_path / "g.md"))  # fmt: skip
    assert found.exit_code == 1
    rows = [line.split("\t") for line in found.stdout.splitlines()]
    assert rows[0] == list(report.HEADINGS)
    assert rows[1][:3] == ["REGRESSED", LENET.id, "time"]
    assert rows[1][3].startswith("+10.0% [+9.")
    assert "dlhw: REGRESSED: 1 REGRESSED, 1 PASS" in found.stderr
    data = json.loads((tmp_path / "g.json").read_text())
    assert (data["verdict"], data["exit_code"], data["counts"]) == ("REGRESSED", 1, {"REGRESSED": 1, "PASS": 1})
    assert data["rows"][0]["figures"]["ratio"] == pytest.approx(1.1)
    assert (tmp_path / "g.md").read_text().startswith("## dlhw gate: REGRESSED")
    assert ElementTree.parse(tmp_path / "g.xml").getroot().get("failures") == "1"


def test_github_gets_annotations_and_a_summary(command, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    found = command([record(QUIET)], [record([1.1 * value for value in QUIET])], "--github")
    assert found.stdout.startswith("::error title=REGRESSED lenet-inference-b8")
    assert (tmp_path / "summary.md").read_text().startswith("## dlhw gate: REGRESSED")


def test_without_a_baseline_the_gate_fails_closed(tmp_path):
    found = CliRunner().invoke(app, ["gate", str(tmp_path / "h.json"), "--baseline", str(tmp_path / "none.json")])
    assert found.exit_code == 4
    assert "no such file; measure it: pytest bench/ --launches 5" in found.stderr
