"""A run within a budget as a user has it: to its end, interrupted, and taken up again."""

import json
import signal
import time

import pytest

from bench.records.record import Status
from suites.case import Case


@pytest.fixture(scope="module")
def run(mini, tmp_path_factory):
    """One run that is interrupted while launches are made, and what was in its folder then."""
    runner = type(mini)(tmp_path_factory.mktemp("budget"))
    process = runner.start(
        "--benchmark-json=r.json", "--budget=10m", "--precision=0.0001", "--benchmark-columns=median"
    )
    journal = runner.folder / "r.journal.jsonl"
    for _ in range(3000):
        if journal.is_file() and journal.read_text().count('"kind": "launch"') > 9:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    runner.output, _ = process.communicate(timeout=120)
    runner.returncode = process.returncode
    return runner


def results(runner, name="r.json"):
    return json.loads((runner.folder / name).read_text())


def test_an_interruption_leaves_the_best_so_far(run):
    assert run.returncode == 2
    found = results(run)
    assert len(found["benchmarks"]) == 4
    assert len(found["outcomes"]) == 4
    launches = [len(each["extra_info"]["sampling"]["launches"]) for each in found["benchmarks"]]
    assert sum(launches) > 4
    assert run.processes() == {}


def test_samples_of_all_launches_are_in_the_results(run):
    for each in results(run)["benchmarks"]:
        counts = [launch["samples"] for launch in each["extra_info"]["sampling"]["launches"]]
        assert each["stats"]["rounds"] == len(each["stats"]["data"]) == sum(counts)


def test_every_case_has_one_line_and_the_tables_were_asked_for(run):
    lines = [line for line in run.output.splitlines() if line.startswith("[") and "img/s" in line]
    assert [line.split("]")[0] for line in lines] == [f"[{n}/8" for n in range(1, 5)]
    assert "dlhw: at most 10 min 00 s (--budget)" in run.output
    assert "fastest setting of" in run.output
    assert "benchmark 'lenet inference'" in run.output


def test_a_run_that_goes_on_has_at_least_as_many_launches(run):
    before = {each["param"]: len(each["extra_info"]["sampling"]["launches"]) for each in results(run)["benchmarks"]}
    output = run.run("--benchmark-json=r.json", "--budget=1ms", "--precision=0.0001", "--resume")
    assert output.returncode == 0, output.stdout
    after = {each["param"]: len(each["extra_info"]["sampling"]["launches"]) for each in results(run)["benchmarks"]}
    assert after == before, "in a millisecond nothing is launched, and nothing is lost"


def test_what_was_not_reached_is_a_row(runner):
    output = runner.run("--benchmark-json=r.json", "--budget=1ms", "-k", "inference")
    assert output.returncode == 0
    rows = {row["id"]: row for row in results(runner)["outcomes"]}
    reasons = {row["reason"] for row in rows.values() if Case.parse(row["id"]).precision == "fp32"}
    assert reasons == {"not reached within the budget of 0 s"}
    assert {row["status"] for row in rows.values()} == {Status.SKIPPED}


@pytest.mark.parametrize("text", ["10", "soon", "-3m", "0s"])
def test_a_budget_is_a_time(runner, text):
    output = runner.run(f"--budget={text}")
    assert output.returncode == 4
    assert "--budget" in output.stderr
    assert "Traceback" not in output.stderr
