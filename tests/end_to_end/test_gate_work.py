"""A head that does more, on a machine too loud for clocks: real repository, processes, and neighbours."""

import json
import subprocess
import sys

import pytest

from bench.machine import host
from tests.support.repository import commit, git
from tests.support.runner import Runner

NETS = """
from torch import nn

def small():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
"""
ONE_MORE = NETS.replace("nn.ReLU(), nn.Flatten()", "nn.ReLU(), nn.Conv2d(4, 4, 1), nn.Flatten()")
SUITE = """
[measure]
warmup_seconds = 0.05

[[sweep]]
architecture = "shop.nets:small"
mode = "inference"
threads = 1

[architectures."shop.nets:small"]
input_shape = [1, 8, 8]
"""
BUSY = "print(end='', flush=True)\nwhile True: pass"


class Gate(Runner):
    """Runs `dlhw gate` in a folder."""

    def command(self, *arguments, suite=None):
        main = "from reports.cli import main; main()"
        return [sys.executable, "-P", "-c", main, "gate", "--suite", "gate.toml", *map(str, arguments)]


@pytest.fixture
def neighbours():
    """A busy process for each core."""
    found = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in host.CORES]
    yield
    for process in found:
        process.kill()
        process.wait()


def test_one_more_convolution_is_found_where_times_are_invalid(tmp_path, neighbours):
    top = tmp_path / "shop"
    (top / "shop").mkdir(parents=True)
    git(top, "init", "-qb", "main")
    (top / "gate.toml").write_text(SUITE)
    (top / "shop" / "__init__.py").write_text("")
    (top / "shop" / "nets.py").write_text(NETS)
    commit(top, "nets")
    (top / "shop" / "nets.py").write_text(ONE_MORE)
    gate = Gate(tmp_path)
    gate.folder = top
    done = gate.run("--base", "HEAD", "--journal", tmp_path / "j", "--json", tmp_path / "gate.json", "--work", "fail")
    found = json.loads((tmp_path / "gate.json").read_text())
    rows = {row["measure"]: row for row in found["rows"]}
    assert (done.returncode, found["verdict"], rows["work"]["verdict"]) == (1, "MORE_WORK", "MORE_WORK"), done.stderr
    assert rows["time"]["verdict"] in {"INVALID", "INCONCLUSIVE"}
    assert rows["work"]["work"]["change"].startswith("+1 aten::convolution, +33 % FLOPs")  # 2 x 4 x 4 x 36 of 3,456
    assert rows["memory"]["bytes"]["launches"] == [3, 3], "memory has its three pairs, though the run has ended"
    assert max(entry["number"] for entry in found["entries"]) == 3
    assert "after 2 pairs: " in done.stderr
    assert "--go-on measures all the same" in done.stderr
