"""What is kept from one run to the next, by machine: JSON files in the user's cache. Standard library only."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from suites.errors import DlhwError


def path_of(name: str) -> Path:
    """The file that keeps `name`: where XDG_CACHE_HOME says, else at home, else among temporary files.

    Raises:
        DlhwError: there is no folder for temporary files either, or somebody else has ours.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    if not base:
        try:
            base = str(Path.home() / ".cache")
        except RuntimeError:  # no HOME, and a user whom the system does not know
            base = str(_private(temporary_folder() / f"dlhw-cache-{os.getuid()}"))
    return Path(base) / "dlhw" / f"{name}.json"


def compiler(version: str) -> str:
    """The name of what the first compilation by torch `version` makes (`bench/worker/compiler_cache.py`)."""
    return f"compiler/torch-{version}"


def temporary_folder() -> Path:
    """Where temporary files go.

    Raises:
        DlhwError: there is no place for them.
    """
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise DlhwError("no folder for temporary files can be written to: name one in TMPDIR") from error


def _private(folder: Path) -> Path:
    """A folder in a place that others write to: theirs is not taken for ours.

    Raises:
        DlhwError: it is another's, or cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = folder.lstat().st_uid
    except OSError as error:
        raise DlhwError(f"{folder}: {error.strerror}") from error
    if owner != os.getuid() or folder.is_symlink():
        raise DlhwError(f"{folder}: belongs to somebody else; name a folder of your own in XDG_CACHE_HOME")
    return folder


def read(name: str) -> Any:
    """What is kept; None where nothing is.

    Raises:
        DlhwError: the file is there, but cannot be read, or is damaged.
    """
    path = path_of(name)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if isinstance(error, PermissionError) and not os.access(path.parent, os.X_OK):
            return None  # a home that is another's, as after `su`
        raise DlhwError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise damaged(name) from error


def there(name: str) -> bool:
    """Whether something that can be read is kept by this name.

    Raises:
        DlhwError: there is no place where anything could be kept.
    """
    return os.access(path_of(name), os.R_OK)  # of a folder that is another's, too, where Path.exists would raise


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
