"""Others' files as text and JSON, in whatever encoding; names that are safe to print."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from suites.errors import DlhwError

_NAMES = {"utf-8-sig": "UTF-8 with a byte-order mark"}
_DECODER = json.JSONDecoder()
_SOLID = re.compile(r"\S")


def shown(value: object, limit: int = 200) -> str:
    """`value` on one line, whatever is in it: what cannot be printed is escaped, what is long is cut."""
    text = str(value)
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def name_of(value: object) -> str | None:
    """A name in a file, fit for any encoding; None where it is none."""
    text = value.strip() if isinstance(value, str) else ""
    return text.encode("utf-8", "replace").decode("utf-8") or None


def read(path: Path) -> tuple[str, tuple[str, ...]]:
    """The text of a file, and a note where its encoding is not plain UTF-8.

    The encoding is told from the byte-order mark, or from where the zero bytes are: RFC 4627, section 3.

    Raises:
        DlhwError: it cannot be read, or is no text.
    """
    try:
        raw = path.read_bytes()
        encoding = json.detect_encoding(raw)
        text = raw.decode(encoding)
    except OSError as error:
        raise DlhwError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        name = _NAMES.get(error.encoding, error.encoding.upper())
        raise DlhwError(f"{path}: no text in {name} (byte {error.start}: {error.reason}); save it as UTF-8") from error
    notes = () if encoding == "utf-8" else (f"read as {_NAMES.get(encoding, encoding.upper())}",)
    return text, notes


def documents(path: Path) -> tuple[list[Any], tuple[str, ...]]:
    """The JSON documents of a file, mostly one: files that were put together hold several, in a row or in a list.

    Raises:
        DlhwError: it cannot be read, or holds no JSON.
    """
    text, notes = read(path)
    found: list[Any] = []
    try:
        for document in _parse(text):
            found += document if isinstance(document, list) else [document]
    except json.JSONDecodeError as error:
        problem = f"not valid JSON from line {error.lineno} on, cut short perhaps ({error.msg})"
        if not found:
            raise DlhwError(f"{path}: {problem}") from error
        notes = (*notes, f"{problem}; what is before it is taken")
    except RecursionError as error:
        raise DlhwError(f"{path}: nested too deeply for a results file") from error
    except ValueError as error:  # a number of more digits than Python reads
        raise DlhwError(f"{path}: not valid JSON ({shown(error)})") from error
    return found, notes


def _parse(text: str) -> Iterator[Any]:
    position = _after_space(text, 0)
    while True:
        document, position = _DECODER.raw_decode(text, position)
        yield document
        position = _after_space(text, position)
        if position >= len(text):
            return


def _after_space(text: str, position: int) -> int:
    return len(text) if (found := _SOLID.search(text, position)) is None else found.start()
