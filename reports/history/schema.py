"""The store's tables: the same on SQLite and PostgreSQL. Times of day are seconds since 1970, all else SI.

The shape is fixed by `migrations/`; `tests/reports/history/test_store.py` holds the two together.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

tables = MetaData()

machine = Table(
    "machine", tables,
    Column("id", Integer, primary_key=True),
    Column("key", String(32), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("facts", Text, nullable=False),  # JSON: what makes it this machine and no other
)  # fmt: skip
environment = Table(
    "environment", tables,
    Column("id", Integer, primary_key=True),
    Column("key", String(32), nullable=False, unique=True),
    Column("facts", Text, nullable=False),  # JSON: all that may change on a machine
)  # fmt: skip
run = Table(
    "run", tables,
    Column("id", Integer, primary_key=True),
    Column("key", String(32), nullable=False, unique=True),  # of what was measured: the same run is there once
    Column("machine_id", ForeignKey("machine.id"), nullable=False, index=True),
    Column("environment_id", ForeignKey("environment.id"), nullable=False),
    Column("at", Float, nullable=False),  # the order of a series
    Column("measured", Float),  # as the file says
    Column("added", Float, nullable=False),
    Column("repository", Text),
    Column("branch", Text),
    Column("commit", String(64)),
    Column("committed", Float),
    Column("parents", Text),  # JSON; null where git did not know the commit when the run was added
    Column("dirty", Boolean),
    Column("suite", Text),
    Column("digest", String(64)),  # of the way of measuring
    Column("version", Text),  # of dlhw
    Column("arguments", Text),  # JSON
    Column("note", Text, nullable=False),
)  # fmt: skip
case = Table(
    "case", tables,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("axes", Text, nullable=False),  # JSON
)  # fmt: skip
result = Table(
    "result", tables,
    Column("case_id", ForeignKey("case.id"), primary_key=True, autoincrement=False),
    Column("metric", String(32), primary_key=True),
    Column("run_id", ForeignKey("run.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("value", Float),  # null where the case was not measured
    Column("within", Float),  # standard errors, as a share of the value
    Column("between", Float),
    Column("launches", Integer),
    Column("samples", Integer),
    Column("reason", Text, nullable=False),  # why it was disturbed, or not measured
    Column("seconds", LargeBinary),  # the samples: little-endian float32, compressed by zlib
    Column("measurement", BigInteger),  # of the whole record, in the row of its time alone
    Index("result_of_run", "run_id"),
    Index("result_measurement", "measurement"),
)  # fmt: skip
finding = Table(
    "finding", tables,
    Column("id", Integer, primary_key=True),
    Column("machine_id", ForeignKey("machine.id"), nullable=False, index=True),
    Column("case_id", ForeignKey("case.id")),  # null: all series of the metric together
    Column("metric", String(32), nullable=False),
    Column("kind", String(8), nullable=False),  # of its cases: net or micro
    Column("branch", Text),
    Column("last_run", ForeignKey("run.id", ondelete="CASCADE"), nullable=False),  # the last that is surely before it
    Column("first_run", ForeignKey("run.id", ondelete="CASCADE"), nullable=False),  # the first surely after it
    Column("change_run", ForeignKey("run.id", ondelete="CASCADE"), nullable=False),  # likeliest the first after it
    Column("ratio", Float, nullable=False),
    Column("low", Float),
    Column("high", Float),
    Column("p", Float),
    Column("cause", String(16), nullable=False),
    Column("story", Text, nullable=False),  # JSON: what changed besides, which commands tell more
    Column("state", String(16), nullable=False),
    Column("why", Text, nullable=False),
    Column("found", Float, nullable=False),
    Column("judged", Float),
)  # fmt: skip
