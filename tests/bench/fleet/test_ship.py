"""A dlhw that is sent to a node that has another: what the node runs, and that nothing stays there."""

import json

from bench.fleet.engines.ray import SERVE_SOURCE
from bench.fleet.ship import packed
from bench.fleet.task import Task, software


def served(task, archive):
    space = {}
    exec(SERVE_SOURCE, space)
    return list(space["serve"](task.to_json(), [], archive))


def test_a_node_with_another_dlhw_runs_the_one_that_is_sent_and_its_torch_is_its_own(tmp_path, monkeypatch):
    other = tmp_path / "site" / "bench" / "fleet"
    other.mkdir(parents=True)
    (tmp_path / "site" / "bench" / "__init__.py").touch()
    (other / "node.py").write_text("print('the other one')")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    task = Task(attempt=1, arguments=(), software={**software(), "torch": "9.9"})
    assert served(task, None) == ["the other one\n", "END"]
    said, end = served(task, packed())
    assert json.loads(said) == {"message": "refused", "reason": f"torch {software()['torch']} here, 9.9 wanted"}
    assert end == "END the node's process ended with code 1; "
    assert list(scratch.iterdir()) == []
