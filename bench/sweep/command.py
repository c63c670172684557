"""How `dlhw run` calls pytest: by a configuration of its own, in whatever project and shell it is called."""

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from bench.controller import variables
from bench.machine import cache

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = ROOT / "bench" / "sweep" / "run.ini"
PYTESTS = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DEBUG", "PYTEST_THEME", "PYTEST_THEME_MODE")
"""Variables that steer pytest. Those of xdist are left: in a worker of its, nothing can be measured."""

PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):\S*@|(?<=password=)[^&\s]*")
"""In a URL. Up to the last @: a password may hold one, or a /, that nobody has encoded."""


def run(arguments: Sequence[str]) -> NoReturn:
    """Become pytest, measuring as `arguments` say; what of the shell's variables is set aside is told once.

    Raises:
        DlhwError: there is no place for temporary files, which pytest needs as well.
    """
    cache.temporary_folder()
    names = set_aside(os.environ)
    if names:
        print(f"dlhw: set aside for this run: {', '.join(names)}", file=sys.stderr)
    environment = {name: value for name, value in os.environ.items() if name not in names}
    command = [sys.executable, "-P", "-m", "pytest", *options(Path.cwd()), *for_pytest(arguments)]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, command, environment)  # noqa: S606 - our own interpreter


def to_store(files: Sequence[Path], store: str) -> bool:
    """Put results into a store, in a process of its own: what becomes of it there is no matter of the measuring's.

    The store goes by the environment, which others do not see, as a command line they do. Whether they are in.
    """
    add = [sys.executable, "-P", str(ROOT / "dlhw.py"), "history", "add", *(str(path.resolve()) for path in files)]
    added = subprocess.run(add, env={**os.environ, "DLHW_STORE": store}, stdin=subprocess.DEVNULL, check=False)
    return added.returncode == 0


def set_aside(environment: Mapping[str, str]) -> list[str]:
    """Names of the variables that neither pytest nor the measuring process is given."""
    return sorted({name for name in PYTESTS if environment.get(name)} | {*variables.set_aside(environment)})


def options(folder: Path) -> list[str]:
    """What stands before a person's own arguments, who works in `folder`."""
    return [
        "-c", str(CONFIGURATION), "--rootdir", str(ROOT), "-o", f"cache_dir={folder / '.pytest_cache'}",
        "--disable-plugin-autoload", "-p", "pytest_benchmark.plugin", "-p", "bench.sweep.plugin", str(ROOT / "bench"),
    ]  # fmt: skip


def for_pytest(arguments: Sequence[str]) -> list[str]:
    """`-o FILE`, by which all commands write their results, in pytest's words, whose own `-o` is followed by a=b."""
    words = list(arguments)
    for place, (word, value) in enumerate(itertools.pairwise(words)):
        if word == "-o" and "=" not in value and not value.startswith("-"):
            words[place] = "--benchmark-json"
    return words


def typed(arguments: Sequence[object], folder: Path) -> tuple[str, list[str]]:
    """(the command that a person typed, its arguments), by those that pytest was called with in `folder`.

    A password in them is out of sight: they are shown, and written into the results.
    """
    words = [without_password(str(word)) for word in arguments]
    ours = options(folder)
    return ("dlhw run", words[len(ours) :]) if words[: len(ours)] == ours else ("pytest", words)


def without_password(text: str) -> str:
    """`text` with the passwords of the URLs in it replaced by ***."""
    return PASSWORD.sub(lambda found: "***" if found[1] is None else f"{found[1]}:***@", text)
