"""Running the suite for real, in a process of its own."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MARK = "DLHW_TEST_MARK"
BRIEF = """
[measure]
precision = 0.5
min_samples = 3
min_seconds = 0.01
max_seconds = 0.05
warmup_seconds = 0.05
time_limit_seconds = 100
"""
MINI = f"""{BRIEF}
[[sweep]]
architecture = "lenet"
batch_size = [1, 2]
precision = ["fp32", "tf32"]
"""


class Runner:
    """Runs `pytest bench/` in `folder`, and tells which of the processes it began are still there."""

    def __init__(self, folder):
        self.folder = folder
        self.mark = uuid.uuid4().hex
        self.suite = folder / "mini.toml"
        self.suite.write_text(MINI)

    def command(self, *arguments, suite=None):
        chosen = [] if suite == "" else ["--suite", str(suite or self.suite)]
        return [
            sys.executable,
            "-P",
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:hypothesispytest",  # of these tests' environment, not dlhw's: half a second to import
            str(ROOT / "bench"),
            *chosen,
            *map(str, arguments),
        ]

    @property
    def environment(self):
        return {**os.environ, "PYTHONPATH": str(ROOT), MARK: self.mark, "COLUMNS": "200"}

    def run(self, *arguments, suite=None):
        return subprocess.run(
            self.command(*arguments, suite=suite), cwd=self.folder, env=self.environment, text=True,
            capture_output=True, timeout=600, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip

    def start(self, *arguments):
        return subprocess.Popen(
            self.command(*arguments), cwd=self.folder, env=self.environment, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def processes(self):
        """Process id -> command line of everything alive that this runner began, however indirectly."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                marked = f"{MARK}={self.mark}".encode() in (path / "environ").read_bytes()
                command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if marked and command:
                found[int(path.name)] = command
        return found
