"""Where torch.compile keeps what it has compiled: a folder of each measuring process's own."""

import base64
import contextlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.machine import cache
from suites.errors import DlhwError


def warm(folder: Path, version: str, compile_something: Callable[[], object]) -> None:
    """Fill `folder` with what a machine's first compilation makes once, such as probes of instruction sets.

    It is kept for later runs. Inductor names its files by what they are made of (compiler, flags, source): of what was
    kept it takes what still holds, and makes the rest.

    Args:
        version: of torch.
        compile_something: compiles in `folder`.
    """
    kept = _kept(version)
    for name, content in kept.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    compile_something()
    made = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    if made.keys() - kept.keys():
        packed = {name: base64.b64encode(content).decode() for name, content in {**kept, **made}.items()}
        with contextlib.suppress(DlhwError):  # a home that cannot be written to costs the next run seconds, no more
            cache.write(cache.compiler(version), packed)


def separate_cache(compiler_cache: str | None, number: int = 0) -> None:
    """Give this process a copy of `compiler_cache` for itself.

    No case finds another's kernels, nor what a killed one left half written.
    """
    if compiler_cache is not None:
        own = f"{compiler_cache}-{os.getpid()}-{number}"
        shutil.copytree(compiler_cache, own, dirs_exist_ok=True)
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = own


def _kept(version: str) -> Mapping[str, bytes]:
    """Content by path; of one file, for a part of it is worse than nothing: a probe cut short says "not supported"."""
    try:
        packed = cache.read(cache.compiler(version)) or {}
        return {name: base64.b64decode(content, validate=True) for name, content in packed.items()}
    except (DlhwError, AttributeError, TypeError, ValueError):  # damaged, and soon written anew
        return {}
