"""What is made once and read by many tests, also by those of other processes that run tests beside this one."""

import fcntl
import json


def folder_of_all(tmp_path_factory):
    """Of this test run: with pytest-xdist each process has a folder of its own below the one that all share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if base.name.startswith("popen-") else base


def once(folder, name, make):
    """What `make(folder / name)` returns, as JSON gives it back.

    Made by whichever process asks first, and awaited by the others; `folder` is theirs all.
    """
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = folder / f"{name}.json"
        if not kept.exists():
            (folder / name).mkdir()
            kept.write_text(json.dumps(make(folder / name)))
        return json.loads(kept.read_text())
