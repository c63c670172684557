"""From nights to findings: what was put in is found, where it is and whose doing; what was not put in is not."""

from pathlib import Path

import pytest

from reports.history import check, findings
from reports.history.cause import Cause, decide
from reports.history.findings import State
from tests.support.nights import ANCHORS, CASES, LATER, TIMES, commit, night, put, slower


def checked(store, **options):
    asked = {"machine": None, "branch": None, "nets": (), "alarms": 1.0, "folder": Path("/"), "now": LATER}
    return check.check(store, **asked | options)


def facts(found):
    return [
        (each.case, each.metric, each.cause, each.runs, round(each.ratio, 2))
        for each in sorted(found.findings, key=lambda each: each.when)
    ]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Forty nights: +6 % of one case by its commit, a spike, then +5 % of all with a new torch, then a crash."""
    from reports.history.store import open_store

    folder = tmp_path_factory.mktemp("nights")
    store = open_store(str(folder / "history.db"), create=True)
    for number in range(40):
        times = slower(1.06, CASES[2]) if number >= 20 else TIMES
        times = slower(1.05, times=times) if number >= 30 else times
        times = slower(1.5, CASES[5], times=times) if number == 10 else times
        times = {**times, CASES[6]: None} if number >= 38 else times
        torch = "2.12.0" if number >= 30 else "2.11.0"
        put(store, folder, night(number, times, torch=torch, id=commit(min(number, 29)), anchors=ANCHORS))
    return store


def test_what_was_put_in_is_found_and_nothing_else(told):
    found = checked(told)
    assert facts(found) == [
        (CASES[2].id, "seconds", "code", (20, 21, 21), 1.06),
        (None, "seconds", "environment", (30, 31, 31), 1.05),
        (CASES[6].id, "measured", "machine", (38, 39, 39), 0.0),
    ]
    assert found.exit_code == 1


def test_a_finding_says_what_changed_and_which_command_decides(told):
    single, common, crash = sorted(checked(told).findings, key=lambda each: each.when)
    (line,) = single.facts["commands"]
    assert line.startswith(f"git checkout {commit(20)} && dlhw gate --suite mini --axis architecture=lenet ")
    assert line.endswith(f"--axis threads=2 --base {commit(19)}")
    assert common.facts["changed"] == ["torch 2.11.0 -> 2.12.0"]
    assert "--base-python" in common.facts["commands"][0]
    assert common.facts["series"] == 8
    assert "crashed: killed by SIGKILL" in crash.facts["notes"]


def test_found_again_it_is_the_same_and_a_persons_word_stays(told):
    before = checked(told).findings
    with told.writing() as connection:
        findings.judge(connection, before[0].id, State.ACCEPTED, "known", LATER)
        findings.judge(connection, before[1].id, State.REJECTED, "no", LATER)
    after = checked(told)
    assert [each.id for each in after.findings] == [each.id for each in before]
    assert [each.id for each in after.open] == [before[2].id]
    assert findings.precision(after.findings) == (1, 2)


def test_the_same_nights_without_a_change_raise_no_alarm(file_store, tmp_path):
    for number in range(30):
        put(file_store, tmp_path, night(number))
    found = checked(file_store)
    assert (facts(found), found.exit_code) == ([], 0)


def test_too_few_nights_are_no_pass(file_store, tmp_path):
    put(file_store, tmp_path, *map(night, range(3)))
    assert checked(file_store).exit_code == 5


def test_code_and_environment_at_once_cannot_be_told_apart(file_store, tmp_path):
    for number in range(24):
        new = number >= 14
        put(
            file_store,
            tmp_path,
            night(number, slower(1.06, CASES[1]) if new else TIMES, kernel="6.2" if new else "6.1"),
        )
    (found,) = checked(file_store).findings
    assert found.cause == "confounded"
    assert len(found.facts["commands"]) == 2


def test_what_moves_the_anchors_is_the_machine(file_store, tmp_path):
    for number in range(24):
        new = number >= 14
        anchors = [(text, value * (0.95 if new else 1)) for text, value in ANCHORS]
        put(file_store, tmp_path, night(number, slower(1.05) if new else TIMES, anchors=anchors))
    causes = {each.case: each.cause for each in checked(file_store).findings}
    assert causes[None] == "machine"


@pytest.mark.parametrize(
    ("environment", "code", "anchors", "common", "cause"),
    [
        (False, True, None, False, Cause.CODE), (False, True, False, True, Cause.CODE),
        (False, True, None, True, Cause.CONFOUNDED), (False, True, True, False, Cause.MACHINE),
        (True, False, None, False, Cause.ENVIRONMENT), (True, None, None, False, Cause.ENVIRONMENT),
        (True, True, True, True, Cause.CONFOUNDED), (False, False, None, False, Cause.MACHINE),
        (False, None, None, False, Cause.UNKNOWN), (False, None, True, False, Cause.MACHINE),
    ],
)  # fmt: skip
def test_whose_doing_it_is(environment, code, anchors, common, cause):
    assert decide(environment=environment, code=code, anchors=anchors, common=common) is cause
