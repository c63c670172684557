"""What goes into a store, on SQLite and PostgreSQL alike: once, whole, in the right schema, without passwords."""

import json

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

from reports.history import adding, intake, looking, schema, upkeep
from reports.history import store as stores
from reports.history.store import StoreError, open_store
from suites.errors import DlhwError
from tests.support.nights import CASES, DAY, FIRST, LATER, TIMES, night, put, smaller, write
from tests.support.runner import ROOT


def count(store, table):
    with store.reading() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar()


def rows(store, table):
    with store.reading() as connection:
        return [dict(row) for row in connection.execute(sa.select(table)).mappings()]


def test_a_night_is_there_as_it_was_measured(store, tmp_path):
    (added,) = put(store, tmp_path, night(0))
    assert (added.run, added.machine, added.known) == (1, "box", 0)
    (run,) = rows(store, schema.run)
    assert (run["at"], run["branch"], run["suite"], run["dirty"]) == (FIRST, "main", "mini", False)
    found = [row for row in rows(store, schema.result) if row["metric"] == "seconds"]
    expected = intake.read(tmp_path / "results.json", LATER)[0].rows
    by_case = {row.case: row for row in expected if row.metric == "seconds"}
    names = {row["id"]: row["name"] for row in rows(store, schema.case)}
    for row in found:
        own = by_case[names[row["case_id"]]]
        assert (row["value"], row["between"], row["launches"]) == (own.value, own.between, 3)
        assert intake.unpacked(row["seconds"]) == pytest.approx(intake.unpacked(own.seconds), rel=0)


def test_a_run_is_there_once_however_often_it_is_given(store, tmp_path):
    put(store, tmp_path, night(0))
    before = count(store, schema.result)
    (again,) = put(store, tmp_path, night(0))
    assert (again.run, again.known) == (None, len(CASES))
    assert (count(store, schema.run), count(store, schema.result)) == (1, before)


def test_a_run_that_went_on_brings_only_what_is_new(store, tmp_path):
    put(store, tmp_path, smaller(night(0), 3))
    (whole,) = put(store, tmp_path, night(0))
    assert whole.known == 3
    found = [row for row in rows(store, schema.result) if row["metric"] == "seconds"]
    assert len(found) == len(CASES)


def test_a_journal_and_the_results_made_of_the_same_run_are_one(file_store):
    old = ROOT / "tests/data/before_rooms"
    for name, new in (("sweep.json", True), ("sweep.jsonl", False)):
        (added,) = adding.put(file_store, intake.read(old / name, LATER), LATER)
        assert (added.run is not None) is new


def test_the_same_commit_on_two_machines_is_two_runs_of_two_series(store, tmp_path):
    put(store, tmp_path, night(0), night(0, node="other", seed=1))
    assert count(store, schema.run) == 2
    with store.reading() as connection:
        found = [looking.history(connection, own) for own in looking.machine_ids(connection, None)]
    assert [(own.machine, len(own.runs)) for own in found] == [("box", 1), ("other", 1)]


def test_what_changes_on_a_machine_is_an_environment(store, tmp_path):
    put(store, tmp_path, night(0), night(1), night(2, torch="2.12.0"), night(3, kernel="6.2", torch="2.12.0"))
    assert [count(store, table) for table in (schema.machine, schema.environment)] == [1, 3]


def test_a_case_that_was_not_measured_is_a_row_with_a_reason(store, tmp_path):
    put(store, tmp_path, night(0, {**TIMES, CASES[0]: None}))
    (row,) = [row for row in rows(store, schema.result) if row["value"] is None]
    assert row["reason"] == "crashed: killed by SIGKILL"


def test_nothing_of_a_run_is_there_when_a_part_of_it_fails(store, tmp_path, monkeypatch):
    runs = intake.read(write(tmp_path, night(0)), LATER)
    monkeypatch.setattr(adding, "_cases", lambda connection, axes: dict.fromkeys(axes, 10**6))  # no such case
    with pytest.raises(StoreError, match=r"(?i)foreign key"):
        adding.put(store, runs, LATER)
    assert [count(store, table) for table in schema.tables.sorted_tables] == [0] * 6


def test_the_migrations_make_the_tables_that_the_code_has(store):
    with store.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.tables) == []


def test_a_store_of_an_earlier_schema_is_brought_forward_with_what_is_in_it(url, tmp_path):
    engine = stores._engine(stores.url_of(url))
    settings = Config()
    settings.set_main_option("script_location", str(stores.MIGRATIONS))
    with stores._alone(engine) as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0001")
    assert not sa.inspect(engine).has_table("finding")
    early = stores.Store(engine, "early")
    put(early, tmp_path, night(0))
    assert count(open_store(url), schema.finding) == 0
    assert count(open_store(url), schema.run) == 1


def test_a_store_of_a_later_schema_is_refused(url, store):
    with store.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"of a later dlhw \(schema 9999; this one knows 0002\)"):
        open_store(url)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("postgresql://me:se/cr@et@127.0.0.1:1/x", "an @ behind the host"),
        ("postgresql://me:secret@127.0.0.1:1/x", "postgresql://me:***@127.0.0.1:1/x"),
        ("postgresql://me@127.0.0.1:1/x?password=secret", "postgresql://me@127.0.0.1:1/x: "),
        ("mysql://me:secret@127.0.0.1/x", "a store is a file, sqlite:///FILE or postgresql://"),
        ("postgresql://me:secret@127.0.0.1:port/x", "no URL"),
    ],
)
def test_no_password_is_ever_said(given, said):
    with pytest.raises(DlhwError) as error:
        open_store(given)
    assert said in str(error.value)
    for part in ("secret", "se/cr", "cr@et"):
        assert part not in str(error.value)


def test_no_password_of_a_command_line_gets_in(file_store, tmp_path):
    data = night(0)
    data["dlhw"]["arguments"] = ["bench", "--store=postgresql://me:secret@host/x"]
    put(file_store, tmp_path, data)
    assert json.loads(rows(file_store, schema.run)[0]["arguments"])[1] == "--store=postgresql://me:***@host/x"
    assert b"secret" not in (tmp_path / "history.db").read_bytes()


@pytest.mark.parametrize(
    ("measured", "committed", "at", "note"),
    [
        (FIRST, FIRST - 60, FIRST, ""),
        (0.0, FIRST, FIRST, "its clock was behind its own commit"),
        (LATER + DAY, FIRST, LATER, "its clock was ahead of the store's"),
        (None, FIRST, LATER, "the file does not say when"),
        (FIRST, LATER + DAY, FIRST, ""),  # then it is the commit whose time is wrong
        (FIRST, None, FIRST, ""),
    ],
)
def test_a_clock_that_is_wrong_shows(measured, committed, at, note):
    found, said = intake.moment(measured, committed, LATER)
    assert found == at
    assert said.startswith(note)
    assert bool(said) is bool(note)


def test_a_clock_that_went_backwards_does_not_put_a_run_before_its_commit(file_store, tmp_path):
    put(file_store, tmp_path, night(0), night(1), night(2, at=86400.0), night(3))
    with file_store.reading() as connection:
        found = looking.history(connection, (1, "box"))
    assert [run.id for run in found.runs] == [1, 2, 3, 4]
    assert found.runs[2].note.startswith("its clock was behind")


def test_runs_of_another_branch_are_no_part_of_a_series(store, tmp_path):
    nights = [night(0), night(1), night(2, branch="faster"), night(3, branch=None)]
    put(store, tmp_path, *nights)
    with store.reading() as connection:
        chosen = {name: looking.history(connection, (1, "box"), branch=name) for name in (None, "faster")}
    assert [run.id for run in chosen[None].runs] == [1, 2, 4]
    assert [run.id for run in chosen["faster"].runs] == [3, 4]


def test_a_backup_is_the_same_store_in_one_file(store, tmp_path):
    put(store, tmp_path, night(0), night(1))
    copied = upkeep.backup(store, tmp_path / "copy.db")
    copy = open_store(str(tmp_path / "copy.db"))
    assert copied == count(store, schema.result)
    for table in schema.tables.sorted_tables:
        assert rows(copy, table) == rows(store, table)
    with pytest.raises(DlhwError, match="something already"):
        upkeep.backup(store, tmp_path / "copy.db")


def test_pruning_takes_the_oldest_with_their_results(store, tmp_path):
    put(store, tmp_path, *map(night, range(5)))
    with store.writing() as connection:
        assert upkeep.prune(connection, keep=3, before=None, samples=False) == 2
    assert [run["id"] for run in rows(store, schema.run)] == [3, 4, 5]
    assert {row["run_id"] for row in rows(store, schema.result)} == {3, 4, 5}
    with store.writing() as connection:
        assert upkeep.prune(connection, keep=None, before=FIRST + 3.5 * DAY, samples=True) == 2
    kept = {row["run_id"] for row in rows(store, schema.result) if row["seconds"]}
    assert kept == {5}
