"""Who measures what next, as blocks end, and nodes are lost."""

import pytest

from bench.fleet.ledger import Attempt, End
from bench.fleet.schedule import BEGIN, END, MOST_ATTEMPTS, Each, Team, blocks_of, kind_of, resume, teams
from bench.fleet.task import Block, Node

A, B, C = (Node(name, name) for name in "abc")


def blocks(*names):
    return [Block(name, (f"{name}-1",), 10.0) for name in names]


def team(*nodes, queue=("x", "y", "z"), active=1, anchors=False):
    return Team("kind", list(nodes), blocks(*queue), active, anchors)


def end(team, node, how=End.DONE, reason=""):
    block = team.running[node.name]
    team.ended(Attempt(1, block.id, node.name, team.name, end=how, reason=reason))


def play(team, fate=lambda node, block: End.DONE):
    """(node, block) in the order in which they were handed out, until the team is over."""
    given = []
    while not team.over:
        while (chosen := team.next()) is not None:
            given.append((chosen[0].name, chosen[1].id))
        name = next(iter(team.running))
        node = next(node for node in team.members if node.name == name)
        end(team, node, fate(name, team.running[name].id), "why")
    return given


def test_one_node_measures_all_blocks_between_its_anchors():
    assert play(team(A, anchors=True)) == [("a", BEGIN), ("a", "x"), ("a", "y"), ("a", "z"), ("a", END)]


def test_nodes_of_a_kind_share_the_blocks_and_each_has_its_anchors():
    given = play(team(A, B, queue="vwxyz", active=2, anchors=True))
    assert sorted(block for _, block in given if "anchor" not in block) == list("vwxyz")
    for node in "ab":
        mine = [block for name, block in given if name == node]
        assert mine[0] == BEGIN
        assert mine[-1] == END
        assert len(mine) > 3


def test_of_a_kind_one_node_measures_and_the_next_takes_over_where_it_is_lost():
    given = play(team(A, B), lambda node, block: End.LOST if (node, block) == ("a", "y") else End.DONE)
    assert given == [("a", "x"), ("a", "y"), ("b", "y"), ("b", "z")]


def test_a_lost_node_without_another_leaves_its_blocks_with_the_reason():
    alone = team(A)
    assert play(alone, lambda node, block: End.LOST if block == "y" else End.DONE) == [("a", "x"), ("a", "y")]
    assert alone.given_up == {"y": "a: why"}
    assert alone.gone == {"a": "why"}
    assert alone.unmeasured == {"y": "a: why", "z": "a: why"}  # what was not begun is told, too


def test_a_refused_block_is_tried_again_so_often_and_then_told():
    refused = team(A, queue="x")
    assert play(refused, lambda node, block: End.REFUSED) == [("a", "x")] * MOST_ATTEMPTS
    assert refused.given_up == {"x": "a: why"}


def test_a_block_that_failed_is_told_and_not_tried_again():
    failed = team(A)
    assert play(failed, lambda node, block: End.FAILED if block == "x" else End.DONE) == [
        ("a", "x"), ("a", "y"), ("a", "z"),
    ]  # fmt: skip
    assert failed.unmeasured == {"x": "a: why"}


def test_the_last_anchor_waits_while_another_node_may_leave_a_block():
    both = team(A, B, queue="x", active=2, anchors=True)
    assert {both.next()[0].name, both.next()[0].name} == {"a", "b"}
    end(both, A)
    assert both.next()[1].id == "x"
    end(both, B)
    assert both.next() is None
    end(both, A, End.LOST, "gone")
    assert [both.next()[1].id for _ in "x"] == ["x"]


def test_resuming_passes_over_what_has_ended_well():
    again = team(A, anchors=True)
    resume(again, [Attempt(1, BEGIN, "a", "kind", End.DONE), Attempt(2, "x", "a", "kind", End.DONE),
                   Attempt(3, "y", "a", "kind"), Attempt(4, "z", "other", "other", End.DONE)])  # fmt: skip
    assert play(again) == [("a", "y"), ("a", "z"), ("a", END)]


def environment(model="Xeon", gpus=()):
    devices = [{"name": "cpu", "model": model}, *({"name": f"cuda:{i}", "model": gpu} for i, gpu in enumerate(gpus))]
    return {"host": {"cpu": {"model": model}, "cores": 8, "memory_bytes": 32 * 2**30}, "devices": devices}


def test_a_kind_is_what_two_of_it_have_in_common():
    assert kind_of(environment(gpus=("H100", "H100", "L4"))) == "Xeon, 8 cores, 32 GiB + H100 x2 + L4 x1"


@pytest.mark.parametrize(
    ("each", "shard", "expected"),
    [
        (Each.NODE, False, [("a", ["a"], 1), ("b", ["b"], 1), ("c", ["c"], 1)]),
        (Each.KIND, False, [("K", ["a", "b"], 1), ("L", ["c"], 1)]),
        (Each.NODE, True, [("K", ["a", "b"], 2), ("L", ["c"], 1)]),
    ],
)
def test_teams(each, shard, expected):
    case = {"id": "lenet-1", "case": {"kind": "net", "architecture": "lenet", "mode": "training"}, "seconds": 1.0}
    plans = {name: {"environment": environment(gpus=gpus), "cases": [case]}
             for name, gpus in (("a", ["H"]), ("b", ["H"]), ("c", []))}  # fmt: skip
    found = teams([A, B, C], plans, each, shard=shard, anchors=False)
    label = {kind_of(environment(gpus=["H"])): "K", kind_of(environment()): "L"}
    assert [(label.get(t.name, t.name), [node.name for node in t.members], t.active) for t in found] == expected
    assert [block.id for block in found[0].queue] == ["lenet-training"]


def test_all_settings_of_a_net_and_all_sizes_of_an_operation_stay_together():
    def net(name, mode, batch):
        case = {"kind": "net", "architecture": name, "mode": mode}
        return {"id": f"{name}-{mode}-{batch}", "case": case, "seconds": 1.0}

    copies = [{"id": f"copy-{size}", "case": {"kind": "micro", "operation": "copy"}, "seconds": 2.0} for size in (1, 2)]
    found = blocks_of([net("nin", "training", 1), net("nin", "inference", 1), net("nin", "training", 2), *copies])
    assert {block.id: block.cases for block in found} == {
        "nin-training": ("nin-training-1", "nin-training-2"),
        "nin-inference": ("nin-inference-1",),
        "copy": ("copy-1", "copy-2"),
    }
