"""From a case to a step that can be timed: the only code that prepares nets."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from bench.records.record import Check
from bench.worker.nets import building, correctness, graphs, inputs
from bench.worker.nets.inputs import Inputs
from bench.worker.nets.outputs import Loss, loss_for
from bench.worker.settings import fp32_backends, precisions_of
from suites.case import Case, Precision, Toggle

LEARNING_RATE = 1e-5
"""Small enough that the ten-thousandth step still does the first one's work, on the first one's numbers."""

_DTYPES = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "amp_bf16": torch.bfloat16,
    "amp_fp16": torch.float16,
}


NEEDS_AUTOGRAD = ("does not require grad", "nference tensor", "inference mode")
"""What torch says of a net that takes gradients where there are none."""


@dataclass
class Workload:
    """A net on its device with its inputs, and the step that is timed.

    Attributes:
        net: holds the weights, in the case's dtype and memory format.
        call: what the step calls: `net`, or what torch.compile made of it.
        inputs: what it is called with.
        loss: what training minimises; None in inference.
        optimizer: None in inference: making one imports Dynamo, more than a second of a fresh process.
        scaler: scales the loss in fp16 training; None elsewhere.
        uses_autograd: the forward pass takes gradients itself, which inference mode forbids.
        pristine: tensors that a step changes though it should not, each with what it has to be at a step's begin.
        notes: what a reader must know: kind -> sentence.
        replay: does a recorded step again; None where steps are not recorded.
        outputs: of the recorded step.
        graph_module: records it once more after the check, where the check's graph leaves chance out.
    """

    case: Case
    net: nn.Module
    call: Callable[..., Any]
    inputs: Inputs
    labels: torch.Tensor
    loss: Loss | None
    optimizer: torch.optim.Optimizer | None
    scaler: torch.amp.GradScaler | None
    uses_autograd: bool = False
    pristine: tuple[tuple[torch.Tensor, torch.Tensor], ...] = ()
    notes: dict[str, str] = field(default_factory=dict)
    replay: Callable[[], Any] | None = None
    outputs: Any = None
    graph_module: graphs.GraphModule | None = None

    @property
    def parameter_bytes(self) -> int:
        """Memory of the weights."""
        return sum(parameter.numel() * parameter.element_size() for parameter in self.net.parameters())

    @property
    def refresh(self) -> Callable[[], None] | None:
        """Has to be called before each step of a net that changes its inputs or itself; None for all others."""
        return self._refresh if self.pristine else None

    def _refresh(self) -> None:
        with torch.no_grad():
            for tensor, value in self.pristine:
                tensor.copy_(value)

    def step(self) -> Any:
        """One step of the case's mode; returns the outputs or the loss."""
        return self.replay() if self.replay else self._eager_step()

    def _eager_step(self) -> Any:
        return self._infer(self.inputs) if self.optimizer is None else self._train(self.optimizer)

    @contextlib.contextmanager
    def context(self) -> Iterator[None]:
        """Around all steps: no autograd in inference."""
        if self.case.mode == "training":
            yield
            return
        with torch.no_grad() if self.uses_autograd else torch.inference_mode():
            yield

    def compare(self, tensors: Mapping[str, Any]) -> Check:
        """Run the very callable that will be timed on the check's inputs, and hold it against the reference.

        A net that takes gradients of its own in its forward pass is from then on run without inference mode.
        """
        try:
            return self._compare(tensors)
        except RuntimeError as error:
            if self.case.mode == "training" or not any(words in str(error) for words in NEEDS_AUTOGRAD):
                raise
        self.uses_autograd = True
        self.notes["gradients"] = "the net takes gradients in its forward pass: timed under no_grad, no inference mode"
        with torch.inference_mode(False), torch.no_grad():
            return self._compare(tensors)

    def _compare(self, tensors: Mapping[str, Any]) -> Check:
        if self.replay:
            return self._compare_replayed(tensors)
        samples = tensors["samples"]
        given, generator = inputs.make(self.case, samples, building.SEED)
        tiles = self.case.batch_size // samples
        x = _place(given.tiled(samples, tiles), self.case)
        if self.case.mode == "inference":
            result = correctness.compare(self._infer(x), {}, tensors, self.case.precision)
            self._refresh()
            return result
        assert self.loss is not None
        labels = self.loss.labels(samples, generator).repeat(tiles).to(self.case.device)
        with correctness.without_chance(self.net):
            output, gradients = self._finite_gradients(x, labels, self.loss)
        return correctness.compare(output, gradients, tensors, self.case.precision)

    def record(self, module: graphs.GraphModule) -> None:
        """From now on a step is a replay. Warming up moves weights that are trained: they have to be set again.

        Raises:
            Unsuitable: such a step cannot be recorded.
        """
        if self.pristine:
            raise correctness.Unsuitable("the net changes its inputs or itself; a graph's have to stay as they are")
        with correctness.without_chance(self.net):
            self.replay = graphs.record(self._eager_step, module)
        if self.optimizer and correctness.has_chance(self.net):
            self.notes["chance"] = "checked by a graph that was recorded without dropout; timed by one with it"
            self.graph_module = module

    def _compare_replayed(self, tensors: Mapping[str, Any]) -> Check:
        """Have the recorded step work on the check's inputs: in the memory that it was recorded with."""
        samples = tensors["samples"]
        given, generator = inputs.make(self.case, samples, building.SEED)
        tiles = self.case.batch_size // samples
        own = [*self.inputs.tensors, self.labels]
        labels = self.loss.labels(samples, generator).repeat(tiles) if self.loss else self.labels
        kept = [tensor.clone() for tensor in own]
        _refill(own, [*_place(given.tiled(samples, tiles), self.case).tensors, labels])
        result = self.step()
        gradients = correctness.sampled_gradients(self.net, 1.0) if self.optimizer else {}
        check = correctness.compare(self.outputs if self.optimizer else result, gradients, tensors, self.case.precision)
        _refill(own, kept)
        if self.graph_module:
            self.replay = graphs.record(self._eager_step, self.graph_module)
        self.net.load_state_dict(tensors["state"])
        return check

    def _infer(self, given: Inputs) -> Any:
        with autocast(self.case.precision, self.case.device):
            return given.into(self.call)

    def _train(self, optimizer: torch.optim.Optimizer) -> torch.Tensor:
        assert self.loss is not None
        optimizer.zero_grad(set_to_none=True)
        with autocast(self.case.precision, self.case.device):
            loss = self.loss.of(self._kept(self.inputs.into(self.call)), self.inputs, self.labels)
        if self.scaler is None:
            loss.backward()
            optimizer.step()
        else:
            self.scaler.scale(loss).backward()
            self.scaler.step(optimizer)
            self.scaler.update()
        return loss

    def _kept(self, outputs: Any) -> Any:
        """The outputs of a step that may be recorded: its check needs them; any other's would only fill memory."""
        if self.case.compile_mode == "cuda-graph":
            self.outputs = outputs
        return outputs

    def _finite_gradients(
        self, x: Inputs, labels: torch.Tensor, minimised: Loss
    ) -> tuple[Any, dict[str, torch.Tensor]]:
        """Outputs and sampled gradients. A scaler starts too high on purpose: lower it, as training would."""
        while True:
            self.net.zero_grad(set_to_none=True)
            given = x.fresh() if self.pristine else x
            with autocast(self.case.precision, self.case.device):
                output = given.into(self.call)
                loss = minimised.of(output, given, labels)
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
    net = building.with_weights(case, tensors["state"])
    net.to(device=case.device, dtype=cast_dtype(case.precision))
    said = building.lay_out(net, case.memory_format)
    net.train(case.mode == "training")
    call = torch.compile(net, mode=case.compile_mode) if case.compiles else net
    made, generator = inputs.make(case, case.batch_size, building.SEED + 1)
    given = _place(made, case)
    loss = _loss(case, net, given, tensors) if case.mode == "training" else None
    labels = loss.labels(case.batch_size, generator).to(case.device) if loss else torch.empty(0)
    scaled = case.mode == "training" and case.precision == "amp_fp16"
    return Workload(
        case=case,
        net=net,
        call=call,
        inputs=given,
        labels=labels,
        loss=loss,
        optimizer=torch.optim.SGD(net.parameters(), lr=LEARNING_RATE) if case.mode == "training" else None,
        scaler=torch.amp.GradScaler(case.device.partition(":")[0]) if scaled else None,
        pristine=_pristine(case, net, given, tensors),
        notes={"memory_format": said} if said else {},
    )


def _loss(case: Case, net: nn.Module, given: Inputs, tensors: Mapping[str, Any]) -> Loss:
    """The reference's; where there is none, by what the net returns."""
    if tensors["loss"]:
        return Loss(**tensors["loss"])
    with torch.no_grad(), autocast(case.precision, case.device):
        return loss_for(case, given.fresh().into(net), case.batch_size)


def _pristine(
    case: Case, net: nn.Module, given: Inputs, tensors: Mapping[str, Any]
) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    """Of a net that changes its inputs these, and in inference what it changes of itself."""
    changed = given.tensors if tensors["edits_inputs"] else []
    if case.mode == "inference":
        states = dict(net.named_parameters()) | dict(net.named_buffers())
        changed += [states[name] for name in tensors["edited"]]
    return tuple((tensor.detach(), tensor.detach().clone()) for tensor in changed)


def set_precision(precision: Precision) -> dict[str, str]:
    """Make the label true: TF32 on for `tf32`, off for matrix products and convolutions everywhere else.

    Returns what the backends then say, for the record.
    """
    backends: Any = torch.backends
    # The older switches first: torch raises where anything reads them and the two ways disagree.
    backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = precision == "tf32"
    backends.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    found, wanted = fp32_backends(), precisions_of(precision)
    for name, backend in found.items():
        backend.fp32_precision = wanted[name]
    return {name: str(backend.fp32_precision) for name, backend in found.items()}


def set_cudnn_benchmark(search: Toggle) -> dict[str, bool]:
    """Have cuDNN try its algorithms, or not; returns what torch then says, on every device, for the record."""
    torch.backends.cudnn.benchmark = search == "on"
    return {"cudnn.benchmark": bool(torch.backends.cudnn.benchmark)}


def _refill(targets: list[torch.Tensor], sources: list[torch.Tensor]) -> None:
    with torch.no_grad():
        for target, source in zip(targets, sources, strict=True):
            target.copy_(source)


def cast_dtype(precision: Precision) -> torch.dtype:
    """The type of weights and images."""
    return torch.float32 if precision.startswith("amp_") else _DTYPES.get(precision, torch.float32)


def autocast(precision: Precision, device: str) -> contextlib.AbstractContextManager[Any]:
    """Around the forward pass: casts where the precision is autocast's, does nothing elsewhere."""
    if not precision.startswith("amp_"):
        return contextlib.nullcontext()
    return torch.autocast(device.partition(":")[0], dtype=_DTYPES[precision])


def _place(given: Inputs, case: Case) -> Inputs:
    """On the device; real numbers in the case's precision, four and five dimensions in its memory format."""

    def place(tensor: torch.Tensor) -> torch.Tensor:
        dtype = cast_dtype(case.precision) if tensor.is_floating_point() else tensor.dtype
        placed = tensor.to(device=case.device, dtype=dtype)
        return building.laid_out(placed, case.memory_format) if placed.layout is torch.strided else placed

    return given.map(place)
