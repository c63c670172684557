"""What is kept from one run to the next, by machine: JSON files in the user's cache. Standard library only."""

import json
import os
from pathlib import Path
from typing import Any

from suites.errors import DlhwError


def path_of(name: str) -> Path:
    """The file that keeps `name`."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "dlhw" / f"{name}.json"


def read(name: str) -> Any:
    """What is kept; None where nothing is.

    Raises:
        DlhwError: the file is there, but cannot be read, or is damaged.
    """
    path = path_of(name)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DlhwError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise damaged(name) from error


def damaged(name: str) -> DlhwError:
    """What to say of a file whose content is not what it should be."""
    return DlhwError(f"{path_of(name)}: damaged; delete it, and measure again")


def write(name: str, data: Any) -> Path:
    """Keep `data`; the file is whole at any time.

    Raises:
        DlhwError: it cannot be written.
    """
    path = path_of(name)
    new = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps(data, indent=1), encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise DlhwError(f"{path}: {error.strerror}") from error
    return path
