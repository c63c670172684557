"""Micro: one micro-benchmark, and the table of the operations that there are."""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Literal, Self

from suites.case import UNCOMPILED, CompileMode, Precision, one_of
from suites.errors import DlhwError, did_you_mean

Needs = Literal["any", "cpu", "accelerator"]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A kind of micro-benchmark.

    Attributes:
        question: what it answers, in a sentence.
        size: what the numbers of a size are, one word or two each.
        variants: the ways of doing it; empty where there is one.
        needs: the device that it makes sense on.
        sided: a size may begin with the side of the matrix products in it, where that is not the usual one.
        parallel: the first number of a size is how many processes work at it.
    """

    question: str
    size: tuple[str, ...]
    variants: tuple[str, ...] = ()
    needs: Needs = "any"
    parallel: bool = False
    sided: bool = False


OPERATIONS: Mapping[str, Operation] = {
    "memory_latency": Operation(
        question="How long does a read take, by the size of what is read from?",
        size=("bytes",), variants=("chase", "gather"),
    ),
    "stride": Operation(
        question="What does it cost to read every n-th number, or a matrix by columns?",
        size=("elements",), variants=("step", "rows", "columns"),
    ),
    "copy": Operation(question="How fast is memory copied, by the size of an array?", size=("bytes",)),
    "triad": Operation(question="How fast is a + s * b, by the size of an array?", size=("bytes",)),
    "threads": Operation(
        question="How much faster are more threads?", size=("side_or_bytes",), variants=("matmul", "copy"), needs="cpu",
    ),
    "dispatch": Operation(question="What does an operation cost beside its work?", size=("elements",)),
    "vectorised": Operation(
        question="What does a loop over elements cost?", size=("elements",), variants=("loop", "vector"), needs="cpu",
    ),
    "matmul": Operation(
        question="How fast are matrix products at best?", size=("rows", "inner", "columns"),
    ),
    "convolution": Operation(
        question="How fast are convolutions at best?", size=("images", "channels", "pixels"),
        variants=tuple(f"k{kernel}_{layout}" for kernel in (1, 3, 7) for layout in ("contiguous", "channels_last")),
    ),
    "alignment": Operation(
        question="What do sizes cost that are no multiples of what the hardware likes?", size=("elements",),
        variants=("matmul", "convolution"),
    ),
    "fusion": Operation(
        question="What does fusing a chain of elementwise operations save?", size=("operations", "elements"),
        variants=("eager", "compiled"),
    ),
    "transfer": Operation(
        question="How fast is data moved between host and device?", size=("bytes",), needs="accelerator",
        variants=("h2d_pageable", "h2d_pinned", "d2h_pageable", "d2h_pinned", "d2d", "peer"),
    ),
    "launch": Operation(
        question="What does it cost to launch a kernel, and to wait for it?", size=("elements",),
        variants=("enqueue", "synchronise"), needs="accelerator",
    ),
    "queue": Operation(
        question="How far may the host run ahead of the device?", size=("launches",), needs="accelerator",
        sided=True,
    ),
    "overlap": Operation(
        question="Can data move while the device computes?", size=("bytes",), needs="accelerator",
        variants=("compute", "copy", "both", "products"), sided=True,
    ),
    "cache": Operation(
        question="What does it cost that data is not in the device's cache?", size=("bytes",), needs="accelerator",
        variants=("warm", "flushed"),
    ),
    "all_reduce": Operation(
        question="How fast do processes add up their gradients?", size=("processes", "bytes"), parallel=True,
    ),
    "scaling": Operation(
        question="How much faster do more processes train?", size=("processes", "images"), parallel=True,
        variants=("lenet", "resnet18"),
    ),
    "loader": Operation(
        question="How fast are images read and prepared, by the number of worker processes?",
        size=("workers", "images"), variants=("own28", "resize96", "resize224"), needs="cpu", parallel=True,
    ),
    "convergence": Operation(
        question="How many steps does a net train to a given loss?", size=("seed",), variants=("lenet", "lenet_bn"),
    ),
}  # fmt: skip

FROM_ZERO = frozenset({"workers", "seed"})
"""Words of a size whose number may be 0."""
_ID = re.compile(
    r"(?P<operation>[a-z_]+)(?:-(?P<variant>[a-z]\w*))?-(?P<size>\d+(?:x\d+)*)"
    rf"-(?P<precision>{one_of(Precision)})-(?P<device>[\w:]+)-t(?P<threads>[1-9]\d*)"
)


@dataclass(frozen=True, kw_only=True)
class Micro:
    """One operation of one size on one device.

    Attributes:
        operation: a name of `OPERATIONS`.
        variant: one of its variants; empty where it has none.
        size: as many numbers as the operation's `size` has words.
        threads: intra-op threads on the host, of each process.
    """

    operation: str
    variant: str
    size: tuple[int, ...]
    precision: Precision
    device: str
    threads: int

    @cached_property
    def id(self) -> str:
        """Stable and unique; reads `matmul-1024x1024x1024-bf16-cpu-t2`, `stride-columns-2048-fp32-cpu-t1`."""
        size = "x".join(map(str, self.size))
        words = [self.operation, *filter(None, [self.variant]), size, self.precision, self.device, f"t{self.threads}"]
        return "-".join(words)

    @property
    def mode(self) -> str:
        """Which test it belongs to."""
        return "hardware"

    @property
    def group(self) -> str:
        """What it is shown with."""
        return " ".join(filter(None, (self.operation, self.variant)))

    @property
    def compile_mode(self) -> CompileMode:
        """What torch.compile is asked for."""
        return "default" if self.variant == "compiled" else "eager"

    @property
    def compiles(self) -> bool:
        """Whether torch.compile is asked for."""
        return self.compile_mode not in UNCOMPILED

    @property
    def power_limit(self) -> None:
        """None: it has whatever limit the device has."""

    @property
    def processes(self) -> int:
        """That work at it, its own included."""
        return max(1, self.size[0]) if OPERATIONS[self.operation].parallel else 1

    @cached_property
    def configuration(self) -> tuple[Any, ...]:
        """All that tells two of them apart but the size."""
        return tuple(getattr(self, field.name) for field in fields(self) if field.name != "size")

    @property
    def scale(self) -> int:
        """Grows with the memory and time that it needs."""
        return math.prod(self.size)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Make the micro-benchmark whose id is `text`.

        Raises:
            DlhwError: `text` is no such id.
        """
        match = _ID.fullmatch(text)
        if match is None:
            raise DlhwError(f"{text!r} is no id of a micro-benchmark; one reads copy-65536-fp32-cpu-t2")
        parts: dict[str, Any] = match.groupdict(default="")
        size = tuple(map(int, parts.pop("size").split("x")))
        found = cls(**parts | {"size": size, "threads": int(parts["threads"])})
        if problem := shape_problem(found.operation, found.variant, size):
            raise DlhwError(f"{text!r}: {problem}")
        if found.id != text:
            raise DlhwError(f"{text!r} is no id of a micro-benchmark; that one's is {found.id}")
        return found

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Make one of what `to_json` gave, or of a record's `case`, which holds more."""
        known = {field.name: data[field.name] for field in fields(cls)}
        return cls(**known | {"size": tuple(known["size"])})

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types only."""
        return {"kind": "micro", **asdict(self), "size": list(self.size), "processes": self.processes}


def shape_problem(operation: str, variant: str | None, size: tuple[int, ...] | None) -> str | None:
    """What is wrong with an operation's variant or size, in plain words; None where they are not asked about."""
    known = OPERATIONS.get(operation)
    if known is None:
        return f"unknown operation {operation!r}{did_you_mean(operation, OPERATIONS)}; {', '.join(OPERATIONS)}"
    if variant is not None and variant not in (known.variants or ("",)):
        names = ", ".join(known.variants) or "none"
        return f"{operation} has no variant {variant!r}{did_you_mean(variant, known.variants)}; variants: {names}"
    if size is not None and len(size) - len(known.size) not in ({0, 1} if known.sided else {0}):
        return f"a size of {operation} reads {'x'.join(word.upper() for word in known.size)}"
    nothing = [
        word
        for word, number in zip(known.size, (size or ())[-len(known.size) :], strict=False)
        if not number and word not in FROM_ZERO
    ]
    return f"{nothing[0].upper()} of {operation} should be greater than 0, not 0" if nothing else None
