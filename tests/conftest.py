"""What all tests share: warnings are errors, a cache of their own, one small sweep for many to read."""

import signal

import pytest

from tests.support.runner import Runner


def pytest_configure(config):
    config.addinivalue_line("filterwarnings", "error")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell leaves it for what runs in its background
        signal.signal(signal.SIGINT, signal.default_int_handler)


LONGEST_FIRST = (
    "test_gate_live", "test_fleet", "test_own_nets", "test_process", "test_gate", "test_energy", "test_hardware",
    "test_any_shell", "test_two_devices", "test_sweep", "test_rates", "test_nets", "test_micro", "test_commands",
    "test_selftest", "test_faults", "test_several",
    "test_plugin", "test_interleave", "test_options", "test_layers", "test_examine", "test_judge", "test_page",
    "test_flow", "test_device", "test_hardware_run", "test_packaging", "test_processes", "test_house",
)  # fmt: skip
"""Files that take more than a few seconds: where two run side by side, the short ones are to come last."""


def pytest_collection_modifyitems(items):
    rank = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """No test leaves anything in the user's cache, or finds anything there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTEST_XDIST_WORKER", raising=False)  # what a test starts is a run of its own
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def runner(tmp_path):
    return Runner(tmp_path)


@pytest.fixture(scope="session")
def mini(tmp_path_factory):
    """One small sweep, run once: its runner, its output, and `results.json` in its folder."""
    runner = Runner(tmp_path_factory.mktemp("mini"))
    runner.output = runner.run("--benchmark-json=results.json")
    assert runner.output.returncode == 0, runner.output.stdout
    return runner
