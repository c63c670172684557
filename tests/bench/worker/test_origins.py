"""Where a person's names lead; what modules do to a whole run is in tests/end_to_end/test_any_shell.py."""

import sys

import pytest

from bench.worker import origins


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Makes a module of this content, and asks where names of it lead."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def module(content, *names):
        (tmp_path / "theirs.py").write_text(content)
        sys.modules.pop("theirs", None)
        return origins.trace([f"theirs:{name}" for name in names or ("net",)])

    yield module
    sys.modules.pop("theirs", None)


def test_a_net_that_is_there_has_no_problem(module):
    assert module("class Nets:\n    small = dict\nnet = list\n", "net", "Nets.small") == {"unknown": {}, "broken": {}}


def test_each_name_of_a_module_is_looked_for(module):
    found = module("net, number = list, 7\n", "net", "number", "nett")
    assert found["broken"] == {}
    assert found["unknown"] == {
        "theirs:number": "architecture 'theirs:number': theirs:number is not callable",
        "theirs:nett": "architecture 'theirs:nett': module 'theirs' has no attribute 'nett'",
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("raise ValueError('a\\nb')", "ValueError: a (theirs.py:1)"),
        ("\n\nassert False", "AssertionError (theirs.py:3)"),
        ("net = (", "SyntaxError: '(' was never closed (theirs.py, line 1)"),
        ("import no.such", "ModuleNotFoundError: No module named 'no' (theirs.py:1)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt (theirs.py:1)"),
        ("def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded (theirs.py:1)"),
        ("import sys; sys.exit(True)", "theirs exits when it is imported; exit code 1"),
        ("quit = exit = None\nraise SystemExit(None)", "theirs exits when it is imported; exit code 0"),
    ],
)  # fmt: skip
def test_a_module_that_cannot_be_imported_breaks_all_of_its_names(module, content, reason):
    assert module(content, "net", "other") == {"unknown": {}, "broken": {"theirs:net": reason, "theirs:other": reason}}
