"""Suite: a TOML file, validated, and the cases that it stands for on a machine."""

import hashlib
import itertools
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from suites.architectures import default_input_shape
from suites.axes import AXES, MICRO_AXES, SELECTING, Machine, devices_of, micros_of, settings_of, threads_of
from suites.case import Budget, Case
from suites.cases import AnyCase
from suites.errors import DlhwError, did_you_mean
from suites.inputs import Shape, Signature
from suites.mistakes import explain
from suites.schema import MicroSweep, SuiteFile, Sweep

FOLDER = Path(__file__).parent
OVERHEAD_SECONDS = 0.5
COMPILE_SECONDS = 20.0
START_SECONDS = 3.0
"""A fresh interpreter imports torch."""


@dataclass(frozen=True)
class Suite:
    """A named set of sweeps.

    Attributes:
        name: of the suite, or of its file.
        path: where it was read from.
        content: what the file says, axes of the command line included.
        changes: fields of every budget that the command line sets.
        left_out: the file's blocks that a choice of the command line leaves out of `content`.
    """

    name: str
    path: Path
    content: SuiteFile
    changes: Mapping[str, Any] = field(default_factory=dict)
    left_out: tuple[Sweep | MicroSweep, ...] = ()

    @property
    def description(self) -> str:
        """One sentence for people."""
        return self.content.description

    @property
    def architectures(self) -> tuple[str, ...]:
        """The nets that are swept, each once, in order."""
        return tuple(dict.fromkeys(name for sweep in self.content.sweep for name in sweep.architecture))

    @property
    def digest(self) -> str:
        """Changes when a result could: with the way of measuring, not with the set of cases."""
        sweeps: tuple[Sweep | MicroSweep, ...] = (*self.content.sweep, *self.content.micro, *self.left_out)
        budgets = {json.dumps(self._budget(sweep).model_dump(), sort_keys=True) for sweep in sweeps}
        return hashlib.sha256("\n".join(sorted(budgets)).encode()).hexdigest()[:12]

    @property
    def follows_devices(self) -> bool:
        """Whether sizes are chosen by the devices' speeds."""
        return any(block.follows_device for block in self.content.micro)

    def cases(self, machine: Machine) -> dict[AnyCase, Budget]:
        """Every case with its budget, batch sizes ascending within a configuration.

        Cases that are impossible on `machine` are among them; `suites.axes.impossible` tells which.
        """
        planned = {case: self._budget(block) for case, block in self._blocks(machine).items()}
        together: dict[Any, list[AnyCase]] = {}
        for any_case in planned:
            together.setdefault(any_case.configuration, []).append(any_case)
        ordered = (sorted(cases, key=lambda case: case.scale) for cases in together.values())
        return {case: planned[case] for case in itertools.chain(*ordered)}

    def tolerances(self, machine: Machine) -> dict[AnyCase, float]:
        """By how much `dlhw gate` lets each case be slower, as a share: its block's word, else the suite's."""
        default = self.content.gate.tolerance
        return {
            case: default if block.tolerance is None else block.tolerance
            for case, block in self._blocks(machine).items()
        }

    def _blocks(self, machine: Machine) -> dict[AnyCase, Sweep | MicroSweep]:
        """Every case, and the first block that has it."""
        found: dict[AnyCase, Sweep | MicroSweep] = {}
        for sweep in self.content.sweep:
            for case in self._expand(sweep, machine):
                found.setdefault(case, sweep)
        for block in self.content.micro:
            for micro in micros_of(block, machine, follows_device=block.follows_device):
                found.setdefault(micro, block)
        return found

    def _budget(self, sweep: Sweep | MicroSweep) -> Budget:
        budget = self.content.measure.model_copy(update=sweep.measure.model_dump(exclude_unset=True))
        return budget.updated(self.changes)

    def _expand(self, sweep: Sweep, machine: Machine) -> Iterator[Case]:
        devices = dict.fromkeys(name for pattern in sweep.device for name in devices_of(pattern, machine))
        threads = threads_of(sweep.threads, machine)
        for name, size, mode, precision, memory_format, compile_mode, device, count, batch_size in itertools.product(
            sweep.architecture, sweep.image_size, sweep.mode, sweep.precision, sweep.memory_format,
            sweep.compile_mode, devices, threads, sorted(sweep.batch_size),
        ):  # fmt: skip
            for searching, limit in settings_of(sweep, device, machine):
                yield Case(
                    architecture=name, input_shape=self._input_shape(name, size), mode=mode, batch_size=batch_size,
                    precision=precision, memory_format=memory_format, compile_mode=compile_mode, device=device,
                    threads=count, cudnn_benchmark=searching, power_limit=limit, signature=self._signature(name),
                )  # fmt: skip

    def _signature(self, name: str) -> Signature:
        own = self.content.architectures.get(name)
        return own.signature if own else Signature()

    def _input_shape(self, name: str, size: int | str) -> Shape:
        shape = default_input_shape(name) or self.content.architectures[name].input_shape
        return shape if isinstance(size, str) else (*shape[:-2], size, size)


def seconds_of(case: AnyCase, budget: Budget) -> float:
    """What a case may take: its whole budget, half a second around it, and a compiler's time.

    The energy window counts on accelerators alone: few CPUs let anyone but root count theirs.
    """
    compiling = COMPILE_SECONDS if case.compiles else 0.0
    energy = 0.0 if case.device == "cpu" else budget.energy_seconds
    measuring = OVERHEAD_SECONDS + budget.warmup_seconds + budget.max_seconds + energy
    launch = min(measuring, budget.time_limit_seconds) + compiling
    return launch if budget.launches == 1 else budget.launches * (launch + START_SECONDS)


def named() -> tuple[str, ...]:
    """The suites that come with dlhw."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load(name_or_file: str, overrides: Sequence[str] = (), changes: Mapping[str, Any] | None = None) -> Suite:
    """Read and validate a suite.

    Args:
        name_or_file: a name of `named()`, or the path of a TOML file.
        overrides: `axis=value,value`, as `--axis` gives them; each redefines an axis in every sweep.
        changes: fields of `Budget` and values, as the options for them give them, valid; for every case.

    Raises:
        DlhwError: with every mistake at once, each with its file and line or its option.
    """
    path = _find(name_or_file)
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DlhwError(f"{path}: {error}") from error
    axes = dict(_parse_override(text) for text in overrides)
    left_out = _override(path, data, axes)
    try:
        content = SuiteFile.model_validate(data)
    except ValidationError as error:
        raise DlhwError(explain(error.errors(), path, text, axes, left_out)) from error
    blocks: dict[str, tuple[Sweep | MicroSweep, ...]] = {"sweep": content.sweep, "micro": content.micro}
    kept = {
        kind: tuple(block for number, block in enumerate(found) if (kind, number) not in left_out)
        for kind, found in blocks.items()
    }
    rest = tuple(blocks[kind][number] for kind, number in sorted(left_out))
    return Suite(path.stem, path, content.model_copy(update=kept), dict(changes or {}), rest)


def _override(path: Path, data: Mapping[str, Any], axes: Mapping[str, list[int | str]]) -> frozenset[tuple[str, int]]:
    """Redefine axes in every block that has them; an operation or a variant is chosen, not redefined.

    Returns:
        Kind and number of the blocks that the choice leaves out. They stay in `data` as the file has them: their
        mistakes are to be told, each by its own line, and their ways of measuring belong to the suite's digest.

    Raises:
        DlhwError: no block of the suite has the axis, or nothing is left.
    """
    sweeps, micros = data.get("sweep", []), data.get("micro", [])
    if not all(isinstance(blocks, list) and all(isinstance(block, dict) for block in blocks)
               for blocks in (sweeps, micros)):  # fmt: skip
        return frozenset()  # a mistake of the file, which its validation tells
    for axis in axes:
        if not (sweeps if axis in AXES else []) and not (micros if axis in MICRO_AXES else []):
            raise DlhwError(f"--axis {axis}: nothing in {path} has this axis")
    chosen = {axis: values for axis, values in axes.items() if axis in SELECTING}
    left_out = {("sweep", number) for number in range(len(sweeps)) if chosen}
    left_out |= {("micro", number) for number, block in enumerate(micros) if not _choose(block, chosen)}
    if chosen and len(left_out) == len(sweeps) + len(micros):
        asked = " ".join(f"--axis {axis}={','.join(map(str, values))}" for axis, values in chosen.items())
        raise DlhwError(f"{asked}: nothing in {path} is called so")
    for kind, known, blocks in (("sweep", AXES, sweeps), ("micro", MICRO_AXES, micros)):
        redefined = {axis: values for axis, values in axes.items() if axis in known and axis not in SELECTING}
        for number, block in enumerate(blocks):
            wanted = redefined
            if kind == "micro" and "device" in axes:
                wanted = redefined | {"device": _of_kind(block, axes["device"])}
                left_out |= set() if wanted["device"] else {(kind, number)}
            block.update({} if (kind, number) in left_out else wanted)
            if "size" in redefined:
                block.pop("follows_device", None)
    if "device" in axes and len(left_out) == len(sweeps) + len(micros):
        asked = ",".join(map(str, axes["device"]))
        raise DlhwError(f"--axis device={asked}: nothing in {path} is for such devices")
    return frozenset(left_out)


def _choose(block: dict[str, Any], chosen: Mapping[str, list[int | str]]) -> bool:
    """Keep of a block's operation and variants what is chosen; False where nothing is left."""
    found: dict[str, Any] = {}
    for axis, values in chosen.items():
        present = block.get(axis, [""])
        kept = [value for value in (present if isinstance(present, list) else [present]) if value in values]
        if not kept:
            return False
        found[axis] = kept if isinstance(present, list) else kept[0]
    block.update(found)
    return True


def _of_kind(block: Mapping[str, Any], devices: Sequence[int | str]) -> list[int | str]:
    """Those of `devices` that a block is for: one for the CPU, or for accelerators, has sizes that suit no others."""
    own = block.get("device")
    if own not in {"cpu", "accelerator"}:
        return list(devices)
    return [own if device == "all" else device for device in devices
            if device in {"all", own} or (device == "cpu") == (own == "cpu")]  # fmt: skip


def _find(name_or_file: str) -> Path:
    if name_or_file.endswith(".toml") or "/" in name_or_file:
        return Path(name_or_file)
    if name_or_file not in named():
        raise DlhwError(
            f"--suite {name_or_file}: no such suite{did_you_mean(name_or_file, named())}; "
            f"there are {', '.join(named())}, or name a .toml file"
        )
    return FOLDER / f"{name_or_file}.toml"


def _parse_override(text: str) -> tuple[str, list[int | str]]:
    axis, equals, values = text.partition("=")
    known = dict.fromkeys((*AXES, *MICRO_AXES))
    if axis not in known:
        raise DlhwError(f"--axis {text}: unknown axis {axis!r}{did_you_mean(axis, known)}; axes: {', '.join(known)}")
    if not equals or not values:
        raise DlhwError(f"--axis {text}: expected {axis}=VALUE,VALUE,...")
    return axis, [int(value) if value.isdecimal() else value for value in values.split(",")]
