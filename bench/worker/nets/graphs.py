"""CUDA graphs around eager steps: what a step launches is recorded once, and replayed by one call.

Source: CUDA C++ Programming Guide, "CUDA Graphs"; torch's notes on CUDA semantics: warm up on a side stream, record
with inputs that stay where they are.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch

from bench.worker.nets.correctness import Unsuitable

WARM_UP = 3
"""Steps before the recording: libraries choose algorithms and take memory, which no graph can hold."""


class GraphModule(Protocol):
    """What is asked of a device's module, as of `torch.cuda`."""

    def Stream(self) -> Any:  # noqa: N802 - torch's names
        """A queue of its own."""

    def current_stream(self) -> Any:
        """The queue in use."""

    def stream(self, stream: Any, /) -> AbstractContextManager[Any]:
        """Use `stream` inside."""

    def CUDAGraph(self) -> Any:  # noqa: N802
        """An empty graph."""

    def graph(self, graph: Any, /) -> AbstractContextManager[Any]:
        """Record what is launched inside, instead of doing it."""


def module_of(device: str) -> Any:
    """The device's module, if it has graphs; else None."""
    module = getattr(torch, device.partition(":")[0], None)
    return module if all(hasattr(module, name) for name in ("CUDAGraph", "graph", "Stream")) else None


def record(step: Callable[[], Any], module: GraphModule) -> Callable[[], Any]:
    """What does again all that `step` launched; it returns the recorded step's result, computed anew in its place.

    Raises:
        Unsuitable: the step cannot be recorded: it waits for the device, say.
    """
    side = module.Stream()
    side.wait_stream(module.current_stream())
    with module.stream(side):
        for _ in range(WARM_UP):
            step()
    module.current_stream().wait_stream(side)
    graph = module.CUDAGraph()
    try:
        with module.graph(graph):
            result = step()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        why = str(error).partition("\n")[0]
        raise Unsuitable(f"a step of this net cannot be recorded as a CUDA graph: {why}") from error

    def replay() -> Any:
        graph.replay()
        return result

    return replay
