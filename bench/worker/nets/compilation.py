"""torch.compile: what it took, and whether it compiled anything at all."""

import sys
from typing import Any

from bench.records.record import Compile
from bench.worker.nets import graphs as graph_recording
from bench.worker.nets.correctness import Unsuitable
from bench.worker.nets.workload import Workload
from bench.worker.timing.clock import Clock
from suites.case import Case


class NothingCompiledError(RuntimeError):
    """A compiled case whose net runs as it was written: its time would be the eager one's."""


def first_step(work: Workload, clock: Clock) -> Compile:
    """Take the first step, which compiles.

    Raises:
        NothingCompiledError: no graph came of it.
    """
    import torch._dynamo.config as dynamo
    from torch._dynamo.utils import counters
    from torch._inductor import metrics
    from torch._inductor.async_compile import shutdown_compile_workers

    dynamo.suppress_errors = False  # what does not compile is to fail, not to be timed as it was written
    dynamo.fail_on_recompile_limit_hit = True
    frames, kernels = counters["frames"]["ok"], metrics.generated_kernel_count
    before = graphs()
    breaks, hits = sum(counters["graph_break"].values()), counters["inductor"]["fxgraph_cache_hit"]
    if work.refresh:
        work.refresh()
    start = clock.now()
    work.step()
    seconds = clock.now() - start
    shutdown_compile_workers()  # idle or not, they are not to share the cores with what is timed
    if graphs() == before:
        raise NothingCompiledError(
            "torch.compile compiled nothing of this net (torch.compiler.disable, or a graph break before every "
            "operator): what would be timed is the eager net"
        )
    return Compile(
        seconds=seconds,
        graph_breaks=sum(counters["graph_break"].values()) - breaks,
        cached=counters["inductor"]["fxgraph_cache_hit"] > hits,
        frames=counters["frames"]["ok"] - frames,
        graphs=graphs() - before,
        kernels=metrics.generated_kernel_count - kernels,
    )


def recorded(work: Workload, clock: Clock) -> Compile:
    """Record a step as a graph, of the device that the case is on; what it took.

    Raises:
        Unsuitable: the device has no graphs, or such a step cannot be recorded.
    """
    module = graph_recording.module_of(work.case.device)
    if module is None:
        raise Unsuitable(f"{work.case.device} has no CUDA graphs")
    start = clock.now()
    work.record(module)
    return Compile(seconds=clock.now() - start, graph_breaks=0, cached=False, graphs=1)


def graphs() -> int:
    """Graphs that were compiled in this process until now."""
    dynamo: Any = sys.modules.get("torch._dynamo.utils")
    return int(dynamo.counters["stats"]["unique_graphs"]) if dynamo else 0


def problem_while_timed(case: Case, new_graphs: int) -> str:
    """Why the samples of a compiled case are none: it was compiled again among them."""
    if case.compile_mode == "eager" or new_graphs == 0:
        return ""
    return f"torch.compile compiled {new_graphs} more graphs while the case was timed: the net asks for it step by step"
