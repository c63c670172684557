"""What passes between the fleet's controller and a node: nodes, blocks, tasks, and the node's messages."""

import hashlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Protocol, Self

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Node:
    """A machine that an engine has.

    Attributes:
        name: of files and in what is printed; no other node of the fleet has it.
        address: what the engine knows it by.
        declared: what the engine says of its hardware (cores, memory, GPUs); empty where it says nothing.
        cores, gpus: that a task has to ask for to have all of the node.
    """

    name: str
    address: str
    declared: str = ""
    cores: int = 0
    gpus: int = 0


@dataclass(frozen=True)
class Block:
    """Cases that are compared with one another, and so are measured on one node.

    Attributes:
        id: `lenet-inference`, or `anchor-begin`, `anchor-end`.
        cases: their ids, in order.
        seconds: that they may take, as planned.
        anchor: the same few cases on every node, before and after all others; no rows of the results.
    """

    id: str
    cases: tuple[str, ...]
    seconds: float = 0.0
    anchor: bool = False


class Message(StrEnum):
    """The kinds of a node's messages."""

    READY = "ready"
    REFUSED = "refused"
    PLAN = "plan"
    LINE = "line"
    ENDED = "ended"


@dataclass(frozen=True)
class Task:
    """What a node is asked to do, in JSON's types.

    Attributes:
        attempt: number of the attempt within the fleet; a block may need several.
        arguments: of `pytest bench/`.
        cases: ids to measure; empty: all.
        plan: only tell what would be measured, and what machine this is.
        earlier: lines of the journal of an attempt on the same node that did not come to its end.
        folder: to run in, where the node has it.
        suite_text: of the suite file that `arguments` name, for a node that does not have it.
        variables: environment variables that the measuring processes are given besides.
        software: versions that the node must have.
        whole_node: all cores of the node must be there, without a quota.
        max_other_cores: that other processes may keep busy before and after.
        wait_seconds: how long to wait for that, and for the cores themselves.
    """

    attempt: int
    arguments: tuple[str, ...]
    cases: tuple[str, ...] = ()
    plan: bool = False
    earlier: tuple[str, ...] = ()
    folder: str = ""
    suite_text: str | None = None
    variables: Mapping[str, str] | None = None
    software: Mapping[str, str] | None = None
    whole_node: bool = True
    max_other_cores: float = 0.2
    wait_seconds: float = 60.0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Make the task of which `to_json` made `data`."""
        known: dict[str, Any] = {field.name: data[field.name] for field in fields(cls) if field.name in data}
        tuples = {key: tuple(value) for key, value in known.items() if isinstance(value, list)}
        return cls(**known | tuples)


class Run(Protocol):
    """A task on a node."""

    def lines(self) -> list[str]:
        """The node's messages that came since the last call, a line of JSON each; does not wait."""

    def ended(self) -> str | None:
        """None while it runs; empty when it came to its end; else how the node or the task was lost."""

    def cancel(self) -> None:
        """End it, and all that it started."""


class Engine(Protocol):
    """Runs tasks on nodes."""

    whole_node: bool
    """Whether a node is ours alone by the engine's word, which the node then verifies."""

    def nodes(self) -> list[Node]:
        """The nodes that there are now.

        Raises:
            DlhwError: the engine cannot be reached.
        """

    def start(self, node: Node, task: Task) -> Run:
        """Have `task` run on `node`, as soon as it can."""

    def close(self) -> None:
        """Give back what was started."""


@cache
def software() -> dict[str, str]:
    """What must be the same on all nodes, or they are not compared: dlhw, torch and Python."""
    digest = hashlib.sha256()
    for package in ("bench", "suites", "reports"):
        for path in sorted((ROOT / package).rglob("*.py")) + sorted((ROOT / package).rglob("*.toml")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return {"dlhw": digest.hexdigest()[:12], "torch": importlib.metadata.version("torch")}
