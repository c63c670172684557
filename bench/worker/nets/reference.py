"""What all cases of a net are held against, made once: seeded weights, FLOPs, and the net's own results in fp64.

`prepare` is the flow. A person's net may be anything: where it cannot run in fp64 it runs in fp32, where it draws
random numbers or edits what it is called with that is found out by running it twice, and all of it is said.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from bench.worker import settings
from bench.worker.nets import building, inputs
from bench.worker.nets.building import SEED
from bench.worker.nets.correctness import (
    Unsuitable,
    output_errors,
    read,
    relative_gradients,
    sampled_gradients,
    tolerances,
    without_chance,
)
from bench.worker.nets.counting import ONE_VALUE, count, first_line
from bench.worker.nets.inputs import Inputs
from bench.worker.nets.outputs import Loss, floats, loss_for
from bench.worker.nets.traffic import moves_data
from suites.architectures import ARCHITECTURES, TORCHVISION, default_input_shape
from suites.case import Case

SAME = {torch.float64: 1e-9, torch.float32: 1e-3}
"""Two runs of the same inputs differ by no more than this where nothing is random: sums are made in any order."""
ATTEMPTS = ((torch.float64, "fp64 eager"), (torch.float32, "fp32 eager, contiguous"))
JUMP = 2.0**-12
"""Rounding itself moves no output by so much."""
FP32_BITS = 20
"""Of 24, less what sums of products lose."""
SIZES = "the sizes of its outputs depend on their values: rounding changes them"
NO_NUMBERS = "there is no floating tensor in its outputs that could be compared"
RANDOM = "the net draws random numbers in its forward pass: no two runs are alike"


@dataclass(frozen=True)
class Reference:
    """What `prepare` found, as plain data; the tensors lie in the file at `path`.

    Attributes:
        forward_flops_per_image, step_flops_per_image: of one sample; None where they cannot be counted.
        convolutions: whether there are weights that channels_last is for.
        own_batch: the reference must be made anew with the case's own number of samples: with others the net does
            not run, or its results are not those of single samples.
        notes: what a reader must know: kind -> sentence.
    """

    path: str
    parameters: int
    forward_flops_per_image: float | None
    step_flops_per_image: float | None
    convolutions: bool
    own_batch: bool = False
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One run of a net: its floating outputs by path, sampled gradients, and what the net changed.

    Attributes:
        edits_inputs: the inputs are not what they were.
        edited: names of weights and buffers that the forward pass changed, running statistics of training apart.
    """

    outputs: Mapping[str, torch.Tensor]
    gradients: Mapping[str, torch.Tensor]
    loss: Loss | None
    edits_inputs: bool = False
    edited: tuple[str, ...] = ()


def prepare(case: Case, path: Path) -> Reference:
    """Make weights and reference for cases like `case`, whose batch is that of the check; write them to `path`.

    Raises:
        Unsuitable: the net does not take samples of this shape.
    """
    wanted = settings.snapshot()
    counted = count(case)
    net = building.fresh(case)
    settings.restore(wanted)
    building.calibrate(net, case)
    torch.save({"state": net.state_dict()}, path)  # with its metadata: some nets load by their version
    state = read(str(path))["state"]
    facts = Reference(
        path=str(path),
        parameters=sum(parameter.numel() for parameter in net.parameters()),
        forward_flops_per_image=counted.forward,
        step_flops_per_image=counted.step,
        convolutions=any(parameter.dim() in (4, 5) for parameter in net.parameters()),
    )
    found, said = _reference(net, case, state)
    torch.save(found, f"{path}.reference")
    own_batch = found["own_batch"] or not counted.by_sample
    notes = said | ({"flops": counted.reason} if counted.reason else {})
    return replace(facts, own_batch=own_batch, notes=notes)


def _reference(net: nn.Module, case: Case, state: Mapping[str, torch.Tensor]) -> tuple[dict[str, Any], dict[str, str]]:
    """What is compared, and what has to be said of it; with no reference, why there is none."""
    found: dict[str, Any] = {
        "outputs": {}, "gradients": {}, "sensitivity": {}, "samples": case.batch_size, "reference": "none",
        "inconclusive": "", "own_batch": False, "edits_inputs": False, "edited": (), "loss": None,
    }  # fmt: skip
    reasons: list[str] = []
    for dtype, said in ATTEMPTS:
        try:
            return _in(dtype, net, case, state, found | {"reference": said}, reasons)
        except Unsuitable:
            raise
        except Exception as error:  # noqa: BLE001 - a net may raise anything; that it cannot run here is no end
            reasons.append(f"{said} cannot run it: {type(error).__name__}: {first_line(error)}")
            net = building.with_weights(case, state)
    reason = "nothing to hold it against: " + "; ".join(reasons)
    return found | {"inconclusive": reason, "own_batch": True}, {"check": reason}


def _in(
    dtype: torch.dtype, net: nn.Module, case: Case, state: Mapping[str, torch.Tensor], found: dict[str, Any],
    reasons: list[str],
) -> tuple[dict[str, Any], dict[str, str]]:  # fmt: skip
    """The reference in one precision, probed for what would make it none."""
    again = partial(_again, net.to(dtype), state, dtype)
    given, generator = inputs.make(case, case.batch_size, SEED)
    draw = generator.get_state()
    first = _run(again(), case, given, dtype, draw, seed=1)
    if not first.outputs:
        return found | {"inconclusive": NO_NUMBERS}, {"check": NO_NUMBERS}
    unusual = first.loss is not None and first.loss.classes is None
    notes = {"loss": f"training minimises {first.loss.said}"} if first.loss and unusual else {}
    if reasons:
        notes["check"] = f"held against fp32, which is the weaker check: {reasons[0]}"
    found |= {
        "outputs": first.outputs, "gradients": first.gradients, "loss": first.loss and vars(first.loss),
        "edits_inputs": first.edits_inputs, "edited": first.edited,
    }  # fmt: skip
    notes |= _edits(first, case)
    if _anything_goes(case, first):
        second = _run(again(), case, given, dtype, draw, seed=2)
        if not _alike(first, second, SAME[dtype]):
            return found | {"inconclusive": RANDOM}, notes | {"check": RANDOM}
        found["own_batch"] = not _tiles(again, case, given, dtype, draw, first)
    sensitivity = _sensitivity(again(), case, given, draw, first)
    reason = "" if sensitivity else SIZES
    if sensitivity and dtype is torch.float64 and _anything_goes(case, first):
        reason = _jumps(again(), case, given, draw, first, sensitivity)
    if reason:
        return found | {"inconclusive": reason}, notes | {"check": reason}
    return found | {"sensitivity": sensitivity or {}}, notes


def _again(net: nn.Module, state: Mapping[str, torch.Tensor], dtype: torch.dtype) -> nn.Module:
    """The net with the weights that every case starts from."""
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if isinstance(tensor, torch.Tensor):  # quantised layers keep more than tensors there
                tensor.copy_(state[name])
    return net.to(dtype)


def _anything_goes(case: Case, run: Run) -> bool:
    """Whether a net is none of those known to do the same every time, sample by sample."""
    if case.architecture in ARCHITECTURES:
        return False
    plain = list(run.outputs) == [""] and run.outputs[""].ndim == 2
    return not (case.architecture.startswith(TORCHVISION) and plain)


def _run(
    net: nn.Module, case: Case, given: Inputs, dtype: torch.dtype, draw: torch.Tensor, seed: int, tiles: int = 1
) -> Run:
    """Outputs and, in training, sampled gradients of `net` in the precision of its own weights.

    Args:
        draw: the generator's state that labels are drawn from.
        tiles: how often the samples are repeated in the batch.
    """
    tiled = given.tiled(case.batch_size, tiles)
    values = tiled.map(lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor).fresh()
    before, held = values.fresh(), _held(net, case)
    net.train(case.mode == "training").zero_grad(set_to_none=True)
    with _seeded(seed), without_chance(net), torch.set_grad_enabled(case.mode == "training"):
        try:
            outputs = values.into(net)
        except ValueError as error:  # normalisation over a single value
            if ONE_VALUE not in str(error):
                raise
            raise Unsuitable(f"a batch of {case.batch_size}: {error}") from error
        edits = _differ(before.tensors, values.tensors)
        edited = tuple(name for name, tensor in _states(net) if name in held and not _equal(held[name], tensor))
        if case.mode == "inference":
            return Run(_kept(outputs), {}, None, edits, edited)
        loss = loss_for(case, outputs, tiles * case.batch_size)
        labels = loss.labels(case.batch_size, torch.Generator().set_state(draw)).repeat(tiles)
        loss.of(outputs, values, labels).backward()
    return Run(_kept(outputs), sampled_gradients(net), loss, edits, edited)


def _kept(outputs: Any) -> dict[str, torch.Tensor]:
    return {path: tensor.detach().clone() for path, tensor in floats(outputs).items()}


def _held(net: nn.Module, case: Case) -> dict[str, torch.Tensor]:
    """Copies of what a forward pass should leave alone; nothing of nets that are known to."""
    if default_input_shape(case.architecture) is not None:
        return {}
    statistics = {
        f"{name}.{buffer}" if name else buffer
        for name, module in net.named_modules()
        if case.mode == "training" and getattr(module, "running_mean", None) is not None
        for buffer in ("running_mean", "running_var", "num_batches_tracked")
    }
    return {name: tensor.detach().clone() for name, tensor in _states(net) if name not in statistics}


def _states(net: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from net.named_parameters()
    yield from net.named_buffers()


def _edits(run: Run, case: Case) -> dict[str, str]:
    """What has to be said of a net that changes what it is given, or itself."""
    notes = {}
    if run.edits_inputs:
        notes["inputs"] = "the net changes its inputs: it gets them afresh for each step, outside the timed part"
    if run.edited:
        names = ", ".join(run.edited[:3]) + (" ..." if len(run.edited) > 3 else "")
        again = "as in training" if case.mode == "training" else "put back for each step, outside the timed part"
        notes["state"] = f"the forward pass changes the net's own {names}: {again}"
    return notes


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Python's, NumPy's and torch's random numbers from `seed` on, and as they were afterwards."""
    import numpy

    states = random.getstate(), numpy.random.get_state()
    with torch.random.fork_rng(devices=[]):  # the CPU's alone: no accelerator is woken for it
        random.seed(seed)
        numpy.random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            numpy.random.set_state(states[1])


def _differ(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return any(not _equal(before, after) for before, after in zip(first, second, strict=True))


def _equal(first: torch.Tensor, second: torch.Tensor) -> bool:
    first, second = (each if each.layout is torch.strided else each.to_dense() for each in (first, second))
    return first.shape == second.shape and bool(torch.equal(first.nan_to_num(), second.nan_to_num()))


def _alike(first: Run, second: Run, tolerance: float) -> bool:
    """Whether two runs gave the same but for the order of sums."""
    errors = list(output_errors(second.outputs, first.outputs).values())
    if first.gradients:
        errors.append(relative_gradients(second.gradients, first.gradients))
    return all(error <= tolerance for error in errors)


def _tiles(
    again: Callable[[], nn.Module], case: Case, given: Inputs, dtype: torch.dtype, draw: torch.Tensor, first: Run
) -> bool:
    """Whether a batch that repeats the samples has their results repeated, and the same gradients."""
    try:
        run = _run(again(), case, given, dtype, draw, seed=1, tiles=2)
    except Exception:  # noqa: BLE001 - it takes no other number of samples
        return False
    return _alike(first, run, SAME[dtype])


def _sensitivity(net: nn.Module, case: Case, given: Inputs, draw: torch.Tensor, first: Run) -> dict[str, float] | None:
    """How far from the reference `net` is with every weight, input, layer's output and gradient rounded to bf16.

    The arithmetic itself is fp32's, so this is what rounding does, and no kernel of any device has a part in it.
    None where outputs of other sizes come out.
    """
    for parameter in net.parameters():
        parameter.data = _rounded(parameter.data)
    net.float()
    scripted = torch.jit.ScriptModule  # takes no hooks
    layers = [module for module in net.modules() if not any(module.children()) and not isinstance(module, scripted)]
    hooks = [layer.register_forward_hook(_rounded_output) for layer in layers]
    run = _run(net, case, given.map(_rounded), torch.float32, draw, seed=1)
    for hook in hooks:
        hook.remove()
    return _distances(run, first)


def _distances(run: Run, first: Run) -> dict[str, float] | None:
    """How far from the reference each output is, and the gradients; None where their sizes differ."""
    sizes, wanted = ({path: each.shape for path, each in found.outputs.items()} for found in (run, first))
    if sizes != wanted:
        return None
    found = output_errors(run.outputs, first.outputs)
    if first.gradients:
        found["gradients"] = relative_gradients(run.gradients, first.gradients)
    return found


def _rounded_output(layer: nn.Module, inputs: Any, output: Any) -> Any:
    return tree_map_only(torch.Tensor, _rounded, output)  # some layers return several tensors


def _rounded(tensor: torch.Tensor) -> torch.Tensor:
    """A real `tensor` to bf16 and back; autograd rounds its gradient in the same way."""
    return tensor.bfloat16().float() if tensor.is_floating_point() else tensor


class _Rounding(TorchDispatchMode):
    """Every operator's result is rounded to so many bits of mantissa, in fp64's arithmetic."""

    def __init__(self, bits: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._split = 2.0 ** (53 - bits) + 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        return tree_map_only(torch.Tensor, self._round, out) if moves_data(func) else out

    def _round(self, tensor: torch.Tensor) -> torch.Tensor:
        """Veltkamp's splitting, doi 10.1007/BF01397083 (Dekker, 1971): the upper part of each number."""
        if tensor.dtype is not torch.float64 or tensor.layout is not torch.strided:
            return tensor
        scaled = tensor * self._split
        upper = scaled - (scaled - tensor)
        return tensor.copy_(torch.where(upper.isfinite(), upper, tensor))


def _jumps(
    net: nn.Module, case: Case, given: Inputs, draw: torch.Tensor, first: Run, known: Mapping[str, float]
) -> str:  # fmt: skip
    """Why no tolerance tells right from wrong: a net that selects or sorts turns a rounding into another result."""
    with _Rounding(FP32_BITS):
        moved = _distances(_run(net, case, given, torch.float64, draw, seed=1), first)
    if moved is None:
        return SIZES
    allowed = tolerances("fp32", known)
    over = {what: error for what, error in moved.items() if error > max(allowed[what], JUMP)}
    if not over:
        return ""
    what = max(over, key=lambda name: over[name])
    return f"fp32's rounding alone moves its {what} by {over[what]:.2g} of their size: it selects, or sorts, by value"
