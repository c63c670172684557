"""The store: where it is, its schema's version, transactions. SQLite in one file, or PostgreSQL by URL.

Whatever the database says is told with the password out of sight.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from bench.sweep.command import without_password
from suites.errors import DlhwError

VARIABLE = "DLHW_STORE"
WAIT_SECONDS = 60
"""For other writers; SQLite has one at a time."""
CONNECT_SECONDS = 10
LOCK = 0x646C6877
"""PostgreSQL's number of the lock that one writer holds: `dlhw` in ASCII."""
MIGRATIONS = Path(__file__).parent / "migrations"


class StoreError(DlhwError):
    """The store cannot be used just now: what was to go in is kept."""


@dataclass(frozen=True)
class Store:
    """A store whose schema is this dlhw's.

    Attributes:
        label: its URL or path, without the password.
    """

    engine: sa.Engine
    label: str

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that reads.

        Raises:
            StoreError: the database fails.
        """
        with _told(self.label), self.engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that writes, whole or not at all, one at a time.

        Raises:
            StoreError: the database fails.
        """
        with _told(self.label), _alone(self.engine) as connection:
            yield connection


def url_of(given: str | None) -> sa.URL:
    """Where the store is: as `given`, else by DLHW_STORE, else in the user's data folder; a path is a SQLite file.

    Raises:
        DlhwError: it is no URL of a database that dlhw knows.
    """
    text = given or os.environ.get(VARIABLE) or str(default_path())
    if "://" not in text:
        return sa.URL.create("sqlite", database=str(Path(text).expanduser()))
    try:
        found = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise DlhwError(f"--store {without_password(text)}: no URL, as in postgresql://user@host/name") from error
    if "@" in f"{found.host}{found.database}":
        raise DlhwError("--store: an @ behind the host: / @ : # ? in a password are written %2F %40 %3A %23 %3F")
    if found.drivername in {"postgresql", "postgres"}:
        return found.set(drivername="postgresql+psycopg")
    if found.get_backend_name() not in {"sqlite", "postgresql"}:
        raise DlhwError(f"--store {_shown(found)}: a store is a file, sqlite:///FILE or postgresql://...")
    return found


def default_path() -> Path:
    """The file of the user's own store."""
    import platformdirs

    return platformdirs.user_data_path("dlhw") / "history.db"


def open_store(given: str | None, *, create: bool = False) -> Store:
    """Open a store, its schema brought forward to this dlhw's.

    Args:
        create: make it where there is none; a SQLite file only, for databases of PostgreSQL are made by their owner.

    Raises:
        StoreError: it cannot be reached, is damaged, or of a later dlhw.
        DlhwError: there is none, or its URL is wrong.
    """
    url = url_of(given)
    label = str(url.database or "memory") if url.get_backend_name() == "sqlite" else _shown(url)
    _there(url, label, create=create)
    with _told(label):
        engine = _engine(url)
        _bring_forward(engine, label)
    return Store(engine, label)


def _shown(url: sa.URL) -> str:
    """Its user, host and name: a password may stand in its query, too."""
    return url.set(drivername=url.get_backend_name(), query={}).render_as_string()


def _there(url: sa.URL, label: str, *, create: bool) -> None:
    if url.get_backend_name() != "sqlite" or url.database in {None, "", ":memory:"}:
        return
    path = Path(str(url.database))
    if not create and not path.exists():
        raise DlhwError(f"{label}: no store there; dlhw history add RESULTS.json makes one")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{label}: {error.strerror}") from error


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() == "postgresql":
        return sa.create_engine(url, connect_args={"connect_timeout": CONNECT_SECONDS}, poolclass=sa.NullPool)
    engine = sa.create_engine(url, connect_args={"timeout": WAIT_SECONDS}, poolclass=sa.NullPool)

    @sa.event.listens_for(engine, "connect")
    def _connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver would begin by itself, later than we do
        connection.execute("PRAGMA foreign_keys = ON")

    @sa.event.listens_for(engine, "begin")
    def _begun(connection: sa.Connection) -> None:
        alone = connection.get_execution_options().get("alone")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if alone else "BEGIN")

    return engine


@contextlib.contextmanager
def _alone(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction in which nobody else writes."""
    with engine.execution_options(alone=True).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        yield connection


def _bring_forward(engine: sa.Engine, label: str) -> None:
    """Migrate the schema; every step, or none."""
    settings = Config(attributes={"connection": None})
    settings.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(settings)
    with engine.begin() as connection:
        if _revision(connection, scripts, label) == scripts.get_current_head():
            return
    with _alone(engine) as connection:
        if _revision(connection, scripts, label) != scripts.get_current_head():
            settings.attributes["connection"] = connection
            command.upgrade(settings, "head")


def _revision(connection: sa.Connection, scripts: ScriptDirectory, label: str) -> str | None:
    found = MigrationContext.configure(connection).get_current_revision()
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise StoreError(
            f"{label}: the store is of a later dlhw (schema {found}; this one knows {scripts.get_current_head()})"
        )
    return found


@contextlib.contextmanager
def _told(label: str) -> Iterator[None]:
    """A failure of the database as one line, without its password."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        cause = str(error.orig or error).strip().splitlines() or [type(error).__name__]
        words = without_password(cause[0])
        damaged = "malformed" in words or "not a database" in words
        hint = "; the file is damaged: put a backup in its place (dlhw history backup makes them)" if damaged else ""
        raise StoreError(f"the store {label}: {words}{hint}") from error
