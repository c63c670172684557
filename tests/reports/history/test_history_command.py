"""`dlhw history` as a person and a CI use it."""

import io
import json
import sys
from xml.etree import ElementTree

import pandas as pd
import pytest

from reports.cli import main
from reports.history import bisect as bisecting
from reports.history import findings, looking
from reports.history.cause import _commits
from reports.history.findings import Finding, State
from reports.history.store import open_store
from suites.errors import DlhwError
from tests.support.nights import CASES, night, put, slower
from tests.support.repository import commit, git


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Twenty nights; from the twelfth on one case is 10 % slower."""
    folder = tmp_path_factory.mktemp("nights")
    store = open_store(str(folder / "history.db"), create=True)
    for number in range(20):
        put(store, folder, night(number, slower(1.1, CASES[3]) if number >= 12 else slower(1)))
    return folder / "history.db"


@pytest.fixture
def dlhw(monkeypatch, capsys, url):
    """Runs a command on that store; (exit code, output, errors)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["dlhw", "history", *map(str, arguments)])
        monkeypatch.setenv("DLHW_STORE", str(url))
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    return run


def test_check_fails_until_a_person_has_judged(dlhw, tmp_path):
    code, table, said = dlhw("check", "--junit", tmp_path / "j.xml", "--json", tmp_path / "f.json")
    assert code == 1
    assert CASES[3].id in table
    assert "REGRESSED: 1 open finding for the worse" in said
    suite = ElementTree.parse(tmp_path / "j.xml").getroot()
    assert (suite.get("failures"), len(suite.findall("testcase/failure"))) == ("1", 1)
    document = json.loads((tmp_path / "f.json").read_text())
    (found,) = document["findings"]
    assert (document["exit_code"], found["case"], found["change_run"]) == (1, CASES[3].id, 13)
    assert dlhw("show", found["id"])[1].startswith(f"finding {found['id']}, open\n{CASES[3].id}, seconds, on box")
    assert dlhw("accept", found["id"], "--why", "a better check")[0] == 0
    code, _, said = dlhw("check")
    assert (code, "1 of 1 judged findings were accepted" in said) == (0, True)


def test_a_trend_is_run_by_run(dlhw):
    rows = json.loads(dlhw("trend", CASES[3].id, "--last", 10, "--json")[1])
    assert [row["run_id"] for row in rows] == list(range(11, 21))
    assert rows[-1]["value"] / rows[0]["value"] == pytest.approx(1.1, rel=0.03)


def test_exports_hold_what_is_in_the_store(dlhw, tmp_path):
    pytest.importorskip("pyarrow")
    csv = pd.read_csv(io.StringIO(dlhw("export", "--net", "lenet", "--csv", "-")[1]))
    assert dlhw("export", "--parquet", tmp_path / "e.parquet")[0] == 0
    parquet = pd.read_parquet(tmp_path / "e.parquet")
    assert csv["value"].tolist() == pytest.approx(parquet["value"].tolist())
    assert set(csv["metric"]) == {"seconds", "peak_bytes", "step_flops"}
    otava = pd.read_csv(io.StringIO(dlhw("export", "--otava", "-")[1]))
    assert list(otava.columns[:2]) == ["time", "commit"]
    assert sorted(otava.columns[2:]) == sorted(case.id for case in CASES)
    assert len(otava) == 20


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trend", "alexnet"], "alexnet: nothing of that in the store"),
        (["show", "99"], "finding 99: there is none of that number"),
        (["runs", "--machine", "bix"], "--machine bix: no such machine in the store (did you mean 'box'?)"),
        (["check", "--alarms", "0/year"], "--alarms 0/year: more than none"),
        (["check", "--alarms", "1/night"], "--alarms 1/night: so many a year"),
        (["prune"], "which runs? --keep N, or --before DATE"),
        (["prune", "--before", "yesterday"], "--before yesterday: a date is wanted"),
        (["export"], "nothing to write"),
        (["runs", "--store", "nowhere.db"], "nowhere.db: no store there; dlhw history add RESULTS.json makes one"),
    ],
)
def test_mistakes_are_one_line(dlhw, arguments, said):
    code, _, error = dlhw(*arguments)
    assert code == 2
    assert error.startswith(f"dlhw: {said}")
    assert error.count("\n") == 1


def finding(good, bad, cause="code", ratio=1.1, metric="seconds"):
    facts = {"good": good, "bad": bad, "worse": ratio > 1, "options": ["--suite", "mini"]}
    return Finding(
        7, "box", None, metric, "net", "main", ratio, 1.0, 1.2, 0.0, cause, facts, State.OPEN, "", 0.0, (1, 2, 2)
    )


@pytest.fixture
def repository(tmp_path):
    """Nine commits; the sixth is slow, the third cannot be judged, of the fourth the case is missing."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-qb", "main")
    words = ["fast", "fast", "broken", "missing", "fast", "slow", "slow", "slow", "slow"]
    return folder, [commit(folder, f"c{number}", net=f"{word} {number}") for number, word in enumerate(words)]


GATE = """
echo "$@" >> {log}
for path; do case $path in *seen.json) seen=$path;; esac; done
case $(cat net) in
fast*) exit 0;;
slow*) echo '{{"verdict": "REGRESSED", "counts": {{"REGRESSED": 1}}}}' > $seen; exit 1;;
missing*) echo '{{"verdict": "REGRESSED", "counts": {{"MISSING": 1}}}}' > $seen; exit 1;;
*) exit 6;;
esac
"""
"""A script that ends as the gate does; the real one measures (docs/experiments/history_bisect.py)."""


def gate(folder):
    return ["sh", "-c", GATE.format(log=folder / "asked"), "gate"]


def test_a_bisection_finds_the_commit_and_leaves_the_working_copy_alone(repository, tmp_path):
    folder, commits = repository
    found = bisecting.bisect(finding(commits[0], commits[-1]), ["--pairs", "9"], folder, gate(tmp_path))
    assert found == f"{commits[5]} is the first bad commit"
    assert git(folder, "status", "--porcelain", "--branch") == "## main"
    assert len(git(folder, "worktree", "list").splitlines()) == 1
    asked = (tmp_path / "asked").read_text().splitlines()[0]
    assert asked.startswith(f"--base {commits[0]} --strict --journal ")
    assert asked.endswith("--suite mini --tolerance 5% --detect 10% --pairs 9")


def test_what_cannot_be_judged_is_no_bad_commit(repository, tmp_path):
    """Neither that which the gate ends without a verdict of, nor that of which the case is missing."""
    folder, commits = repository
    found = bisecting.bisect(finding(commits[1], commits[5]), [], folder, gate(tmp_path))
    assert found == f"{commits[5]} is the first bad commit"
    found = bisecting.bisect(finding(commits[0], commits[3], metric="peak_bytes"), [], folder, gate(tmp_path))
    assert found.startswith(f"The first bad commit could be any of: {commits[2]} {commits[3]}")


def test_a_mistake_of_the_gates_command_line_ends_the_bisection(repository, tmp_path):
    folder, commits = repository
    with pytest.raises(DlhwError, match="finding 7: the bisection ended without a commit"):
        bisecting.bisect(finding(commits[0], commits[-1]), [], folder, ["sh", "-c", f"echo >> {tmp_path}/n; exit 2"])
    assert (tmp_path / "n").read_text() == "\n"
    assert len(git(folder, "worktree", "list").splitlines()) == 1


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (finding("a", "a"), "are not of two commits"), (finding(None, "a"), "are not of two commits"),
        (finding("a", "b", "machine"), "its cause is the machine"), (finding("a", "b", ratio=0.9), "is for the better"),
    ],
)  # fmt: skip
def test_there_may_be_nothing_to_bisect(found, said, tmp_path):
    with pytest.raises(DlhwError, match=said):
        bisecting.bisect(found, [], tmp_path, ["true"])


def test_commits_between_two_runs_are_counted_and_a_rebase_is_said(repository):
    folder, commits = repository
    assert _commits(commits[1], commits[4], folder) == (3, "")
    git(folder, "checkout", "-q", "--detach", commits[3])
    other = commit(folder, "rebased", net="fast again")
    count, note = _commits(commits[4], other, folder)
    assert count == 1
    assert f"{commits[4][:12]} is no ancestor of {other[:12]}" in note
    assert note.endswith(f"part at {commits[3][:12]}")


def test_findings_of_other_numbers_are_none(url):
    with open_store(str(url)).reading() as connection:
        assert looking.machine_ids(connection, "1") == [(1, "box")]
        with pytest.raises(DlhwError, match="finding 5"):
            findings.one(connection, 5)
