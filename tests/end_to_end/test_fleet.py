"""Fleets for real: on this machine, on a Ray cluster and a Slurm cluster that these tests start, with nodes killed."""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import sqlalchemy as sa

from bench.fleet import ledger
from bench.fleet.ledger import End
from reports.history import schema
from reports.history.store import open_store
from tests.support import slurm
from tests.support.runner import BRIEF, ROOT
from tests.support.waiting import until

SUITE = f"""{BRIEF}
[[sweep]]
architecture = "lenet"
batch_size = [1, 2]
"""
CASES = {f"lenet-{mode}-b{batch}-fp32-contiguous-eager-cpu" for mode in ("inference", "training") for batch in (1, 2)}
HUGE = 10**11
"""A batch of 313 TB: its memory is asked for, and not had."""
CALM = ["--max-load", "99", "--wait", "500", "--no-anchors"]
"""Other tests run beside this one: their load is no reason to refuse here. The cores are waited for."""
CLUSTER = """
import os, sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 80_000_000,
                                                        "include_dashboard": False})
nodes = [cluster.add_node(num_cpus=1, resources={"dlhw_node": 1}, object_store_memory=80_000_000) for _ in range(3)]
print(cluster.address, flush=True)
for line in sys.stdin:  # the id of a node that is to be killed
    (node,) = [node for node in nodes if node.node_id == line.strip()]
    cluster.remove_node(node, allow_graceful=False)
cluster.shutdown()
"""


def fleet(folder, *arguments, environment=None, suite=SUITE):
    (folder / "tiny.toml").write_text(suite)
    return subprocess.Popen(
        [sys.executable, "-P", str(ROOT / "dlhw.py"), "fleet", "run", "-o", "out", "--suite", "tiny.toml", *CALM,
         *arguments],
        cwd=folder, env={**(environment or os.environ), "PYTHONPATH": str(ROOT)}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def ended(process):
    output, _ = process.communicate(timeout=900)
    return process.returncode, output


def ids(folder):
    """Node -> ids of its measured cases, without threads, which are the machine's."""
    found = {}
    for path in sorted((folder / "out").glob("*.json")):
        data = json.loads(path.read_text())
        found[path.stem] = [benchmark["param"].rpartition("-")[0] for benchmark in data["benchmarks"]]
    return found


def attempts(folder):
    with contextlib.suppress(Exception):
        return list(ledger.read(folder / "out").attempts.values())
    return []


def measures(folder, count=1):
    """Whether so many blocks run or have run, besides the plans."""
    return sum(each.block != "plan" for each in attempts(folder)) >= count


def test_a_killed_controller_leaves_nothing_running_and_is_resumed(tmp_path):
    first = fleet(tmp_path, suite=SUITE.replace("[1, 2]", f"[1, 2, {HUGE}]"))
    until(lambda: any(each.block == "lenet-inference" and each.end is End.DONE for each in attempts(tmp_path)), 300)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    until(lambda: not processes_in(tmp_path), 60)
    code, output = ended(fleet(tmp_path, "--resume", suite=SUITE.replace("[1, 2]", f"[1, 2, {HUGE}]")))
    (found,) = ids(tmp_path).values()
    assert sorted(found) == sorted(CASES)
    assert code == 0, output
    (path,) = (tmp_path / "out").glob("*.json")
    exhausted = json.loads(path.read_text())["outcomes"]
    assert [each["status"] for each in exhausted] == ["out_of_memory", "out_of_memory"]
    assert all("can't allocate memory" in each["reason"] for each in exhausted)
    done = [each.block for each in attempts(tmp_path) if each.end is End.DONE and each.block != "plan"]
    assert sorted(done) == ["lenet-inference", "lenet-training"]


def processes_in(folder):
    """Ids of processes whose working folder is `folder`."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (path / "cwd").resolve() == folder.resolve() and int(path.name) != os.getpid():
                found.append(int(path.name))
    return found


def test_without_extras_the_engines_say_what_to_install(tmp_path):
    hidden = tmp_path / "hidden"
    for name in ("ray", "submitit"):
        (hidden / name).mkdir(parents=True)
        (hidden / name / "__init__.py").write_text("raise ImportError(__name__)")
    for engine in ("ray", "slurm"):
        command = [sys.executable, "-P", str(ROOT / "dlhw.py"), "fleet", "run", "--engine", engine, "-o", "out"]
        done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": f"{ROOT}:{hidden}"}, text=True,
                              capture_output=True, check=False)  # fmt: skip
        assert done.returncode == 2
        assert f'pip install "dlhw[{engine}]"' in done.stderr


@pytest.fixture
def short_folder():
    """A socket's path has 107 bytes at most, and Ray's are long."""
    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_a_ray_cluster_of_three_with_another_dlhw_loses_one_in_the_middle(tmp_path, short_folder):
    home = short_folder
    (home / "ray").mkdir()
    variables = {"RAY_TMPDIR": str(home), "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    (home / "bench").mkdir()
    (home / "bench" / "__init__.py").write_text("raise ImportError('the dlhw of the node')")
    environment = {**os.environ, **variables, "PYTHONPATH": str(home)}
    cluster = subprocess.Popen([sys.executable, "-c", CLUSTER], env=environment, text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
    try:
        address = cluster.stdout.readline().strip()
        assert address, "the cluster did not start"
        going = fleet(tmp_path, "--engine", "ray", "--address", address, "--shard", "--ship", environment=environment)
        until(lambda: measures(tmp_path), 300)
        victim = next(each for each in attempts(tmp_path) if each.block != "plan")
        names = subprocess.run([sys.executable, "-c", NODES.format(address=address)], env=environment, text=True,
                               capture_output=True, check=True).stdout.split()  # fmt: skip
        cluster.stdin.write(next(name for name in names if name.startswith(victim.node.rpartition("-")[2])) + "\n")
        cluster.stdin.flush()
        code, output = ended(going)
        assert code == 0, output
        measured = [case for cases in ids(tmp_path).values() for case in cases]
        assert sorted(measured) == sorted(CASES)  # none missing, none doubled
        ends = [each for each in attempts(tmp_path) if each.end is End.LOST]
        assert [each.node for each in ends] == [victim.node], output
    finally:
        cluster.stdin.close()
        cluster.stdout.close()
        cluster.wait(60)
    until(lambda: not ray_processes(home), 60)


NODES = """
import ray
ray.init(address={address!r}, log_to_driver=False, logging_level="ERROR")
print(*[node["NodeID"] for node in ray.nodes()])
"""


def ray_processes(home):
    """Command lines of processes that have the cluster's folder in their environment or arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if str(home) in command and "pytest" not in command:
                found.append(command)
    return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    if missing := slurm.missing():
        pytest.skip(f"no {', '.join(missing)} here")
    if importlib.util.find_spec("submitit") is None:
        pytest.skip("submitit is not installed")
    if os.getuid() != 0:
        pytest.skip("a Slurm of this test's own is started by root only")
    with slurm.Cluster(tmp_path_factory.mktemp("slurm")) as started:
        yield started


def test_slurm_runs_a_fleet_and_a_second_one_waits_and_both_are_in_one_store(cluster, tmp_path):
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    common = ["--engine", "slurm", "--nodes", "1", "--store", str(tmp_path / "history.db")]
    going = [
        fleet(folder, *common, *more, environment=cluster.environment)
        for folder, more in zip(folders, ([], ["--ship"]), strict=True)
    ]
    for process, folder in zip(going, folders, strict=True):
        code, output = ended(process)
        assert code == 0, output
        assert sorted(case for cases in ids(folder).values() for case in cases) == sorted(CASES)
    assert cluster.ask("squeue", "-h").strip() == ""
    with open_store(str(tmp_path / "history.db")).reading() as connection:
        kept = connection.execute(sa.select(schema.result.c.measurement)).scalars()
        assert len({number for number in kept if number is not None}) == 2 * len(CASES)


def jobs(cluster, folder):
    """Node -> number of the fleet's job that runs there, without the plans'."""
    blocks = {f"dlhw-{each.number}" for each in attempts(folder) if each.block != "plan"}
    lines = [line.split() for line in cluster.ask("squeue", "-h", "-t", "running", "-o", "%i %N %j").splitlines()]
    return {node: job for job, node, name in lines if name in blocks}


def has_begun(folder, job):
    """Whether its step writes: a job that ends before there is one has failed, whatever ended it."""
    log = folder / "out" / "slurm" / f"{job}_0_log.out"
    return log.is_file() and log.stat().st_size > 0


def test_slurm_ends_a_job_by_its_limit_and_loses_a_node_which_comes_back(cluster, tmp_path):
    slow = SUITE.replace("precision = 0.5", "precision = 0.0001").replace("max_seconds = 0.05", "max_seconds = 60")
    asked = ["--engine", "slurm", "--shard"]
    going = fleet(tmp_path, *asked, environment=cluster.environment, suite=slow)
    until(lambda: len(jobs(cluster, tmp_path)) == 2, 300)
    known = jobs(cluster, tmp_path)
    until(lambda: all(has_begun(tmp_path, job) for job in known.values()), 300)
    cluster.exhaust(known["node1"])
    cluster.lose("node2", known["node2"])
    code, output = ended(going)
    assert code == 1, output + cluster.log()
    lost = {each.node: each.reason for each in attempts(tmp_path) if each.end is End.LOST}
    assert lost == {"node1": f"job {known['node1']} ended: timeout", "node2": f"job {known['node2']} ended: node fail"}
    until(lambda: not processes_in(tmp_path), 60)  # what the nodes measured has gone with their jobs
    cluster.start_node("node2")
    until(lambda: cluster.ask("sinfo", "-h", "-N", "-o", "%N %T").split().count("idle") == 2, 120)
    code, output = ended(fleet(tmp_path, *asked, "--resume", environment=cluster.environment))
    assert code == 0, output
    found = ids(tmp_path)
    assert len(found) == 2  # the node that came back has its share
    assert sorted(case for cases in found.values() for case in cases) == sorted(CASES)


def test_slurms_cancelled_job_is_told(cluster, tmp_path):
    going = fleet(tmp_path, "--engine", "slurm", "--nodes", "1", environment=cluster.environment)
    until(lambda: jobs(cluster, tmp_path), 300)
    (job,) = jobs(cluster, tmp_path).values()
    cluster.ask("scancel", job)
    code, output = ended(going)
    lost = [each for each in attempts(tmp_path) if each.end is End.LOST]
    assert len(lost) == 1, output
    assert "cancelled" in lost[0].reason
    assert code == 1  # its only node: what is lost there is told, and the fleet is not whole
    assert f"{lost[0].block}  lost: job {job} ended: cancelled" in output
