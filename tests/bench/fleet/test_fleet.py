"""The flow of a fleet on an engine of this test's: nodes that measure, are lost, refuse, or hang."""

import json

import pytest

from bench.fleet import ledger, publish
from bench.fleet.fleet import Fleet, Request
from bench.fleet.ledger import End
from bench.fleet.schedule import Each
from bench.fleet.task import Message, Node, software
from suites.case import Case
from suites.errors import DlhwError
from tests.support.samples import ENVIRONMENT, measured

CASES = [Case.parse(f"{net}-{mode}-b{batch}-fp32-contiguous-eager-cpu-t2")
         for net in ("lenet", "nin") for mode in ("inference", "training") for batch in (1, 2)]  # fmt: skip
PLAN = {
    "environment": ENVIRONMENT,
    "key": {},
    "cases": [{"id": case.id, "case": case.to_json(), "seconds": 1.0, "impossible": None} for case in CASES],
}


def say(kind, **content):
    return json.dumps({"message": kind, **content}) + "\n"


def journal(case_ids):
    yield say(Message.READY, host="h", process=1, standing={})
    yield say(Message.LINE, line=json.dumps({"kind": "header", "key": {}, "plan": list(case_ids)}))
    for case_id in case_ids:
        record = measured(Case.parse(case_id)).to_json()
        yield say(Message.LINE, line=json.dumps({"kind": "record", "node_id": case_id, "record": record}))


class Script:
    """A run whose messages and end are known beforehand; `None` as its end: it goes on until it is cancelled."""

    def __init__(self, lines, end=""):
        self._lines, self._end = list(lines), end
        self.cancelled = False

    def lines(self):
        taken, self._lines = self._lines, []
        return taken

    def ended(self):
        return self._end

    def cancel(self):
        self.cancelled = True


def fine(task):
    if task.plan:
        return Script([say(Message.PLAN, plan=PLAN), say(Message.ENDED, exit_code=0, output="")])
    return Script([*journal(task.cases), say(Message.ENDED, exit_code=0, output="1 passed")])


class Scripted:
    whole_node = True

    def __init__(self, *names, **fates):
        self.names, self.fates = names, fates
        self.tasks = []
        self.runs = []

    def nodes(self):
        return [Node(name, name) for name in self.names]

    def start(self, node, task):
        self.tasks.append((node.name, task))
        self.runs.append(self.fates.get(node.name, fine)(task))
        return self.runs[-1]

    def close(self):
        self.closed = True


def run(folder, engine, *, resume=False, **request):
    said = []
    request = Request(**{"arguments": ("--suite", "smoke"), "anchors": False} | request)
    whole = Fleet(request, engine, folder, said.append).run(resume=resume)
    return whole, said


def records_of(folder):
    """Node -> ids of its records, in order."""
    return {
        path.name.removesuffix(".journal.jsonl"): [
            data["record"]["id"] for line in path.read_text().splitlines()
            if (data := json.loads(line))["kind"] == "record"
        ]
        for path in publish.write(folder)
    }  # fmt: skip


def test_every_node_measures_every_case_once(tmp_path):
    whole, said = run(tmp_path, Scripted("a", "b"))
    assert whole
    assert records_of(tmp_path) == {node: [case.id for case in CASES] for node in "ab"}
    assert said[-1].startswith("[8/8]")
    assert "ETA" in said[-1]


def test_a_sharded_suite_is_measured_once_by_all(tmp_path):
    whole, _ = run(tmp_path, Scripted("a", "b"), shard=True)
    found = records_of(tmp_path)
    assert whole
    assert sorted(found["a"] + found["b"]) == sorted(case.id for case in CASES)
    assert found["a"]
    assert found["b"]


def lost_at(block):
    def fate(task):
        if task.plan or not any(block in case_id for case_id in task.cases):
            return fine(task)
        return Script(list(journal(task.cases))[:3], "the node is gone")

    return fate


def test_of_a_kind_another_node_takes_the_block_of_a_lost_one_whole(tmp_path):
    whole, said = run(tmp_path, Scripted("a", "b", a=lost_at("lenet-training")), each=Each.KIND)
    assert whole
    assert records_of(tmp_path) == {
        "a": [case.id for case in CASES[:2]],
        "b": [case.id for case in CASES if "lenet-inference" not in case.id and case not in CASES[:2]],
    }
    assert any("lost: the node is gone" in line for line in said)


def test_every_nodes_own_block_is_told_where_its_node_is_lost(tmp_path):
    whole, _ = run(tmp_path, Scripted("a", "b", a=lost_at("lenet-training")))
    assert not whole
    history = ledger.read(tmp_path)
    assert {attempt.end for attempt in history.attempts.values() if attempt.node == "b"} == {End.DONE}
    assert records_of(tmp_path)["b"] == [case.id for case in CASES]


def refuses(task):
    return Script([say(Message.REFUSED, reason="niceness is 15: others go before it")])


def test_a_node_that_refuses_is_not_used_and_says_why(tmp_path):
    whole, said = run(tmp_path, Scripted("a", "b", a=refuses))
    assert whole
    assert set(records_of(tmp_path)) == {"b"}
    assert "a: not used: niceness is 15: others go before it" in said


def test_without_any_node_the_reasons_are_told(tmp_path):
    with pytest.raises(DlhwError, match="no node can be used: a: niceness is 15"):
        run(tmp_path, Scripted("a", a=refuses))


def test_what_runs_is_ended_and_kept_when_a_person_interrupts(tmp_path):
    class Interrupts(Scripted):
        def start(self, node, task):
            if len(self.tasks) == 3:
                raise KeyboardInterrupt
            return super().start(node, task)

    def hangs(task):
        return fine(task) if task.plan else Script(list(journal(task.cases))[:3], None)

    engine = Interrupts("a", "b", a=hangs)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, engine)
    assert engine.runs[2].cancelled
    assert engine.closed
    history = ledger.read(tmp_path)
    part = history.unfinished("a", "lenet-inference")
    assert part.end is End.CANCELLED

    again = Scripted("a", "b")
    whole, _ = run(tmp_path, again, resume=True)
    assert whole
    resumed = next(task for name, task in again.tasks if name == "a" and not task.plan)
    assert [json.loads(line)["kind"] for line in resumed.earlier] == ["header", "record"]
    assert set(records_of(tmp_path)) == {"a", "b"}


def test_resuming_measures_only_what_is_missing(tmp_path):
    run(tmp_path, Scripted("a", a=lost_at("nin-inference")))
    again = Scripted("a")
    whole, _ = run(tmp_path, again, resume=True)
    assert whole
    blocks = [task.cases for _, task in again.tasks if not task.plan]
    assert [case_id for cases in blocks for case_id in cases] == [case.id for case in CASES[4:]]


def test_a_folder_with_a_fleet_is_not_written_over(tmp_path):
    run(tmp_path, Scripted("a"))
    with pytest.raises(DlhwError, match="go on with --resume"):
        run(tmp_path, Scripted("a"))
    with pytest.raises(DlhwError, match="asked for something else"):
        run(tmp_path, Scripted("a"), resume=True, arguments=("--suite", "quick"))


def test_a_suite_file_is_sent_along_and_the_anchors_stay_the_same_for_all(tmp_path):
    (tmp_path / "own.toml").write_text("[[sweep]]")
    engine = Scripted("a")
    run(tmp_path / "out", engine, arguments=("--suite", str(tmp_path / "own.toml")), anchors=True)
    anchors = [task for _, task in engine.tasks if task.arguments == ("--suite", "anchor")]
    assert [task.suite_text for task in anchors] == [None, None]
    others = [task for _, task in engine.tasks if task not in anchors]
    assert {task.suite_text for task in others} == {"[[sweep]]"}
    assert others


def test_a_node_is_told_what_software_it_must_have(tmp_path):
    engine = Scripted("a")
    run(tmp_path, engine)
    assert {task.software["torch"] for _, task in engine.tasks} == {software()["torch"]}
    assert all(len(task.software["dlhw"]) == 12 for _, task in engine.tasks)


def test_a_mistake_in_the_arguments_is_told(tmp_path):
    def fails(task):
        return Script([say(Message.ENDED, exit_code=4, output="usage\nERROR: no suite 'smok'")])

    with pytest.raises(DlhwError, match="a: pytest ended with code 4: ERROR: no suite 'smok'"):
        run(tmp_path, Scripted("a", a=fails))
