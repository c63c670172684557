"""Two states of a git repository in folders of their own: a commit, and the working copy as it is now.

Neither is taken from where a person works: what is edited while the gate measures changes nothing, and both lie on
paths of equal length. Nothing is written into the repository, not even an index or an object. Both are laid out as git
would check them out by hand: with filters and line ends, of a sparse checkout what it shows, and with submodules, as
far as these are in the clone.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.gate import git
from suites.errors import DlhwError, NoBaseError


@dataclass(frozen=True)
class Snapshot:
    """One state of a repository.

    Attributes:
        folder: where its files lie.
        tree: identifies their content: git's id, or of several where there are submodules.
        label: for people: the commit and its subject, or what of the working copy is not committed.
        missing: submodules that could not be laid out.
        pointers: files of Git LFS in whose place its pointers lie.
    """

    folder: Path
    tree: str
    label: str
    missing: tuple[str, ...] = ()
    pointers: tuple[str, ...] = ()


@dataclass(frozen=True)
class _LaidOut:
    """Attributes: changed: how many files are not as HEAD has them."""

    tree: str
    changed: int = 0
    missing: tuple[str, ...] = ()
    pointers: tuple[str, ...] = ()


def repository(folder: Path) -> Path:
    """The top folder of the repository that `folder` is in.

    Raises:
        DlhwError: there is none, or no git, or no working copy, or git refuses it.
    """
    try:
        return Path(git.run(folder, "rev-parse", "--show-toplevel"))
    except git.GitError as error:
        if "must be run in a work tree" in str(error):
            place = "a bare repository, or a .git folder"
            raise DlhwError(f"--base: {folder} has no working copy: it is {place}") from error
        hint = "; GIT_DIR is set, but the folder decides" if "GIT_DIR" in os.environ else ""
        raise DlhwError(f"--base: {folder} is in no git repository{hint}") from error


def commit_of(top: Path, ref: str) -> str:
    """The id of the commit that `ref` names; of `REF...` the one where REF and HEAD parted: their merge base.

    Raises:
        NoBaseError: there is no such commit here.
    """
    name = ref.removesuffix("...")
    found = _commit_id(top, name)
    if found and ref != name:
        found = _merge_base(top, name)
    if not found:
        raise NoBaseError(f"--base {ref}: no such commit in {top}{_hint(top, name, ref)}")
    return found


def _commit_id(top: Path, name: str) -> str:
    """Empty where there is none of that name."""
    try:
        return git.run(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except git.GitError:
        return ""


def _merge_base(top: Path, name: str) -> str:
    try:
        return git.run(top, "merge-base", "--end-of-options", name, "HEAD")
    except git.GitError:
        return ""


def _hint(top: Path, name: str, ref: str) -> str:
    """Why a commit is not there, and what to do."""
    if git.run(top, "rev-parse", "--is-shallow-repository") == "true":
        return "; this clone is shallow: fetch its history (git fetch --unshallow; actions/checkout: fetch-depth: 0)"
    if not _commit_id(top, "HEAD"):
        return "; HEAD has no commit yet"
    return f"; {name} and HEAD have no commit in common" if ref != name and _commit_id(top, name) else ""


def of_commit(top: Path, commit: str, folder: Path) -> Snapshot:
    """Lay a commit out in `folder`.

    Raises:
        NoBaseError: a partial clone lacks some of it.
    """
    try:
        found = _commit(top, commit, folder)
        label = _label(top, commit)
    except git.UnfetchedError as error:
        raise NoBaseError(f"--base {commit[:12]}: {error}") from error
    return Snapshot(folder, found.tree, label, found.missing, found.pointers)


def of_working_copy(top: Path, folder: Path, without: Sequence[Path] = ()) -> Snapshot:
    """Lay the working copy out in `folder`: what git tracks, with its changes, and what it does not ignore.

    Args:
        without: files that are no part of it, such as our own journal.
    """
    found = _working_copy(top, folder, without)
    if _commit_id(top, "HEAD"):
        label = f"{_label(top, 'HEAD')}{f', with {found.changed} files changed since' if found.changed else ''}"
    else:
        label = f"no commit yet, {found.changed} files"
    return Snapshot(folder, found.tree, label, found.missing, found.pointers)


def _label(top: Path, commit: str) -> str:
    said = git.run(top, "log", "-1", "--encoding=UTF-8", "--format=%h %s", commit)
    return said.encode("utf-8", "replace").decode()


def _commit(top: Path, commit: str, folder: Path) -> _LaidOut:
    with _apart(top) as variables:
        tree = git.run(top, "rev-parse", f"{commit}^{{tree}}", variables=variables)
        pointers = _lay_out(top, tree, folder, variables, {})
        links = _links(top, tree, variables)
    inner = {
        name: _commit(top / name, link, folder / name) if _has(top / name, link) else None
        for name, link in links.items()
    }
    return _together(_LaidOut(tree, pointers=pointers), links, inner)


def _working_copy(top: Path, folder: Path, without: Sequence[Path]) -> _LaidOut:
    with _apart(top) as variables:
        known = top / git.run(top, "rev-parse", "--git-path", "index")
        if known.exists():
            shutil.copy2(known, variables["GIT_INDEX_FILE"])  # with its time: files as new as it are looked into
        left_out = [f":(exclude,top,literal){name}" for name in _not_ignored(top, _within(top, without))]
        sparse = ["--sparse"] if _is_sparse(top) else []  # else new files beyond its patterns are refused
        git.run(top, "add", "--all", *sparse, "--", ".", *left_out, variables=variables)
        tree = git.run(top, "write-tree", variables=variables)
        pointers = _lay_out(top, tree, folder, variables, variables)
        links = _links(top, tree, variables)
        changed = _changed(top, tree, variables)
    inner = {
        name: _working_copy(top / name, folder / name, without) if (top / name / ".git").exists() else None
        for name in links
    }
    return _together(_LaidOut(tree, changed, pointers=pointers), links, inner)


def _within(top: Path, paths: Sequence[Path]) -> list[str]:
    """Those of `paths` that are the repository's own, and no submodule's, by their names in it."""
    inside = [path.resolve() for path in paths if path.resolve().is_relative_to(top)]
    return [
        path.relative_to(top).as_posix()
        for path in inside
        if not any((top / folder / ".git").exists() for folder in list(path.relative_to(top).parents)[:-1])
    ]


def _not_ignored(top: Path, names: Sequence[str]) -> list[str]:
    """Without those that git ignores by itself: to leave such a one out by name, too, is an error to it."""
    asked = [f":(top,literal){name}" for name in names]
    options = ("--others", "--ignored", "--exclude-standard", "-z")
    ignored = git.listed(top, "ls-files", *options, "--", *asked) if asked else []
    return [name for name in names if name not in ignored]


@contextmanager
def _apart(top: Path) -> Iterator[dict[str, str]]:
    """Variables by which git writes index and objects, fetched ones too, elsewhere than into the repository."""
    objects = str((top / git.run(top, "rev-parse", "--git-path", "objects")).resolve())
    with tempfile.TemporaryDirectory(prefix="dlhw-git-") as scratch:
        (Path(scratch) / "objects").mkdir()
        yield {
            "GIT_INDEX_FILE": f"{scratch}/index",
            "GIT_OBJECT_DIRECTORY": f"{scratch}/objects",
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": '"' + objects.replace("\\", "\\\\").replace('"', '\\"') + '"',
        }


def _lay_out(
    top: Path, tree: str, folder: Path, variables: Mapping[str, str], working_copy: Mapping[str, str]
) -> tuple[str, ...]:
    """Check `tree` out; of a sparse checkout what its patterns have, and what else the working copy has of it.

    Args:
        working_copy: variables by which git finds the working copy's index.

    Returns:
        Files in whose place a pointer of Git LFS lies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    into = {
        **variables,
        "GIT_INDEX_FILE": f"{variables['GIT_INDEX_FILE']}.laid-out",
        "GIT_DIR": git.run(top, "rev-parse", "--absolute-git-dir"),
        "GIT_WORK_TREE": str(folder),
    }
    git.run(folder, "read-tree", "-m", "-u", tree, variables=into)
    if _is_sparse(top):
        _, left_out = _by_patterns(folder, into)
        there, _ = _by_patterns(top, working_copy)
        names = "".join(f"{name}\0" for name in sorted(there & left_out))
        git.run(folder, "update-index", "-z", "--no-skip-worktree", "--stdin", variables=into, stdin=names)
        git.run(folder, "checkout-index", "-z", "--force", "--stdin", variables=into, stdin=names)
    large = git.listed(folder, "ls-files", "-z", "--", ":(attr:filter=lfs)", variables=into)
    return tuple(name for name in large if _is_pointer(folder / name))


def _is_pointer(path: Path) -> bool:
    """Whether Git LFS, not installed or told to fetch nothing, has left its pointer in the place of a file."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(POINTER)) == POINTER


POINTER = b"version https://git-lfs."


def _is_sparse(top: Path) -> bool:
    try:
        return git.run(top, "config", "--type=bool", "core.sparseCheckout") == "true"
    except git.GitError:  # not set
        return False


def _by_patterns(top: Path, variables: Mapping[str, str]) -> tuple[set[str], set[str]]:
    """Names of an index: those that lie in its working copy, and those that a sparse checkout leaves out."""
    found: tuple[set[str], set[str]] = (set(), set())
    for line in git.listed(top, "ls-files", "-t", "-z", variables=variables):
        found[line.startswith("S ")].add(line[2:])
    return found


def _links(top: Path, tree: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Submodules of a tree, by path: the commit that each is at."""
    found = [line.partition("\t") for line in git.listed(top, "ls-tree", "-r", "-z", tree, variables=variables)]
    return {name: about.split()[2] for about, _, name in found if about.startswith("160000 ")}


def _has(module: Path, commit: str) -> bool:
    """Whether a submodule is in this clone, with this commit."""
    return (module / ".git").exists() and bool(_commit_id(module, commit))


def _changed(top: Path, tree: str, variables: Mapping[str, str]) -> int:
    if not _commit_id(top, "HEAD"):
        return len(git.listed(top, "ls-tree", "-r", "-z", "--name-only", tree, variables=variables))
    arguments = ("diff-tree", "-r", "-z", "--no-renames", "--name-only", "HEAD", tree)
    return len(git.listed(top, *arguments, variables=variables))


def _together(own: _LaidOut, links: Mapping[str, str], inner: Mapping[str, _LaidOut | None]) -> _LaidOut:
    """A repository and its submodules; None is one that could not be laid out."""
    if not links:
        return own
    trees = [own.tree, *(f"{name}\0{found.tree if found else links[name]}" for name, found in inner.items())]
    missing = [name for name, found in inner.items() if found is None]
    missing += [f"{name}/{deeper}" for name, found in inner.items() if found for deeper in found.missing]
    pointers = [f"{name}/{file}" for name, found in inner.items() if found for file in found.pointers]
    return _LaidOut(
        hashlib.sha256("\n".join(trees).encode("utf-8", "surrogateescape")).hexdigest(),
        own.changed + sum(found.changed for found in inner.values() if found),
        tuple(missing),
        (*own.pointers, *pointers),
    )
