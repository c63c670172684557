"""The driver library of `driver.c`, compiled as the real loader wants it."""

import subprocess

from tests.support.runner import ROOT

NAME = "libnvidia-ml.so.1"


def compiled(folder, compiler):
    """The folder with the library."""
    source = ROOT / "tests" / "support" / "driver.c"
    command = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{NAME}", "-o", str(folder / NAME), str(source)]
    subprocess.run(command, check=True)
    return folder
