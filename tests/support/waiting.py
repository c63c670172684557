"""Waiting for what another process does."""

import time


def until(find, seconds=300):
    """What `find` finds, once it is true; fails where it does not come."""
    deadline = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < deadline, f"it did not come in {seconds} s"
        time.sleep(0.02)
    return found
