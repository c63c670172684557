"""Quantities as a person writes them on a command line, in SI units."""

import re
from collections.abc import Mapping

from suites.errors import DlhwError

_SECONDS = {"h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}
_BYTES = {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def seconds(text: str, option: str) -> float:
    """`20ms`, `10m` in seconds.

    Raises:
        DlhwError: it is no time.
    """
    return _with_unit(text, option, _SECONDS, "20ms, 0.5s, 10m")


def octets(text: str, option: str) -> float:
    """`8GB` in bytes.

    Raises:
        DlhwError: it is no amount of memory.
    """
    return _with_unit(text, option, _BYTES, "8GB, 512MiB")


def share(text: str, option: str) -> float:
    """`3%` or `0.03`, from 0 to less than 1.

    Raises:
        DlhwError: it is no share.
    """
    try:
        found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError as error:
        raise DlhwError(f"{option} {text}: a share is wanted, as in 3% or 0.03") from error
    if not 0 <= found < 1:
        raise DlhwError(f"{option} {text}: a share from 0 to less than 1 is wanted, as in 3% or 0.03")
    return found


def _with_unit(text: str, option: str, known: Mapping[str, float], example: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d*)?(?:e-?\d+)?)\s*([A-Za-z]+)", text)
    if found is None or found[2] not in known:
        raise DlhwError(f"{option} {text}: a number and a unit are wanted, as in {example}")
    return float(found[1]) * known[found[2]]
