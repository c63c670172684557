"""Faults, made for real: writers and servers killed, full disks, damaged files; what was there stays, nothing half."""

import json
import os
import signal
import subprocess
import sys

import pytest
import sqlalchemy as sa

from reports.cli import main
from reports.history import adding, intake, schema
from reports.history.store import StoreError, open_store
from tests.support import postgres
from tests.support.nights import LATER, night, put, write
from tests.support.runner import ROOT

WAITS_IN_THE_MIDDLE = """
import sys, time
from pathlib import Path
from reports.history import adding, intake
from reports.history.store import open_store
insert = adding._cases
def slow(connection, axes):
    found = insert(connection, axes)
    print("in the middle", flush=True)
    time.sleep(600)
    return found
adding._cases = slow
adding.put(open_store(sys.argv[1]), intake.read(Path(sys.argv[2]), float(sys.argv[3])), float(sys.argv[3]))
"""
LITTLE_ROOM = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.argv = ["dlhw", *sys.argv[2:]]
from reports.cli import main
main()
"""


def runs_in(url):
    with open_store(url).reading() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(schema.run)).scalar()


def start(program, *arguments):
    return subprocess.Popen(
        [sys.executable, "-P", "-c", program, *map(str, arguments)], env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def dlhw(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["dlhw", "history", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code or 0


def test_a_writer_that_is_killed_leaves_nothing_half(url, store, tmp_path):
    put(store, tmp_path, night(0))
    path = write(tmp_path, night(1))
    writer = start(WAITS_IN_THE_MIDDLE, url, path, LATER)
    assert writer.stdout.readline() == "in the middle\n"
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert runs_in(url) == 1
    assert adding.put(store, intake.read(path, LATER), LATER)[0].results
    assert runs_in(url) == 2


def test_a_server_that_dies_in_the_middle_has_nothing_half_when_it_is_back(tmp_path, monkeypatch):
    if reason := postgres.missing():
        pytest.skip(reason)
    with postgres.server() as server:
        url = server.url()
        store = open_store(url)
        put(store, tmp_path, night(0))
        runs, insert = intake.read(write(tmp_path, night(1)), LATER), adding._cases

        def crashing(connection, axes):
            found = insert(connection, axes)
            server.crash()
            return found

        with monkeypatch.context() as patch:
            patch.setattr(adding, "_cases", crashing)
            with pytest.raises(StoreError, match="the store postgresql://postgres@/dlhw1: "):
                adding.put(store, runs, LATER)
        server.start()
        assert runs_in(url) == 1
        adding.put(store, runs, LATER)
        assert runs_in(url) == 2


def test_eight_writers_at_once_are_all_heard_and_the_same_run_once(url, tmp_path):
    """Into a store that none of them finds: one makes it."""
    program = WAITS_IN_THE_MIDDLE.replace("adding._cases = slow", "").replace(
        "open_store(sys.argv[1])", "open_store(sys.argv[1], create=True)"
    )
    paths = [write(tmp_path, night(number // 2), f"{number}.json") for number in range(8)]
    writers = [start(program, url, path, LATER) for path in paths]
    ends = [(writer.communicate()[1], writer.returncode) for writer in writers]
    assert ends == [("", 0)] * 8
    assert runs_in(url) == 4


def test_a_full_disk_keeps_the_run_and_the_store(tmp_path, monkeypatch):
    url = tmp_path / "history.db"
    put(open_store(str(url), create=True), tmp_path, night(0))
    paths = [write(tmp_path, night(number), f"{number}.json") for number in range(1, 21)]
    full = start(LITTLE_ROOM, url.stat().st_size + 8192, "history", "add", *paths, "--store", url)
    error = full.communicate()[1]
    assert full.returncode == 2
    assert "kept as" in error
    assert "Traceback" not in error
    assert runs_in(str(url)) < 21
    assert dlhw(monkeypatch, "add", write(tmp_path, night(21), "last.json"), "--store", url) == 0
    assert runs_in(str(url)) == 22
    assert not (tmp_path / adding.PENDING).exists()


@pytest.mark.parametrize("damage", ["overwritten", "torn"])
def test_a_damaged_file_is_said_and_the_run_kept(damage, tmp_path, monkeypatch, capsys):
    url = tmp_path / "history.db"
    put(open_store(str(url), create=True), tmp_path, night(0))
    octets = url.read_bytes()
    url.write_bytes(b"no database at all" * 500 if damage == "overwritten" else octets[:4096] + b"\xff" * 40000)
    path = write(tmp_path, night(1))
    assert dlhw(monkeypatch, "add", path, "--store", url) == 2
    error = capsys.readouterr().err
    assert f"{url}: " in error
    assert "the file is damaged: put a backup in its place" in error
    (kept,) = (tmp_path / adding.PENDING).iterdir()
    assert json.loads(kept.read_text()) == json.loads(path.read_text())


def test_a_store_out_of_reach_keeps_the_run_for_the_next_time(tmp_path, monkeypatch, capsys):
    nights = [write(tmp_path, night(number)) for number in range(1)]
    away = "postgresql://me:secret@127.0.0.1:1/x"
    assert dlhw(monkeypatch, "add", *nights, "--store", away) == 2
    write(tmp_path, night(1))  # the next night has the same name
    assert dlhw(monkeypatch, "add", *nights, "--store", tmp_path / "history.db") == 0
    assert runs_in(str(tmp_path / "history.db")) == 2
    assert "secret" not in "".join(capsys.readouterr())


HOSTILE = "</script><img src=x onerror=alert(1)>|`x`\n::error::x"


def test_hostile_words_of_a_result_break_no_output(file_store, tmp_path, monkeypatch, capsys):
    """A commit, a branch and a machine whose names are markup."""
    for number in range(12):
        put(file_store, tmp_path, night(number, id=HOSTILE, branch=HOSTILE, node=HOSTILE, project=HOSTILE))
    url = tmp_path / "history.db"
    assert dlhw(monkeypatch, "check", "--store", url, "--markdown", "-", "--github") == 0
    assert dlhw(monkeypatch, "runs", "--store", url) == 0
    assert "<img" not in capsys.readouterr().out.partition("id\t")[0]
