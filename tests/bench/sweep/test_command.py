"""How `dlhw run` calls pytest, and what a person sees of it."""

from pathlib import Path

import pytest

from bench.sweep import command

ARGUMENTS = ["--suite", "smoke", "-k", "b1"]


@pytest.mark.parametrize(
    ("called", "typed"),
    [
        ([*command.options(Path("/a b")), *ARGUMENTS], ("dlhw run", ARGUMENTS)),
        ([Path("bench"), *ARGUMENTS], ("pytest", ["bench", *ARGUMENTS])),
        (command.options(Path("/b")), ("pytest", command.options(Path("/b")))),
        (command.options(Path("/a b")), ("dlhw run", [])),
    ],
)  # fmt: skip
def test_what_was_typed_is_what_was_not_ours(called, typed):
    assert command.typed(called, Path("/a b")) == typed


@pytest.mark.parametrize(
    ("words", "passed"),
    [
        (["--suite", "smoke", "-o", "r.json"], ["--suite", "smoke", "--benchmark-json", "r.json"]),
        (["-o", "addopts=-x", "-k", "b1"], ["-o", "addopts=-x", "-k", "b1"]),
        (["-o"], ["-o"]),
        (["-o", "-x"], ["-o", "-x"]),
    ],
)
def test_results_are_written_by_the_option_that_all_commands_have(words, passed):
    assert command.for_pytest(words) == passed


def test_pytests_variables_are_set_aside_but_those_of_xdist():
    shell = {
        "PYTEST_ADDOPTS": "-x",
        "PYTEST_PLUGINS": "",
        "PYTEST_XDIST_WORKER": "gw0",
        "TORCH_LOGS": "all",
        "HOME": "/",
    }
    assert command.set_aside(shell) == ["PYTEST_ADDOPTS", "TORCH_LOGS"]


def test_the_configuration_is_there():
    assert command.CONFIGURATION.read_text().count("[pytest]") == 1
