"""From a case to a step that can be timed: the only code that prepares nets."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from bench.records.record import Check
from bench.worker.nets import correctness
from suites.architectures import build
from suites.case import Case, Precision

LEARNING_RATE = 1e-5
"""Small enough that the ten-thousandth step still does the first one's work, on the first one's numbers."""

_DTYPES = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "amp_bf16": torch.bfloat16,
    "amp_fp16": torch.float16,
}
_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


@dataclass
class Workload:
    """A net on its device with its inputs, and the step that is timed.

    Attributes:
        net: holds the weights, in the case's dtype and memory format.
        call: what the step calls: `net`, or what torch.compile made of it.
        optimizer: None in inference: making one imports Dynamo, more than a second of a fresh process.
        scaler: scales the loss in fp16 training; None elsewhere.
    """

    case: Case
    net: nn.Module
    call: Callable[[torch.Tensor], torch.Tensor]
    images: torch.Tensor
    labels: torch.Tensor
    optimizer: torch.optim.Optimizer | None
    scaler: torch.amp.GradScaler | None

    @property
    def parameter_bytes(self) -> int:
        """Memory of the weights."""
        return sum(parameter.numel() * parameter.element_size() for parameter in self.net.parameters())

    def step(self) -> torch.Tensor:
        """One step of the case's mode; returns the logits or the loss."""
        return self._infer(self.images) if self.optimizer is None else self._train(self.optimizer)

    @contextlib.contextmanager
    def context(self) -> Iterator[None]:
        """Around all steps: no autograd in inference."""
        with torch.inference_mode() if self.case.mode == "inference" else contextlib.nullcontext():
            yield

    def compare(self, tensors: Mapping[str, Any]) -> Check:
        """Run the very callable that will be timed on the check images, and hold it against the reference."""
        count = len(tensors["output"])
        images, labels = correctness.check_batch(self.case.input_shape, count, tensors["classes"])
        tiles = self.case.batch_size // count
        x = _place(images.repeat(tiles, 1, 1, 1), self.case)
        if self.case.mode == "inference":
            return correctness.compare(self._infer(x), {}, tensors, self.case.precision)
        shares = correctness.without_chance(self.net)
        output, gradients = self._finite_gradients(x, labels.repeat(tiles).to(self.case.device))
        for module, share in shares.items():
            module.p = share
        return correctness.compare(output, gradients, tensors, self.case.precision)

    def _infer(self, images: torch.Tensor) -> torch.Tensor:
        with autocast(self.case.precision, self.case.device):
            return self.call(images)

    def _train(self, optimizer: torch.optim.Optimizer) -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        with autocast(self.case.precision, self.case.device):
            loss = functional.cross_entropy(self.call(self.images), self.labels)
        if self.scaler is None:
            loss.backward()
            optimizer.step()
        else:
            self.scaler.scale(loss).backward()
            self.scaler.step(optimizer)
            self.scaler.update()
        return loss

    def _finite_gradients(self, x: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Logits and sampled gradients. A scaler starts too high on purpose: lower it, as training would."""
        while True:
            self.net.zero_grad(set_to_none=True)
            with autocast(self.case.precision, self.case.device):
                output = self.call(x)
                loss = functional.cross_entropy(output, labels)
            (self.scaler.scale(loss) if self.scaler else loss).backward()
            scale = self.scaler.get_scale() if self.scaler else 1.0
            gradients = correctness.sampled_gradients(self.net, scale)
            finite = all(bool(gradient.isfinite().all()) for gradient in gradients.values())
            if finite or self.scaler is None or scale <= 1:
                self.net.zero_grad(set_to_none=True)
                return output, gradients
            self.scaler.update(scale / 2)


def workload(case: Case, tensors: Mapping[str, Any]) -> Workload:
    """Build the net of `case` with the weights in `tensors`, and random inputs, on the case's device."""
    net = _with_weights(case.architecture, tensors["state"])
    net.to(device=case.device, dtype=cast_dtype(case.precision))
    net.to(memory_format=_FORMATS[case.memory_format])
    net.train(case.mode == "training")
    call = net if case.compile_mode == "eager" else torch.compile(net, mode=case.compile_mode)
    generator = torch.Generator().manual_seed(correctness.SEED + 1)
    images = torch.randn(case.batch_size, *case.input_shape, generator=generator)
    labels = torch.randint(tensors["classes"], (case.batch_size,), generator=generator)
    scaled = case.mode == "training" and case.precision == "amp_fp16"
    return Workload(
        case=case,
        net=net,
        call=call,
        images=_place(images, case),
        labels=labels.to(case.device),
        optimizer=torch.optim.SGD(net.parameters(), lr=LEARNING_RATE) if case.mode == "training" else None,
        scaler=torch.amp.GradScaler(case.device.partition(":")[0]) if scaled else None,
    )


def set_precision(precision: Precision) -> dict[str, str]:
    """Make the label true: TF32 on for `tf32`, off for matrix products and convolutions everywhere else.

    Returns what the backends then say, for the record.
    """
    backends: Any = torch.backends
    # The older switches first: torch raises where anything reads them and the two ways disagree.
    backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = precision == "tf32"
    backends.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    settings = {
        "cuda.matmul": backends.cuda.matmul,
        "cudnn.conv": backends.cudnn.conv,
        "cudnn.rnn": backends.cudnn.rnn,
        "mkldnn.matmul": backends.mkldnn.matmul,
        "mkldnn.conv": backends.mkldnn.conv,
    }
    for name, backend in settings.items():
        backend.fp32_precision = "tf32" if precision == "tf32" and name.startswith("cu") else "ieee"
    return {name: str(backend.fp32_precision) for name, backend in settings.items()}


def cast_dtype(precision: Precision) -> torch.dtype:
    """The type of weights and images."""
    return torch.float32 if precision.startswith("amp_") else _DTYPES.get(precision, torch.float32)


def autocast(precision: Precision, device: str) -> contextlib.AbstractContextManager[Any]:
    """Around the forward pass: casts where the precision is autocast's, does nothing elsewhere."""
    if not precision.startswith("amp_"):
        return contextlib.nullcontext()
    return torch.autocast(device.partition(":")[0], dtype=_DTYPES[precision])


def _place(images: torch.Tensor, case: Case) -> torch.Tensor:
    return images.to(device=case.device, dtype=cast_dtype(case.precision), memory_format=_FORMATS[case.memory_format])


def _with_weights(architecture: str, state: Mapping[str, torch.Tensor]) -> nn.Module:
    """Build without initialising where that is safe: drawing VGG-11's weights takes longer than measuring it."""
    net = correctness.on_meta(architecture)
    net = net.to_empty(device="cpu") if net is not None else build(architecture)
    net.load_state_dict(state)
    return net
