"""Either type of case, and the ways to tell from data which one it is."""

from collections.abc import Mapping
from typing import Any

from suites.case import Case
from suites.errors import DlhwError
from suites.micro import OPERATIONS, Micro

AnyCase = Case | Micro


def parse(text: str) -> AnyCase:
    """The case whose id is `text`.

    Raises:
        DlhwError: `text` is no id.
    """
    operation = text.partition("-")[0]
    if operation in OPERATIONS:
        return Micro.parse(text)
    try:
        return Case.parse(text)
    except DlhwError as error:
        raise DlhwError(f"{error}, or copy-65536-fp32-cpu-t2") from error


def from_json(data: Mapping[str, Any]) -> AnyCase:
    """The case that `to_json` made `data` of, or a record's `case`, which holds more."""
    return Micro.from_json(data) if data.get("kind") == "micro" else Case.from_json(data)
