"""Findings, and a person's word on them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the table of findings."""
    op.create_table(
        "finding",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("machine_id", sa.Integer, sa.ForeignKey("machine.id"), nullable=False, index=True),
        sa.Column("case_id", sa.Integer, sa.ForeignKey("case.id")),
        sa.Column("metric", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("branch", sa.Text),
        *(
            sa.Column(name, sa.Integer, sa.ForeignKey("run.id", ondelete="CASCADE"), nullable=False)
            for name in ("last_run", "first_run", "change_run")
        ),
        sa.Column("ratio", sa.Float, nullable=False),
        *(sa.Column(name, sa.Float) for name in ("low", "high", "p")),
        sa.Column("cause", sa.String(16), nullable=False),
        sa.Column("story", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("found", sa.Float, nullable=False),
        sa.Column("judged", sa.Float),
    )
