"""Results of others as records: summary figures without samples, so without intervals, and said to be so."""

import csv
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.records.record import SCHEMA, Outcome, Record, Status, Work
from suites.case import Case, CompileMode, MemoryFormat, Mode, Precision
from suites.errors import DlhwError

_TIMM_FILE = re.compile(
    r"benchmark-(?P<mode>infer|train)-(?P<precision>amp|fp32|bf16|fp16)-(?P<layout>nchw|nhwc)"
    r"-pt(?P<torch>\d+)-(?P<platform>cu\d+|cpu)-(?P<machine>.+?)(?P<dynamo>-dynamo)?"
)
_PRECISIONS: Mapping[str, Precision] = {"amp": "amp_fp16", "fp32": "fp32", "bf16": "bf16", "fp16": "fp16"}
"""timm's `--amp` computes in fp16 unless it is told otherwise. Its fp32 leaves TF32 as torch has it."""
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


def timm(path: Path) -> dict[str, Any]:
    """A results file of what timm's benchmark.py wrote to `path`; what its name says is taken from its name.

    Raises:
        DlhwError: the name or the content is not as timm has them.
    """
    found = _TIMM_FILE.fullmatch(path.stem)
    if found is None:
        raise DlhwError(
            f"{path}: mode, precision, layout, torch and machine are read from the name, which is not as timm's: "
            "benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv"
        )
    facts = found.groupdict()
    records = []
    for number, row in enumerate(_rows(path), start=2):
        try:
            records.append(_timm_record(row, facts))
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise DlhwError(f"{path}:{number}: not a row of timm's ({type(error).__name__}: {error})") from error
    if not records:
        raise DlhwError(f"{path}: it has no rows")
    version = _version(facts["torch"])
    device = "cpu" if facts["platform"] == "cpu" else "cuda:0"
    return _results(path, "timm", facts["machine"], {device: facts["machine"]}, version, records)


def _version(digits: str) -> str:
    """`113` is 1.13, `240` 2.4.0: torch 1 had two-digit minors, torch 2 counts patches."""
    return f"1.{digits[1:]}" if digits.startswith("1") else ".".join(digits)


def _rows(path: Path) -> Iterable[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise DlhwError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DlhwError(f"{path}: this is no CSV file ({error})") from error


def _timm_record(row: Mapping[str, str], facts: Mapping[str, Any]) -> Record:
    mode = facts["mode"]
    batch_size, side = int(row[f"{mode}_batch_size"]), int(float(row[f"{mode}_img_size"]))
    images_per_second = float(row[f"{mode}_samples_per_sec"])
    name = row["model"]
    same = TORCHVISION.get(name)
    return _record(
        architecture=f"torchvision:{same}" if same else f"timm:{name}",
        input_shape=(3, side, side),
        mode="inference" if mode == "infer" else "training",
        batch_size=batch_size,
        precision=_PRECISIONS[facts["precision"]],
        memory_format="channels_last" if facts["layout"] == "nhwc" else "contiguous",
        compile_mode="default" if facts["dynamo"] else "eager",
        device="cpu" if facts["platform"] == "cpu" else "cuda:0",
        seconds=(batch_size / images_per_second,),
        parameters=round(float(row["param_count"]) * 1e6),
    )


def _record(
    *, architecture: str, input_shape: tuple[int, int, int], mode: Mode, batch_size: int, precision: Precision,
    memory_format: MemoryFormat, compile_mode: CompileMode, device: str, seconds: tuple[float, ...],
    parameters: int | None = None,
) -> Record:  # fmt: skip
    case = Case(
        architecture=architecture, input_shape=input_shape, mode=mode, batch_size=batch_size, precision=precision,
        memory_format=memory_format, compile_mode=compile_mode, device=device, threads=0,
    )  # fmt: skip
    facts = {**case.to_json(), "threads": None, "parameters": parameters}
    return Record(id=case.id, case=facts, outcome=Outcome(Status.MEASURED), seconds=seconds)


def pytest_benchmark(path: Path) -> dict[str, Any]:
    """A results file of any of pytest-benchmark's: each benchmark is an operation of its own.

    Raises:
        DlhwError: it cannot be read, or is no such file.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if "dlhw" in data:
            raise DlhwError(f"{path}: dlhw wrote it itself; there is nothing to import")
        machine, version = data["machine_info"]["node"], data["machine_info"].get("python_version")
        records = [_foreign(benchmark) for benchmark in data["benchmarks"]]
    except OSError as error:
        raise DlhwError(f"{path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DlhwError(f"{path}: no results file of pytest-benchmark ({type(error).__name__}: {error})") from error
    if not records:
        raise DlhwError(f"{path}: it has no benchmarks")
    return _results(path, "pytest-benchmark", machine, {"cpu": machine}, f"none, Python {version}", records)


def _foreign(benchmark: Mapping[str, Any]) -> Record:
    """One benchmark: what it did is known by its name alone."""
    name, stats = str(benchmark["fullname"]), benchmark["stats"]
    seconds = tuple(map(float, stats.get("data") or (stats["median"],)))
    case = {"kind": "other", "operation": name, "mode": "other", "device": "cpu", "threads": None}
    return Record(
        id=name, case=case, outcome=Outcome(Status.MEASURED), seconds=seconds, work=Work(metric="seconds", amount=1.0)
    )  # fmt: skip


def _results(
    path: Path, tool: str, machine: str, models: Mapping[str, str], torch: str, records: Iterable[Record]
) -> dict[str, Any]:
    """In dlhw's format; of the machine nothing is known but its name."""
    return {
        "machine_info": {
            "node": machine,
            "torch": {"version": torch},
            "devices": [{"name": device, "model": model} for device, model in models.items()],
        },
        "datetime": None,
        "benchmarks": [
            {
                "param": record.id, "name": record.id, "fullname": record.id, "group": tool,
                "extra_info": record.extra_info(), "stats": {"data": list(record.seconds)},
            }
            for record in records
        ],
        "outcomes": [],
        "dlhw": {
            "schema": SCHEMA, "suite": f"imported from {tool}", "imported": {"tool": tool, "file": path.name},
            "fingerprint": f"{machine} torch {torch}",
        },
    }  # fmt: skip
