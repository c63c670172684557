"""Faults, made for real: writers and servers killed, full disks, damaged files; what was there stays, nothing half."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import pytest
import sqlalchemy as sa

from reports.cli import main
from reports.history import adding, intake, schema
from reports.history.store import StoreError, open_store
from tests.support import postgres
from tests.support.nights import CASES, LATER, TIMES, night, put, slower, write
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


def results_in(store):
    with store.reading() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(schema.result)).scalar()


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


def test_a_server_whose_disk_is_full_takes_a_run_whole_or_not_at_all(server, tmp_path):
    """Its files may be of 1.5 MB; the journal of its transactions has pieces of 1 MB."""
    store = open_store(server.url())
    put(store, tmp_path, night(0))
    (large,) = intake.read(write(tmp_path, night(1)), LATER)
    (row, *_) = large.rows
    rows = [replace(row, case=f"c{each}", measurement=each, seconds=os.urandom(512)) for each in range(5000)]
    large = replace(large, rows=rows, cases={row.case: {} for row in rows})
    with server.little_room(3 * 2**19), pytest.raises(StoreError, match=r"could not .* file .*: File too large"):
        adding.put(store, [large], LATER)
    assert results_in(store) == 24
    assert adding.put(store, [large], LATER)[0].results == 5000


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


@pytest.mark.parametrize("word", ["a\0b", "a\ud800b"])
def test_no_word_keeps_a_run_out(word, store, tmp_path):
    """Neither NUL, which PostgreSQL has in no text, nor half a surrogate pair, which is no text."""
    put(store, tmp_path, night(0, branch=word, id=word, node=word, project=word))
    with store.reading() as connection:
        found = connection.execute(sa.select(schema.run.c.branch)).scalar()
    assert (len(found), found[0], found[2]) == (3, "a", "b")


HOSTILE = "</script><img src=x onerror=alert(1)>|`x`\n::error::x\x1b[31m"


def test_hostile_words_of_a_result_break_no_output(file_store, tmp_path, monkeypatch, capsys):
    """A commit, a branch, a machine and a net whose names are markup, line ends and a terminal's commands."""
    case = replace(CASES[0], architecture=HOSTILE)
    times = {case: 0.001, **TIMES}
    for number in range(16):
        own = slower(1.3, case, times=times) if number >= 10 else times
        put(file_store, tmp_path, night(number, own, id=f"{HOSTILE}{number}", branch=HOSTILE, node=HOSTILE))
    url, xml = tmp_path / "history.db", tmp_path / "junit.xml"
    assert dlhw(monkeypatch, "check", "--store", url, "--junit", xml) == 1
    assert dlhw(monkeypatch, "show", "1", "--store", url) == 0
    assert dlhw(monkeypatch, "runs", "--store", url) == 0
    assert dlhw(monkeypatch, "trend", "lenet", "--store", url) == 0
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert not [line for line in said.out.splitlines() if line.startswith("::")]
    (failure,) = ElementTree.parse(xml).getroot().iter("failure")
    assert "+30" in failure.get("message")
    assert dlhw(monkeypatch, "check", "--store", url, "--markdown", "-", "--github") == 1
    told = capsys.readouterr().out
    comment, _, annotations = told.partition("\n::error")
    assert "<img" not in comment[comment.index("## dlhw history") :]
    assert "\n" not in annotations.rstrip("\n").partition("\n::")[0]
