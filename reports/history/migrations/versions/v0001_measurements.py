"""Machines, environments, runs, cases, results."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make an empty store."""
    for name in ("machine", "environment"):
        op.create_table(
            name,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("key", sa.String(32), nullable=False, unique=True),
            *([sa.Column("name", sa.Text, nullable=False)] if name == "machine" else []),
            sa.Column("facts", sa.Text, nullable=False),
        )
    op.create_table(
        "run",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.String(32), nullable=False, unique=True),
        sa.Column("machine_id", sa.Integer, sa.ForeignKey("machine.id"), nullable=False, index=True),
        sa.Column("environment_id", sa.Integer, sa.ForeignKey("environment.id"), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("measured", sa.Float),
        sa.Column("added", sa.Float, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("repository", "branch")),
        sa.Column("commit", sa.String(64)),
        sa.Column("committed", sa.Float),
        sa.Column("parents", sa.Text),
        sa.Column("dirty", sa.Boolean),
        sa.Column("suite", sa.Text),
        sa.Column("digest", sa.String(64)),
        *(sa.Column(name, sa.Text) for name in ("version", "arguments")),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.create_table(
        "case",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("axes", sa.Text, nullable=False),
    )
    op.create_table(
        "result",
        sa.Column("case_id", sa.Integer, sa.ForeignKey("case.id"), primary_key=True, autoincrement=False),
        sa.Column("metric", sa.String(32), primary_key=True),
        sa.Column(
            "run_id", sa.Integer, sa.ForeignKey("run.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
        ),
        *(sa.Column(name, sa.Float) for name in ("value", "within", "between")),
        *(sa.Column(name, sa.Integer) for name in ("launches", "samples")),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("seconds", sa.LargeBinary),
        sa.Column("measurement", sa.BigInteger),
    )
    op.create_index("result_of_run", "result", ["run_id"])
    op.create_index("result_measurement", "result", ["measurement"])
