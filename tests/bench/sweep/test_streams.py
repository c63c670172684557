"""Streams that cannot encode everything, and terminals that cannot rewrite a line."""

import io
import subprocess
import sys

import pytest

from bench.sweep import streams

TEXT = "3 \N{PLUS-MINUS SIGN} 1 \N{MULTIPLICATION SIGN} 2 \N{EN DASH} \N{GREEK SMALL LETTER MU}s \N{SNOWMAN}"


def written(monkeypatch, text, encoding, errors="strict"):
    raw = io.BytesIO()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(raw, encoding, errors))
    streams.make_writable()
    print(text, end="", flush=True)
    return raw.getvalue()


@pytest.mark.parametrize(
    ("encoding", "errors", "out"),
    [
        ("ascii", "strict", b"3 +- 1 x 2 - us ?"),
        ("ascii", "surrogateescape", b"3 +- 1 x 2 - us ?"),  # the locale C
        ("latin-1", "strict", b"3 \xb1 1 \xd7 2 - us ?"),
        ("cp1252", "strict", b"3 \xb1 1 \xd7 2 \x96 us ?"),
        ("utf-8", "strict", TEXT.encode()),
        ("ascii", "backslashreplace", TEXT.encode("ascii", "backslashreplace")),  # as somebody has asked for
    ],
)
def test_what_cannot_be_encoded_is_written_readably(monkeypatch, encoding, errors, out):
    assert written(monkeypatch, TEXT, encoding, errors) == out


@pytest.mark.parametrize(("text", "out"), [("caf\udce9.json", b"caf\xe9.json"), ("\ud800", b"?")])
def test_a_files_name_that_is_no_text_goes_out_as_it_came_in(monkeypatch, text, out):
    assert written(monkeypatch, text, "utf-8") == out


def test_a_stream_of_another_kind_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", None)  # as under pythonw
    streams.make_writable()
    print(TEXT)
    assert sys.stdout.getvalue() == f"{TEXT}\n"


IN_A_TERMINAL = """
import os, pty, sys
pty.spawn(sys.argv[1:], lambda terminal: os.read(terminal, 4096))
"""


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_a_dumb_terminal_gets_line_after_line(runner, term):
    command = [sys.executable, "-c", IN_A_TERMINAL, *runner.command("-k", "tf32 and b1 and inference")]
    shell = {**runner.environment, "TERM": term, "NO_COLOR": ""}
    shown = subprocess.run(
        command, cwd=runner.folder, env=shell, capture_output=True, stdin=subprocess.DEVNULL, check=False
    ).stdout  # fmt: skip
    assert b"1 skipped" in shown, shown.decode()
    rewritten, escaped = b"\r" in shown.replace(b"\r\n", b""), b"\x1b" in shown
    assert (rewritten, escaped) == ((True, True) if term == "xterm" else (False, False))
