"""What is kept between runs, whatever home there is."""

import os
from pathlib import Path

import pytest

from bench.machine import cache
from suites.errors import DlhwError


@pytest.fixture
def shell(monkeypatch, tmp_path):
    """Sets the variables that say where things are kept; temporary files go to a folder of the test's."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path))
    return monkeypatch


@pytest.fixture
def homeless(shell):
    def home():
        raise RuntimeError("Could not determine home directory.")

    shell.setattr(Path, "home", home)
    return shell


def test_it_is_kept_where_it_was_asked_for(shell, tmp_path):
    shell.setenv("XDG_CACHE_HOME", str(tmp_path / "my cache"))
    assert cache.read("a") is None
    assert not cache.there("a")
    assert cache.write("a", [1]) == tmp_path / "my cache" / "dlhw" / "a.json"
    assert cache.read("a") == [1]
    assert cache.there("a")


def test_without_a_home_it_is_kept_among_temporary_files_for_this_user_alone(homeless, tmp_path):
    assert cache.read("a") is None
    path = cache.write("a", {"b": 2})
    assert path == tmp_path / f"dlhw-cache-{os.getuid()}" / "dlhw" / "a.json"
    assert cache.read("a") == {"b": 2}
    assert (tmp_path / f"dlhw-cache-{os.getuid()}").stat().st_mode & 0o777 == 0o700


def test_what_somebody_else_has_put_there_is_not_taken(homeless, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / f"dlhw-cache-{os.getuid()}").symlink_to(tmp_path / "theirs")
    with pytest.raises(DlhwError, match="belongs to somebody else"):
        cache.read("a")


def test_a_home_that_is_no_folder_has_nothing_and_takes_nothing(shell, tmp_path):
    (tmp_path / "home").write_text("")
    shell.setenv("HOME", str(tmp_path / "home"))
    assert cache.read("a") is None
    assert not cache.there("a")
    with pytest.raises(DlhwError, match="Not a directory"):
        cache.write("a", 1)


@pytest.mark.skipif(os.getuid() == 0, reason="nothing is forbidden to root")
def test_a_home_that_is_anothers_has_nothing(shell, tmp_path):
    (tmp_path / ".cache" / "dlhw").mkdir(parents=True)
    (tmp_path / ".cache").chmod(0)
    shell.setenv("HOME", str(tmp_path))
    try:
        assert cache.read("a") is None
    finally:
        (tmp_path / ".cache").chmod(0o700)


def test_a_damaged_file_is_told(shell, tmp_path):
    shell.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache.write("a", 1).write_text("{")
    with pytest.raises(DlhwError, match=r"a\.json: damaged; delete it"):
        cache.read("a")
