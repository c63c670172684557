"""A device's module with graphs that really replay: every operator that was recorded runs again, in its own memory."""

import contextlib

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Recorder(TorchDispatchMode):
    """Takes down each operator with its operands, and with the memory that its results are in."""

    def __init__(self, recorded):
        super().__init__()
        self.recorded = recorded

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.item.default}:
            raise RuntimeError("operation not permitted when stream is capturing\nmore of CUDA's words")
        out = func(*args, **(kwargs or {}))
        self.recorded.append((func, args, kwargs or {}, out))
        return out


class Graph:
    """What `torch.cuda.CUDAGraph` is."""

    def __init__(self):
        self.recorded, self.replays = [], 0

    def replay(self):
        self.replays += 1
        with torch.no_grad():
            for func, args, kwargs, out in self.recorded:
                again = func(*args, **kwargs)
                for place, new in zip(tensors(out), tensors(again), strict=True):
                    if new.data_ptr() != place.data_ptr():
                        place.copy_(new)


class Stream:
    """One queue is like another here."""

    def wait_stream(self, other): ...


class Graphs:
    """What `torch.cuda` has of graphs."""

    Stream = current_stream = Stream
    CUDAGraph = Graph

    def __init__(self):
        self.made = []

    @contextlib.contextmanager
    def stream(self, stream):
        yield

    @contextlib.contextmanager
    def graph(self, graph):
        self.made.append(graph)
        with Recorder(graph.recorded):
            yield


def tensors(value):
    """Those in an operator's result."""
    if isinstance(value, torch.Tensor):
        return [value]
    return [each for item in value for each in tensors(item)] if isinstance(value, list | tuple) else []
