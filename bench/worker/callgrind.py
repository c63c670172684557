"""Instructions of one step by valgrind's callgrind, which simulates a processor, where the real one cannot be asked.

It needs about a minute a case, and is used only where it was asked for. `of_step` starts valgrind over
`python -m bench.worker.callgrind`, which builds the case, steps twice, and has nothing counted and then one more step:
switching the count on and off has instructions of its own, which are taken off.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LIMIT_SECONDS = 170.0
WARM_UP = 2
TOTALS = re.compile(r"^totals: (\d+)$", re.MULTILINE)


def of_step(case: Mapping[str, Any], reference: Mapping[str, Any]) -> tuple[int | None, str]:
    """Instructions of a step of `case`, outside the kernel, all threads together; or None and why."""
    if case["device"] != "cpu" or case["compile_mode"] != "eager":
        return None, "not counted: callgrind is for eager cases of the CPU"
    valgrind = shutil.which("valgrind")
    if valgrind is None or shutil.which("callgrind_control") is None:
        return None, "not counted: valgrind is not installed"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = [
            valgrind, "--quiet", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}",
            sys.executable, "-P", "-m", "bench.worker.callgrind", json.dumps({"case": case, "reference": reference}),
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_SECONDS, check=False,
                env={**os.environ, "PYTHONHASHSEED": "0"},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return None, f"not counted: callgrind took longer than {LIMIT_SECONDS:g} s"
        nothing, step = (_total(Path(f"{out}.{number}")) for number in (1, 2))
    if done.returncode or nothing is None or step is None or step <= nothing:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["it printed nothing"]
        return None, f"not counted: callgrind ended with code {done.returncode}: {last[0]}"
    return step - nothing, ""


def _total(path: Path) -> int | None:
    """Of a dump; None where there is none."""
    found = TOTALS.search(path.read_text()) if path.exists() else None
    return int(found[1]) if found else None


def main() -> None:
    """Build what the command line says, and have one step counted."""
    import torch

    from bench.worker.nets import correctness, workload
    from bench.worker.nets.reference import Reference
    from suites.case import Case

    told = json.loads(sys.argv[1])
    case, reference = Case.from_json(told["case"]), Reference(**told["reference"])
    torch.set_num_threads(case.threads)
    workload.set_precision(case.precision)
    work = workload.workload(case, correctness.load(reference.path))
    with work.context():
        for _ in range(WARM_UP):
            _refreshed(work)
            work.step()
        _refreshed(work)
        for counted in (lambda: None, work.step):
            _control("-i", "on")
            counted()
            _control("-i", "off")
            _control("-d")


def _refreshed(work: Any) -> None:
    if work.refresh:
        work.refresh()


def _control(*told: str) -> None:
    command = ["callgrind_control", *told, str(os.getpid())]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=LIMIT_SECONDS)


if __name__ == "__main__":
    main()
