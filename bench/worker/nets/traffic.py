"""What a step does and which bytes it moves, counted on the meta device: nothing is computed, no weight exists.

Of bytes two bounds, neither of them measured. Compulsory: what no cache can spare, each weight and image read once.
Operators': every operand of every eager operator read from memory and every result written to it; fused or cached, it
is less.
"""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.records.record import COUNTED, Counts, Traffic
from bench.worker import settings
from bench.worker.nets import building, flops, inputs, workload
from bench.worker.nets.flops import without_fused_layers
from bench.worker.nets.outputs import floats, loss_for

if TYPE_CHECKING:
    from torch import nn

    from bench.worker.nets.inputs import Inputs
    from suites.case import Case

ALLOCATIONS = frozenset({"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"})
RELABELLINGS = frozenset({"_unsafe_view", "lift_fresh"})
"""Views, though their schemas do not say so."""

NOT_COUNTED = "not counted: "
VERSION = 2
"""Of what is counted: two sides of a gate that do not count alike are not held together."""


class OperatorCounter(TorchDispatchMode):
    """Counts the operators that are dispatched while it is active.

    Attributes:
        operators: name -> how many.
        touched: bytes of the operands and results of each one that moves data.
        allocated: bytes of each result that has memory of its own.
        flops: of all of them.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.reset()

    def reset(self) -> None:
        """Forget what was counted."""
        self.operators: Counter[str] = Counter()
        self.touched: list[int] = []
        self.allocated: list[int] = []
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.namespace == "prim":  # what torch asks itself, such as a fake tensor's device
            return out
        self.operators[func._schema.name] += 1
        self.flops += flops.of_operator(func, args, kwargs, out)
        self.allocated += _own_storages((args, kwargs), out)
        if moves_data(func):
            self.touched.append(touched_bytes(args, kwargs, out))
        return out


def _own_storages(given: Any, out: Any) -> list[int]:
    """Bytes of the memory that `out` has, and that nothing `given` has."""
    there = {storage._cdata for storage in _storages(given)}
    return list({each._cdata: each.nbytes() for each in _storages(out) if each._cdata not in there}.values())


def _storages(values: Any) -> Iterator[torch.UntypedStorage]:
    for tensor in tree_leaves(values):
        if isinstance(tensor, torch.Tensor) and tensor.layout is torch.strided:
            yield tensor.untyped_storage()


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


def step_counts(case: "Case") -> tuple[Traffic | None, Counts]:
    """Of one step of `case`: without values, else with real ones on the CPU, else None and why.

    In training the optimizer's plain loop is counted: what an accelerator does for all weights at once is one operator.
    """
    first: Exception | None = None
    for values in (False, True):
        try:
            return _counted(case, values=values)
        except Exception as error:  # noqa: BLE001 - a net may raise anything where there are no values
            first = first or error
    assert first is not None
    reason = f"{NOT_COUNTED}{type(first).__name__}: {(str(first).strip() or 'no reason').splitlines()[0]}"
    return None, Counts(reasons=dict.fromkeys(COUNTED, reason))


def work(case: "Case") -> dict[str, Any]:
    """What a step of `case` comes to, as a prediction wants it; or `reason` why that is not known."""
    found, counts = step_counts(case)
    if found is None:
        return {"reason": counts.reasons["flops"].removeprefix(NOT_COUNTED)}
    parameters = sum(parameter.numel() for parameter in building.without_values(case).parameters())
    return {
        "flops": counts.flops, "bytes": found.operator_bytes, "compulsory_bytes": found.compulsory_bytes,
        "operators": found.operators, "parameters": parameters,
    }  # fmt: skip


def _counted(case: "Case", *, values: bool) -> tuple[Traffic, Counts]:
    outside = contextlib.nullcontext() if values else _without_values(case)
    with outside, without_fused_layers(), OperatorCounter() as counter:
        wanted = settings.snapshot()
        net, given = _net_and_inputs(case, values=values)
        settings.restore(wanted)
        labels = torch.zeros(case.batch_size, dtype=torch.int64, device=given.tensors[0].device)
        counter.reset()  # what building and casting did
        outputs = _step(case, net, given, labels)
    traffic = Traffic(
        compulsory_bytes=_compulsory(case, net, given, outputs),
        operator_bytes=sum(counter.touched),
        operators=len(counter.touched),
        by_size=by_size(counter.touched),
    )
    return traffic, Counts(
        operators=dict(sorted(counter.operators.items())), flops=counter.flops, bytes=traffic.operator_bytes,
        allocations=len(counter.allocated), allocated_bytes=sum(counter.allocated),
    )  # fmt: skip


def by_size(touched: Iterable[int]) -> dict[str, int]:
    """Bytes of all operators by the size of what one of them touches: the power of two above it -> bytes."""
    sizes: Counter[str] = Counter()
    for octets in touched:
        sizes[str(max(octets - 1, 0).bit_length())] += octets
    return dict(sorted(sizes.items(), key=lambda item: int(item[0])))


@contextlib.contextmanager
def _without_values(case: "Case") -> Iterator[None]:
    """On the meta device, or with fakes, which say what autocast casts, and what is copied of another layout."""
    if not _with_fakes(case):
        yield
        return
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def _with_fakes(case: "Case") -> bool:
    return case.precision.startswith("amp_") or case.memory_format != "contiguous"


def _net_and_inputs(case: "Case", *, values: bool) -> "tuple[nn.Module, Inputs]":
    on_cpu = values or _with_fakes(case)
    net = building.whole(case) if on_cpu else building.without_values(case)
    made = inputs.make(case, case.batch_size, building.SEED)[0] if values else None
    given = made or inputs.sizes(case, "cpu" if on_cpu else "meta")
    dtype = workload.cast_dtype(case.precision)
    net.train(case.mode == "training")
    building.cast(net, dtype)
    building.lay_out(net, case.memory_format)
    return net, given.map(lambda tensor: _placed(tensor, dtype, case.memory_format))


def _placed(tensor: torch.Tensor, dtype: torch.dtype, memory_format: str) -> torch.Tensor:
    """As `workload` places it, on any device."""
    placed = tensor.to(dtype) if tensor.is_floating_point() else tensor
    if placed.layout is not torch.strided:
        return placed
    return placed.contiguous(memory_format=building.format_of(memory_format, placed.dim()))


def _step(case: "Case", net: "nn.Module", given: "Inputs", labels: torch.Tensor) -> Any:
    casting = workload.autocast(case.precision, "cpu")
    if case.mode == "inference":
        with torch.no_grad(), casting:
            return given.into(net)
    with casting:
        outputs = given.into(net)
        loss = loss_for(case, outputs, case.batch_size)
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
