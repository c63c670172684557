"""The gate on virtual time: all of it is real but its processes, the system's counters, and the disk.

What takes a step's time is known: kernels, and noise of a size and kind that was seen on real machines, from a seed.
"""

import contextlib
import functools
import math
import random
import types
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest import mock

from bench.gate import session
from bench.gate.sides import Side
from bench.machine import host
from bench.machine.host import Moment
from bench.records.messages import PROTOCOL
from reports.gate import live
from reports.gate.live import GateOptions
from suites import suite
from tests.support.samples import ENVIRONMENT

KERNELS = (0.012, 0.006, 0.002)
"""Of one step, in seconds."""
CORES = (0, 1)


@dataclass(frozen=True)
class Noise:
    """What a machine does to the time of steps; shares of a step.

    Attributes:
        launches: sd between processes of the same code, each with an offset of its own for a case.
        first: by how much the process that was started first is slower.
        odd, odd_by: share of the processes that are far off in a case, and by how much.
        steps: sd between the steps of a process.
        drift: how much slower the machine becomes, a second.
        spikes, spike_seconds: share of the steps that take so much longer.
        tenant: by how much slower all is while somebody else's work runs: now and then, for up to half a second.
        seen: the cores that the somebody takes from ours, as the system counts them.
    """

    launches: float = 0.0
    first: float = 0.0
    odd: float = 0.0
    odd_by: float = 0.4
    steps: float = 0.0
    drift: float = 0.0
    spikes: float = 0.0
    spike_seconds: float = 0.02
    tenant: float = 0.0
    seen: float = 0.0

    def times(self, factor):
        """So many times as much between processes."""
        return replace(self, launches=factor * self.launches, first=factor * self.first)


@dataclass
class Machine:
    """Virtual time, and what has run.

    Attributes:
        head: kernel -> how much slower it is in head.
    """

    noise: Noise
    random: random.Random
    head: dict = field(default_factory=dict)
    time: float = 0.0
    own: float = 0.0
    started: int = 0
    turned: float = 0.0
    others: bool = False

    def tenant(self):
        """By how much somebody else slows down now."""
        if self.time >= self.turned:
            self.others = not self.others
            self.turned = self.time + self.random.uniform(0.05, 0.5)
        return self.noise.tenant if self.others else 0.0

    def step(self, step_seconds):
        """Let a step of so many seconds, were the machine quiet, take what it takes."""
        noise = self.noise
        seconds = step_seconds * (1 + noise.drift * self.time) * (1 + self.tenant())
        seconds *= math.exp(self.random.gauss(0, noise.steps))
        seconds += noise.spike_seconds if self.random.random() < noise.spikes else 0.0
        self.time += seconds
        self.own += seconds
        return seconds

    def moment(self, cores):
        """The system's counters, of some cores."""
        return Moment(
            self.time, 0.0, 0, busy_seconds=self.own + self.noise.seen * self.time, stolen_seconds=0.0,
            all_seconds=len(cores) * self.time, throttled_seconds=0.0,
        )  # fmt: skip

    def slower(self, place):
        """Seconds of a step in base (0) or head (1)."""
        return sum(seconds * (1 + (self.head.get(kernel, 0.0) if place else 0.0))
                   for kernel, seconds in enumerate(KERNELS))  # fmt: skip


class VirtualWorker:
    """As `bench.controller.process.Worker`: a process of base, or of head, that takes turns."""

    alive = True
    machine: Machine

    def __init__(self, *, root, **_):
        self.root = root
        self.own, self.known = 0.0, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.machine.started = 0

    def start(self):
        """The order in which processes are started is the gate's."""
        self.first = self.machine.started == 0
        self.machine.started += 1

    def begin(self, operation, *, cases, **_):
        assert operation == "slices"
        self.cases = cases

    def ask(self, request, limit_seconds):
        if "load" in request:
            self.case = request["load"]
            self._step(1)
            return {
                "outcome": None, "source": self.source,
                "step_seconds": self.step_seconds, "compile_seconds": None, "cpu_seconds": self.own,
            }  # fmt: skip
        seconds = [self._step(1 + request["slower"]) for _ in range(request["slice"])]
        return {"seconds": seconds, "switches": 0, "cpu_seconds": self.own, "peak_bytes": 2**20, "outcome": None}

    def _step(self, slower):
        seconds = self.machine.step(self.step_seconds * slower)
        self.own += seconds
        return seconds

    @functools.cached_property
    def source(self):
        return str(Path(self.root) / "suites" / "architectures" / "lenet.py")

    @functools.cached_property
    def place(self):
        return 1 if self.root.name == "head" else 0

    @property
    def step_seconds(self):
        """With the luck of this process in this case."""
        if self.case not in self.known:
            noise, coin = self.machine.noise, self.machine.random
            offset = coin.gauss(0, noise.launches) + (noise.first if self.first else 0.0)
            odd = 1 + (noise.odd_by if coin.random() < noise.odd else 0.0)
            self.known[self.case] = self.machine.slower(self.place) * (math.exp(offset) * odd)
        return self.known[self.case]


class VirtualLauncher:
    """As `bench.controller.launcher.Launcher`: describes a machine, and has a reference for each case."""

    def __init__(self, worker, *, keep):
        assert keep, "the gate has all references in use"
        self._worker = worker

    def describe(self, architectures):
        return {**ENVIRONMENT, "protocol": PROTOCOL, "worker": str(self._worker.root / "bench" / "worker")}

    def reference(self, case):
        return {}

    def count(self, case):
        return {"outcome": {"status": "skipped", "reason": "a virtual machine dispatches no operators"}}


class InTurn:
    """A pool of threads that has none: on virtual time, what is asked for at once happens in that order."""

    def __init__(self, _):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    map = staticmethod(map)

    def submit(self, function, *arguments):
        found = function(*arguments)
        return types.SimpleNamespace(result=lambda: found)


class Forgetful:
    """A gate's journal that writes nothing."""

    taken, entries = None, ()

    def __init__(self, path, key, *, resume):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def begin(self, header):
        pass

    def append(self, entry):
        pass


SUITE = """
[[sweep]]
architecture = "lenet"
mode = "inference"
threads = 1
batch_size = {batches}
"""


class VirtualGate:
    """Runs gates on machines of this noise.

    Args:
        folder: for the suite, and for what is remembered of the machine.
        head: kernel -> how much slower it is in head.
    """

    def __init__(self, folder, noise, *, cases, head=None):
        self._path = folder / "suite.toml"
        self._path.write_text(SUITE.format(batches=[2**n for n in range(cases)]))
        self._folder, self._noise, self._head = folder, noise, head or {}

    def run(self, seed, **options):
        """What `dlhw gate` says, one run after another on one machine."""
        machine = Machine(self._noise, random.Random(seed), self._head)
        sides = [
            Side(name=name, python="python", root=self._folder / name, folder=self._folder, label=name)
            for name in ("base", "head")
        ]
        asked = GateOptions(
            suite=str(self._path),
            inject={},
            journal=self._folder / "journal",
            seed=seed,
            **{"tolerance": 0.0, "go_on": True} | options,
        )
        with self._virtual(machine):
            return live.run(asked, (sides[0], sides[1]), lambda _: None)

    @contextlib.contextmanager
    def _virtual(self, machine):
        clock = types.SimpleNamespace(perf_counter=lambda: machine.time, monotonic=lambda: machine.time)
        with (
            mock.patch.multiple(
                session, Worker=type("Worker", (VirtualWorker,), {"machine": machine}), Launcher=VirtualLauncher,
                ThreadPoolExecutor=InTurn, time=clock,
            ),
            mock.patch.multiple(live, GateJournal=Forgetful, time=clock),
            mock.patch.multiple(host, moment=machine.moment, fastest_cores=lambda: CORES),
            mock.patch.dict("os.environ", XDG_CACHE_HOME=str(self._folder / "cache")),
            mock.patch.object(suite, "load", _load),
        ):  # fmt: skip
            yield


_load = functools.cache(suite.load)
