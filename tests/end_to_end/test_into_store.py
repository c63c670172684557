"""`pytest bench/ --store`: out of reach a run is kept, and goes in with the next; the measuring's exit code stands."""

import json

import pytest

pytest.importorskip("sqlalchemy", reason="needs dlhw[store]")

from reports.history import looking
from reports.history.store import open_store
from tests.support.runner import MINI, Runner

ONE = MINI.replace("[1, 2]", "[1]").replace(', "tf32"', "")
NOWHERE = "postgresql://someone:s3cret@127.0.0.1:1/nights"


def test_a_store_out_of_reach_gets_the_run_with_the_next(tmp_path):
    runner = Runner(tmp_path)
    runner.suite.write_text(ONE)
    first = runner.run("--benchmark-json=results.json", "--axis", "mode=inference", "--store", NOWHERE)
    assert first.returncode == 0, first.stdout
    (kept,) = (tmp_path / ".dlhw-pending").iterdir()
    assert json.loads(kept.read_text()) == json.loads((tmp_path / "results.json").read_text())
    assert f"kept as {kept}: the next dlhw history add there puts it in" in first.stderr
    assert "s3cret" not in first.stdout + first.stderr + kept.read_text()
    second = runner.run("--benchmark-json=results.json", "--axis", "mode=inference", "--store", tmp_path / "nights.db")
    assert second.returncode == 0, second.stdout
    assert not kept.parent.exists()
    with open_store(str(tmp_path / "nights.db")).reading() as connection:
        runs = looking.runs(connection, None, None)
        (machine,) = looking.machine_ids(connection, None)
        found = looking.history(connection, machine, metric="seconds").results
    assert list(runs["cases"]) == [1, 1]
    (benchmark,) = json.loads((tmp_path / "results.json").read_text())["benchmarks"]
    assert found["value"].iloc[-1] == pytest.approx(benchmark["stats"]["median"])
