"""Two measuring processes by turns: what the machine does to one, it does to the other a moment later."""

import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from bench.controller import noise
from bench.controller.launcher import ending
from bench.controller.process import Worker
from bench.machine import host
from bench.records.pair import Pair
from bench.records.record import Launch, Outcome, Status
from suites.case import Budget
from suites.cases import AnyCase

SLICE_SECONDS = 0.005
"""As short as a step lets it be: two turns are the nearer in time, and there are the more of them."""
SIDE_SECONDS = 0.3
"""That the slices of one process take together, if the fewest turns do not take longer."""
FEWEST_TURNS, MOST_TURNS = 16, 96
ANSWER_SECONDS = 120.0
CLOCKS_DIFFER = 0.01
SWITCHES_PER_THREAD = 50.0
"""A second; only where a core is spare, where an undisturbed thread makes 3 to 20."""


class SideProcess(Protocol):
    """One process of a pair. Where it cannot do what it is asked for, it answers with an `outcome`."""

    def load(self, index: int, cores: Sequence[int]) -> Mapping[str, Any]:
        """Make a case ready, on these cores, or any where there are none.

        Answers `step_seconds`, `compile_seconds` and `cpu_seconds`, the process's own so far.
        """

    def slice(self, steps: int, slower: float = 0.0) -> Mapping[str, Any]:
        """Take so many steps.

        Answers `seconds` of each, `switches`: involuntary context switches meanwhile, `cpu_seconds` and `peak_bytes`.
        """


@dataclass(frozen=True)
class Rules:
    """By which a turn counts.

    Attributes:
        threads: that the case may keep busy.
        cores: those that there are for it; empty where the system does not tell them apart.
        bind: bind it to as many of them as it has threads, if there are more.
    """

    threads: int
    cores: tuple[int, ...] = ()
    bind: bool = True

    @property
    def spare(self) -> bool:
        """Whether there are more cores than threads."""
        return self.threads < len(self.cores)


@dataclass
class _Slices:
    """What one process has done so far."""

    medians: list[float] = field(default_factory=list)
    results: list[Mapping[str, Any]] = field(default_factory=list)


def measure_pair(
    base: SideProcess, head: SideProcess, index: int, coin: random.Random, rules: Rules, slower: float = 0.0
) -> Pair:
    """Measure a case by slices in turns, A B B A A B ..., who begins by the coin; as many steps for both.

    Both are bound to the same cores, chosen by the coin: what another tenant does to a core, or to the sibling that it
    shares it with, would else be in one of the two.

    Args:
        slower: slow `head` down by this share, on purpose.
    """
    processes = (base, head)
    order = [0, 1] if coin.random() < 1 / 2 else [1, 0]
    cores = coin.sample(rules.cores, rules.threads) if rules.bind and rules.spare else ()
    loaded = {place: processes[place].load(index, cores) for place in order}
    outcomes = [_outcome(loaded[place]) for place in (0, 1)]
    if any(outcomes):
        return Pair(outcomes=(outcomes[0], outcomes[1]))
    steps, turns = plan(max(loaded[place]["step_seconds"] for place in (0, 1)))
    done = (_Slices(), _Slices())
    watched = cores or rules.cores
    before = host.moment(watched)
    for turn in range(turns):
        for place in order if turn % 2 == 0 else order[::-1]:
            result = processes[place].slice(steps, slower if place == 1 else 0.0)
            if died := _outcome(result):
                return Pair(outcomes=(died, None) if place == 0 else (None, died))
            done[place].results.append(result)
            done[place].medians.append(statistics.median(result["seconds"]))
    own_seconds = sum(done[place].results[-1]["cpu_seconds"] - loaded[place]["cpu_seconds"] for place in (0, 1))
    co_running = disturbance(before, host.moment(watched), own_seconds, len(watched), rules.threads)
    peaks = [slices.results[-1].get("peak_bytes") for slices in done]
    compile_seconds = [loaded[place].get("compile_seconds") for place in (0, 1)]
    compiled = [loaded[place].get("compiled") for place in (0, 1)]
    return Pair(
        base=tuple(done[0].medians),
        head=tuple(done[1].medians),
        disturbed=tuple(
            co_running or _switches(first, rules) or _switches(second, rules) or _clocks(first, second)
            for first, second in zip(done[0].results, done[1].results, strict=True)
        ),
        peak_bytes=(peaks[0], peaks[1]),
        compile_seconds=(compile_seconds[0], compile_seconds[1]),
        compiled=(compiled[0], compiled[1]),
    )


def plan(step_seconds: float) -> tuple[int, int]:
    """(steps of a slice, turns) for steps of this length; turns come in twos."""
    steps = max(1, math.ceil(SLICE_SECONDS / step_seconds))
    blocks = round(SIDE_SECONDS / (2 * steps * step_seconds))
    return steps, min(MOST_TURNS, max(FEWEST_TURNS, 2 * blocks))


def _outcome(result: Mapping[str, Any]) -> Outcome | None:
    found = result.get("outcome")
    return Outcome(Status(found["status"]), found["reason"]) if found else None


def disturbance(before: host.Moment, after: host.Moment, own_seconds: float, cores: int, threads: int) -> str:
    """What disturbed all turns of a case; empty where nothing did.

    Over all turns, for the kernel counts whole ticks of 10 ms and knows no better of a single slice.

    Args:
        own_seconds: CPU time of both processes meanwhile.
        cores: how many the moments are of.
    """
    ours = own_seconds + after.own_seconds - before.own_seconds
    rates: dict[str, Any] = host.between(replace(before, own_seconds=0.0), replace(after, own_seconds=ours))
    window = after.at_seconds - before.at_seconds
    launch = Launch(samples=1, warmup_steps=0, steady=True, median_seconds=window, **rates)
    if (launch.stolen_share or 0.0) * cores > noise.OTHER_CORES:
        return noise.steal(launch.stolen_share or 0.0)
    return noise.throttled(launch, noise.OTHER_CORES) or noise.co_running(launch, cores - threads, window)


def _switches(result: Mapping[str, Any], rules: Rules) -> str:
    """Whether the process had to make way in this slice; with a thread for each core it has to now and then."""
    allowed = SWITCHES_PER_THREAD * rules.threads * sum(result["seconds"])
    return "involuntary context switches" if rules.spare and result["switches"] > allowed else ""


def _clocks(base: Mapping[str, Any], head: Mapping[str, Any]) -> str:
    """Why an accelerator did not run both processes alike; empty where it did, or where nothing tells."""
    for result in (base, head):
        if slowed := result.get("slowdowns"):
            return f"the GPU was slowed down: {', '.join(slowed)}"
    first, second = base.get("sm_clock_hertz"), head.get("sm_clock_hertz")
    if first and second and abs(first - second) > CLOCKS_DIFFER * first:
        return f"the GPU's clock changed from {first / 1e6:.0f} to {second / 1e6:.0f} MHz"
    return ""


@dataclass(frozen=True)
class PreparedCase:
    """A case for one process: its `reference`, where a net has one, or why this side does not measure it."""

    case: AnyCase
    reference: Mapping[str, Any] | Outcome | None


class WorkerSide:
    """A process that is a fresh interpreter, of any Python, with any checkout's `bench`.

    Args:
        proves: from the file that a case came from, why that is not the code it should be; empty where it is.
        state: what an accelerator's sensors say, of the device of this name.
    """

    def __init__(
        self, worker: Worker, prepared: Sequence[PreparedCase], budgets: Sequence[Budget], *,
        compiler_cache: str | None = None,
        proves: Callable[[AnyCase, str], str] = lambda *_: "",
        state: Callable[[str], Mapping[str, Any]] = lambda _: {},
    ) -> None:  # fmt: skip
        self._worker, self._prepared, self._proves, self._state = worker, prepared, proves, state
        self._device = "cpu"
        cases = [
            {
                "case": each.case.to_json(),
                "reference": None if isinstance(each.reference, Outcome) else each.reference,
                "warmup_seconds": budget.warmup_seconds,
            }
            for each, budget in zip(prepared, budgets, strict=True)
        ]
        worker.begin("slices", cases=cases, compiler_cache=compiler_cache)

    @property
    def alive(self) -> bool:
        """Whether it can be asked for more."""
        return self._worker.alive

    def load(self, index: int, cores: Sequence[int]) -> Mapping[str, Any]:
        """As `SideProcess` has it."""
        prepared = self._prepared[index]
        if isinstance(prepared.reference, Outcome):
            return _as_outcome(prepared.reference)
        self._device = prepared.case.device
        answer = self._worker.ask({"load": index, "cores": list(cores)}, ANSWER_SECONDS)
        if answer is None:
            return self._died("while it was loaded")
        problem = "" if answer["outcome"] else self._proves(prepared.case, answer["source"])
        return _as_outcome(Outcome(Status.FAILED, problem)) if problem else answer

    def slice(self, steps: int, slower: float = 0.0) -> Mapping[str, Any]:
        """As `SideProcess` has it."""
        answer = self._worker.ask({"slice": steps, "slower": slower}, ANSWER_SECONDS)
        return self._died("between two slices") if answer is None else {**answer, **self._state(self._device)}

    def _died(self, when: str) -> Mapping[str, Any]:
        if self._worker.timed_out:
            return _as_outcome(Outcome(Status.TIMEOUT, f"no answer in {ANSWER_SECONDS:g} s {when}; killed"))
        words = self._worker.last_words.splitlines()[-1:] or ["it printed nothing"]
        return _as_outcome(Outcome(Status.CRASHED, f"{ending(self._worker.exit_code)} {when}; last words: {words[0]}"))


def _as_outcome(outcome: Outcome) -> Mapping[str, Any]:
    return {"outcome": {"status": outcome.status, "reason": outcome.reason}}
