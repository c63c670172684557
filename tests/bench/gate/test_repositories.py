"""Repositories as people have them: in hooks, owned by others, bare, sparse, partial, with submodules, oddly named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.gate import checkout, git
from suites.errors import DlhwError, NoBaseError
from tests.support.repository import commit
from tests.support.repository import git as hand
from tests.support.runner import ROOT


def made(top):
    top.mkdir(parents=True)
    hand(top, "init", "-qb", "main")
    commit(top, "first", net="1", far__away="far")
    commit(top, "second", net="2")
    return top


@pytest.fixture
def repository(tmp_path):
    return made(tmp_path / "repository")


def texts(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def files(folder):
    """All that lies in a repository's `.git`, with its content."""
    return {path: path.read_bytes() for path in (folder / ".git").rglob("*") if path.is_file()}


def laid_out(top, tmp_path, ref="HEAD~1"):
    """Base and head."""
    base = checkout.of_commit(top, checkout.commit_of(top, ref), tmp_path / "base")
    return base, checkout.of_working_copy(top, tmp_path / "head")


def tree_of(top, ref="HEAD"):
    return hand(top, "rev-parse", f"{ref}^{{tree}}")


@pytest.mark.parametrize("name", ["a b  c", "Größe-設計", "c:d;e", 'quo"te\\', "line\nend", "trailing "])
def test_a_repository_may_lie_anywhere(tmp_path, name):
    top = made(tmp_path / name)
    (top / "net").write_text("3")
    assert checkout.repository(top / "far") == top
    base, head = laid_out(top, tmp_path)
    assert (texts(base.folder)["net"], texts(head.folder)["net"]) == ("1", "3")
    assert head.label.endswith(" second, with 1 files changed since")


def test_files_may_be_called_anything(repository, tmp_path):
    odd = ["line\nend", "tab\t", "Größe", '"quoted"', ":(top)", "-n", " "]
    for name in odd:
        (repository / name).write_text(name)
    (repository / os.fsdecode(b"latin-\xe9")).write_text("x")
    _, head = laid_out(repository, tmp_path)
    assert {name: (head.folder / name).read_text() for name in odd} == {name: name for name in odd}
    assert (head.folder / os.fsdecode(b"latin-\xe9")).exists()
    assert head.label.endswith(", with 8 files changed since")


SNAPSHOTS = """
from pathlib import Path
from bench.gate import checkout
scratch = Path({scratch!r})
top = checkout.repository(Path.cwd())
base = checkout.of_commit(top, checkout.commit_of(top, "HEAD"), scratch / "base")
head = checkout.of_working_copy(top, scratch / "head")
print(top, base.tree, head.tree, file=(scratch / "said").open("w"))
"""


@pytest.mark.parametrize("arguments", [["-am", "x"], ["net", "-m", "x"], ["--allow-empty", "-m", "x"]])
@pytest.mark.parametrize("linked", [False, True])
def test_a_hook_sees_what_a_person_sees(repository, tmp_path, arguments, linked):
    """git gives its hooks GIT_DIR and the index of the commit to be, which is not the working copy's."""
    top = repository
    if linked:
        top = tmp_path / "linked"
        hand(repository, "worktree", "add", "-q", top, "HEAD~1")
    hook = repository / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    run = SNAPSHOTS.format(scratch=str(tmp_path))
    hook.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n{run}")
    hook.chmod(0o755)
    tree = tree_of(top)
    (top / "net").write_text("3")
    (top / "new").write_text("4")
    hand(top, "commit", "-q", *arguments)
    said, base, head = (tmp_path / "said").read_text().split()
    assert (said, base) == (str(top), tree)
    assert texts(tmp_path / "head") == {"net": "3", "new": "4", "far/away": "far"}
    hand(top, "add", "-A")
    assert head == hand(top, "write-tree")


def test_no_variable_leads_to_another_repository(repository, tmp_path, monkeypatch):
    other = made(tmp_path / "other")
    for name in git.REDIRECTING:
        monkeypatch.setenv(name, str(other / ".git"))
    assert checkout.repository(repository) == repository
    base, head = laid_out(repository, tmp_path)
    for name in git.REDIRECTING:
        monkeypatch.delenv(name)
    assert (base.tree, head.tree) == (tree_of(repository, "HEAD~1"), tree_of(repository))


def test_what_a_person_has_set_stays(repository, monkeypatch):
    for name, value in (("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "own.word"), ("GIT_CONFIG_VALUE_0", "here")):
        monkeypatch.setenv(name, value)
    assert git.run(repository, "config", "own.word") == "here"
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -i key")
    assert git.run(repository, "-c", "alias.show-ssh=!echo $GIT_SSH_COMMAND", "show-ssh") == "ssh -i key"


def test_git_dir_that_is_not_followed_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(made(tmp_path / "repository") / ".git"))
    with pytest.raises(DlhwError, match="is in no git repository; GIT_DIR is set, but the folder decides"):
        checkout.repository(tmp_path)


def refused(folder):
    with pytest.raises(DlhwError) as found:
        checkout.repository(folder)
    return str(found.value)


def test_a_repository_of_another_owner_is_told_with_its_remedy(tmp_path, monkeypatch):
    top = made(tmp_path / "of others")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    said = refused(top / "far")
    assert said == (
        f"git does not read '{top}': it belongs to another user; "
        f"if you trust it: git config --global --add safe.directory '{top}'"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    subprocess.run(said.partition("if you trust it: ")[2], shell=True, check=True)
    assert checkout.repository(top / "far") == top


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_checkout_that_root_does_not_own_is_told(repository, tmp_path, monkeypatch):
    for name in ("SUDO_UID", "SUDO_GID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    for path in (repository, repository / ".git"):
        os.chown(path, 12345, 12345)
    assert refused(repository).endswith(f"git config --global --add safe.directory {repository}")


def test_gits_older_words_for_another_owner_are_known():
    words = "fatal: unsafe repository ('/srv/x' is owned by someone else)\nTo add an exception ..."
    assert git.OWNER.search(words).group(2) == "/srv/x"


@pytest.mark.parametrize("place", ["bare", "repository/.git"])
def test_without_a_working_copy_there_is_no_head(repository, tmp_path, place):
    hand(tmp_path, "init", "-q", "--bare", "bare")
    assert refused(tmp_path / place) == (
        f"--base: {tmp_path / place} has no working copy: it is a bare repository, or a .git folder"
    )


def test_before_the_first_commit_there_is_no_base(tmp_path):
    hand(tmp_path, "init", "-qb", "main", "young")
    for ref in ("HEAD", "main", "main..."):
        with pytest.raises(NoBaseError, match=r"no such commit in .*; HEAD has no commit yet"):
            checkout.commit_of(tmp_path / "young", ref)


def test_a_branch_before_its_first_commit_has_a_working_copy(repository, tmp_path):
    hand(repository, "checkout", "-q", "--orphan", "anew")
    base, head = laid_out(repository, tmp_path, "main")
    assert (head.label, head.tree) == ("no commit yet, 2 files", base.tree)


def test_histories_without_a_common_commit_are_told(repository):
    hand(repository, "checkout", "-q", "--orphan", "anew")
    commit(repository, "another beginning", net="7")
    with pytest.raises(NoBaseError, match=r"--base main\.\.\.: .*; main and HEAD have no commit in common"):
        checkout.commit_of(repository, "main...")


def test_a_linked_worktree_is_a_repository_like_any(repository, tmp_path):
    top = tmp_path / "linked"
    hand(repository, "worktree", "add", "-qb", "side", top, "HEAD~1")
    (top / "net").write_text("5")
    (repository / "net").write_text("not this one")
    before = files(repository)
    assert checkout.repository(top / "far") == top
    base, head = laid_out(top, tmp_path, "main")
    assert (texts(base.folder), texts(head.folder)) == (
        {"net": "2", "far/away": "far"},
        {"net": "5", "far/away": "far"},
    )
    assert files(repository) == before


@pytest.mark.parametrize(
    ("cone", "index"),
    [("--cone", "--sparse-index"), ("--cone", "--no-sparse-index"), ("--no-cone", "--no-sparse-index")],
)
def test_what_a_sparse_checkout_leaves_out_is_no_deletion(repository, tmp_path, cone, index):
    commit(repository, "more", near__by="1", far__off="1")
    patterns = ["near"] if cone == "--cone" else ["/near/", "/net"]
    hand(repository, "sparse-checkout", "set", cone, index, *patterns)
    assert not (repository / "far").exists()
    before = files(repository)
    base, head = laid_out(repository, tmp_path, "HEAD")
    assert head.tree == base.tree == tree_of(repository)
    assert "changed" not in head.label
    assert texts(base.folder) == texts(head.folder) == {"net": "2", "near/by": "1"}
    assert files(repository) == before


def test_what_lies_beyond_the_patterns_of_a_sparse_checkout_is_laid_out_too(repository, tmp_path):
    commit(repository, "more", near__by="1", far__off="1")
    hand(repository, "sparse-checkout", "set", "near")
    (repository / "far").mkdir()
    (repository / "far" / "away").write_text("changed")
    (repository / "far" / "new").write_text("new")
    base, head = laid_out(repository, tmp_path, "HEAD")
    assert texts(head.folder) == {"net": "2", "near/by": "1", "far/away": "changed", "far/new": "new"}
    assert texts(base.folder) == {"net": "2", "near/by": "1", "far/away": "far"}
    assert head.label.endswith(", with 2 files changed since")


def test_a_file_that_is_hidden_from_git_is_laid_out_as_committed(repository, tmp_path):
    hand(repository, "update-index", "--skip-worktree", "net")
    (repository / "net").write_text("mine alone")
    _, head = laid_out(repository, tmp_path)
    assert (texts(head.folder)["net"], head.tree) == ("2", tree_of(repository))


@pytest.fixture
def partial(repository, tmp_path):
    hand(repository, "config", "uploadpack.allowFilter", "true")
    hand(repository, "config", "uploadpack.allowAnySHA1InWant", "true")
    hand(tmp_path, "clone", "-q", "--filter=blob:none", f"file://{repository}", "partial")
    return tmp_path / "partial"


def test_what_a_partial_clone_has_left_out_is_fetched_and_not_kept(partial, tmp_path):
    before = files(partial)
    base, head = laid_out(partial, tmp_path)
    assert (texts(base.folder)["net"], texts(head.folder)["net"]) == ("1", "2")
    assert files(partial) == before


def test_what_a_partial_clone_cannot_fetch_is_one_line(partial, repository, tmp_path):
    repository.rename(tmp_path / "gone")
    commit_ = checkout.commit_of(partial, "HEAD~1")
    with pytest.raises(NoBaseError) as found:
        checkout.of_commit(partial, commit_, tmp_path / "base")
    assert str(found.value) == (
        f"--base {commit_[:12]}: this clone is partial, and what it has left out cannot be fetched "
        f"(fatal: '{repository}' does not appear to be a git repository)"
    )
    assert texts(checkout.of_working_copy(partial, tmp_path / "head").folder)["net"] == "2"


def test_a_sparse_partial_clone_fetches_nothing_that_it_does_not_show(repository, tmp_path):
    hand(repository, "config", "uploadpack.allowFilter", "true")
    clone = ["clone", "-q", "--filter=blob:none", "--sparse", f"file://{repository}", "both"]
    hand(tmp_path, *clone)
    repository.rename(tmp_path / "gone")
    base, head = laid_out(tmp_path / "both", tmp_path, "HEAD")
    assert texts(base.folder) == texts(head.folder) == {"net": "2"}
    assert base.tree == head.tree


@pytest.fixture
def nested(repository, tmp_path):
    """A repository with a submodule that has one itself, at two commits."""
    inner, middle = made(tmp_path / "inner"), made(tmp_path / "middle")
    hand(middle, "submodule", "add", "-q", str(inner), "deep")
    commit(middle, "with inner")
    hand(repository, "submodule", "add", "-q", str(middle), "libs/middle")
    hand(repository, "submodule", "update", "-q", "--init", "--recursive")
    commit(repository, "with middle")
    own = repository / "libs" / "middle"
    commit(own, "middle goes on", net="3")
    commit(repository, "newer middle")
    return repository


def test_submodules_are_laid_out_at_their_commits_and_as_they_are(nested, tmp_path):
    (nested / "libs" / "middle" / "deep" / "net").write_text("mine")
    (nested / "libs" / "middle" / "new").write_text("new")
    before = files(nested)
    base, head = laid_out(nested, tmp_path)
    assert (base.missing, head.missing) == ((), ())
    for each, expected in ((base, ("2", "2")), (head, ("3", "mine"))):
        found = texts(each.folder)
        assert (found["libs/middle/net"], found["libs/middle/deep/net"]) == expected
    assert (texts(head.folder)["libs/middle/new"], "libs/middle/new" in texts(base.folder)) == ("new", False)
    assert head.label.endswith(" newer middle, with 2 files changed since")
    assert files(nested) == before


def test_what_changes_in_a_submodule_changes_the_tree(nested, tmp_path):
    base, head = laid_out(nested, tmp_path, "HEAD")
    assert base.tree == head.tree
    (nested / "libs" / "middle" / "deep" / "net").write_text("mine")
    assert checkout.of_working_copy(nested, tmp_path / "changed").tree != head.tree


def test_submodules_that_are_not_in_the_clone_are_named(nested, tmp_path):
    hand(tmp_path, "clone", "-q", f"file://{nested}", "clone")
    base, head = laid_out(tmp_path / "clone", tmp_path, "HEAD")
    assert base.missing == head.missing == ("libs/middle",)
    assert base.tree == head.tree
    hand(nested / "libs" / "middle", "submodule", "deinit", "-f", "deep")
    found = checkout.of_working_copy(nested, tmp_path / "third")
    assert found.missing == ("libs/middle/deep",)


def test_a_submodule_whose_commit_is_not_there_is_named(nested, tmp_path):
    gone = "1" * 40
    hand(nested, "update-index", "--cacheinfo", f"160000,{gone},libs/middle")
    hand(nested, "commit", "-qm", "a commit that was never pushed")
    base, head = laid_out(nested, tmp_path, "HEAD")
    assert (base.missing, head.missing) == (("libs/middle",), ())


def test_a_repository_that_merely_lies_within_is_laid_out_as_it_is(repository, tmp_path):
    made(repository / "vendor" / "other")
    base, head = laid_out(repository, tmp_path, "HEAD")
    assert (texts(head.folder)["vendor/other/net"], "vendor/other/net" in texts(base.folder)) == ("2", False)
    assert head.missing == ()


def test_line_ends_and_filters_are_a_checkouts(repository, tmp_path):
    hand(repository, "config", "core.autocrlf", "true")
    hand(repository, "config", "filter.up.clean", "tr A-Z a-z")
    hand(repository, "config", "filter.up.smudge", "tr a-z A-Z")
    commit(repository, "filters", **{".gitattributes": "w* filter=up -text\n"}, weights="ABC", text="a\r\nb\r\n")
    (repository / "late").write_bytes(b"a\nb\n")
    hand(repository, "config", "core.safecrlf", "true")
    base, head = laid_out(repository, tmp_path, "HEAD")
    assert hand(repository, "show", "HEAD:weights") == "abc"
    for each in (base, head):
        assert (each.folder / "weights").read_text() == "ABC"
        assert (each.folder / "text").read_bytes() == b"a\r\nb\r\n"
    assert head.label.endswith(", with 1 files changed since")


def test_a_filter_that_fails_is_told_in_gits_words(repository, tmp_path):
    commit(repository, "filters", **{".gitattributes": "weights filter=lfs\n"}, weights="pointer")
    hand(repository, "config", "filter.lfs.smudge", "no-such-program-here")
    hand(repository, "config", "filter.lfs.required", "true")
    with pytest.raises(DlhwError, match="no-such-program-here"):
        checkout.of_commit(repository, checkout.commit_of(repository, "HEAD"), tmp_path / "base")


def test_a_change_in_the_same_moment_as_the_index_is_seen(repository, tmp_path):
    """Of equal size and time: git looks into files that are as new as their index, and a copy of it is newer."""
    hand(repository, "config", "core.trustctime", "false")
    before = (repository / "net").stat()
    (repository / "net").write_text("3")
    for path in (repository / "net", repository / ".git" / "index"):
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    _, head = laid_out(repository, tmp_path)
    assert texts(head.folder)["net"] == "3"


def test_settings_of_a_person_leave_nothing_in_the_repository(repository, tmp_path):
    for name, value in (("core.splitIndex", "true"), ("core.untrackedCache", "true"), ("diff.renames", "copies"),
                        ("log.showSignature", "true"), ("color.ui", "always")):  # fmt: skip
        hand(repository, "config", name, value)
    hand(repository, "update-index", "--split-index")
    hook = repository / ".git" / "hooks" / "post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch .git/the-hook-has-run\n")
    hook.chmod(0o755)
    (repository / "net").write_text("3")
    before = files(repository)
    _, head = laid_out(repository, tmp_path)
    assert head.label.endswith(" second, with 1 files changed since")
    assert head.label.split()[0].isalnum()
    assert files(repository) == before


def test_a_journal_of_before_that_git_ignores_is_no_obstacle(repository, tmp_path):
    commit(repository, "ignore", **{".gitignore": "*.jsonl\n"})
    journal = repository / "dlhw-gate.journal.jsonl"
    journal.write_text("x")
    found = checkout.of_working_copy(repository, tmp_path / "two", [journal])
    assert not (found.folder / journal.name).exists()
    assert found.tree == tree_of(repository)


def test_a_journal_within_a_submodule_is_no_part_of_it(nested, tmp_path):
    journal = nested / "libs" / "middle" / "j.jsonl"
    clean = checkout.of_working_copy(nested, tmp_path / "one").tree
    journal.write_text("x")
    found = checkout.of_working_copy(nested, tmp_path / "two", [journal, Path("/elsewhere")])
    assert (found.tree, (found.folder / "libs/middle/j.jsonl").exists()) == (clean, False)
