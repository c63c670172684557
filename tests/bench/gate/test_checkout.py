"""Snapshots of real git repositories: what is in them, what a person sees of it, and that nothing is left behind."""

from pathlib import Path

import pytest

from bench.gate import checkout
from suites.errors import DlhwError, NoBaseError
from tests.support.repository import commit, git


@pytest.fixture
def repository(tmp_path):
    top = tmp_path / "repository"
    top.mkdir()
    git(top, "init", "-qb", "main")
    commit(top, "first", net="1", src__deep="1", gone="1")
    (top / ".gitignore").write_text("ignored\n")
    commit(top, "second: a colon", net="2")
    return top


def texts(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def state(top):
    """All that a gate could change in a repository."""
    return git(top, "status", "--porcelain"), git(top, "count-objects", "-v"), sorted((top / ".git").rglob("*"))


def test_a_commit_is_laid_out(repository, tmp_path):
    before = state(repository)
    found = checkout.of_commit(repository, checkout.commit_of(repository, "HEAD~1"), tmp_path / "base")
    assert texts(found.folder) == {"net": "1", "src/deep": "1", "gone": "1"}
    assert found.label.endswith(" first")
    assert found.tree == git(repository, "rev-parse", "HEAD~1^{tree}")
    assert state(repository) == before


def test_the_working_copy_is_what_a_person_sees(repository, tmp_path):
    (repository / "net").write_text("3")
    (repository / "new").write_text("4")
    (repository / "ignored").write_text("5")
    (repository / "gone").unlink()
    git(repository, "add", "new")
    before = state(repository)
    found = checkout.of_working_copy(repository, tmp_path / "head")
    assert texts(found.folder) == {"net": "3", "src/deep": "1", "new": "4", ".gitignore": "ignored\n"}
    assert found.label.endswith(" second: a colon, with 3 files changed since")
    assert state(repository) == before


def test_a_clean_working_copy_is_its_commit(repository, tmp_path):
    found = checkout.of_working_copy(repository, tmp_path / "head")
    assert found.tree == git(repository, "rev-parse", "HEAD^{tree}")
    assert "changed" not in found.label


def test_our_own_files_are_no_part_of_it(repository, tmp_path):
    clean = checkout.of_working_copy(repository, tmp_path / "one").tree
    (repository / "j[1].jsonl").write_text("x")
    (repository / "j1.jsonl").write_text("x")
    found = checkout.of_working_copy(repository, tmp_path / "two", [repository / "j[1].jsonl", Path("/elsewhere")])
    assert (found.folder / "j1.jsonl").exists()
    assert not (found.folder / "j[1].jsonl").exists()
    assert found.tree != clean


def test_three_dots_are_the_merge_base(repository):
    base = git(repository, "rev-parse", "HEAD")
    git(repository, "checkout", "-qb", "feature")
    commit(repository, "feature", net="5")
    git(repository, "checkout", "-q", "main")
    tip = commit(repository, "main goes on", net="6")
    git(repository, "checkout", "-q", "feature")
    assert checkout.commit_of(repository, "main...") == base
    assert checkout.commit_of(repository, "main") == tip


@pytest.mark.parametrize("ref", ["nowhere", "nowhere...", "--all", "", "HEAD~99"])
def test_a_commit_that_is_not_there_is_no_base(repository, ref):
    with pytest.raises(NoBaseError, match="no such commit"):
        checkout.commit_of(repository, ref)


def test_a_shallow_clone_says_what_to_do(repository, tmp_path):
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", "shallow")
    with pytest.raises(NoBaseError, match=r"this clone is shallow: fetch its history .*fetch-depth: 0"):
        checkout.commit_of(tmp_path / "shallow", "HEAD~1")


def test_outside_a_repository_there_is_nothing_to_compare(tmp_path):
    with pytest.raises(DlhwError, match=f"--base: {tmp_path} is in no git repository"):
        checkout.repository(tmp_path)


def test_the_top_is_found_from_any_folder(repository):
    assert checkout.repository(repository / "src") == repository
