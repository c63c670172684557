"""Bytes that a step moves, counted on the meta device: nothing is computed, no weight exists.

Two bounds, neither of them measured. Compulsory: what no cache can spare, each weight and image read once. Operators':
every operand of every eager operator read from memory and every result written to it; fused or cached, it is less.
"""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.records.record import Traffic
from bench.worker.nets import correctness, workload
from suites.architectures import build

if TYPE_CHECKING:
    from torch import nn

    from suites.case import Case

ALLOCATIONS = frozenset({"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"})
RELABELLINGS = frozenset({"_unsafe_view", "lift_fresh"})
"""Views, though their schemas do not say so."""


class OperatorBytes(TorchDispatchMode):
    """While it is active, `touched` collects the bytes of each operator's operands and results."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.touched: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if moves_data(func):
            self.touched.append(touched_bytes(args, kwargs, out))
        return out


def moves_data(func: Any) -> bool:
    """Whether an operator reads or writes at all: a view does not, nor does an allocation."""
    if func.namespace != "aten":
        return False  # what torch asks itself, such as a fake tensor's device
    name = func._overloadpacket.__name__
    views = any(value.alias_info is not None and not value.alias_info.is_write for value in func._schema.returns)
    return not views and name not in ALLOCATIONS | RELABELLINGS


def touched_bytes(*values: Any) -> int:
    """Bytes of all tensors in `values`, each as often as it occurs: what is changed in place is read and written."""
    tensors = (value for value in tree_leaves(values) if isinstance(value, torch.Tensor))
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def step_traffic(case: "Case") -> Traffic | None:
    """Of one step of `case`; None for a net that needs real values.

    In training the optimizer's plain loop is counted: what an accelerator does for all weights at once is one operator.
    """
    try:
        with _without_values(case), OperatorBytes() as counter:
            net, images = _net_and_images(case)
            counter.touched.clear()  # what building and casting did
            logits = _step(case, net, images)
    except (NotImplementedError, RuntimeError):
        return None
    return Traffic(
        compulsory_bytes=_compulsory(case, net, images, logits),
        operator_bytes=sum(counter.touched),
        operators=len(counter.touched),
        by_size=by_size(counter.touched),
    )


def by_size(touched: Iterable[int]) -> dict[str, int]:
    """Bytes of all operators by the size of what one of them touches: the power of two above it -> bytes."""
    sizes: Counter[str] = Counter()
    for octets in touched:
        sizes[str(max(octets - 1, 0).bit_length())] += octets
    return dict(sorted(sizes.items(), key=lambda item: int(item[0])))


@contextlib.contextmanager
def _without_values(case: "Case") -> Iterator[None]:
    """On the meta device; where autocast is to insert its casts, with fakes that say where they would be."""
    if not case.precision.startswith("amp_"):
        yield
        return
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        yield


def _net_and_images(case: "Case") -> "tuple[nn.Module, torch.Tensor]":
    net: nn.Module
    if case.precision.startswith("amp_"):
        net, images = build(case.architecture), torch.empty(case.batch_size, *case.input_shape)
        return net.train(case.mode == "training"), images
    dtype = workload.cast_dtype(case.precision)
    net = correctness.on_meta(case.architecture) or build(case.architecture).to("meta")
    images = torch.empty(case.batch_size, *case.input_shape, device="meta", dtype=dtype)
    return net.to(dtype).train(case.mode == "training"), images


def _step(case: "Case", net: "nn.Module", images: torch.Tensor) -> torch.Tensor:
    casting = workload.autocast(case.precision, "cpu")
    if case.mode == "inference":
        with torch.no_grad(), casting:
            return net(images)  # type: ignore[no-any-return]
    labels = torch.empty(case.batch_size, dtype=torch.int64, device=images.device)
    with casting:
        logits: torch.Tensor = net(images)
        loss = functional.cross_entropy(logits, labels)
    loss.backward()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.grad is not None:
                parameter.add_(parameter.grad, alpha=-workload.LEARNING_RATE)
    return logits


def _compulsory(case: "Case", net: "nn.Module", images: torch.Tensor, logits: torch.Tensor) -> int:
    """Inference: weights, buffers and images read, logits written. Training: gradients and new weights written too."""
    weights = touched_bytes(list(net.parameters()))
    if case.mode == "inference":
        return weights + touched_bytes(list(net.buffers()), images, logits)
    return 3 * weights + touched_bytes(images)
