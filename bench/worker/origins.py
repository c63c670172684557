"""Where the names of a person's own nets lead. Asked in a process of its own: a module may do anything at import."""

import importlib
import traceback
from collections.abc import Sequence
from pathlib import Path

from suites.architectures import find, module_of
from suites.errors import DlhwError

OURS = frozenset({"bench", "suites", "reports"})


def trace(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """What is wrong with nets of one module: `unknown`, why a name leads nowhere, and `broken`, why nobody can tell.

    A name that leads nowhere is a mistake in a suite; a module that does not come to an end when it is imported is one
    in the net.
    """
    module = module_of(names[0])
    try:
        importlib.import_module(module)
    except SystemExit as end:
        return {"unknown": {}, "broken": dict.fromkeys(names, f"{module} {_exit(end)}")}
    except ModuleNotFoundError as error:
        if _leads_nowhere(module, error):
            return {
                "unknown": {name: f"architecture {name!r}: {_missing(module, error)}" for name in names},
                "broken": {},
            }
        return {"unknown": {}, "broken": dict.fromkeys(names, told(error))}
    except BaseException as error:  # noqa: BLE001 - a person's own module may raise anything
        traceback.print_exc()
        return {"unknown": {}, "broken": dict.fromkeys(names, told(error))}
    return {"unknown": {name: reason for name in names if (reason := _problem(name))}, "broken": {}}


def told(error: BaseException) -> str:
    """An exception in a line, with the place in the person's code that it came from."""
    text = next(iter(str(error).strip().splitlines()), "")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_theirs(frame.filename)]
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text}{where}" if text else f"{type(error).__name__}{where}"


def _is_theirs(filename: str) -> bool:
    return not filename.startswith("<frozen") and Path(filename) not in {Path(__file__), Path(importlib.__file__)}


def _exit(end: SystemExit) -> str:
    """As the interpreter has it: None is 0, a number itself, and words are told and are 1."""
    code = int(end.code) if isinstance(end.code, int) else 0 if end.code is None else 1
    words = "" if isinstance(end.code, int | None) else f": {end.code}"
    return f"exits when it is imported; exit code {code}{words}"


def _leads_nowhere(module: str, error: ModuleNotFoundError) -> bool:
    """Whether it is the module itself that is missing, or a package around it, and not one that it imports."""
    return error.name is not None and f"{module}.".startswith(f"{error.name}.")


def _missing(module: str, error: ModuleNotFoundError) -> str:
    package = module.partition(".")[0]
    if package in OURS:
        return f"{package} is a package of dlhw's own, which has no such module: give yours another name"
    return str(error)


def _problem(name: str) -> str:
    try:
        find(name)
    except DlhwError as error:
        return str(error)
    return ""


def source(module: str) -> str:
    """The file that a module, which is imported where it is not, came from: it says what is measured."""
    return str(Path(importlib.import_module(module).__file__ or "").resolve())
