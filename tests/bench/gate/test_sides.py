"""Who is compared: checkouts and interpreters, the suite of each, and the proof that a side's own code was measured."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.gate import sides
from bench.gate.sides import Side, is_dlhw, of_commits, of_interpreters, own_code, suite_of
from suites.errors import DlhwError, NoBaseError
from suites.micro import Micro
from tests.support.repository import commit, git
from tests.support.runner import ROOT
from tests.support.samples import LENET

SUITE = """
[[sweep]]
architecture = "lenet"
batch_size = {}
"""
OWN = replace(LENET, architecture="shop.nets:small", input_shape=(1, 8, 8))


@pytest.fixture
def side(tmp_path):
    return Side(
        name="base", python=sys.executable, root=tmp_path / "code", folder=tmp_path / "tree", label="x", proves=True
    )


@pytest.mark.parametrize(
    ("case", "source", "fine"),
    [
        (OWN, "tree/shop/nets.py", True),
        (OWN, "elsewhere/shop/nets.py", False),
        (OWN, "code/shop/nets.py", False),
        (LENET, "code/suites/architectures/lenet.py", True),
        (LENET, "tree/suites/architectures/lenet.py", False),
        (Micro.parse("copy-65536-fp32-cpu-t2"), "tree/bench/worker/micro/memory.py", False),
        (replace(LENET, architecture="torchvision:resnet18", input_shape=(3, 224, 224)), "anywhere", True),
    ],
)
def test_what_was_measured_has_to_come_from_where_it_should(side, tmp_path, case, source, fine):
    problem = side.problem(case, str(tmp_path / source))
    assert (problem == "") == fine
    if not fine:
        assert problem.startswith("base: ")
        assert f"was imported from {tmp_path / source}, which is not in {tmp_path}" in problem


def test_interpreters_may_have_their_nets_anywhere(side):
    assert replace(side, proves=False).problem(OWN, "/site-packages/shop/nets.py") == ""


@pytest.fixture
def repository(tmp_path):
    top = tmp_path / "repository"
    top.mkdir()
    git(top, "init", "-qb", "main")
    (top / "perf").mkdir()
    (top / "perf" / "own.toml").write_text(SUITE.format(1))
    commit(top, "first", net="1")
    (top / "perf" / "own.toml").write_text(SUITE.format(2))
    return top


def both(repository, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return of_commits(repository, "HEAD", scratch, sys.executable)


def test_each_checkout_has_its_own_suite(repository, tmp_path, monkeypatch):
    monkeypatch.chdir(repository)
    base, head = both(repository, tmp_path)
    assert [suite_of(side, "perf/own.toml", ()).content.sweep[0].batch_size for side in (base, head)] == [(1,), (2,)]
    assert (base.root, base.folder.name, head.folder.name) == (ROOT, "base", "head")
    assert base.tree != head.tree
    assert suite_of(base, "smoke", ()).name == "smoke"


def test_submodules_that_a_side_does_not_have_are_said_in_one_line(repository, tmp_path):
    for name in ("libs/a", "libs/b"):
        link(repository, name)
    git(repository, "commit", "-qm", "modules")
    base, head = both(repository, tmp_path)
    remedy = "not in this clone (git submodule update --init --recursive)"
    assert base.lacks == (f"base: without submodules libs/a, libs/b, {remedy}",)
    assert replace(head, missing=("libs/a",)).lacks == (f"head: without submodule libs/a, {remedy}",)
    assert replace(head, missing=()).lacks == ()


def test_pointers_in_the_place_of_files_are_said_in_one_line(repository, tmp_path):
    (repository / ".gitattributes").write_text("*.pt filter=lfs\n")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 5\n"
    commit(repository, "weights", **{"a.pt": pointer.format(1), "b.pt": pointer.format(2)}, other=pointer.format(3))
    base, head = both(repository, tmp_path)
    remedy = "(git lfs install; git lfs pull)"
    assert base.lacks == (f"base: Git LFS has left its pointers in the place of 2 files, a.pt for one {remedy}",)
    assert head.pointers == ("a.pt", "b.pt")


def link(repository, name):
    """What a clone without its submodules has: an empty folder, and the commit that should be in it."""
    (repository / name).mkdir(parents=True)
    git(repository, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},{name}")


def test_a_suite_that_a_checkout_does_not_have_is_none(repository, tmp_path, monkeypatch):
    monkeypatch.chdir(repository)
    (repository / "perf" / "new.toml").write_text(SUITE.format(2))
    base, head = both(repository, tmp_path)
    assert suite_of(base, "perf/new.toml", ()) is None
    assert suite_of(head, "perf/new.toml", ()).name == "new"


def test_a_suite_outside_the_repository_is_both_sides(repository, tmp_path):
    outside = tmp_path / "outside.toml"
    outside.write_text(SUITE.format(4))
    for side in both(repository, tmp_path):
        assert suite_of(side, str(outside), ()).path == outside


def test_a_checkout_of_dlhw_is_measured_by_its_own_code(tmp_path):
    assert is_dlhw(ROOT)
    assert not is_dlhw(tmp_path)
    checkout = Side(name="base", python="p", root=ROOT, folder=ROOT, label="", top=Path("/elsewhere"))
    assert suite_of(checkout, "gate", ()).path == ROOT / "suites" / "gate.toml"
    assert suite_of(checkout, "of_a_later_day", ()) is None


def test_beside_other_packages_the_code_is_copied(tmp_path, monkeypatch):
    assert own_code(tmp_path) == ROOT
    installed = tmp_path / "site-packages"
    for name in ("bench", "suites", "torch"):
        (installed / name).mkdir(parents=True)
        (installed / name / "x.py").write_text(name)
    monkeypatch.setattr(sides, "ROOT", installed)
    code = own_code(tmp_path / "code")
    assert sorted(str(path.relative_to(code)) for path in code.rglob("*.py")) == ["bench/x.py", "suites/x.py"]


def test_interpreters_are_tried(tmp_path):
    base, head = of_interpreters(sys.executable, sys.executable, tmp_path, tmp_path)
    assert (base.folder, head.python, base.proves) == (tmp_path, sys.executable, False)
    with pytest.raises(NoBaseError, match="--base-python /nowhere: no Python interpreter"):
        of_interpreters("/nowhere", sys.executable, tmp_path, tmp_path)
    with pytest.raises(DlhwError, match="--head-python /bin/false: no Python interpreter"):
        of_interpreters(sys.executable, "/bin/false", tmp_path, tmp_path)
