"""The nets that can be measured: a table from name to builder.

Three kinds of names are understood:

- a name of `ARCHITECTURES`: the nets of the d2l course, https://zh.d2l.ai, as its notes write them;
- `torchvision:NAME`: any model of torchvision that takes one tensor, untrained: classification, segmentation,
  detection, video;
- `package.module:callable`: a person's own net; the callable takes no argument and returns an `nn.Module`.
"""

import importlib
import inspect
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from suites.errors import DlhwError
from suites.inputs import Shape

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Architecture:
    """Where a net comes from and what one image for it looks like."""

    builder: str
    input_shape: Shape


ARCHITECTURES = {
    "lenet": Architecture("suites.architectures.lenet:lenet", (1, 28, 28)),
    "lenet_bn": Architecture("suites.architectures.lenet:lenet_bn", (1, 28, 28)),
    "alexnet": Architecture("suites.architectures.alexnet:alexnet", (1, 224, 224)),
    "vgg11": Architecture("suites.architectures.vgg:vgg11", (1, 224, 224)),
    "nin": Architecture("suites.architectures.nin:nin", (1, 224, 224)),
    "googlenet": Architecture("suites.architectures.googlenet:googlenet", (1, 96, 96)),
    "resnet18": Architecture("suites.architectures.resnet:resnet18", (1, 96, 96)),
    "resnet18_inplace": Architecture("suites.architectures.resnet:resnet18_inplace", (1, 96, 96)),
}

TORCHVISION = "torchvision:"
TORCHVISION_SHAPE: Shape = (3, 224, 224)
TORCHVISION_SHAPES: dict[str, Shape] = {
    "r3d_": (3, 16, 112, 112), "mc3_": (3, 16, 112, 112), "r2plus1d_": (3, 16, 112, 112),
    "s3d": (3, 16, 224, 224), "mvit_": (3, 16, 224, 224), "swin3d_": (3, 16, 224, 224),
}  # fmt: skip
"""Beginning of a name -> what such a model was made for: colours, frames and size of a video."""


def default_input_shape(name: str) -> Shape | None:
    """Shape of one sample for the net `name`; None for a person's own net, whose suite file says it."""
    if name.startswith(TORCHVISION):
        given = name.removeprefix(TORCHVISION)
        return next(
            (shape for start, shape in TORCHVISION_SHAPES.items() if given.startswith(start)), TORCHVISION_SHAPE
        )
    known = ARCHITECTURES.get(name)
    return known.input_shape if known else None


def build(name: str) -> "nn.Module":
    """Build the net `name` with fresh weights, on torch's default device.

    Raises:
        DlhwError: the name leads to no builder, or to something that is no `nn.Module`.
    """
    from torch import nn

    net = _builder(name)()
    if not isinstance(net, nn.Module):
        raise DlhwError(f"architecture {name!r}: the builder returned {type(net).__name__}, not an nn.Module")
    return net


def find(name: str) -> None:
    """Check that `name` leads to a builder, without building.

    Raises:
        DlhwError: it does not; the text says what was missing.
    """
    _builder(name)


def is_own(name: str) -> bool:
    """Whether `name` is that of a person's own net."""
    return ":" in name and not name.startswith(TORCHVISION)


def module_of(name: str) -> str:
    """The module that the net `name` is built by."""
    return "torchvision.models" if name.startswith(TORCHVISION) else _path_of(name).partition(":")[0]


def _path_of(name: str) -> str:
    return ARCHITECTURES[name].builder if name in ARCHITECTURES else name


def _builder(name: str) -> Callable[[], Any]:
    if name.startswith(TORCHVISION):
        return _torchvision_builder(name.removeprefix(TORCHVISION))
    path = _path_of(name)
    module_name, _, attribute = path.partition(":")
    try:
        builder = operator.attrgetter(attribute)(importlib.import_module(module_name))
    except Exception as error:  # a person's own module may raise anything
        raise DlhwError(f"architecture {name!r}: {error}") from error
    if not callable(builder):
        raise DlhwError(f"architecture {name!r}: {path} is not callable")
    return builder  # type: ignore[no-any-return]


def _torchvision_builder(name: str) -> Callable[[], Any]:
    from torchvision import models

    from suites.errors import did_you_mean

    names = [known for known in models.list_models() if not known.startswith("quantized_")]
    if name not in names:
        raise DlhwError(
            f"architecture 'torchvision:{name}': torchvision has no model of that name" + did_you_mean(name, names)
        )
    if name.startswith("raft_"):
        raise DlhwError(
            f"architecture 'torchvision:{name}': optical flow takes two images; make it a net of your own, with inputs"
        )
    # Without auxiliary heads, which inference does not use; init_weights=False spares a minute of truncated-normal
    # sampling; and the default of weights_backbone is a download.
    aux = name in {"googlenet", "inception_v3"}
    options: dict[str, Any] = {"aux_logits": False, "init_weights": False} if aux else {}
    if "weights_backbone" in inspect.signature(models.get_model_builder(name)).parameters:
        options["weights_backbone"] = None
    return lambda: models.get_model(name, weights=None, **options)
