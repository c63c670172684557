"""Several processes at once: adding up gradients, and training side by side.

On CPUs by gloo over the loopback interface, on accelerators by their own library (NCCL on NVIDIA's). The measuring
process is rank 0, and forks the others before it has touched a device; it tells them beforehand how many steps come,
so that they do as many. A rank that dies ends its case at once, as does one whose parent dies.
"""

import contextlib
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import torch
from torch import distributed, nn
from torch.distributed import FileStore  # type: ignore[attr-defined]
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from bench.machine import host
from bench.machine.host import end_with_parent
from bench.worker.micro.prepared import SEED, Elsewhere, Measured, Order, Prepared
from bench.worker.nets import workload
from bench.worker.nets.correctness import Unsuitable
from bench.worker.timing.clock import Clock, Step, clock_for
from suites.architectures import ARCHITECTURES, build
from suites.case import Budget
from suites.micro import Micro

SILENCE_LIMIT = timedelta(seconds=60)


class Followed:
    """A clock whose steps other ranks take too: they are told how many."""

    steps_ahead = 0
    alone = False

    def __init__(self, clock: Clock, tell: Callable[[int], None]) -> None:
        self.clock, self.tell = clock, tell
        self.name, self.overhead_seconds = clock.name, clock.overhead_seconds

    def now(self) -> float:
        """The clock's."""
        return self.clock.now()

    def samples(self, step: Step, steps_per_sample: int, count: int) -> list[float]:
        """The clock's, of steps that all take."""
        self.tell(steps_per_sample * count + self.clock.steps_ahead)
        return self.clock.samples(step, steps_per_sample, count)

    def synchronised(self, step: Step, count: int) -> list[float]:
        """No second series: it would tell the latency of the slowest."""
        return []


def all_reduce(order: Order) -> Elsewhere:
    """Add up an array over all processes, which then all have the sum.

    Bytes: what any algorithm must move for each process, 2 (n - 1) / n of the array (nccl-tests' bus bandwidth).
    """
    processes, octets = order.case.size
    if processes < 2:
        raise Unsuitable("one process has no other to add up with")
    ranks = _Ranks(order)
    count = max(1, octets // 4)
    values = torch.zeros(count, device=ranks.device)  # any other sum would grow past all bounds
    moved = count * 4 * 2 * (processes - 1) / processes
    return ranks.take(lambda: lambda: distributed.all_reduce(values), "bytes_per_second", moved)


def scaling(order: Order) -> Elsewhere:
    """Data-parallel training of a net, DistributedDataParallel: so many processes, each with as many images.

    One process has nobody to add up with, and needs no library for it.

    Raises:
        Unsuitable: torch has no library that adds up the gradients of such devices.
    """
    processes, images = order.case.size
    ranks = _Ranks(order)
    return ranks.take(
        lambda: training_step(order.case, ranks.rank, ranks.device), "images_per_second", processes * images
    )


def training_step(case: Micro, rank: int, device: str) -> Step:
    """Forward, loss, backward, gradients averaged over all ranks, SGD; every rank has images of its own."""
    torch.manual_seed(SEED)
    net: nn.Module = build(case.variant).to(device).train()
    call = DistributedDataParallel(net) if case.processes > 1 else net
    generator = torch.Generator().manual_seed(SEED + rank)
    images = torch.randn(case.size[1], *ARCHITECTURES[case.variant].input_shape, generator=generator).to(device)
    labels = torch.randint(10, (case.size[1],), generator=generator).to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=workload.LEARNING_RATE)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(call(images), labels).backward()
        optimizer.step()

    return step


class _Ranks:
    """A group of processes, of which this one is a member.

    Attributes:
        rank: this process's.
        device: its own.

    Raises:
        Unsuitable: torch has no library for such devices.
    """

    def __init__(self, order: Order) -> None:
        processes = order.case.processes
        if processes > 1:
            backend_of(order.case.device.partition(":")[0])
        self.rank, self._others = _fork_ranks(order, processes)
        self.device = device_of_rank(order.case.device, self.rank)
        meeting = _rendezvous(order)
        with _death_named(self._others):
            join_group(self.device, FileStore(str(meeting), processes), self.rank, processes)
            distributed.barrier()
        meeting.unlink(missing_ok=True)  # all have met; a case that is killed leaves no file

    def take(self, build: Callable[[], Step], metric: str, amount: float) -> Elsewhere:
        """What rank 0 is to measure; the other ranks take the steps that it takes, and do not return."""
        with _death_named(self._others):
            step = build()
            step()
        host.stay_on(host.CORES)  # OMP_PROC_BIND has bound the threads of the first step: those of all ranks alike
        if self.rank > 0:
            follow(step)
        details = {"backend": distributed.get_backend()}
        prepared = Prepared(step, metric, amount, Followed(clock_for(self.device), tell), details)

        def measure(device: str, budget: Budget, limit_seconds: float) -> Measured:
            with _death_named(self._others):
                return prepared.measure(device, budget, limit_seconds)

        def once() -> None:
            with _death_named(self._others):
                tell(1)
                step()

        return Elsewhere(once, measure)


def device_of_rank(device: str, rank: int) -> str:
    """Every rank its own accelerator; on the CPU they share it."""
    kind = device.partition(":")[0]
    return device if kind == "cpu" else f"{kind}:{rank}"


def backend_of(kind: str) -> str:
    """The library that adds up tensors of such devices, as torch has it: gloo, nccl, xccl, ...

    Raises:
        Unsuitable: torch knows none for them, or was built without it.
    """
    try:
        backend = str(distributed.get_default_backend_for_device(kind))
    except (ValueError, RuntimeError) as error:
        raise Unsuitable(f"torch has no library that adds up tensors of {kind} over processes") from error
    if not distributed.is_backend_available(backend):
        raise Unsuitable(f"torch was built without {backend}, which adds up tensors of {kind} over processes")
    return backend


def join_group(device: str, store: FileStore, rank: int, processes: int) -> None:
    """Make this process a rank; words between ranks go by gloo, whatever carries the tensors.

    Args:
        store: where ranks find one another.
    """
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    kind = device.partition(":")[0]
    backend = "gloo" if kind == "cpu" or processes == 1 else f"cpu:gloo,{kind}:{backend_of(kind)}"
    if kind != "cpu":
        torch.accelerator.set_device_index(torch.device(device))
    distributed.init_process_group(backend, store=store, rank=rank, world_size=processes, timeout=SILENCE_LIMIT)


def tell(steps: int) -> None:
    """Rank 0 says how many steps come next."""
    distributed.broadcast(torch.tensor([steps]), src=0)


def follow(step: Step) -> NoReturn:
    """The other ranks take the steps that rank 0 takes, until it ends them."""
    steps = torch.zeros(1, dtype=torch.int64)
    while True:
        distributed.broadcast(steps, src=0)
        for _ in range(int(steps)):
            step()


def _rendezvous(order: Order) -> Path:
    return Path(tempfile.gettempdir()) / f"dlhw-ranks-{os.getpgid(0)}-{order.case.size[-1]}"


def _fork_ranks(order: Order, processes: int) -> tuple[int, list[int]]:
    """This process as rank 0, and the others, forked before torch has started a thread; (own rank, others' ids)."""
    measurer, others = os.getpid(), list[int]()
    host.stay_on(host.CORES)  # OMP_PROC_BIND would have all ranks on one core
    order.closing.callback(_rendezvous(order).unlink, missing_ok=True)
    for rank in range(1, processes):
        child = os.fork()
        if child == 0:
            end_with_parent(measurer)
            order.closing.pop_all()  # what there is to close is rank 0's
            order.closing.push(_leave)
            # torch's pool of threads is made anew by who asks for it first: of two autograd threads at once, one aborts
            torch.set_num_threads(order.case.threads)
            return rank, []
        others.append(child)
        order.closing.callback(_end, child)
    return 0, others


def _leave(kind: object, error: BaseException | None, trace: object) -> NoReturn:
    """End a rank that has failed: what follows is the measurer's."""
    traceback.print_exception(error)
    sys.stderr.flush()
    os._exit(1)


@contextlib.contextmanager
def _death_named(others: list[int]) -> Iterator[None]:
    """What a library says when a connection breaks is long, and does not say who died.

    Raises:
        RuntimeError: a rank did; the text says which, and of what.
    """
    try:
        yield
    except RuntimeError as error:
        time.sleep(0.1)  # a connection breaks a little before its owner is known to be dead
        for rank, child in enumerate(others, start=1):
            dead = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if dead is not None:
                code = dead.si_status if dead.si_code == os.CLD_EXITED else -dead.si_status
                raise RuntimeError(f"rank {rank} {_ending(code)}") from error
        raise


def _ending(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _end(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
