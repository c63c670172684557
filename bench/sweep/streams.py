"""What can be written to where: characters that a stream cannot encode, lines that a terminal cannot rewrite."""

import codecs
import io
import os
import sys

READABLE = {
    "\N{PLUS-MINUS SIGN}": "+-", "\N{MULTIPLICATION SIGN}": "x", "\N{MIDDLE DOT}": "*", "\N{MICRO SIGN}": "u",
    "\N{GREEK SMALL LETTER MU}": "u", "\N{SUPERSCRIPT TWO}": "^2", "\N{DEGREE SIGN}": " deg", "\N{EN DASH}": "-",
    "\N{EM DASH}": "-", "\N{MINUS SIGN}": "-", "\N{HORIZONTAL ELLIPSIS}": "...", "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'", "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"', "\N{LESS-THAN OR EQUAL TO}": "<=", "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{ALMOST EQUAL TO}": "~", "\N{RIGHTWARDS ARROW}": "->", "\N{BULLET}": "*", "\N{NO-BREAK SPACE}": " ",
    "\N{BOX DRAWINGS LIGHT HORIZONTAL}": "-", "\N{BOX DRAWINGS LIGHT VERTICAL}": "|",
}  # fmt: skip
"""What is written for it where it cannot be encoded; `?` for everything else."""


def make_writable() -> None:
    """Let standard output and error replace what they cannot encode: a locale of ASCII is no reason to fail."""
    codecs.register_error("dlhw.readable", _readable)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in {"strict", "surrogateescape"}:
            stream.reconfigure(errors="dlhw.readable")


def can_rewrite() -> bool:
    """Whether a line on this terminal can be written over."""
    return os.environ.get("TERM") not in {"dumb", "unknown"}


def _readable(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace one character; a byte of a file's name that was no text goes out as it came in (PEP 383)."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if 0xDC80 <= ord(character) <= 0xDCFF:
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return READABLE.get(character, "?"), error.start + 1
