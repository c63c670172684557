"""One rank of data-parallel training: `torchrun -m bench.worker.micro.rank FOLDER`, with `request.json` in it."""

import json
import os
import sys
from pathlib import Path

import torch
from torch import distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from bench.machine import host
from bench.worker.micro.prepared import SEED, Prepared
from bench.worker.micro.processes import Followed, answer_of, device_of_rank, follow, join_group, tell
from bench.worker.nets import workload
from bench.worker.nets.measure import no_garbage_collection
from bench.worker.timing.clock import Step, clock_for
from suites.architectures import ARCHITECTURES, build
from suites.case import Budget
from suites.micro import Micro


def main() -> None:
    """Be the rank that torchrun's variables say; rank 0 measures, and writes `answer.json`."""
    folder = Path(sys.argv[1])
    host.end_with_parent(os.getppid())
    request = json.loads((folder / "request.json").read_text())
    case, budget = Micro.from_json(request["case"]), Budget(**request["budget"])
    rank, processes = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.set_num_threads(case.threads)
    workload.set_precision(case.precision)
    device = device_of_rank(case.device, rank)
    join_group(device, None, rank, processes)
    step = training_step(case, rank, processes, device)
    if rank > 0:
        follow(step)
    else:
        clock = Followed(clock_for(device), tell)
        prepared = Prepared(step, "images_per_second", processes * case.size[1], clock)
        with no_garbage_collection():
            before = host.moment()
            measured = prepared.measure(device, budget, request["limit_seconds"])
            disturbance = host.between(before, host.moment())
        tell(0)
        details = {"backend": distributed.get_backend(), "launched_by": "torchrun"}
        (folder / "answer.json").write_text(json.dumps(answer_of(measured, disturbance, details)))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # all is told; taking the group down races with its own threads, and now and then aborts


def training_step(case: Micro, rank: int, processes: int, device: str) -> Step:
    """Forward, loss, backward, gradients averaged over all ranks, SGD; every rank has images of its own."""
    torch.manual_seed(SEED)
    net: nn.Module = build(case.variant).to(device).train()
    call = DistributedDataParallel(net) if processes > 1 else net
    generator = torch.Generator().manual_seed(SEED + rank)
    images = torch.randn(case.size[1], *ARCHITECTURES[case.variant].input_shape, generator=generator).to(device)
    labels = torch.randint(10, (case.size[1],), generator=generator).to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=workload.LEARNING_RATE)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(call(images), labels).backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
