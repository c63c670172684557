"""The wheel holds what it should, and works from an empty folder."""

import base64
import gzip
import json
import os
import re
import subprocess
import sys
import zipfile

import pytest

from tests.support.runner import MINI, ROOT
from tests.support.samples import measured, write

WORKERS_FILE = """
from bench.controller.process import Worker
from bench.controller.launcher import Launcher
with Worker() as worker:
    print(Launcher(worker).describe()["worker"])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("dlhw-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The environment of a process that finds the wheel's packages, and not this checkout's."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return {**os.environ, "PYTHONPATH": str(folder)}


@pytest.fixture
def folder(tmp_path):
    """Empty, but for a package of the user's that happens to have our name."""
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "__init__.py").write_text("raise ImportError('not this one')")
    return tmp_path


def python(code, *arguments, folder, environment):
    command = [sys.executable, "-P", "-c", code, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, text=True, capture_output=True, timeout=300, check=False
    )


def dlhw(*arguments, **where):
    return python("from reports.cli import main; main()", *arguments, **where)


def test_the_wheel_holds_the_three_packages_and_all_suites(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {"bench", "suites", "reports", "dlhw.py", "dlhw"}
    assert {name.split("/")[0].partition("-")[0] for name in names} == tops
    packed = {name for name in names if name.endswith((".py", ".toml", ".ini"))}
    assert packed == {"dlhw.py"} | {
        str(path.relative_to(ROOT))
        for package in ("bench", "suites", "reports")
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".py", ".toml", ".ini"}
    }


def test_packages_of_the_same_names_on_the_pythonpath_are_not_ours(installed, tmp_path):
    for name in ("bench", "suites", "reports"):
        (tmp_path / "theirs" / name).mkdir(parents=True)
        (tmp_path / "theirs" / name / "__init__.py").write_text("raise ImportError('not this one')")
    path = os.pathsep.join((str(tmp_path / "theirs"), installed["PYTHONPATH"]))
    (tmp_path / "mini.toml").write_text(MINI)
    run = ["run", "--suite", "mini.toml", "--axis", "batch_size=1", "-k", "inference and fp32"]
    output = python(
        "from dlhw import main; main()", *run, folder=tmp_path, environment=installed | {"PYTHONPATH": path}
    )
    assert output.returncode == 0, output.stdout + output.stderr
    assert "1 passed" in output.stdout


def test_it_measures_from_an_empty_folder(installed, folder):
    (folder / "mini.toml").write_text(MINI)
    run = ["run", "--suite", "mini.toml", "--axis", "batch_size=1", "--benchmark-json=r.json"]
    output = dlhw(*run, folder=folder, environment=installed)
    assert output.returncode == 0, output.stdout + output.stderr
    assert len(json.loads((folder / "r.json").read_text())["benchmarks"]) == 2
    table = dlhw("table", "r.json", folder=folder, environment=installed)
    assert "img/s" in table.stdout


def test_the_measuring_process_runs_the_wheels_code(installed, folder):
    output = python(WORKERS_FILE, folder=folder, environment=installed)
    assert output.stdout.startswith(installed["PYTHONPATH"]), output.stderr


def test_run_passes_help_on_and_knows_our_options(installed, folder):
    output = dlhw("run", "--help", folder=folder, environment=installed)
    assert output.returncode == 0
    assert "--suite" in output.stdout
    assert "--benchmark-json" in output.stdout


def test_the_page_is_made_by_the_wheel_alone(installed, folder):
    write(folder / "r.json", measured())
    made = dlhw("report", "r.json", "-o", "page.html", folder=folder, environment=installed)
    assert made.returncode == 0, made.stderr
    packed = re.search(r'id="plotly">(.*?)</script>', (folder / "page.html").read_text())[1]
    assert b"plotly.js (cartesian - minified)" in gzip.decompress(base64.b64decode(packed))[:500]
