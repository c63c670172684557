"""What a net takes, and what it learns by, where that is not one tensor of images: a suite file's words for it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

Shape = tuple[int, ...]
"""Of one sample, without the batch: channels, height and width of an image."""

Dtype = Literal[
    "float32", "float64", "float16", "bfloat16", "complex64", "int64", "int32", "int16", "int8", "uint8", "bool"
]
INTEGERS = {"int64": 63, "int32": 31, "int16": 15, "int8": 7, "uint8": 8}
"""Type -> bits of its largest number."""
CALLABLE = r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$"
CallableName = Annotated[str, Field(pattern=CALLABLE)]
"""`package.module:name`, as in the name of a net."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """One tensor that a net is called with.

    Attributes:
        shape: of one sample; the batch comes before it. Empty: a number a sample.
        dtype: torch's name. Real numbers are normal, and of the case's precision; true and false are even odds.
        low, high: integers are drawn from low to high - 1.
        name: the argument's; empty for one that is known by its place.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    shape: tuple[PositiveInt, ...]
    dtype: Dtype = "float32"
    low: NonNegativeInt = 0
    high: PositiveInt | None = None
    name: Annotated[str, Field(pattern=r"^([A-Za-z_]\w*)?$")] = ""

    @property
    def problem(self) -> str:
        """What is wrong with it, in plain words; empty where nothing is."""
        if self.dtype not in INTEGERS:
            return "" if self.high is None and not self.low else f"low and high are for integers, not for {self.dtype}"
        if self.high is None:
            return f"{self.dtype} needs high: integers are drawn from low to high - 1"
        if self.high <= self.low:
            return f"high = {self.high} is not above low = {self.low}"
        largest = 2 ** INTEGERS[self.dtype]
        return "" if self.high <= largest else f"{self.dtype} holds no number above {largest - 1}"


@dataclass(frozen=True, kw_only=True)
class Signature:
    """How a person's own net is called, beyond one tensor of `input_shape`.

    Attributes:
        inputs: the tensors that it is called with; empty: one of the case's `input_shape`.
        make_inputs: `package.module:function` that makes them instead, called with batch size and seed.
        loss: `package.module:function` that training minimises; empty: chosen by the net's outputs.
    """

    inputs: tuple[Input, ...] = ()
    make_inputs: str = ""
    loss: str = ""

    def to_json(self) -> dict[str, Any]:
        """What is not as by default, in plain JSON types."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Make the signature of which `to_json` made `data`, which may hold more."""
        inputs = tuple(Input(**{**each, "shape": tuple(each["shape"])}) for each in data.get("inputs") or ())
        return cls(inputs=inputs, make_inputs=data.get("make_inputs") or "", loss=data.get("loss") or "")


PLAIN = Signature()


def _listed(value: Any) -> Any:
    """Inputs by name (`{x = {...}}`), by place (`[{...}]`) or one alone (`{shape = ...}`) as a list; else as it is."""
    if not isinstance(value, Mapping):
        return value
    if isinstance(value.get("shape"), Sequence) and not isinstance(value["shape"], str):
        return [value]
    by_place = all(str(name).isdecimal() for name in value)
    names = sorted(value, key=int) if by_place else list(value)
    return [
        {**value[name], **({} if by_place else {"name": name})} if isinstance(value[name], Mapping) else value[name]
        for name in names
    ]


class OwnNet(BaseModel):
    """What a suite file must say of a person's own net: what it takes, and what it learns by if that is its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_shape: tuple[PositiveInt, ...] = ()
    inputs: tuple[Input, ...] = ()
    make_inputs: CallableName | None = None
    loss: CallableName | None = None

    @model_validator(mode="before")
    @classmethod
    def _inputs_are_tensors_or_a_function(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or "inputs" not in data:
            return data
        if isinstance(data["inputs"], str):
            return {**{key: value for key, value in data.items() if key != "inputs"}, "make_inputs": data["inputs"]}
        return {**data, "inputs": _listed(data["inputs"])}

    @model_validator(mode="after")
    def _says_once_what_it_takes(self) -> "OwnNet":
        if sum(map(bool, (self.input_shape, self.inputs, self.make_inputs))) != 1:
            raise ValueError(
                "needs one of input_shape = [3, 64, 64], inputs = {x = {shape = [3, 64, 64]}}, "
                'inputs = "module:function"'
            )
        problems = [f"{each.name or number}: {each.problem}" for number, each in enumerate(self.inputs) if each.problem]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def signature(self) -> Signature:
        """How it is called."""
        return Signature(inputs=self.inputs, make_inputs=self.make_inputs or "", loss=self.loss or "")
