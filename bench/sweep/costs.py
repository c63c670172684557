"""What launches cost in seconds: a first guess by the work of the net, corrected by what this run has shown so far.

The guess counts on a small processor; what a machine's launches really took is kept by its fingerprint for later runs.
"""

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache as cached
from typing import Any, TypeAlias

from bench.machine import cache
from bench.records.record import Record
from suites.case import Budget, Case
from suites.cases import AnyCase
from suites.errors import DlhwError


@dataclass(frozen=True)
class Net:
    """What a guess needs: FLOPs and operators' bytes of an image forward, parameters, operators."""

    flops: float
    octets: float
    parameters: float
    operators: float


NETS = {
    "lenet": Net(8.3e5, 1.2e5, 6.2e4, 11), "lenet_bn": Net(5.6e5, 1.5e5, 4.5e4, 15), "nin": Net(1.5e9, 2.6e7, 2e6, 28),
    "alexnet": Net(1.9e9, 1.2e7, 4.7e7, 18), "vgg11": Net(1.5e10, 1.44e8, 1.29e8, 26),
    "googlenet": Net(5.5e8, 1.7e7, 6e6, 137), "resnet18": Net(6.4e8, 1.3e7, 1.1e7, 65),
}  # fmt: skip
"""As the records of a sweep tell them, rounded: enough for a guess."""
UNKNOWN_NET = Net(2e9, 3e7, 2e7, 100)
TRAINING = Net(3.0, 2.5, 6.0, 3.6)
"""Times the work of inference: weights are read, their gradients written and read, and they are updated."""
INFERENCE = Net(1.0, 1.0, 1.0, 1.0)
FLOPS_A_SECOND = {"fp32": 3.9e11, "tf32": 3.9e11}
NARROW_FLOPS_A_SECOND = 6.8e11
SECONDS_AN_OPERATOR, SECONDS_A_BYTE = 2.7e-5, 1.1e-10
"""Fitted to 450 cases on two cores with wide vectors and bf16 instructions; other machines correct it as they run."""
START_SECONDS, FORK_SECONDS = 3.0, 0.04
BUILDING_SECONDS, BUILDING_A_PARAMETER = 0.09, 1.25e-9
WARM_UP_SECONDS, STEPS_BESIDE = 0.1, 3
"""Steps of the check and of the warm-up, as long as warm-up needs for a fast one."""
COMPILE_SECONDS, COMPILER_SECONDS, KEPT_COMPILER_SECONDS = 5.0, 10.0, 2.0
"""Of a small net; and once, to warm the compiler's cache: on a new machine, and with what earlier runs have kept."""
RIDGE, COMMON = 0.1, 0.002
"""What a correction costs: as much as a tenth of a launch that disagrees with it; one that all cases share still less,
for another machine is slower in what it has not measured yet, too."""
USUAL_SAMPLES = 10
"""Until the median is known to a few percent, of steps that take some ten milliseconds."""
RECENT = 50
"""Launches that tell how the machine fares now."""

Preparation: TypeAlias = tuple[str, str, int]
"""What launches share: of which net, in which mode, of how many images the reference is."""


class _Ridge:
    """A ridge regression that rows are added to; names that no row has weigh nothing.

    What is kept of the rows are the sums that the weights follow from: no addition takes longer than the one before.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._products: Any = None
        self._wanted: Any = None

    def add(self, features: Mapping[str, float], residual: float) -> None:
        """Add a row."""
        import numpy as np  # not where a sweep is only planned

        known = len(self._names)
        self._names += [name for name in features if name not in self._names]
        more = len(self._names) - known
        self._products = np.pad(np.zeros((0, 0)) if self._products is None else self._products, (0, more))
        self._wanted = np.pad(np.zeros(0) if self._wanted is None else self._wanted, (0, more))
        row = np.array([features.get(name, 0.0) for name in self._names])
        self._products += np.outer(row, row)
        self._wanted += residual * row

    def weights(self) -> dict[str, float]:
        """By name; once there is a row."""
        import numpy as np

        penalty = np.diag([COMMON if name == "all" else RIDGE for name in self._names])
        solved = np.linalg.solve(self._products + penalty, self._wanted)
        return dict(zip(self._names, map(float, solved), strict=True))


@dataclass
class Costs:
    """Guesses, and what was learnt.

    Args:
        known: seconds of a launch by case id, from earlier runs on this machine in this way.
        compiler_seconds: what it takes to warm the compiler's cache.
    """

    known: Mapping[str, float] = field(default_factory=dict)
    compiler_seconds: float = COMPILER_SECONDS
    _steps: _Ridge = field(default_factory=_Ridge)
    _prepared: dict[Preparation, tuple[float, float]] = field(default_factory=dict)
    _around: list[float] = field(default_factory=list)
    _compiling: list[float] = field(default_factory=list)
    _latest: dict[str, float] = field(default_factory=dict)
    _weights: dict[str, float] = field(default_factory=dict)
    _slowness: float = 1.0
    """How much longer than guessed it takes to start, to build and to warm up what is fast."""
    _since: float = 1.0
    """How the machine fares against what is known of it."""

    def learn(self, case: AnyCase, budget: Budget, record: Record) -> None:
        """Take down what a launch of `case` took, and how long its steps were."""
        self._learn(case, budget, record)
        self._slowness = statistics.median((1.0, *self._around[-RECENT:]))
        both = [self._latest[name] / seconds for name, seconds in self.known.items() if name in self._latest]
        self._since = statistics.median(both) if len(both) > 2 else 1.0

    def _learn(self, case: AnyCase, budget: Budget, record: Record) -> None:
        cost = record.cost or {}
        if "total" not in cost:
            return
        launch = cost.get("process", cost["total"])
        new = self._preparations(case)
        for name, guessed in new.items():
            share = guessed / sum(new.values())
            self._prepared[name] = (max(0.0, cost["total"] - launch) * share, guessed)
        self._latest[case.id] = launch
        if record.seconds:
            step = statistics.median(record.seconds)
            if record.compile is not None:
                self._compiling.append(record.compile.seconds)
            if record.disturbed:
                return  # its steps tell of the others
            self._steps.add(_features(case), math.log(step / step_guess(case)))
            self._weights = self._steps.weights()
            if record.compile is None:  # what compiling took is not told from the rest to the second
                stepping = self._stepping(case, budget, step)
                self._around.append(max(0.0, launch - stepping) / around_guess(case, budget))

    def launch(self, case: AnyCase, budget: Budget) -> float:
        """What a further launch takes; with what has to be made before it, if that is not there yet."""
        return self.measuring(case, budget) + sum(self._preparations(case).values()) * self._preparing

    def rest(self, cases: Iterable[tuple[AnyCase, Budget, float]]) -> float:
        """What so many launches of each case take together, what they share counted once."""
        total, before = 0.0, dict[Preparation, float]()
        for case, budget, launches in cases:
            if launches:
                total += launches * self.measuring(case, budget)
                before |= self._preparations(case)
        return total + sum(before.values()) * self._preparing

    def measuring(self, case: AnyCase, budget: Budget) -> float:
        """What the process of a launch takes."""
        if case.id in self._latest:
            return self._latest[case.id]
        if case.id in self.known:
            return self.known[case.id] * self._since
        correction = sum(self._weights.get(name, 0.0) * value for name, value in _features(case).items())
        stepping = self._stepping(case, budget, step_guess(case) * math.exp(correction))
        return stepping + self._slowness * around_guess(case, budget)

    @property
    def learnt(self) -> dict[str, float]:
        """What is worth keeping: seconds of a launch by case id."""
        return {**self.known, **self._latest}

    @property
    def _preparing(self) -> float:
        took = sum(seconds for seconds, _ in self._prepared.values()) + 1.0
        return took / (sum(guessed for _, guessed in self._prepared.values()) + 1.0)

    def _preparations(self, case: AnyCase) -> dict[Preparation, float]:
        """What has yet to be made before a launch of `case`: name -> guess of its seconds."""
        found: dict[Preparation, float] = {}
        if case.compiles:
            found["compiler", "", 0] = self.compiler_seconds
        if isinstance(case, Case):
            found[case.architecture, case.mode, case.check_images] = reference_guess(case)
        return {name: seconds for name, seconds in found.items() if name not in self._prepared}

    def _stepping(self, case: AnyCase, budget: Budget, step_seconds: float) -> float:
        """Seconds that a launch spends on steps that take so long each, and on compiling them."""
        unseen = COMPILE_SECONDS * self._slowness
        compiling = 0.0 if not case.compiles else statistics.fmean((unseen, *self._compiling))
        usual = min(budget.max_seconds, USUAL_SAMPLES * step_seconds)
        least = max(min(budget.min_seconds, budget.max_seconds), budget.min_samples * step_seconds)
        steps = max(least, usual) + STEPS_BESIDE * step_seconds
        return min(steps, budget.time_limit_seconds) + compiling


def reference_guess(case: Case) -> float:
    """Seconds that the fp64 reference of a case takes, which those with as many check images share."""
    net = NETS.get(case.architecture, UNKNOWN_NET)
    work = 1.1e-8 * net.parameters + 3.7e-11 * net.flops * case.check_images
    return (0.08 + 0.0015 * net.operators + work) * (1.5 if case.mode == "training" else 1.0)


def around_guess(case: AnyCase, budget: Budget) -> float:
    """Seconds of a launch beside its steps."""
    start = FORK_SECONDS if budget.launches == 1 else START_SECONDS
    building = BUILDING_SECONDS
    if isinstance(case, Case):
        building += BUILDING_A_PARAMETER * NETS.get(case.architecture, UNKNOWN_NET).parameters
    return start + building + WARM_UP_SECONDS


def step_guess(case: AnyCase) -> float:
    """Seconds of a step on a small processor; of a micro-benchmark nothing is known."""
    if not isinstance(case, Case):
        return 0.01
    net = NETS.get(case.architecture, UNKNOWN_NET)
    rate = FLOPS_A_SECOND.get(case.precision, NARROW_FLOPS_A_SECOND)
    times = TRAINING if case.mode == "training" else INFERENCE
    image = times.flops * net.flops / rate + times.octets * net.octets * SECONDS_A_BYTE
    weights = times.parameters * net.parameters * 4 * SECONDS_A_BYTE
    return case.batch_size * image + weights + times.operators * net.operators * SECONDS_AN_OPERATOR


@cached
def _features(case: AnyCase) -> Mapping[str, float]:
    """What a correction may hang on: asked of every case each time that the rest is estimated."""
    names = [case.precision, "compiled" if case.compiles else "eager", case.group]
    if isinstance(case, Case):
        names += [case.mode, case.memory_format, f"{case.architecture} {case.precision}"]
    found = dict.fromkeys(["all", *names], 1.0)
    size = math.log2(max(1, case.scale)) / 8
    return found | {"size": size, f"{case.group} size": size}


def kept(fingerprint: str, way: str) -> dict[str, float]:
    """What launches of each case took on this machine in earlier runs that measured in this way.

    Raises:
        DlhwError: the file is there, but damaged.
    """
    data = cache.read(_name(fingerprint, way))
    try:
        return {str(case_id): float(seconds) for case_id, seconds in (data or {}).items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise cache.damaged(_name(fingerprint, way)) from error


def compiler_seconds(version: str) -> float:
    """What it takes this torch to warm the compiler's cache on this machine.

    Raises:
        DlhwError: there is no place where anything could be kept.
    """
    return KEPT_COMPILER_SECONDS if cache.there(cache.compiler(version)) else COMPILER_SECONDS


def keep(costs: Costs, fingerprint: str, way: str) -> None:
    """Keep what was learnt; that it cannot be is no reason to fail."""
    try:
        cache.write(_name(fingerprint, way), costs.learnt)
    except DlhwError:
        return


def _name(fingerprint: str, way: str) -> str:
    return f"costs/{fingerprint}-{way}"
