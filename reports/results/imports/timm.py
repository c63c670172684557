"""What timm's benchmark.py writes: a CSV file whose name says how it was measured.

Names and columns: huggingface/pytorch-image-models, folder results/ and benchmark.py (`write_results`, `benchmark`).
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.records.record import Outcome, Record, Status
from reports.results.imports import text
from reports.results.imports.common import UNKNOWN, Found, Part, RowError, gather, number, seconds, whole
from suites.case import Case
from suites.errors import DlhwError, did_you_mean

_FILE = re.compile(
    r"(?:model[-_])?benchmark(?:[-_](?P<mode>infer|train))?"
    r"(?:[-_](?P<precision>amp_bf16|amp_fp16|amp|float32|float16|bfloat16|fp32|tf32|bf16|fp16))?"
    r"(?:[-_](?P<memory_format>nchw|nhwc))?(?:[-_]pt(?P<torch>\d+))?"
    r"(?:[-_](?P<device>cu\d+|cpu))?(?:[-_](?P<machine>.+?))?(?P<dynamo>[-_]dynamo)?(?: ?\(\d+\))?",
    re.IGNORECASE,
)
"""All that a name may say, in the order of timm's; a browser's ` (1)` behind it says nothing."""

MODES = {"infer": "inference", "train": "training"}
PRECISIONS = {
    "amp": "amp_fp16", "float32": "fp32", "float16": "fp16", "bfloat16": "bf16",
    **{name: name for name in ("fp32", "tf32", "bf16", "fp16", "amp_bf16", "amp_fp16")},
}  # fmt: skip
"""timm's `--amp` computes in fp16 unless it is told otherwise. Its fp32 leaves TF32 as torch has it."""
MEMORY_FORMATS = {"nchw": "contiguous", "nhwc": "channels_last"}
TORCHVISION = {
    **{name: name for name in (
        "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn",
        "vgg13_bn", "vgg16_bn", "vgg19_bn", "densenet121", "densenet161", "densenet169", "densenet201",
        "resnext50_32x4d", "resnext101_32x8d", "wide_resnet50_2", "wide_resnet101_2", "efficientnet_b0",
        "efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "efficientnet_b4", "convnext_tiny", "convnext_small",
        "convnext_base", "convnext_large",
    )},
    "mobilenetv2_100": "mobilenet_v2", "vit_base_patch16_224": "vit_b_16", "vit_base_patch32_224": "vit_b_32",
    "swin_tiny_patch4_window7_224": "swin_t", "swin_small_patch4_window7_224": "swin_s",
    "swin_base_patch4_window7_224": "swin_b",
}  # fmt: skip
"""timm's name -> torchvision's, where both have the same layers; the numbers of parameters agree."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """How a file was measured; None where nothing says it."""

    mode: str | None = None
    precision: str | None = None
    memory_format: str | None = None
    torch: str | None = None
    machine: str | None = None
    device: str | None = None
    compile_mode: str | None = None


def given(
    *, mode: str | None = None, precision: str | None = None, memory_format: str | None = None,
    torch: str | None = None, machine: str | None = None, device: str | None = None,
) -> Facts:  # fmt: skip
    """What a person says of files, in dlhw's words or in timm's.

    Raises:
        DlhwError: an option has no such value.
    """
    return Facts(
        mode=_word("--mode", mode, MODES),
        precision=_word("--precision", precision, PRECISIONS),
        memory_format=_word("--memory-format", memory_format, MEMORY_FORMATS),
        torch=_torch("--torch", torch), machine=text.name_of(machine), device=_device("--device", device),
    )  # fmt: skip


def _word(option: str, value: str | None, words: Mapping[str, str]) -> str | None:
    if value is None or value in words.values():
        return value
    if value.lower() in words:
        return words[value.lower()]
    allowed = list(dict.fromkeys([*words.values(), *words]))
    raise DlhwError(f"{option} {value}: no such value{did_you_mean(value, allowed)}; values: {', '.join(allowed)}")


def _torch(option: str, value: str | None) -> str | None:
    if value is None:
        return None
    if re.fullmatch(r"(pt)?\d{3,}", value):
        return version(value.removeprefix("pt"))
    if not re.fullmatch(r"\d+(\.\d+)+\S*", value):
        raise DlhwError(f"{option} {value}: no version of torch; one reads 2.4.0")
    return value


def _device(option: str, value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"[a-z]+(:\d+)?", value):
        raise DlhwError(f"{option} {value}: no name of torch's for a device; one reads cpu or cuda:0")
    return value


def version(digits: str) -> str:
    """`113` is 1.13, `240` 2.4.0, `2100` 2.10.0: the last digit is the patch, except in 1.10 to 1.13 written alone.

    Source: the releases of torch; 1.x went up to 1.13, and no patch ever reached 10.
    """
    major, rest = digits[0], digits[1:]
    if len(rest) < 2 or (major == "1" and len(rest) == 2 and rest[0] == "1"):
        return ".".join(part for part in (major, rest) if part)
    return f"{major}.{rest[:-1]}.{rest[-1]}"


def read(path: Path, said: Facts | None = None) -> Found:
    """What is in a file of timm's; what its name does not say is taken from what a person `said`.

    Where both say something, the person is right, and it is told.

    Raises:
        DlhwError: the file cannot be read, has no row that can be imported, or nothing says how it was measured.
    """
    said = said or Facts()
    content, notes = text.read(path)
    header, rows = _table(path, content)
    facts, told = _facts(path, said)
    modes = _modes(path, header, facts.mode)
    items = [
        (f"line {line}: {text.shown(row.get('model') or 'no name')}", partial(_record, row, facts, mode))
        for line, row in rows for mode in modes
    ]  # fmt: skip
    records, bad = gather(items)
    machine, device = facts.machine or UNKNOWN, facts.device or "cuda:0"
    part = Part(
        tool="timm", file=path.name, machine=machine, torch=facts.torch or UNKNOWN, models={device: machine},
        records=records,
    )  # fmt: skip
    return Found(path=path, parts=(part,), notes=(*notes, *told, *bad)).or_refuse()


def _facts(path: Path, said: Facts) -> tuple[Facts, list[str]]:
    """What name and person say together, and notes on what only one of them should have."""
    match = _FILE.fullmatch(path.stem)
    words = {name: word for name, word in match.groupdict().items() if word} if match else {}
    named: dict[str, str | None] = {
        "mode": MODES.get(words.get("mode", "").lower()),
        "precision": PRECISIONS.get(words.get("precision", "").lower()),
        "memory_format": MEMORY_FORMATS.get(words.get("memory_format", "").lower()),
        "torch": version(words["torch"]) if "torch" in words else None,
        "machine": text.name_of(words.get("machine")),
        "device": ("cpu" if words["device"].lower() == "cpu" else "cuda:0") if "device" in words else None,
    }
    notes = [
        f"its name says {name.replace('_', ' ')} {word}; taken as {getattr(said, name)}, as was said"
        for name, word in named.items() if word and getattr(said, name) not in {None, word}
    ]  # fmt: skip
    facts = {name: getattr(said, name) or word for name, word in named.items()}
    missing = [name for name in ("precision", "memory_format") if facts[name] is None]
    if missing:
        options = " and ".join(f"--{name.replace('_', '-')}" for name in missing)
        raise DlhwError(
            f"{path}: its name does not say {' or '.join(missing).replace('_', ' ')}: give {options}; a name that does "
            "is benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv"
        )
    notes += [
        f"its name does not say {name}: taken as {default}; --{name} says another"
        for name, default in (("torch", UNKNOWN), ("machine", UNKNOWN), ("device", "cuda:0, timm's default"))
        if facts[name] is None
    ]
    return Facts(**facts, compile_mode="default" if "dynamo" in words else "eager"), notes


def _table(path: Path, content: str) -> tuple[Sequence[str], list[tuple[int, dict[str, Any]]]]:
    """The header, and (line, row) of the rest. Spreadsheets write other separators than the comma.

    Raises:
        DlhwError: it is no such table.
    """
    first = content.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(content, newline=None), delimiter=delimiter, skipinitialspace=True)
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = header
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise DlhwError(f"{path}:{reader.line_num}: this is no CSV file ({error})") from error
    if "model" not in header:
        raise DlhwError(f"{path}: no results of timm's benchmark.py: there is no column model")
    if not rows:
        raise DlhwError(f"{path}: it has no rows")
    return header, rows


def _modes(path: Path, header: Sequence[str], wanted: str | None) -> list[str]:
    """The modes that the columns hold; `wanted` alone where it is known.

    Raises:
        DlhwError: there are no such columns.
    """
    there = [mode for prefix, mode in MODES.items() if f"{prefix}_samples_per_sec" in header]
    bare = "samples_per_sec" in header
    if wanted in there or (wanted and bare):
        return [wanted]
    if wanted is None and there:
        return there
    if bare:
        raise DlhwError(f"{path}: neither its name nor its columns say the mode: give --mode")
    if there:
        raise DlhwError(
            f"{path}: {wanted} is asked for, but its columns are of {there[0]}; --mode {there[0]} reads them"
        )
    raise DlhwError(f"{path}: no results of timm's benchmark.py: there is no column of samples_per_sec")


def _record(row: Mapping[str, Any], facts: Facts, mode: str) -> Record:
    """One row in one mode."""
    if row.get("error"):
        raise RowError(f"failed under timm: {text.shown(row['error'])}")
    if None in row:
        raise RowError("more cells than the header has")
    prefix = "infer" if mode == "inference" else "train"
    cell = {
        name: row.get(f"{prefix}_{name}", row.get(name))
        for name in ("batch_size", "img_size", "samples_per_sec", "param_count")
    }
    name = text.name_of(row.get("model"))
    if name is None:
        raise RowError("no model")
    batch_size, side = (whole(cell[each], f"{prefix}_{each}") for each in ("batch_size", "img_size"))
    time = seconds(batch_size / number(cell["samples_per_sec"], f"{prefix}_samples_per_sec"), "time a step")
    same = TORCHVISION.get(name)
    case = Case.from_json({
        "architecture": f"torchvision:{same}" if same else f"timm:{name}", "input_shape": (3, side, side), "mode": mode,
        "batch_size": batch_size, "precision": facts.precision, "memory_format": facts.memory_format,
        "compile_mode": facts.compile_mode, "device": facts.device or "cuda:0", "threads": 0,
    })  # fmt: skip
    parameters, note = _parameters(cell["param_count"])
    return Record(
        id=case.id, case={**case.to_json(), "threads": None, "parameters": parameters},
        outcome=Outcome(Status.MEASURED), seconds=(time,), details={"note": note} if note else None,
    )  # fmt: skip


def _parameters(millions: object) -> tuple[int | None, str]:
    """How many, and a note where what is there is no number of them."""
    if millions in {None, "", "0"}:
        return None, ""
    try:
        found = number(millions, "param_count")
    except RowError as error:
        return None, f"{error}: left out"
    return (round(found * 1e6), "") if found < 1e9 else (None, f"param_count is {found:g} million: left out")
