"""Bytes that a step moves, counted on the meta device: nothing is computed, no weight exists.

Two bounds, neither of them measured. Compulsory: what no cache can spare, each weight and image read once. Operators':
every operand of every eager operator read from memory and every result written to it; fused or cached, it is less.
"""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.records.record import Traffic
from bench.worker import settings
from bench.worker.nets import building, inputs, workload
from bench.worker.nets.flops import without_fused_layers
from bench.worker.nets.outputs import floats, loss_for

if TYPE_CHECKING:
    from torch import nn

    from bench.worker.nets.inputs import Inputs
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


def step_traffic(case: "Case") -> tuple[Traffic | None, str]:
    """Of one step of `case`: without values, else with real ones on the CPU, else None and why.

    In training the optimizer's plain loop is counted: what an accelerator does for all weights at once is one operator.
    """
    first: Exception | None = None
    for values in (False, True):
        try:
            return _counted(case, values=values), ""
        except Exception as error:  # noqa: BLE001 - a net may raise anything where there are no values
            first = first or error
    assert first is not None
    return None, f"bytes not counted: {type(first).__name__}: {(str(first).strip() or 'no reason').splitlines()[0]}"


def _counted(case: "Case", *, values: bool) -> Traffic:
    outside = contextlib.nullcontext() if values else _without_values(case)
    with outside, without_fused_layers(), OperatorBytes() as counter:
        wanted = settings.snapshot()
        net, given = _net_and_inputs(case, values=values)
        settings.restore(wanted)
        counter.touched.clear()  # what building and casting did
        outputs = _step(case, net, given)
    return Traffic(
        compulsory_bytes=_compulsory(case, net, given, outputs),
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

    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def _net_and_inputs(case: "Case", *, values: bool) -> "tuple[nn.Module, Inputs]":
    on_cpu = values or case.precision.startswith("amp_")
    net = building.whole(case) if on_cpu else building.without_values(case)
    made = inputs.make(case, case.batch_size, building.SEED)[0] if values else None
    given = made or inputs.sizes(case, "cpu" if on_cpu else "meta")
    dtype = workload.cast_dtype(case.precision)
    given = given.map(lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor)
    return net.to(dtype).train(case.mode == "training"), given


def _step(case: "Case", net: "nn.Module", given: "Inputs") -> Any:
    casting = workload.autocast(case.precision, "cpu")
    if case.mode == "inference":
        with torch.no_grad(), casting:
            return given.into(net)
    with casting:
        outputs = given.into(net)
        loss = loss_for(case, outputs, case.batch_size)
        device = given.tensors[0].device
        labels = torch.zeros(case.batch_size, dtype=torch.int64, device=device)
        minimised = loss.of(outputs, given, labels)
    minimised.backward()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.grad is not None:
                parameter.add_(parameter.grad, alpha=-workload.LEARNING_RATE)
    return outputs


def _compulsory(case: "Case", net: "nn.Module", given: "Inputs", outputs: Any) -> int:
    """Inference: weights, buffers and inputs read, outputs written. Training: gradients and new weights written too."""
    weights = touched_bytes(list(net.parameters()))
    if case.mode == "inference":
        return weights + touched_bytes(list(net.buffers()), given.tensors, list(floats(outputs).values()))
    return 3 * weights + touched_bytes(given.tensors)
