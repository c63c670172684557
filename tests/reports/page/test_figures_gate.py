"""A gate on the page: its figures are its numbers, alone or beside results, whatever its cases are called."""

import math

import pytest
from typer.testing import CliRunner

from reports.cli import app
from reports.page import figures_gate
from suites.errors import DlhwError
from tests.support.entries import SPREAD
from tests.support.gate_file import LENET, gate_file
from tests.support.samples import measured, write

HOSTILE = 'x.y:"><script>window.hostile=1</script>'


@pytest.fixture
def file(tmp_path):
    return gate_file(tmp_path / "gate.json", name=HOSTILE)


def test_what_a_gate_wrote_is_told_from_results(file, tmp_path):
    assert figures_gate.is_gate(file)
    assert not figures_gate.is_gate(write(tmp_path / "r.json", measured()))
    assert not figures_gate.is_gate(tmp_path / "nowhere.json")


def test_figures_are_the_gates_numbers(file):
    found = figures_gate.load(file)
    first = found.rows.iloc[0]
    assert (first["verdict"], first["case"]) == ("REGRESSED", LENET)
    assert first["change"] == pytest.approx(5.0)
    assert first["change_low"] < 5 < first["change_high"] < first["smallest_seen"] + 5
    forest, controls, pairs = figures_gate.figures([found])
    assert forest.finding.startswith("REGRESSED: 1 REGRESSED, 1 MISSING, 1 PASS. base and head differ.")
    shown = next(trace for trace in forest.plot.data if trace.name == "REGRESSED")
    assert list(shown.x) == [pytest.approx(5.0)]
    assert set(controls.data["measure"]) == {"base against base, stage 1", "base against slowed base"}
    own = pairs.data[(pairs.data["case"] == LENET) & (pairs.data["what"] == "positive control")]
    assert list(own["change"]) == [pytest.approx(100 * (math.exp(offset) * 1.06 - 1)) for offset in SPREAD]
    assert list(pairs.data[pairs.data["case"] == HOSTILE]["reason"]) == ["crashed: killed"]


def report(*arguments):
    found = CliRunner().invoke(app, ["report", *map(str, arguments)])
    assert found.exit_code == 0, found.exception
    return found


def test_a_gate_alone_is_a_page(file, tmp_path):
    found = report(file, "-o", tmp_path / "p.html", "--markdown", tmp_path / "p.md", "--csv", tmp_path / "csv")
    page = (tmp_path / "p.html").read_text()
    assert 'id="gate"' in page
    assert 'id="cases"' not in page
    assert HOSTILE not in page
    assert "1 gate run" in found.output
    assert "- **Is head slower? (gate.json)** REGRESSED: 1 REGRESSED" in (tmp_path / "p.md").read_text()
    assert (tmp_path / "csv" / "gate-1-pairs.csv").read_text().count("\n") == 1 + 31


def test_gates_and_results_go_together(file, tmp_path):
    second = gate_file(tmp_path / "second.json")
    report(file, write(tmp_path / "r.json", measured()), second, "-o", tmp_path / "p.html")
    page = (tmp_path / "p.html").read_text()
    assert [page.count(f'class="section" id="{name}"') for name in ("gate", "relative", "cases")] == [1, 1, 1]


@pytest.mark.parametrize("damage", ['{"dlhw_gate": 1', '{"dlhw_gate": 1}', '{"dlhw_gate": 1, "entries": [1]}'])
def test_a_damaged_gate_is_one_clear_error(tmp_path, damage):
    (tmp_path / "g.json").write_text(damage)
    found = CliRunner().invoke(app, ["report", str(tmp_path / "g.json"), "-o", str(tmp_path / "p.html")])
    assert isinstance(found.exception, DlhwError)
    assert f"{tmp_path}/g.json: this gate's file is damaged" in str(found.exception)
