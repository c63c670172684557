"""git as a person runs it in a folder: whatever a hook has exported, and with refusals in words that help."""

import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from suites.errors import DlhwError

REDIRECTING = (
    "GIT_DIR", "GIT_COMMON_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX",
    "GIT_CONFIG", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH", "GIT_NAMESPACE",
    "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE", "GIT_REPLACE_REF_BASE", "GIT_NO_REPLACE_OBJECTS",
    "GIT_INTERNAL_SUPER_PREFIX", "GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS",
    "GIT_ICASE_PATHSPECS",
)  # fmt: skip
"""What git exports to its hooks: by it another repository or index would be read than the one a person stands in.

All else is a person's own, GIT_SSH_COMMAND and GIT_CONFIG_COUNT for instance, and stays.
"""
SETTINGS = {
    "core.hooksPath": os.devnull,  # no hook of a person's is run: writing an index of our own is none of their matters
    "core.fsmonitor": "false",  # would start a daemon
    "core.splitIndex": "false",  # would write a shared index into the repository
    "core.safecrlf": "false",  # would refuse files whose line ends do not survive a round trip
    "submodule.recurse": "false",
    "log.showSignature": "false",
}
OWNER = re.compile(r"dubious ownership in repository at '(.+?)'\n|unsafe repository \('(.+?)' is owned by", re.DOTALL)
"""Since git 2.38, and before."""


class GitError(DlhwError):
    """git failed, in its own words."""


class UnfetchedError(GitError):
    """Objects that a partial clone has left out are needed, and cannot be had."""


def run(top: Path, *arguments: str, variables: Mapping[str, str] | None = None, stdin: str = "") -> str:
    """What git prints, in `top`.

    Raises:
        GitError: it fails.
        DlhwError: there is no git, or it refuses the repository for its owner.
    """
    settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
    try:
        done = subprocess.run(  # git is found as the shell finds it
            ["git", "-C", str(top), *settings, *arguments],  # noqa: S607
            env=_environment(variables or {}), input=stdin, encoding="utf-8", errors="surrogateescape",
            capture_output=True, check=False,
        )  # fmt: skip
    except OSError as error:
        raise DlhwError(f"git cannot be run: {error.strerror}") from error
    if done.returncode:
        raise _failure(top, arguments[0], done.stderr.strip() or str(done.returncode))
    return done.stdout.removesuffix("\n")


def listed(top: Path, *arguments: str, variables: Mapping[str, str] | None = None) -> list[str]:
    """What git prints where it is asked for names that end with NUL, as `-z` does: a name may hold line ends."""
    return [name for name in run(top, *arguments, variables=variables).split("\0") if name]


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Ours, with its messages in English, which `_failure` reads."""
    own = {name: value for name, value in os.environ.items() if name not in REDIRECTING}
    return {**own, "LANGUAGE": "en", **variables}


def _failure(top: Path, command: str, words: str) -> DlhwError:
    if refused := OWNER.search(f"{words}\n"):
        place = shlex.quote(refused[1] or refused[2])
        return DlhwError(
            f"git does not read {place}: it belongs to another user; "
            f"if you trust it: git config --global --add safe.directory {place}"
        )
    if "promisor remote" in words:
        first = words.splitlines()[0]
        return UnfetchedError(f"this clone is partial, and what it has left out cannot be fetched ({first})")
    return GitError(f"git {command} in {top}: {words}")
