"""Who is compared: two commits, the second of them a working copy, or two interpreters."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.controller.process import ROOT
from bench.gate import checkout
from suites import suite
from suites.architectures import TORCHVISION, module_of
from suites.cases import AnyCase
from suites.errors import DlhwError, NoBaseError
from suites.micro import Micro
from suites.suite import Suite


@dataclass(frozen=True, kw_only=True)
class Side:
    """What one side runs.

    Attributes:
        root: the folder whose `bench` and `suites` it imports.
        folder: its working folder, where a person's own nets lie.
        tree: identifies the checkout's content; empty where it is none.
        proves: whether own nets have to come from `folder`, as they do where it is a checkout.
        top: of the repository that it is a checkout of.
        missing, pointers: submodules that are not in the checkout; files of which it has only Git LFS's pointers.
    """

    name: str
    python: str
    root: Path
    folder: Path
    label: str
    tree: str = ""
    proves: bool = False
    top: Path | None = None
    missing: tuple[str, ...] = ()
    pointers: tuple[str, ...] = ()

    @property
    def lacks(self) -> tuple[str, ...]:
        """What a net may not be found for, a line each; empty where the checkout is whole."""
        lines = []
        if self.missing:
            names = f"submodule{'s' if len(self.missing) > 1 else ''} {', '.join(self.missing)}"
            lines += [f"{self.name}: without {names}, not in this clone (git submodule update --init --recursive)"]
        if self.pointers:
            names = f"{len(self.pointers)} files, {self.pointers[0]} for one"
            lines += [
                f"{self.name}: Git LFS has left its pointers in the place of {names} (git lfs install; git lfs pull)"
            ]
        return tuple(lines)

    def problem(self, case: AnyCase, source: str) -> str:
        """Why a case that came from the file `source` is not this side's code; empty where it is."""
        if isinstance(case, Micro) or (module := module_of(case.architecture)).startswith("suites."):
            module, place = "dlhw", self.root
        elif case.architecture.startswith(TORCHVISION) or not self.proves:
            return ""
        else:
            place = self.folder
        if Path(source).is_relative_to(_resolved(place)):
            return ""
        return f"{self.name}: {module} was imported from {source}, which is not in {place}: what would be measured?"


@cache
def _resolved(place: Path) -> Path:
    """Of a checkout, which stays where it is while it is measured: asked of each case of each process."""
    return place.resolve()


def of_commits(folder: Path, ref: str, scratch: Path, python: str, without: Sequence[Path] = ()) -> tuple[Side, Side]:
    """Base is the commit `ref`, head the working copy that `folder` is in.

    Args:
        scratch: a folder for both checkouts.
        without: files that are no part of the working copy.

    Raises:
        NoBaseError: there is no such commit here.
        DlhwError: there is no repository.
    """
    top = checkout.repository(folder)
    commit = checkout.commit_of(top, ref)
    found = (
        checkout.of_commit(top, commit, scratch / "base"),
        checkout.of_working_copy(top, scratch / "head", without),
    )
    sides = []
    for name, each in zip(("base", "head"), found, strict=True):
        root = each.folder if is_dlhw(each.folder) else own_code(scratch / "code")
        sides.append(
            Side(
                name=name, python=python, root=root, folder=each.folder, label=each.label, tree=each.tree, proves=True,
                top=top, missing=each.missing, pointers=each.pointers,
            )
        )  # fmt: skip
    return sides[0], sides[1]


def of_interpreters(base: str, head: str, folder: Path, scratch: Path) -> tuple[Side, Side]:
    """Both run the same code, by interpreters that have other versions of torch, or of anything else.

    Raises:
        NoBaseError, DlhwError: base, or head, is no interpreter.
    """
    if not _is_python(base):
        raise NoBaseError(f"--base-python {base}: no Python interpreter")
    if not _is_python(head):
        raise DlhwError(f"--head-python {head}: no Python interpreter")
    root = own_code(scratch / "code")
    sides = [
        Side(name=name, python=python, root=root, folder=folder, label=python)
        for name, python in (("base", base), ("head", head))
    ]
    return sides[0], sides[1]


def suite_of(side: Side, name: str, axes: Sequence[str]) -> Suite | None:
    """The suite as the side's checkout has it; None where it has none of that name.

    Raises:
        DlhwError: it has mistakes.
    """
    place = name
    if side.top is not None:
        given = Path(name).resolve()
        if not _is_file(name) and is_dlhw(side.folder):
            place = str(side.folder / "suites" / f"{name}.toml")
        elif _is_file(name) and given.is_relative_to(side.top):
            place = str(side.folder / given.relative_to(side.top))
        if place != name and not Path(place).exists():
            return None
    return suite.load(place, axes)


def _is_file(name: str) -> bool:
    return name.endswith(".toml") or "/" in name


def _is_python(path: str) -> bool:
    try:
        return subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def is_dlhw(folder: Path) -> bool:
    """Whether a checkout is one of dlhw itself, whose own code is then what the gate compares."""
    return (
        any((folder / "bench" / door).exists() for door in ("worker.py", "worker/__main__.py"))
        and (folder / "suites" / "case.py").exists()
    )


def own_code(scratch: Path) -> Path:
    """A folder with `bench` and `suites` and nothing else: beside other packages they would bring these along."""
    if not (ROOT / "torch").exists():
        return ROOT
    for package in ("bench", "suites"):
        shutil.copytree(ROOT / package, scratch / package, dirs_exist_ok=True)
    return scratch
