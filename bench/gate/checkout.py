"""Two states of a git repository in folders of their own: a commit, and the working copy as it is now.

Neither is taken from where a person works: what is edited while the gate measures changes nothing, and both lie on
paths of equal length. Nothing is written into the repository, not even an index or an object.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from suites.errors import DlhwError, NoBaseError


@dataclass(frozen=True)
class Snapshot:
    """One state of a repository.

    Attributes:
        folder: where its files lie.
        tree: git's id of their content.
        label: for people: the commit and its subject, or what of the working copy is not committed.
    """

    folder: Path
    tree: str
    label: str


def repository(folder: Path) -> Path:
    """The top folder of the repository that `folder` is in.

    Raises:
        DlhwError: there is none, or no git.
    """
    return Path(_git(folder, "rev-parse", "--show-toplevel", problem=f"--base: {folder} is in no git repository"))


def commit_of(top: Path, ref: str) -> str:
    """The id of the commit that `ref` names; of `REF...` the one where REF and HEAD parted: their merge base.

    Raises:
        NoBaseError: there is no such commit here.
    """
    hint = ""
    if _git(top, "rev-parse", "--is-shallow-repository") == "true":
        hint = "; this clone is shallow: fetch its history (git fetch --unshallow; actions/checkout: fetch-depth: 0)"
    try:
        if not ref.endswith("..."):
            return _git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        return _git(top, "merge-base", "--end-of-options", ref.removesuffix("..."), "HEAD")
    except DlhwError as error:
        raise NoBaseError(f"--base {ref}: no such commit in {top}{hint}") from error


def of_commit(top: Path, commit: str, folder: Path) -> Snapshot:
    """Lay a commit out in `folder`."""
    index = {"GIT_INDEX_FILE": str(folder.with_suffix(".index"))}
    _git(top, "read-tree", commit, variables=index)
    _lay_out(top, folder, index)
    tree = _git(top, "rev-parse", f"{commit}^{{tree}}")
    return Snapshot(folder, tree, _git(top, "log", "-1", "--format=%h %s", commit))


def of_working_copy(top: Path, folder: Path, without: Sequence[Path] = ()) -> Snapshot:
    """Lay the working copy out in `folder`: what git tracks, with its changes, and what it does not ignore.

    Args:
        without: files that are no part of it, such as our own journal.
    """
    objects = folder.with_suffix(".objects")
    objects.mkdir()
    variables = {
        "GIT_INDEX_FILE": str(folder.with_suffix(".index")),
        "GIT_OBJECT_DIRECTORY": str(objects),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str((top / _git(top, "rev-parse", "--git-path", "objects")).resolve()),
    }
    known = top / _git(top, "rev-parse", "--git-path", "index")
    if known.exists():
        shutil.copyfile(known, variables["GIT_INDEX_FILE"])
    own = [path.resolve().relative_to(top).as_posix() for path in without if path.resolve().is_relative_to(top)]
    _git(top, "add", "--all", "--", ".", *(f":(exclude,top,literal){name}" for name in own), variables=variables)
    tree = _git(top, "write-tree", variables=variables)
    _lay_out(top, folder, variables)
    changed = _git(top, "diff", "--name-only", "HEAD", tree, variables=variables).splitlines()
    commit = _git(top, "log", "-1", "--format=%h %s")
    dirty = f", with {len(changed)} files changed since" if changed else ""
    return Snapshot(folder, tree, f"{commit}{dirty}")


def _lay_out(top: Path, folder: Path, variables: dict[str, str]) -> None:
    folder.mkdir()
    _git(top, "checkout-index", "--all", "--force", f"--prefix={folder}/", variables=variables)


def _git(top: Path, *arguments: str, variables: dict[str, str] | None = None, problem: str = "") -> str:
    """What git says.

    Raises:
        DlhwError: it fails; with `problem` where that is given, else with its own words.
    """
    try:
        done = subprocess.run(  # git is found as the shell finds it
            ["git", "-C", str(top), *arguments],  # noqa: S607
            env={**os.environ, **(variables or {})}, text=True, capture_output=True, check=False,
        )  # fmt: skip
    except OSError as error:
        raise DlhwError(f"git cannot be run: {error.strerror}") from error
    if done.returncode:
        raise DlhwError(problem or f"git {arguments[0]} in {top}: {done.stderr.strip() or done.returncode}")
    return done.stdout.strip()
