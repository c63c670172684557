"""FLOPs: two per multiply-add, of convolutions, products and attention, as the net defines them.

Counted by torch.utils.flop_counter, with formulas of our own where torch has none or a wrong one (torch 2.14): the
backward pass of grouped and transposed convolutions, attention's fused operators of the CPU, fused recurrent layers.
Work that a kernel does beyond the definition, such as computing attention's scores again in its backward pass, is not
counted (Chowdhery et al., PaLM, 2022, appendix B, does likewise); what falls into a convolution's padding is.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count, flop_registry, sdpa_flop_count, shape_wrapper

Size = list[int]
aten = torch.ops.aten


def count(call: Callable[[], Any]) -> int:
    """FLOPs of what `call` does, on any device, meta included.

    Never hand it a compiled net: under the counter, Dynamo does not compile.
    """
    try:
        with without_fused_layers(), FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
            call()
        return int(counter.get_total_flops())
    except RuntimeError as error:
        if "_will_engine_execute_node" not in str(error):
            raise
    # torch's counter keeps track of modules by hooks that a net which calls autograd itself does not stand
    plain = _Counter()
    with without_fused_layers(), plain:
        call()
    return plain.total


class _Counter(TorchDispatchMode):
    """FLOPs of all operators, whichever module they are of."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._overloadpacket not in _REGISTRY:
            with self:
                parts = func.decompose(*args, **(kwargs or {}))
            if parts is not NotImplemented:
                return parts
        out = func(*args, **(kwargs or {}))
        self.total += of_operator(func, args, kwargs, out)
        return out


def of_operator(operator: Any, args: Any, kwargs: Any, out: Any) -> int:
    """FLOPs of one call of an ATen operator."""
    formula = _REGISTRY.get(operator._overloadpacket)
    return int(formula(*args, **(kwargs or {}), out_val=out)) if formula else 0


@contextmanager
def without_fused_layers() -> Iterator[None]:
    """Let torch.nn's transformer layers do what they are defined as, operator by operator."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _convolution_backward(
    grad: Size, x: Size, weight: Size, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool,
    output_padding: Any, groups: int, wanted: Sequence[bool], **_: Any,
) -> int:  # fmt: skip
    """Each product of the forward pass is there once more in the input's gradient, and once in the weight's."""
    return int(conv_flop_count(x, weight, grad, transposed)) * (bool(wanted[0]) + bool(wanted[1]))


def _attention(query: Size, key: Size, value: Size, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


def _attention_backward(grad: Size, query: Size, key: Size, value: Size, *_: Any, **__: Any) -> int:
    """Two products in the forward pass, each with two gradients; the scores computed again are not counted."""
    return 2 * _attention(query, key, value)


def _flash_backward(grad: Any, query: Any, key: Any, value: Any, out: Any, sums: Any, *rest: Any, **_: Any) -> int:
    """Of sequences of unequal length: twice torch's own formula of the forward pass, which knows where they end."""
    return 2 * int(flop_registry[aten._flash_attention_forward](query, key, value, *rest[:4]))


def _efficient_backward(grad: Any, query: Any, key: Any, value: Any, bias: Any, out: Any, *rest: Any, **_: Any) -> int:
    return 2 * int(flop_registry[aten._efficient_attention_forward](query, key, value, bias, *rest[:4]))


RAW = (_flash_backward, _efficient_backward)
"""Formulas that need the tensors themselves."""


def _multi_head(query: Size, key: Size, value: Size, width: int, heads: int, *_: Any, **__: Any) -> int:
    """Three projections in, attention, one projection out; (batch, length, width) each."""
    batch, length, _width = query
    scores = 2 * 2 * batch * length * key[1] * width
    return scores + 2 * batch * width * width * (2 * length + key[1] + value[1])


def _encoder_layer(source: Size, width: int, heads: int, *rest: Any, **_: Any) -> int:
    """Attention and two linear layers, the first of which comes after eleven more arguments (native_functions.yaml)."""
    tokens = math.prod(source[:-1])
    hidden = int(rest[11][0])
    return _multi_head(source, source, source, width, heads) + 2 * 2 * tokens * width * hidden


def _recurrent(x: Size, *weights: Any, **_: Any) -> int:
    """A layer's input and hidden weights, each applied at every step: (steps, batch, features)."""
    return int(2 * x[0] * x[1] * sum(math.prod(weight) for weight in weights[:2]))


def _cudnn_recurrent(x: Size, weights: Sequence[Size], *_: Any, **__: Any) -> int:
    return 2 * x[0] * x[1] * sum(math.prod(weight) for weight in weights if len(weight) == 2)


def _cudnn_recurrent_backward(x: Size, weights: Sequence[Size], *_: Any, **__: Any) -> int:
    return 2 * _cudnn_recurrent(x, weights)


def _matrix_vector(matrix: Size, vector: Size, *_: Any, **__: Any) -> int:
    return 2 * math.prod(matrix)


FORMULAS: dict[Any, Callable[..., int]] = {
    aten.convolution_backward: _convolution_backward,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_fused_attention_overrideable: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    aten._scaled_dot_product_fused_attention_overrideable_backward: _attention_backward,
    aten._scaled_dot_product_flash_attention_backward: _attention_backward,
    aten._scaled_dot_product_efficient_attention_backward: _attention_backward,
    aten._scaled_dot_product_cudnn_attention_backward: _attention_backward,
    aten._flash_attention_backward: _flash_backward,
    aten._efficient_attention_backward: _efficient_backward,
    aten._native_multi_head_attention: _multi_head,
    aten._transformer_encoder_layer_fwd: _encoder_layer,
    aten.mkldnn_rnn_layer: _recurrent,
    aten.mkldnn_rnn_layer_backward: lambda x, *weights, **names: 2 * _recurrent(x, *weights),
    aten._cudnn_rnn: _cudnn_recurrent,
    aten._cudnn_rnn_backward: _cudnn_recurrent_backward,
    aten.mv: _matrix_vector,
    aten.addmv: lambda bias, matrix, vector, **names: _matrix_vector(matrix, vector),
    aten.dot: _matrix_vector,
    aten.addbmm: lambda bias, first, second, **names: 2 * math.prod(first) * second[2],
    aten._addmm_activation: lambda bias, first, second, **names: 2 * math.prod(first) * second[1],
}
"""Operator -> FLOPs, of the sizes of its arguments."""

for _formula in RAW:
    setattr(_formula, "_get_raw", True)  # noqa: B010 - how torch's counter knows them
_REGISTRY: dict[Any, Callable[..., int]] = {
    **flop_registry,
    **{operator: each if each in RAW else shape_wrapper(each) for operator, each in FORMULAS.items()},
}
