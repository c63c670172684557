"""Callgrind, asked by scripts of its name: what it says of a step, or why not. A real one takes a minute."""

import json

import pytest

from bench.worker import callgrind
from tests.support.samples import LENET

CASE, REFERENCE = LENET.to_json(), {"path": "lenet.pt"}


@pytest.fixture
def valgrind(tmp_path, monkeypatch):
    """Puts a script in valgrind's place; what it was called with is in `arguments`."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def valgrind(*lines):
        for name, body in (("callgrind_control", ""), ("valgrind", "\n".join(lines))):
            (tmp_path / name).write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/arguments\n{body}\n')
            (tmp_path / name).chmod(0o755)
        return tmp_path / "arguments"

    return valgrind


FILE = 'for each; do case "$each" in --callgrind-out-file=*) out="${each#*=}";; esac; done\n'


def dumps(nothing, step):
    """Of a count of nothing, and of a step."""
    return FILE + "\n".join(
        f'echo "events: Ir\ntotals: {total}" > "$out.{n}"' for n, total in ((1, nothing), (2, step))
    )


def test_what_a_step_has_beyond_switching_the_count_on_and_off(valgrind):
    arguments = valgrind(dumps(300_000, 1_800_000))
    assert callgrind.of_step(CASE, REFERENCE) == (1_500_000, "")
    told = arguments.read_text().splitlines()
    assert "--instr-atstart=no" in told
    assert json.loads(told[-1]) == {"case": json.loads(json.dumps(CASE)), "reference": REFERENCE}


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["echo no such thing >&2", "exit 3"], "callgrind ended with code 3: no such thing"),
        ([dumps(5, 5)], "callgrind ended with code 0: it printed nothing"),
        (["true"], "callgrind ended with code 0: it printed nothing"),
    ],
)
def test_what_it_did_not_count_has_a_reason(valgrind, lines, why):
    valgrind(*lines)
    assert callgrind.of_step(CASE, REFERENCE) == (None, f"not counted: {why}")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"device": "cuda:0"}, "callgrind is for eager cases of the CPU"),
        ({"compile_mode": "default"}, "callgrind is for eager cases of the CPU"),
        ({}, "valgrind is not installed"),
    ],
)
def test_where_it_cannot_be_asked(tmp_path, monkeypatch, changes, why):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert callgrind.of_step({**CASE, **changes}, REFERENCE) == (None, f"not counted: {why}")
