"""What is made once and read by many tests, also by those of other processes that run tests beside this one."""

import fcntl
import json


def once(tmp_path_factory, name, make):
    """What `make(folder)` returns, as JSON gives it back; made by whichever process asks first, awaited by the others.

    With pytest-xdist each process has a folder of its own below the one that all share.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = shared / f"{name}.json"
        if not kept.exists():
            folder = shared / name
            folder.mkdir()
            kept.write_text(json.dumps(make(folder)))
        return json.loads(kept.read_text())
