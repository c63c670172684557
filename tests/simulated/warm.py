"""Code in processes that are forked from one that has imported torch, and has no simulated device yet."""

import multiprocessing
import os
import sys
import tempfile

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["torch", "torch._dynamo"])  # seconds each; a dispatch mode imports the second


def run(code, environment, folder):
    """Exit code of a process that registers its devices and then runs `code`, and what it prints; None: no end."""
    process = CONTEXT.Process(target=_serve, args=(code, environment, folder))
    process.start()
    process.join(300)
    process.kill()
    return process.exitcode, (folder / "output").read_text()


def _serve(code, environment, folder):
    tempfile.tempdir = str(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = environment["PYTHONPATH"].split(os.pathsep)
    output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(output, stream)
    from tests.simulated import device

    device.register()
    exec(compile(code, "<facts>", "exec"), {"__name__": "__main__"})
