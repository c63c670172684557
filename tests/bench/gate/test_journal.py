"""The gate's journal: what is taken over, what is refused, and what a kill leaves."""

from pathlib import Path

import pytest

from bench.gate.journal import GateJournal, read
from suites.errors import DlhwError
from tests.support.entries import ENTRY

KEY = {"trees": ["a", "b"], "pairs": 6}


def written(path, *entries, key=KEY):
    with GateJournal(path, key, resume=False) as journal:
        journal.begin({"plan": {"pairs": 6}, "seed": 5})
        for entry in entries:
            journal.append(entry)
    return path


def test_a_run_is_gone_on_with(tmp_path):
    path = written(tmp_path / "j", ENTRY)
    with GateJournal(path, KEY, resume=True) as journal:
        assert (journal.taken["seed"], journal.entries) == (5, [ENTRY])
        journal.append(ENTRY)
    assert read(path)[1] == [ENTRY, ENTRY]


def test_a_line_that_a_kill_tore_is_passed_over(tmp_path):
    path = written(tmp_path / "j", ENTRY, ENTRY)
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    assert read(path)[1] == [ENTRY]
    with GateJournal(path, KEY, resume=True) as journal:
        journal.append(ENTRY)
    assert read(path)[1] == [ENTRY, ENTRY]


def test_another_run_is_not_gone_on_with(tmp_path):
    path = written(tmp_path / "j", ENTRY)
    with pytest.raises(DlhwError, match="holds another run: trees differ; start anew without --resume"):
        GateJournal(path, KEY | {"trees": ["a", "c"]}, resume=True)
    assert read(path)[1] == [ENTRY]


def test_a_new_run_keeps_the_old_one_beside(tmp_path):
    path = written(written(tmp_path / "j", ENTRY))
    assert read(path)[1] == []
    assert read(tmp_path / "j.old")[1] == [ENTRY]


@pytest.mark.parametrize("content", [b"", b"{}\n", b"\xff\n", b'{"kind": "header", "schema": 1}\n', None])
def test_what_is_no_journal_is_told(tmp_path, content):
    path = tmp_path / "j"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DlhwError, match=str(path)):
        GateJournal(path, KEY, resume=True)


def test_a_full_disk_is_told():
    with pytest.raises(DlhwError, match=r"the journal /dev/full cannot be written: No space left on device"):
        written(Path("/dev/full"), ENTRY)
