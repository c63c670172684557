"""A fleet on the page: its figures are its numbers; what was lost is told; its folder is enough."""

import math

import pandas as pd
import pytest
from typer.testing import CliRunner

from bench.fleet.ledger import End
from reports.cli import app
from reports.page import figures_fleet
from suites.errors import DlhwError
from tests.support.fleet_folder import BLOCK, fleet_folder

GOOD = {f"n{index}": (1 + 0.004 * math.sin(index), 1 + 0.004 * math.cos(index)) for index in range(7)}
LOST = {
    "n1": (End.LOST, "the node\u202ewas lost", True), "n2": (End.FAILED, "out of memory", False),
    "n3": (None, "", False),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eight nodes: one copies 15 % more slowly, one has become slower; three blocks did not come to their end."""
    nodes = GOOD | {"slow": (1.0, 1.15)}
    return fleet_folder(tmp_path_factory.mktemp("out"), nodes, slower_at_the_end={"n0": 1.0201}, lost=LOST)


@pytest.fixture(scope="module")
def drawn(folder):
    return {
        figure.question.partition(" (")[0]: figure for figure in figures_fleet.figures([figures_fleet.load(folder)])
    }


def row(figure, node):
    (found,) = figure.data[figure.data["node"] == node].to_dict("records")
    return found


def test_the_one_that_is_off_is_named_on_top(drawn):
    figure = drawn["How do nodes differ in memory bandwidth, cpu?"]
    assert figure.finding.startswith("slow is not like the other 7: 1")
    assert "% slower" in figure.finding
    assert figure.data["node"].iloc[0] == "slow"
    named = next(trace for trace in figure.plot.data if trace.name == "not like the others")
    assert list(named.x) == [pytest.approx(15.0, abs=0.5)]
    assert figure.plot.layout.yaxis.categoryarray[-1] == "slow"  # plotly counts from below


def test_begin_and_end_lie_about_the_offset_by_the_drift(drawn):
    found = row(drawn["How do nodes differ in nets, cpu?"], "n0")
    assert found["drift"] == pytest.approx(2.01)
    assert (1 + found["end"] / 100) / (1 + found["begin"] / 100) == pytest.approx(1.0201)
    assert (1 + found["end"] / 100) * (1 + found["begin"] / 100) == pytest.approx((1 + found["offset"] / 100) ** 2)


def standings(count, spread=0.4):
    return pd.DataFrame(
        [("kind", f"<b>n{i}", "nets, cpu", 1.0 + i, 0.5 + i, 1.5 + i, None, None, spread, None, i == 3)
         for i in range(count)],
        columns=list(figures_fleet.STANDING),
    )  # fmt: skip


def test_intervals_are_drawn_and_told_where_they_are_known():
    figure = figures_fleet.nodes(standings(4), "?", "x")
    assert figure.finding == "<b>n3 is not like the other 3: 4.0% slower [+3.5, +4.5] than their middle."
    alike, named = figure.plot.data
    assert (list(named.x), list(named.y)) == ([4.0], ["&lt;b&gt;n3"])
    assert (list(named.error_x.array), list(alike.error_x.arrayminus)) == ([0.5], [0.5, 0.5, 0.5])


def test_of_three_nodes_nothing_is_said():
    figure = figures_fleet.nodes(standings(3, spread=None), "?", "x")
    assert figure.finding == ""
    assert figure.note.endswith("3 nodes are too few to tell which is unlike the others.")


def test_what_was_lost_is_told_with_what_became_of_it(drawn):
    figure = drawn["What failed, or was lost?"]
    assert figure.finding.startswith("3 of 25 tasks did not come to their end: 1 lost, 1 failed, 1 running, or")
    assert f"n2, {BLOCK}: out of memory; not measured." in figure.finding
    assert f"n1, {BLOCK}: the node\N{REPLACEMENT CHARACTER}was lost; measured by n1." in figure.finding


def test_where_nothing_was_lost_that_is_said(tmp_path):
    *_, last = figures_fleet.figures([figures_fleet.load(fleet_folder(tmp_path, {"a": (1, 1)}))])
    assert last.finding == "All 3 tasks came to their end."


def report(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def test_a_fleets_folder_is_a_page(folder, tmp_path):
    found = report(folder, "-o", tmp_path / "p.html", "--markdown", tmp_path / "p.md", "--csv", tmp_path / "csv")
    assert found.exit_code == 0, found.exception
    assert "6 cases of 6 machines, 1 fleet" in found.output
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert [page.count(f'class="section" id="{name}"') for name in ("fleet", "relative", "cases")] == [1, 1, 1]
    assert "slow is not like the other 7" in (tmp_path / "p.md").read_text(encoding="utf-8")
    assert len(pd.read_csv(tmp_path / "csv" / "fleet-1-1.csv")) == 8


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    fleet_folder(tmp_path, {"a": (1, 1)})
    (tmp_path / "a.json").mkdir()
    found = report(tmp_path, "-o", tmp_path / "p.html")
    assert isinstance(found.exception, DlhwError)
    assert str(found.exception).startswith(f"{tmp_path}/a.json: Is a directory")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["."], "no fleet has run in this folder"),
        ([], "nothing to show: RESULTS.json, the FOLDER of a fleet, or --store FILE|URL"),
        (["nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_named(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    found = report(*arguments, "-o", "p.html")
    assert isinstance(found.exception, DlhwError)
    assert said in str(found.exception)
    assert not (tmp_path / "p.html").exists()
