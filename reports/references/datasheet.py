"""What vendors promise: dense rates without sparsity, by the name that torch gives a device.

Only what a public data sheet says; a device that is not here has no figure, and neither has a CPU, whose peak depends
on a clock rate that nobody promises.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Promise:
    """Peaks of a device, in FLOP/s and bytes/s; None where the vendor gives none.

    Attributes:
        half: bf16 and fp16 with fp32 accumulation.
        source: the document.
    """

    fp32: float
    tf32: float | None
    half: float
    bytes_per_second: float
    bf16: bool = True
    source: str

    def flops_per_second(self, precision: str) -> float | None:
        """The peak for a case's precision."""
        if precision in {"fp32", "tf32"}:
            return self.fp32 if precision == "fp32" else self.tf32
        return self.half if self.bf16 or precision.endswith("fp16") else None


_TERA, _GIGA = 1e12, 1e9
_V100 = "NVIDIA V100 data sheet (2020)"
_A100 = "NVIDIA A100 data sheet (2021)"
_H100 = "NVIDIA H100 data sheet (2023), halved where it counts sparsity"
PROMISES: dict[str, Promise] = {
    r"Tesla V100-SXM2-.*": Promise(
        fp32=15.7 * _TERA, tf32=None, half=125 * _TERA, bytes_per_second=900 * _GIGA, bf16=False, source=_V100
    ),
    r"Tesla V100-PCIE-.*": Promise(
        fp32=14 * _TERA, tf32=None, half=112 * _TERA, bytes_per_second=900 * _GIGA, bf16=False, source=_V100
    ),
    r"Tesla T4": Promise(
        fp32=8.1 * _TERA, tf32=None, half=65 * _TERA, bytes_per_second=320 * _GIGA, bf16=False,
        source="NVIDIA T4 data sheet (2019)",
    ),
    r"NVIDIA A100-(SXM4|PCIE)-40GB": Promise(
        fp32=19.5 * _TERA, tf32=156 * _TERA, half=312 * _TERA, bytes_per_second=1555 * _GIGA, source=_A100
    ),
    r"NVIDIA A100-SXM4-80GB": Promise(
        fp32=19.5 * _TERA, tf32=156 * _TERA, half=312 * _TERA, bytes_per_second=2039 * _GIGA, source=_A100
    ),
    r"NVIDIA A100 80GB PCIe": Promise(
        fp32=19.5 * _TERA, tf32=156 * _TERA, half=312 * _TERA, bytes_per_second=1935 * _GIGA, source=_A100
    ),
    r"NVIDIA A10": Promise(
        fp32=31.2 * _TERA, tf32=62.5 * _TERA, half=125 * _TERA, bytes_per_second=600 * _GIGA,
        source="NVIDIA A10 data sheet (2021)",
    ),
    r"NVIDIA L4": Promise(
        fp32=30.3 * _TERA, tf32=60 * _TERA, half=121 * _TERA, bytes_per_second=300 * _GIGA,
        source="NVIDIA L4 data sheet (2023), halved where it counts sparsity",
    ),
    r"NVIDIA L40S": Promise(
        fp32=91.6 * _TERA, tf32=183 * _TERA, half=362 * _TERA, bytes_per_second=864 * _GIGA,
        source="NVIDIA L40S data sheet (2023)",
    ),
    r"NVIDIA H100 80GB HBM3": Promise(
        fp32=67 * _TERA, tf32=494.5 * _TERA, half=989.5 * _TERA, bytes_per_second=3350 * _GIGA, source=_H100
    ),
    r"NVIDIA H100 PCIe": Promise(
        fp32=51 * _TERA, tf32=378 * _TERA, half=756 * _TERA, bytes_per_second=2000 * _GIGA, source=_H100
    ),
    r"NVIDIA H200": Promise(
        fp32=67 * _TERA, tf32=494.5 * _TERA, half=989.5 * _TERA, bytes_per_second=4800 * _GIGA,
        source="NVIDIA H200 data sheet (2024), halved where it counts sparsity",
    ),
    r"NVIDIA GeForce RTX 3090": Promise(
        fp32=35.6 * _TERA, tf32=35.6 * _TERA, half=71 * _TERA, bytes_per_second=936 * _GIGA,
        source="NVIDIA GA102 white paper (2020)",
    ),
    r"NVIDIA GeForce RTX 4090": Promise(
        fp32=82.6 * _TERA, tf32=82.6 * _TERA, half=165.2 * _TERA, bytes_per_second=1008 * _GIGA,
        source="NVIDIA Ada architecture white paper (2022)",
    ),
    r"AMD Instinct MI300X.*": Promise(
        fp32=163.4 * _TERA, tf32=653.7 * _TERA, half=1307.4 * _TERA, bytes_per_second=5300 * _GIGA,
        source="AMD Instinct MI300X data sheet (2023)",
    ),
}  # fmt: skip


def promise_for(model: str | None) -> Promise | None:
    """What the vendor of this model promises; None where it is not known."""
    return next((promise for name, promise in PROMISES.items() if re.fullmatch(name, model or "")), None)
