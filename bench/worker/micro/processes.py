"""Several processes at once: adding up gradients, and training side by side.

On CPUs by gloo over the loopback interface, on accelerators by their own library (NCCL on NVIDIA's). Rank 0 measures;
it tells the others beforehand how many steps come, so that they do as many. A rank that dies ends its case at once, as
does one whose parent dies.
"""

import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.distributed import FileStore  # type: ignore[attr-defined]

from bench.machine import host
from bench.machine.host import end_with_parent
from bench.worker.micro.prepared import Elsewhere, Measured, Order, Prepared
from bench.worker.nets.correctness import Unsuitable
from bench.worker.timing.clock import Clock, Step, clock_for
from bench.worker.timing.sampling import Samples, WarmUp
from suites.case import Budget

SILENCE_LIMIT = timedelta(seconds=60)
BINDING = frozenset({"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY"})
"""Bind the first thread of every process to the first place: all ranks to one core."""


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
    backend_of(order.case.device.partition(":")[0])
    rank, others = _fork_ranks(order, processes)
    device = device_of_rank(order.case.device, rank)
    meeting = _rendezvous(order)
    join_group(device, FileStore(str(meeting), processes), rank, processes)
    distributed.barrier()
    meeting.unlink(missing_ok=True)  # all have met; a case that is killed leaves no file
    values = torch.zeros(max(1, octets // 4), device=device)  # any other sum would grow past all bounds

    def step() -> None:
        distributed.all_reduce(values)

    if rank > 0:
        follow(step)
    order.closing.callback(distributed.destroy_process_group)
    moved = values.numel() * 4 * 2 * (processes - 1) / processes
    prepared = Prepared(step, "bytes_per_second", moved, Followed(clock_for(device), tell))

    def measure(device: str, budget: Budget, limit_seconds: float) -> Measured:
        with _death_named(others):
            return prepared.measure(device, budget, limit_seconds)

    def once() -> None:
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


def join_group(device: str, store: Any, rank: int, processes: int) -> None:
    """Make this process a rank; words between ranks go by gloo, whatever carries the tensors.

    Args:
        store: where ranks find one another; None: as torchrun's variables say.
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


def follow(step: Step) -> None:
    """The other ranks take the steps that rank 0 takes, until it says 0, or ends them."""
    steps = torch.zeros(1, dtype=torch.int64)
    while True:
        distributed.broadcast(steps, src=0)
        if not int(steps):
            return
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
            order.closing.callback(os._exit, 0)
            return rank, []
        others.append(child)
        order.closing.callback(_end, child)
    return 0, others


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


def scaling(order: Order) -> Elsewhere:
    """Data-parallel training of a net by torchrun: so many processes, each with as many images.

    One process has nobody to add up with, and needs no library for it.

    Raises:
        Unsuitable: torch has no library that adds up the gradients of such devices.
    """
    if order.case.processes > 1:
        backend_of(order.case.device.partition(":")[0])
    folder = Path(order.closing.enter_context(tempfile.TemporaryDirectory(prefix="dlhw-")))

    def measure(device: str, budget: Budget, limit_seconds: float) -> Measured:
        answer = _torchrun(order, folder, budget, limit_seconds)
        processes, images = order.case.size
        samples = answer["samples"]
        return Measured(
            Samples(**{**samples, "warm_up": WarmUp(**samples["warm_up"])}),
            "images_per_second", processes * images, answer["clock"], answer["details"], answer["disturbance"],
        )  # fmt: skip

    def once() -> None:
        measure(order.case.device, Budget(min_samples=1, max_seconds=0.01, warmup_seconds=0, precision=0.9), 60.0)

    return Elsewhere(once, measure)


def _torchrun(order: Order, folder: Path, budget: Budget, limit_seconds: float) -> dict[str, Any]:
    """What rank 0 answers. torchrun runs in this process, which has imported torch already.

    Raises:
        RuntimeError: a rank died; the text says which, and of what.
    """
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    request = {"case": order.case.to_json(), "budget": budget.model_dump(), "limit_seconds": limit_seconds}
    (folder / "request.json").write_text(json.dumps(request))
    arguments = [
        "--nnodes=1", f"--nproc-per-node={order.case.size[0]}", "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0",
        "--local-addr=127.0.0.1", "--max-restarts=0", "-m", "bench.worker.micro.rank", str(folder),
    ]  # fmt: skip
    for name in BINDING:
        os.environ.pop(name, None)
    os.environ["OMP_NUM_THREADS"] = str(order.case.threads)
    os.environ["PYTHONSAFEPATH"] = "1"  # a package `bench` in the person's own folder is not the ranks'
    with host.all_cores():
        try:
            run.run(run.parse_args(arguments))
        except ChildFailedError as error:
            raise RuntimeError(_why(error)) from error
    return dict(json.loads((folder / "answer.json").read_text()))


def _why(error: Any) -> str:
    """torchrun's report of the first rank that failed, in a line."""
    rank, failure = error.get_first_failure()
    return f"rank {rank} {_ending(failure.exitcode)}, and torchrun ended the others"


def answer_of(measured: Measured, disturbance: dict[str, Any], details: dict[str, Any]) -> dict[str, Any]:
    """What rank 0 writes for `_torchrun` to read."""
    return {
        "samples": asdict(measured.samples),
        "clock": measured.clock_name,
        "disturbance": disturbance,
        "details": details,
    }
