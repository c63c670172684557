"""A finding's commit by git bisect and the real paired gate, in a repository made for it: takes minutes.

    python docs/experiments/history_bisect.py [GATE OPTION ...]

Eight commits of a net: the third cannot be imported, from the sixth on it is 1.5 times as deep.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from reports.history import bisect
from reports.history.findings import Finding, State

NETS = """
from torch import nn

def net():
    return nn.Sequential(nn.Flatten(), *[nn.Linear(1024, 1024) for _ in range({layers})])
# {number}
"""
SUITE = """
[[sweep]]
architecture = "shop.nets:net"
mode = "inference"
threads = 1

[architectures."shop.nets:net"]
input_shape = [1, 32, 32]
"""
DEPTHS = (10, 10, None, 10, 10, 15, 15, 15)


def git(folder: Path, *arguments: str) -> str:
    """What it prints."""
    command = ["git", "-C", str(folder), "-c", "user.name=A", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def repository(folder: Path) -> list[str]:
    """Its commits."""
    git(folder, "init", "-qb", "main")
    (folder / "shop").mkdir()
    (folder / "shop" / "__init__.py").touch()
    (folder / "nightly.toml").write_text(SUITE)
    (folder / ".gitignore").write_text("*.jsonl\n")
    found = []
    for number, layers in enumerate(DEPTHS):
        text = NETS.format(layers=layers, number=number) if layers else "import nowhere\n"
        (folder / "shop" / "nets.py").write_text(text)
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", f"commit {number}")
        found.append(git(folder, "rev-parse", "HEAD"))
    return found


def main() -> None:
    """What was found, and whether it is right."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        commits = repository(folder)
        facts = {"good": commits[0], "bad": commits[-1], "worse": True, "options": ["--suite", "nightly.toml"]}
        finding = Finding(
            1, "box", None, "seconds", "net", "main", 1.5, 1.4, 1.6, 0.0, "code", facts, State.OPEN, "", 0.0, (1, 2, 2)
        )
        said = bisect.bisect(finding, sys.argv[1:], folder, bisect.gate_command())
        clean = git(folder, "status", "--porcelain")
    print(f"{said}\nright: {said.startswith(commits[5])}; working copy as it was: {not clean}")
    print(f"{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
