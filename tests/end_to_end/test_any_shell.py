"""`dlhw run` in projects and shells that it knows nothing of."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bench.doctor import diagnostics
from bench.machine import ceilings, host
from reports.results.frames import records
from tests.support.runner import BRIEF, ROOT

COMMAND = [sys.executable, "-P", "-c", "from reports.cli import main; main()"]
PROJECT = {
    "pyproject.toml": '[tool.pytest.ini_options]\naddopts = "--benchmark-disable -n auto --cov"\n'
    'filterwarnings = ["error"]\ntestpaths = ["tests"]\n',
    "conftest.py": "raise RuntimeError('the conftest of the project')",
    "bench/__init__.py": "raise ImportError('the bench of the project')",
    "bench/conftest.py": "raise RuntimeError('the conftest of the bench of the project')",
    "bench/test_mine.py": "def test_mine(): assert False",
    "shop/__init__.py": "",
    "shop/base.py": "from torch import nn\nnet = lambda: nn.Sequential(nn.Flatten(), nn.Linear(4, 2))\n",
    "shop/argues.py": "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--lr')\n"
    "parser.parse_args()\nfrom shop.base import net\n",
    "shop/demands.py": "import argparse\nparser = argparse.ArgumentParser()\n"
    "parser.add_argument('--lr', required=True)\nparser.parse_args()\n",
    "shop/leaves.py": "raise SystemExit\n",
    "shop/quits.py": "import os\nos._exit(3)\n",
    "shop/speaks.py": "import sys\nsys.exit('no GPU, no net')\n",
    "shop/dies.py": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
    "shop/raises.py": "\nraise ValueError('no such thing')\n",
    "shop/needs.py": "import a_package_that_nobody_has\n",
    "shop/prints.py": "print('\\u00b1', '{\"event\": \"result\"}', flush=True)\nfrom shop.base import net\n",
    "shop/threads.py": "import threading, time\nthreading.Thread(target=time.sleep, args=(9999,)).start()\n"
    "from shop.base import net\n",
    "shop/looks.py": "import os, torch\nfrom torch import nn\n"
    "class Net(nn.Module):\n"
    "    def __init__(self):\n        super().__init__()\n        self.linear = nn.Linear(4, 2)\n"
    "    def forward(self, x):\n"
    "        if torch.is_inference_mode_enabled():\n"
    "            torch.ones(4_000_000).mul(2.0)\n"
    "            cores = [sorted(os.sched_getaffinity(int(task))) for task in os.listdir('/proc/self/task')]\n"
    "            open('cores.txt', 'w').write(repr((torch.get_num_threads(), cores)))\n"
    "        return self.linear(x.flatten(1))\n"
    "net = Net\n",
}  # fmt: skip
MEASURED = ("argues", "prints", "threads", "looks")
FAILED = {
    "demands": "shop.demands exits when it is imported; exit code 2",
    "leaves": "shop.leaves exits when it is imported; exit code 0",
    "quits": "shop.quits exits when it is imported; exit code 3",
    "speaks": "shop.speaks exits when it is imported; exit code 1: no GPU, no net",
    "dies": "shop.dies ends its process when it is imported: killed by SIGSEGV",
    "raises": "ValueError: no such thing (raises.py:2)",
    "needs": "ModuleNotFoundError: No module named 'a_package_that_nobody_has' (needs.py:1)",
}
SHELL = {
    "PYTEST_ADDOPTS": "--benchmark-disable", "PYTEST_PLUGINS": "nobody_has_this", "TORCH_LOGS": "+dynamo",
    "COV_CORE_SOURCE": ".", "PYTHONWARNINGS": "error", "OMP_DYNAMIC": "true", "CUDA_LAUNCH_BLOCKING": "1",
    "COVERAGE_PROCESS_START": "",
}  # fmt: skip
ADVISED = dict(re.findall(r"(OMP_\w+)=(\w+)", diagnostics.thread_settings({}).advice))


def suite(nets):
    own = [f'"{name}:net"' for name in nets]
    shapes = "\n".join(f"[architectures.{net}]\ninput_shape = [1, 2, 2]" for net in own)
    return f'{BRIEF}\n[[sweep]]\narchitecture = [{", ".join(own)}]\nmode = "inference"\nbatch_size = [1]\n{shapes}\n'


def dlhw(folder, *arguments, before=(), environment=None):
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"} if environment is None else environment
    return subprocess.run(
        [*before, *COMMAND, *map(str, arguments)], cwd=folder, env=variables, capture_output=True, timeout=600,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A run in a project with a configuration, a `bench` and all kinds of modules of its own: (folder, output)."""
    folder = tmp_path_factory.mktemp("project")
    write(folder, PROJECT | {"own.toml": suite([f"shop.{name}" for name in (*MEASURED, *FAILED)])})
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **SHELL, **ADVISED}
    output = dlhw(folder, "run", "--suite", "own.toml", "--benchmark-json=r.json", environment=variables)
    return folder, output.returncode, output.stdout.decode(), output.stderr.decode()


def test_a_project_that_it_does_not_belong_to_does_not_govern_the_run(project):
    folder, code, stdout, stderr = project
    assert code == 1, stdout + stderr  # some nets failed, and nothing else did
    assert stderr.splitlines()[0] == (
        "dlhw: set aside for this run: COV_CORE_SOURCE, OMP_DYNAMIC, PYTEST_ADDOPTS, PYTEST_PLUGINS, PYTHONWARNINGS, "
        "TORCH_LOGS"
    )
    assert "dlhw: kept, though it changes times: CUDA_LAUNCH_BLOCKING=1" in stdout
    assert "of the project" not in stdout + stderr
    assert "configfile: bench/sweep/run.ini" in stdout
    assert json.loads((folder / "r.json").read_text())["dlhw"]["arguments"][0] == "--suite"


def test_a_module_that_fails_when_it_is_imported_hurts_its_own_cases_only(project):
    folder, _, stdout, _ = project
    results = json.loads((folder / "r.json").read_text())
    reasons = {outcome["id"].split("-")[0].removeprefix("shop."): outcome["reason"] for outcome in results["outcomes"]}
    assert {key.split(":")[0]: reason for key, reason in reasons.items()} == FAILED
    assert {outcome["status"] for outcome in results["outcomes"]} == {"failed"}
    assert len(results["benchmarks"]) == len(MEASURED)
    assert "raise ValueError('no such thing')" in stdout  # where it came from, for its author


@pytest.mark.skipif(len(host.CORES) < 2, reason="needs two cores")
def test_what_doctor_advises_binds_threads_and_takes_no_core_away(project):
    folder, *_ = project
    assert ADVISED == {"OMP_PROC_BIND": "close", "OMP_PLACES": "cores"}
    results = json.loads((folder / "r.json").read_text())
    assert results["machine_info"]["host"]["cores"] == len(host.CORES)
    threads, cores = eval((folder / "cores.txt").read_text())
    assert threads == len(host.CORES)
    assert {core for bound in cores for core in bound} == host.CORES


def test_advice_changes_no_fingerprint(project, mini):
    folder, *_ = project
    here, elsewhere = (json.loads(path.read_text()) for path in (folder / "r.json", mini.folder / "results.json"))
    assert here["dlhw"]["fingerprint"] == elsewhere["dlhw"]["fingerprint"]


NOWHERE = {
    "suites.mine": "suites is a package of dlhw's own, which has no such module: give yours another name",
    "bench.mine": "bench is a package of dlhw's own, which has no such module: give yours another name",
    "shop.bases": "No module named 'shop.bases'",
    "shop.base.no": "No module named 'shop.base.no'; 'shop.base' is not a package",
    "shop": "module 'shop' has no attribute 'net'",
}


def test_names_that_lead_nowhere_end_the_run_before_it_begins(tmp_path):
    write(tmp_path, {key: text for key, text in PROJECT.items() if key.startswith("shop/")})
    write(tmp_path, {"suites/__init__.py": "", "src/suites/mine.py": PROJECT["shop/base.py"]})
    (tmp_path / "own.toml").write_text(suite([*NOWHERE, "shop.raises"]))
    output = dlhw(tmp_path, "run", "--suite", "own.toml")
    assert output.returncode == 4
    assert b"Traceback" not in output.stdout + output.stderr
    told = [line.removeprefix("ERROR: ") for line in output.stderr.decode().splitlines() if line]
    assert told == [f"own.toml: architecture '{name}:net': {reason}" for name, reason in NOWHERE.items()]


@pytest.fixture(scope="module")
def nobody():
    """What stands before a command to run it as a user without a name, and a folder of theirs."""
    before = ["unshare", "--user", "--map-user=12345", "--map-group=12345"]
    if not shutil.which("unshare") or subprocess.run([*before, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody make a user namespace")
    with tempfile.TemporaryDirectory(prefix="dlhw-nobody-") as folder:
        yield before, Path(folder)


def bare(folder, **variables):
    """An environment with next to nothing in it."""
    (folder / "temporary").mkdir(exist_ok=True)
    return {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "temporary"), **variables,
    }  # fmt: skip


C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TERM": "dumb", "NO_COLOR": "1"}
COMPILED = BRIEF.replace("= 100", "= 300") + (
    '[[sweep]]\narchitecture = "lenet"\nmode = "inference"\nbatch_size = [1]\ncompile_mode = ["eager", "default"]\n'
)


def test_a_user_without_name_and_home_in_a_locale_of_ascii(nobody):
    before, folder = nobody
    (folder / "mini.toml").write_text(COMPILED)
    variables = bare(folder, **C_LOCALE)
    run = dlhw(folder, "run", "--suite", "mini.toml", "--benchmark-json=r.json", before=before, environment=variables)
    assert run.returncode == 0, run.stdout + run.stderr
    results = json.loads((folder / "r.json").read_text())
    possible = len(results["benchmarks"]) + sum("needs a C++" in outcome["reason"] for outcome in results["outcomes"])
    assert possible == 2
    assert b"+-" in run.stdout  # or the interval of a median is none
    assert b"\\x" not in run.stdout
    assert b"\x1b" not in run.stdout
    ascii_only = bare(folder, PYTHONIOENCODING="ascii", HOME="/root")
    for environment in (variables, ascii_only):
        table = dlhw(folder, "table", "r.json", before=before, environment=environment)
        assert (table.returncode, table.stderr) == (0, b"")
        assert b"img/s" in table.stdout
        page = dlhw(folder, "report", "r.json", "-o", "page.html", before=before, environment=environment)
        assert (page.returncode, page.stderr) == (0, b"")
    assert all(path.name.startswith(("dlhw-cache-", "torchinductor_")) for path in (folder / "temporary").iterdir())


def test_a_home_with_spaces_that_cannot_be_written_to(tmp_path):
    (tmp_path / "my home").write_text("a file, and no folder: not even root writes into it")
    dispatch = '[[micro]]\noperation = "dispatch"\nsize = [1]\nthreads = [1]\n'
    (tmp_path / "hw.toml").write_text(BRIEF + dispatch)
    variables = bare(tmp_path, HOME=str(tmp_path / "my home"), LANG="de_DE.ISO-8859-1")
    run = dlhw(tmp_path, "run", "--suite", "hw.toml", "-o", "r.json", environment=variables)
    assert run.returncode == 0, run.stdout + run.stderr
    found = ceilings.measured(records(json.loads((tmp_path / "r.json").read_text())))
    told = [line for line in run.stdout.decode().splitlines() if "the ceilings were not kept" in line]
    assert told == [line for line in told if line.endswith("Not a directory")]
    assert len(told) == found.known  # what others on this machine have disturbed is nobody's best


def test_no_place_for_temporary_files_is_one_line(tmp_path):
    hidden = "import tempfile; tempfile._candidate_tempdir_list = lambda: []; from reports.cli import main; main()"
    output = subprocess.run(
        [sys.executable, "-P", "-c", hidden, "run"], env=bare(tmp_path), capture_output=True, text=True, check=False
    )
    assert output.returncode == 2
    assert output.stderr == "dlhw: no folder for temporary files can be written to: name one in TMPDIR\n"
