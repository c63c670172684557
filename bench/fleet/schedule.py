"""Which block goes to which node next: pure bookkeeping, moved by what became of the attempts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bench.fleet.ledger import Attempt, End
from bench.fleet.task import Block, Node

MOST_ATTEMPTS = 3
"""At one block, by nodes that were lost, refused or cancelled; then it is told as not measured."""
BEGIN, END = "anchor-begin", "anchor-end"
START_SECONDS, ANCHOR_SECONDS = 5.0, 40.0
"""That a task takes beyond its cases, and the anchor cases by all launches on two cores: first guesses, which the run
corrects."""


class Each(StrEnum):
    """Who measures the whole suite."""

    NODE = "node"
    KIND = "kind"


@dataclass
class Team:
    """Nodes that share a queue of blocks.

    Attributes:
        name: a node's, or a kind of hardware.
        members: in the order in which they are used.
        active: how many of them measure at a time.
        queue: blocks that are still to be measured.
        running: node -> the block that it measures.
        begun, finished: nodes whose anchor was measured before, and after, the blocks.
        gone: nodes that were lost or refused, and why.
        given_up: blocks that were tried too often, and why.
    """

    name: str
    members: list[Node]
    queue: list[Block]
    active: int
    anchors: bool = False
    running: dict[str, Block] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    finished: set[str] = field(default_factory=set)
    measured: set[str] = field(default_factory=set)
    gone: dict[str, str] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    given_up: dict[str, str] = field(default_factory=dict)

    def next(self) -> tuple[Node, Block] | None:
        """A free node and what it is to measure; None where there is nothing for now."""
        for node in self._working():
            if node.name not in self.running and (block := self._for(node)) is not None:
                self.running[node.name] = block
                return node, block
        return None

    def _working(self) -> list[Node]:
        return [node for node in self.members if node.name not in self.gone][: self.active]

    def _for(self, node: Node) -> Block | None:
        if self.anchors and node.name not in self.begun and self.queue:
            return Block(BEGIN, (), ANCHOR_SECONDS, anchor=True)
        if self.queue:
            return self.queue.pop(0)
        others = any(name != node.name for name in self.running)
        if self.anchors and node.name in self.measured - self.finished and not (others and self.active > 1):
            return Block(END, (), ANCHOR_SECONDS, anchor=True)
        return None

    def ended(self, attempt: Attempt) -> None:
        """Take note of what became of an attempt."""
        block = self.running.pop(attempt.node)
        if attempt.end is End.FAILED and not block.anchor:  # a mistake, which another attempt would repeat
            self.given_up[block.id] = f"{attempt.node}: {attempt.reason}"
        elif attempt.end in {End.DONE, End.FAILED}:
            (self.begun if block.id == BEGIN else self.finished if block.id == END else self.measured).add(attempt.node)
        else:
            self._again(block, attempt)

    def _again(self, block: Block, attempt: Attempt) -> None:
        tries = self.tries[block.id] = self.tries.get(block.id, 0) + 1
        if attempt.end is End.LOST or tries >= MOST_ATTEMPTS:
            self.gone.setdefault(attempt.node, attempt.reason)
        if block.anchor:
            return
        if tries < MOST_ATTEMPTS and self._working():
            self.queue.insert(0, block)
        else:
            self.given_up[block.id] = f"{attempt.node}: {attempt.reason}"

    @property
    def unmeasured(self) -> dict[str, str]:
        """Block -> why no node has measured it: those that were given up, and those that no node is left for."""
        gone = "; ".join(f"{node}: {reason}" for node, reason in self.gone.items())
        return {**dict.fromkeys((block.id for block in self.queue), gone or "the fleet was ended"), **self.given_up}

    @property
    def over(self) -> bool:
        """Whether nothing runs, and nothing is left that a node could do."""
        return not self.running and (not self._working() or self._nothing_left())

    def _nothing_left(self) -> bool:
        open_anchors = self.measured - self.finished - self.gone.keys() if self.anchors else set()
        return not self.queue and not open_anchors

    @property
    def left_seconds(self) -> float:
        """What the rest may take, shared by those that work."""
        blocks = sum(block.seconds for block in (*self.queue, *self.running.values()))
        working = len(self._working())
        anchors = ANCHOR_SECONDS * max(0, working - len(self.finished)) if self.anchors else 0.0
        return (blocks + anchors) / max(1, working)


def blocks_of(cases: Iterable[Mapping[str, Any]]) -> list[Block]:
    """Cases that are compared with one another, together: all settings of a net in a mode; a micro-benchmark's sizes.

    Args:
        cases: of a node's plan: {id, case, seconds, impossible}.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for case in cases:
        found.setdefault(_block_of(case["case"]), []).append(case)
    return [
        Block(name, tuple(case["id"] for case in members), START_SECONDS + sum(case["seconds"] for case in members))
        for name, members in found.items()
    ]


def _block_of(case: Mapping[str, Any]) -> str:
    return str(case["operation"]) if case["kind"] == "micro" else f"{case['architecture']}-{case['mode']}"


def kind_of(environment: Mapping[str, Any]) -> str:
    """The kind of hardware, by what does not differ between two of a kind: `Xeon, 2 cores, 24 GiB + NVIDIA H100 x2`."""
    host = environment["host"]
    cpu = f"{host['cpu']['model']}, {host['cores']} cores, {round(host['memory_bytes'] / 2**30)} GiB"
    models = Counter(str(device.get("model")) for device in environment["devices"] if device["name"] != "cpu")
    return " + ".join([cpu, *(f"{model} x{count}" for model, count in sorted(models.items()))])


def teams(
    nodes: Sequence[Node], plans: Mapping[str, Mapping[str, Any]], each: Each, *, shard: bool, anchors: bool
) -> list[Team]:
    """Who shares what: every node the whole suite, or a kind of hardware, by one of its nodes or by all of them.

    Args:
        plans: by node; of a kind all nodes plan the same.
    """
    groups: dict[str, list[Node]] = {}
    for node in nodes:
        kind = kind_of(plans[node.name]["environment"])
        groups.setdefault(kind if shard or each is Each.KIND else node.name, []).append(node)
    return [
        Team(name, members, blocks_of(plans[members[0].name]["cases"]), len(members) if shard else 1, anchors)
        for name, members in groups.items()
    ]


def resume(team: Team, attempts: Iterable[Attempt]) -> None:
    """Take out of the queue what earlier attempts have measured."""
    mine = [attempt for attempt in attempts if attempt.team == team.name]
    ended = [attempt for attempt in mine if attempt.end is End.DONE]
    for attempt in ended:
        (team.begun if attempt.block == BEGIN else team.finished if attempt.block == END else team.measured).add(
            attempt.node
        )
    done = {attempt.block for attempt in ended}
    team.queue = [block for block in team.queue if block.id not in done]
