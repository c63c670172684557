"""A store on the page: figures are its numbers, findings come first, and nothing in it is markup."""

import json
import sys
from dataclasses import replace

import pandas as pd
import pytest
from typer.testing import CliRunner

pytest.importorskip("sqlalchemy", reason="needs dlhw[store]")

from reports.cli import app
from reports.history import check, findings, nights
from reports.history.findings import State
from reports.history.store import open_store
from reports.page import figures_history
from suites.errors import DlhwError
from tests.support.fleet_folder import fleet_folder
from tests.support.nights import CASES, FIRST, LATER, night, put, slower
from tests.support.page import Seen, needs_chromium
from tests.support.samples import LENET, measured, write

HOSTILE = '</script><script>window.hostile=1</script><img src=x onerror="window.hostile=1">\u202e\U0001f9ea'
RTL = "\u05e9\u05dc\u05d5\u05dd"
SLOW = replace(LENET, architecture=f"mine.net:{HOSTILE}", batch_size=3)
TIMES = slower(1) | {SLOW: 0.003}
CHANGED, UPDATED, RUNS = 8, 15, 24
BRANCH = f"{RTL}{HOSTILE}"


def nightly(number, **more):
    times = slower(1.2, SLOW, times=TIMES) if number >= CHANGED else TIMES
    times = slower(1.1, times=times) if number >= UPDATED else times
    times = times | {CASES[5]: None} if number in {4, 20} else times
    return night(
        number, times, branch=BRANCH, dirty=number == 0, torch="2.11.0" if number < UPDATED else HOSTILE, **more
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two machines; on one a case becomes slower by 20 %, later all by 10 % with another torch."""
    folder = tmp_path_factory.mktemp("store")
    found = open_store(str(folder / "history.db"), create=True)
    for number in range(RUNS):
        put(found, folder, nightly(number, node="box"))
    put(found, folder, night(0, node=HOSTILE, seed=9))
    check.check(found, machine=None, branch=None, nets=(), alarms=1.0, folder=folder, now=LATER)
    return found


@pytest.fixture(scope="module")
def box(store):
    return next(each for each in nights.read(store, None, None, ()) if each.machine == "box")


@pytest.fixture(scope="module")
def drawn(box):
    return figures_history.figures([box])


def runs_of(figure):
    return [run.split(" ")[0] for run in figure.data["at"]]


def date(number):
    return pd.Timestamp(FIRST + number * 86400, unit="s").strftime("%Y-%m-%d")


def test_findings_come_first_and_name_what_is_open_for_the_worse(drawn, box):
    changes = drawn[0]
    assert changes.id == "history-changes"
    whole, own = box.findings.to_dict("records")
    assert (pd.isna(whole["series"]), own["series"]) == (True, SLOW.id)  # what is of all cases before what is of one
    assert changes.finding.startswith(f"2 open for the worse. #{whole['finding']}, box: 9 nets' cases together, ")
    assert f"since {date(UPDATED)}; confounded: torch 2.11.0 -> " in changes.finding
    assert [trace.name for trace in changes.plot.data] == ["code", "confounded"]
    shown = {trace.name: (trace.x[0], trace.error_x.arrayminus[0]) for trace in changes.plot.data}
    assert shown["code"] == (pytest.approx(20, abs=0.6), pytest.approx(own["percent"] - own["low_percent"]))


def test_the_machine_as_a_whole_is_the_median_of_its_cases_against_its_first_runs(drawn):
    whole = drawn[1]
    assert whole.data["change"].iloc[: UPDATED - 1].abs().max() < 1
    assert whole.data["change"].iloc[UPDATED:].to_numpy() == pytest.approx(10.0, abs=0.6)
    assert list(whole.data["cases"]) == [8 if number in {4, 20} else 9 for number in range(RUNS)]
    assert (whole.data["low_quarter"] <= whole.data["change"]).all()
    assert (whole.data["high_quarter"] >= whole.data["change"]).all()
    assert whole.finding.startswith("#")


def test_environments_are_bands_and_changes_are_lines(drawn):
    for figure in drawn[1:3]:
        band = next(shape for shape in figure.plot.layout.shapes if shape.type == "rect")
        line = next(shape for shape in figure.plot.layout.shapes if shape.type == "line")
        assert (band.x0[:10], band.x1[:10]) == (date(UPDATED), date(RUNS - 1))
        assert line.x0 == line.x1
        assert line.line.dash == "dash"  # open
    assert "env 2" in [note.text for note in drawn[1].plot.layout.annotations]
    assert f"env 2, {date(UPDATED)}: torch 2.11.0 -> " in drawn[1].note


def test_a_trend_has_the_intervals_of_the_store_and_says_where_nothing_was_measured(store, drawn, box):
    first = drawn[2]
    assert first.question.startswith(figures_history.told(SLOW.id))
    rows = first.data.to_dict("records")
    assert [row["seconds"] / 0.003 for row in rows[CHANGED:UPDATED]] == pytest.approx([1.2] * 7, rel=0.03)
    assert all(row["low_seconds"] < row["seconds"] < row["high_seconds"] for row in rows)
    assert rows[0]["commit"].endswith(" + changes")
    (asked,) = (each for each in nights.read(store, "box", None, [CASES[5].id]) if each.machine == "box")
    *_, crashed = figures_history.figures([asked])
    missing = next(trace for trace in crashed.plot.data if trace.name == "not measured")
    assert [day[:10] for day in missing.x] == [date(4), date(20)]
    assert list(missing.text) == ["crashed: killed by SIGKILL"] * 2


def test_few_cases_are_drawn_unless_they_are_asked_for(store, drawn, box):
    assert len(drawn) == 2 + figures_history.MOST_UNASKED
    assert drawn[-1].note.endswith("5 more cases: --net PATTERN shows them.")
    (asked,) = nights.read(store, "box", None, ["lenet"])
    chosen = figures_history.chosen(asked)
    assert chosen == [(case, "seconds") for case in sorted(case.id for case in CASES)]  # its own have no finding
    assert set(box.series["case"]) - set(asked.series["case"]) == {SLOW.id}


def test_what_a_person_has_judged_is_no_alarm(store):
    with store.writing() as connection:
        for each in findings.all_of(connection, {1: "box"}):
            findings.judge(connection, each.id, State.ACCEPTED, f"known {HOSTILE}", LATER)
    try:
        first, whole, *_ = figures_history.figures(nights.read(store, "box", None, ()))
    finally:
        with store.writing() as connection:
            for each in findings.all_of(connection, {1: "box"}):
                findings.judge(connection, each.id, State.OPEN, "", LATER)
    assert first.finding == "No finding for the worse is open."
    assert "2 of 2 judged findings were accepted." in first.note
    assert [shape.line.dash for shape in whole.plot.layout.shapes if shape.type == "line"] == ["dot"]


def test_names_do_not_turn_around_what_stands_beside_them():
    assert figures_history.told("a\u202eb\n") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"
    assert figures_history.told(RTL) == f"\u2068{RTL}\u2069"
    assert figures_history.told("\U0001f468\u200d\U0001f52c") == "\U0001f468\u200d\U0001f52c"
    assert figures_history.short("<b>" + 30 * "x") == f"&lt;b&gt;{20 * 'x'}\u2026"


def report(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def test_a_store_alone_is_a_page_and_a_summary(store, tmp_path):
    found = report(
        "--store", store.label, "-o", tmp_path / "p.html", "--markdown", tmp_path / "p.md", "--csv", tmp_path
    )
    assert found.exit_code == 0, found.exception
    assert f"p.html: {RUNS + 1} stored runs, " in found.output
    assert "2 open for the worse." in (tmp_path / "p.md").read_text(encoding="utf-8")
    assert "<script" not in (tmp_path / "p.md").read_text(encoding="utf-8")
    assert len(pd.read_csv(tmp_path / "history-changes.csv")) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--machine", "bax"], "--machine bax: no such machine in the store (did you mean 'box'?)"),
        (["--net", "alexnet"], "alexnet: nothing of that in the store"),
        (["--store", "nowhere.db"], "nowhere.db: no store there"),
    ],
)
def test_mistakes_are_named(store, tmp_path, arguments, said):
    found = report("--store", store.label, *arguments, "-o", tmp_path / "p.html")
    assert isinstance(found.exception, DlhwError)
    assert said in str(found.exception)


def test_without_the_extra_it_is_said_what_to_install(monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.startswith("reports.history")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    found = report("--store", tmp_path / "h.db", "-o", tmp_path / "p.html")
    assert str(found.exception) == "the history needs sqlalchemy: pip install 'dlhw[store]'"


@pytest.fixture(scope="module")
def page(store, tmp_path_factory):
    """Results of the same machine and of another, the store, and a fleet."""
    folder = tmp_path_factory.mktemp("page")
    other = json.loads(write(folder / "box.json", measured(), measured(SLOW)).read_text())
    other["machine_info"]["node"] = other["dlhw"]["fingerprint"] = "other"
    (folder / "other.json").write_text(json.dumps(other))
    fleet = fleet_folder(
        folder / "out", {f"n{index}": (1, 1) for index in range(4)} | {HOSTILE.replace("/", ""): (1, 1)}
    )
    files = [folder / "box.json", folder / "other.json", fleet]
    found = report(*files, "--store", store.label, "-o", folder / "page.html", "--title", "All")
    assert found.exit_code == 0, found.exception
    return folder / "page.html"


@needs_chromium
def test_what_is_hostile_is_text_and_figures_can_be_read(browser, page):
    assert "<script>window.hostile" not in page.read_text(encoding="utf-8")
    for size, scheme in (((1280, 900), "light"), ((375, 700), "dark")):
        found = Seen(browser, page, size=size, scheme=scheme, fragment="#net=*")
        found.unfold("history", "fleet")
        assert found.errors == []
        assert found.page.evaluate("window.hostile") is None
        assert found.page.locator("#history img, #history script, #fleet img, #fleet script").count() == 0
        assert found.page.evaluate("document.documentElement.scrollWidth") <= size[0]
        plots = [plot for plot in found.plots() if plot["section"] in {"history", "fleet"}]
        assert len(plots) == 2 + figures_history.MOST_UNASKED + figures_history.MOST_UNASKED + 2
        assert all(plot["points"] and plot["lines"] <= 8 and plot["width"] > 200 for plot in plots)
        found.context.close()


@needs_chromium
def test_choosing_a_machine_and_a_net_chooses_their_nights(browser, page):
    found = Seen(browser, page, fragment="#net=lenet")
    found.unfold("history")
    drawn = found.page.eval_on_selector_all("#history .drawn", "all => all.map(each => each.id)")
    assert "history-changes" in drawn
    assert "history-1-1" not in drawn  # its net is not chosen
    found.context.close()
    other = Seen(browser, page, fragment="#net=*&system=other")
    other.unfold("history")
    left = other.page.eval_on_selector_all("#history .drawn", "all => all.map(each => each.id)")
    assert left == [f"history-2-{place}" for place in range(1, figures_history.MOST_UNASKED + 1)]
    other.page.click("#history-2-1 summary")
    other.page.wait_for_selector("#history-2-1 .tabulator-row")
    assert HOSTILE in other.page.text_content("#history-2-1 .tabulator-row")
    other.context.close()
