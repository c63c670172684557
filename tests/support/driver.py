"""Driver libraries for the real pynvml: `driver.c`, compiled as its loader wants it, and those made in Python."""

import contextlib
import subprocess

import pynvml

from bench.machine import nvml
from tests.support.runner import ROOT

NAME = "libnvidia-ml.so.1"


def compiled(folder, compiler):
    """The folder with the library."""
    source = ROOT / "tests" / "support" / "driver.c"
    command = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{NAME}", "-o", str(folder / NAME), str(source)]
    subprocess.run(command, check=True)
    return folder


@contextlib.contextmanager
def loaded(library):
    """`library` as pynvml's own, which has a function `_nvml...` for each of the real one."""
    before = pynvml.nvmlLib
    _load(library)
    try:
        yield library
    finally:
        _load(before)


def _load(library):
    pynvml.nvmlLib = library
    pynvml._nvmlGetFunctionPointer_cache.clear()
    nvml.initialised.cache_clear()
