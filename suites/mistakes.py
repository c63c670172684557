"""The mistakes of a suite file in words: each with its file and line, or its option."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suites.axes import SELECTING
from suites.case import Budget
from suites.errors import did_you_mean
from suites.inputs import Input, OwnNet
from suites.schema import Gate, MicroSweep, SuiteFile, Sweep

if TYPE_CHECKING:
    from pydantic import BaseModel

_UNION_MEMBERS = (
    "constrained-int",
    "literal['all']",
    "literal['own']",
    "literal['all','powers']",
    "literal['default']",
)  # pydantic's names, not the file's keys


def explain(
    mistakes: Iterable[Any], path: Path, text: str, axes: Iterable[str], left_out: frozenset[tuple[Any, ...]]
) -> str:
    """Each mistake in one line, in the file's order: where, which key, what is wrong, what is allowed."""
    redefined = set(axes) - set(SELECTING)
    messages: dict[tuple[int, str], list[str]] = {}
    for item in mistakes:
        place = [part for part in item["loc"] if part not in _UNION_MEMBERS]
        axis = next((part for part in place if part in redefined and tuple(place[:2]) not in left_out), None)
        line = 0 if axis else _line(text, place)
        where = f"--axis {axis}" if axis else f"{path}:{line}: {'.'.join(map(str, place)) or 'suite'}"
        found = messages.setdefault((line, where), [])
        found += [message for message in [_message(item, place)] if message not in found]
    return "\n".join(f"{where}: {' or '.join(found)}" for (_, where), found in sorted(messages.items()))


def _message(item: Any, place: Sequence[Any]) -> str:
    if item["type"] == "value_error":
        return str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "missing":
        return "is missing"
    if item["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        allowed = _allowed_keys(place)
        return f"unknown key{did_you_mean(str(place[-1]), allowed)}; allowed: {', '.join(allowed)}"
    expected = re.findall(r"'([^']+)'", str(item.get("ctx", {}).get("expected", "")))
    hint = did_you_mean(str(item["input"]), expected)
    return f"{str(item['msg']).replace('Input should', 'should')}, not {item['input']!r}{hint}"


def _allowed_keys(place: Sequence[Any]) -> tuple[str, ...]:
    parent = [part for part in place[:-1] if isinstance(part, str)]
    if parent[-1:] == ["measure"]:
        return tuple(Budget.model_fields)
    if parent == ["gate"]:
        return tuple(Gate.model_fields)
    if "inputs" in parent:
        return tuple(field.name for field in fields(Input))
    tables: dict[str, type[BaseModel]] = {"": SuiteFile, "sweep": Sweep, "micro": MicroSweep}
    return tuple(tables.get("".join(parent), OwnNet).model_fields)


def _line(text: str, place: Sequence[Any]) -> int:
    """The line of a key: tomllib does not tell, so the key is looked for below its table's header."""
    lines = text.splitlines()
    start, end = _table(lines, place)
    for key in reversed([part for part in place if isinstance(part, str)]):
        for number in range(start, end):
            if re.match(rf'\s*"?{re.escape(key)}"?\s*=', lines[number]):
                return number + 1
    return start + 1


def _table(lines: Sequence[str], place: Sequence[Any]) -> tuple[int, int]:
    """Where the table that holds `place` begins, and where the search for its keys ends."""
    if len(place) > 1 and place[0] in {"sweep", "micro"} and isinstance(place[1], int):
        header = re.compile(rf"\s*\[\[\s*{place[0]}\s*\]\]")
        headers = [number for number, line in enumerate(lines) if header.match(line)]
        ends = [number for number, line in enumerate(lines) if line.lstrip().startswith("[[")]
        bounds = [(begin, min((end for end in ends if end > begin), default=len(lines))) for begin in headers]
        return bounds[place[1]] if place[1] < len(bounds) else (0, len(lines))
    names = [str(part) for part in place[: 2 if place and place[0] == "architectures" else 1]]
    found = (number for number, line in enumerate(lines)
             if names and line.strip().startswith("[") and all(name in line for name in names))  # fmt: skip
    return next(found, 0), len(lines)
