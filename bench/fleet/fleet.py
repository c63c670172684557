"""The flow of a fleet: plan on every node, hand out blocks, keep what comes, go on when nodes are lost."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.fleet import ledger, publish, schedule
from bench.fleet.ledger import Attempt, End, Ledger
from bench.fleet.node import suite_place
from bench.fleet.schedule import Each, Team
from bench.fleet.task import Block, Engine, Message, Node, Run, Task, software
from suites import units
from suites.errors import DlhwError

POLL_SECONDS = 0.1
PLAN = "plan"
ANCHOR_ARGUMENTS = ("--suite", "anchor")


@dataclass(frozen=True)
class Request:
    """What a fleet is asked for.

    Attributes:
        arguments: of `pytest bench/`.
        nodes: at most so many; None: all.
        anchors: measure the anchor cases on each node.
    """

    arguments: tuple[str, ...]
    each: Each = Each.NODE
    shard: bool = False
    nodes: int | None = None
    anchors: bool = True
    max_other_cores: float = 0.2
    wait_seconds: float = 60.0
    variables: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Of the fleet's journal; a resumed fleet must be asked for the same."""
        return {"arguments": list(self.arguments), "each": self.each, "shard": self.shard, "anchors": self.anchors}


@dataclass
class _Going:
    """An attempt that runs."""

    attempt: Attempt
    run: Run
    since: float
    ready: float | None = None
    outcome: tuple[End, str] | None = None
    plan: Mapping[str, Any] | None = None


class Fleet:
    """Runs a request on an engine, into a folder.

    Args:
        say: is given a line for people now and then.
        now: the clock, in seconds.
    """

    def __init__(
        self, request: Request, engine: Engine, folder: Path, say: Callable[[str], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.request = request
        self.engine = engine
        self.folder = folder
        self._say = say
        self._now = now
        self._ledger = Ledger(folder)
        self._going: list[_Going] = []
        self._number = 0
        self._teams: list[Team] = []
        self._unplanned: dict[str, str] = {}
        self._blocks = 0
        self._planned_seconds = self._since = 0.0

    def run(self, *, resume: bool = False) -> bool:
        """Measure everything; whether all blocks were measured.

        Raises:
            DlhwError: no node can be used, or the folder holds another fleet.
            KeyboardInterrupt: after every task was ended and what was measured is kept.
        """
        try:
            history = self._begin(resume)
            nodes = self._usable(history)
            plans = {name: history.plans[name] for name in (node.name for node in nodes)}
            self._teams = schedule.teams(
                nodes, plans, self.request.each, shard=self.request.shard, anchors=self.request.anchors
            )  # fmt: skip
            for team in self._teams:
                schedule.resume(team, history.attempts.values())
            self._blocks = sum(len(team.queue) for team in self._teams)
            self._planned_seconds, self._since = max(team.left_seconds for team in self._teams), self._now()
            while not all(team.over for team in self._teams):
                self._hand_out(history)
                self._listen()
                time.sleep(POLL_SECONDS)
            return not any(team.unmeasured for team in self._teams)
        finally:
            self._end()

    def _begin(self, resume: bool) -> ledger.History:
        there = (self.folder / "fleet.jsonl").stat().st_size > 0
        if there and not resume:
            raise DlhwError(f"{self.folder}: a fleet has run in this folder; go on with --resume, or name another")
        if not there:
            self._ledger.begin({**self.request.to_json(), "software": software(), "engine": type(self.engine).__name__})
        history = ledger.read(self.folder)
        if any(history.header.get(key) != value for key, value in self.request.to_json().items()):
            raise DlhwError(
                f"{self.folder}: this fleet was asked for something else; see dlhw fleet status {self.folder}"
            )
        self._number = max(history.attempts, default=0)
        return history

    def _usable(self, history: ledger.History) -> list[Node]:
        """The nodes that could be planned on; what a node is, is asked at every start: it may have changed."""
        nodes = self.engine.nodes()[: self.request.nodes]
        if not nodes:
            raise DlhwError("the engine has no nodes")
        for node in nodes:
            self._start(node, Block(PLAN, ()), PLAN, ())
        while self._going:
            self._listen()
            time.sleep(POLL_SECONDS)
        plans = ledger.read(self.folder).plans
        planned = [node for node in nodes if node.name in plans and node.name not in self._unplanned]
        if not planned:
            raise DlhwError(
                "no node can be used: " + "; ".join(f"{name}: {why}" for name, why in self._unplanned.items())
            )
        history.plans.update(plans)
        return planned

    def _hand_out(self, history: ledger.History) -> None:
        for team in self._teams:
            while (chosen := team.next()) is not None:
                node, block = chosen
                part = history.unfinished(node.name, block.id)
                earlier = () if part is None else ledger.lines_of(self.folder, part.number)
                self._start(node, block, team.name, earlier)

    def _start(self, node: Node, block: Block, team: str, earlier: tuple[str, ...]) -> None:
        self._number += 1
        attempt = Attempt(self._number, block.id, node.name, team)
        self._ledger.started(attempt)
        task = self._task(block, earlier)
        for line in earlier:
            self._ledger.keep(attempt.number, line)
        self._going.append(_Going(attempt, self.engine.start(node, task), self._now()))

    def _task(self, block: Block, earlier: tuple[str, ...]) -> Task:
        request = self.request
        return Task(
            attempt=self._number, arguments=ANCHOR_ARGUMENTS if block.anchor else request.arguments,
            cases=block.cases, plan=block.id == PLAN, earlier=earlier, folder=str(Path.cwd()),
            suite_text=None if block.anchor else suite_text(request.arguments),
            variables=dict(request.variables), software=software(),
            whole_node=self.engine.whole_node, max_other_cores=request.max_other_cores,
            wait_seconds=request.wait_seconds,
        )  # fmt: skip

    def _listen(self) -> None:
        for going in list(self._going):
            lost = going.run.ended()
            for line in going.run.lines():
                self._take(going, line)
            if lost is not None or going.outcome is not None:
                self._going.remove(going)
                self._ended(going, lost or "its process ended without a word")

    def _take(self, going: _Going, line: str) -> None:
        try:
            message = json.loads(line)
            kind = Message(message["message"])
        except (ValueError, LookupError, TypeError):
            return  # what a dying node left torn
        match kind:
            case Message.READY:
                going.ready = self._now()
            case Message.LINE:
                self._ledger.keep(going.attempt.number, message["line"])
            case Message.PLAN:
                going.plan = message["plan"]
            case Message.REFUSED:
                going.outcome = End.REFUSED, message["reason"]
            case Message.ENDED:
                going.outcome = _end_of(message)

    def _ended(self, going: _Going, lost: str) -> None:
        attempt = going.attempt
        attempt.end, attempt.reason = going.outcome or (End.LOST, lost)
        attempt.seconds = self._now() - going.since
        attempt.measuring_seconds = None if going.ready is None else self._now() - going.ready
        self._ledger.ended(attempt)
        if attempt.team == PLAN:
            self._planned(going)
            return
        for team in self._teams:
            if team.name == attempt.team:
                team.ended(attempt)
        publish.write(self.folder)
        self._tell(attempt)

    def _planned(self, going: _Going) -> None:
        if going.plan is None:
            self._unplanned[going.attempt.node] = going.attempt.reason
            self._say(f"{going.attempt.node}: not used: {going.attempt.reason}")
            return
        self._ledger.plan(going.attempt.node, going.plan)
        self._say(f"{going.attempt.node}: {schedule.kind_of(going.plan['environment'])}")

    def _tell(self, attempt: Attempt) -> None:
        why = f": {attempt.reason}" if attempt.reason else ""
        took = units.duration(attempt.seconds or 0.0)
        self._say(f"{self._done()} {attempt.node}  {attempt.block}  {attempt.end}{why}  {took}  ETA {self._eta()}")

    def _done(self) -> str:
        """`[ 3/12]`, of the blocks."""
        left = sum(len(team.queue) + sum(not block.anchor for block in team.running.values()) for team in self._teams)
        return f"[{self._blocks - left:{len(str(self._blocks))}}/{self._blocks}]"

    def _eta(self) -> str:
        """By the slowest team, corrected by what the fleet took until now for what was planned until now."""
        left = max((team.left_seconds for team in self._teams), default=0.0)
        planned = self._planned_seconds - left
        pace = (self._now() - self._since) / planned if planned > 0 else 1.0
        return units.duration(left * pace)

    def _end(self) -> None:
        """End what still runs, and keep what it had to say."""
        try:
            for going in self._going:
                going.run.cancel()
            for going in self._going:
                self._cancelled(going)
            publish.write(self.folder, {team.name: team.unmeasured for team in self._teams})
        finally:
            self._ledger.close()
            self.engine.close()

    def _cancelled(self, going: _Going) -> None:
        for line in going.run.lines():
            self._take(going, line)
        going.outcome = going.outcome or (End.CANCELLED, "the fleet was ended")
        going.attempt.end, going.attempt.reason = going.outcome
        going.attempt.seconds = self._now() - going.since
        self._ledger.ended(going.attempt)


def _end_of(message: Mapping[str, Any]) -> tuple[End, str]:
    """By pytest's exit code: 0 passed, 1 some cases failed, which are rows; all others are a mistake."""
    if message["exit_code"] in {0, 5}:
        return End.DONE, ""
    last = ([""] + [line for line in message["output"].splitlines() if line.strip()])[-1]
    if message["exit_code"] == 1:
        return End.DONE, f"some cases failed: {last.strip()}"
    return End.FAILED, f"pytest ended with code {message['exit_code']}: {last.strip()}"


def suite_text(arguments: Sequence[str]) -> str | None:
    """The text of the suite file that `arguments` name; None where they name one of dlhw's own.

    Raises:
        DlhwError: there is a file of that name, and it cannot be read.
    """
    place = suite_place(arguments)
    path = Path(place[1]) if place else None
    if path is None or not path.is_file():
        return None
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DlhwError(f"--suite {path}: it cannot be read") from error
