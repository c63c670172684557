"""The plugin's own parts, apart from whole runs."""

import os
import signal

import pytest

from bench.sweep.plugin import uninterrupted


def test_an_interruption_waits_until_what_must_not_be_torn_has_ended():
    before, done = signal.getsignal(signal.SIGINT), []

    def interrupted():
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == ["all of it"]
    assert signal.getsignal(signal.SIGINT) is before


def test_without_an_interruption_nothing_is_raised():
    with uninterrupted():
        pass
