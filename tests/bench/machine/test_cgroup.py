"""Quotas of cgroups: of the own group and all parents, versions 1 and 2, and a real one where it can be made."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from bench.machine import cgroup
from tests.support.runner import ROOT

V2 = "25 30 0:22 {root} {folder} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "33 30 0:30 {root} {folder} rw,relatime - cgroup cgroup rw,cpu,cpuacct"
OTHER = "34 30 0:31 / {folder}/memory rw - cgroup cgroup rw,memory\n22 1 0:4 / /proc rw - proc proc rw"


@pytest.fixture
def kernel(tmp_path):
    """Makes a /proc/self that names groups and mounts; groups are folders of `tmp_path` with files in them."""

    def kernel(own, *mounts, **groups):
        proc = tmp_path / "proc"
        proc.mkdir()
        (proc / "cgroup").write_text("\n".join(own))
        lines = [line.format(root=root, folder=f"{tmp_path}/{place}") for line, root, place in mounts]
        (proc / "mountinfo").write_text("\n".join([*lines, OTHER.format(folder=tmp_path)]))
        for group, files in groups.items():
            folder = tmp_path / group.replace("__", "/")
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                (folder / f"cpu.{name}").write_text(content)
        return proc

    return kernel


def v1(quota, period=100000, **stat):
    return {"cfs_quota_us": f"{quota}\n", "cfs_period_us": f"{period}\n", **stat}


NAMESPACE = (["0::/"], (V2, "/", "fs"))
NESTED = (["0::/a/b"], (V2, "/", "fs"))
HYBRID = (["4:cpu,cpuacct:/a", "3:memory:/m", "0::/x"], (V2, "/", "unified"), (V1, "/", "cpu"))
DOCKER = (["4:cpu,cpuacct:/docker/1f"], (V1, "/docker/1f", "cpu"))


@pytest.mark.parametrize(
    ("places", "groups", "quota"),
    [
        (NAMESPACE, {}, None),
        (NAMESPACE, {"fs": {"max": "max 100000"}}, None),
        (NAMESPACE, {"fs": {"max": "150000 100000"}}, 1.5),
        (NESTED, {"fs__a__b": {"max": "50000 100000"}}, 0.5),
        (NESTED, {"fs__a": {"max": "25000 50000"}, "fs__a__b": {"max": "max 100000"}}, 0.5),
        (NESTED, {"fs__a": {"max": "300000 100000"}, "fs__a__b": {"max": "200000 100000"}}, 2.0),
        (NESTED, {"fs": {"max": "100000 100000"}, "fs__c": {"max": "1000 100000"}}, 1.0),  # c is no parent
        (HYBRID, {"cpu__a": v1(-1), "cpu": v1(250000)}, 2.5),
        (HYBRID, {"cpu__a": v1(50000), "unified__x": {"max": "70000 100000"}}, 0.5),
        (DOCKER, {"cpu": v1(150000)}, 1.5),
        ((["4:cpu:/elsewhere"], (V1, "/docker/1f", "cpu")), {"cpu": v1(50000)}, 0.5),  # of another namespace
        ((["0::/../up"], (V2, "/", "fs")), {"fs": {"max": "50000 100000"}}, 0.5),
        ((["0::/my group"], (V2, "/", "a\\040place")), {"a place__my group": {"max": "50000 100000"}}, 0.5),
        ((["0::/a (deleted)"], (V2, "/", "fs")), {"fs": {"max": "50000 100000"}}, 0.5),
        (NAMESPACE, {"fs": {"max": "garbage"}}, None),
        (NAMESPACE, {"fs": {"max": "50000 0"}}, None),
    ],
)
def test_the_smallest_quota_of_the_own_group_and_its_parents(kernel, places, groups, quota):
    assert cgroup.quota(kernel(*places, **groups)) == quota


def test_a_system_without_cgroups_has_no_quota(tmp_path):
    assert cgroup.quota(tmp_path / "none") is None
    assert cgroup.throttled_seconds(tmp_path / "none") is None


def test_the_time_of_being_stopped_is_that_of_all_groups_in_seconds(kernel):
    first, second = "nr_periods 9\nthrottled_time 1500000000\n", "usage_usec 5\nthrottled_usec 250000\n"
    groups = {"cpu__a": {"stat": first}, "unified": {"stat": second}, "unified__x": {"stat": "usage_usec 7\n"}}
    proc = kernel(*HYBRID, **groups)
    assert cgroup.throttled_seconds(proc) == pytest.approx(1.75)


SPINS = """
import json, time
from bench.machine import cgroup, host
before = host.moment()
while time.perf_counter() < before.at_seconds + 1.0:
    pass
print(json.dumps([cgroup.quota(), host.between(before, host.moment())["throttled_share"]]))
"""


@pytest.fixture
def half_a_core():
    """A real group below this process's own, with a quota of half a core: its file of processes."""
    for version, folder in cgroup.groups():
        group = folder / f"dlhw-{uuid.uuid4().hex}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if version == 2:
                (group / "cpu.max").write_text("50000 100000")
            else:
                (group / "cpu.cfs_quota_us").write_text("50000")
            yield group / "cgroup.procs"
            return
        except OSError:
            continue
        finally:
            group.rmdir()
    pytest.skip("this machine lets nobody make a cgroup with a quota here")


@pytest.mark.skipif(not cgroup.groups(), reason="this system has no cgroups")
def test_a_real_quota_is_found_and_so_is_what_it_stops(half_a_core):
    def join():
        Path(half_a_core).write_text(str(os.getpid()))

    output = subprocess.run(
        [sys.executable, "-P", "-c", SPINS], env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, check=True,
        capture_output=True, preexec_fn=join,
    ).stdout  # fmt: skip
    quota, share = (float(found) for found in output.strip("[]\n").split(","))
    assert quota == 0.5
    assert 0 < share < 0.9  # how much depends on what others leave it
