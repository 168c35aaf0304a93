"""The audit log, which is read again from the start of its topic"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "audit_event",
        sa.Column("event_id", sa.String(length=256), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("person", sa.String(length=256), nullable=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("way", sa.String(length=32), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=True),
        sa.Column("about_kind", sa.String(length=16), nullable=True),
        sa.Column("about", sa.Text(), nullable=True),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index("audit_event_by_time", "audit_event", ["occurred_at", "event_id"])
    op.create_index("audit_event_by_person", "audit_event", ["person", "occurred_at", "event_id"])
    op.create_index("audit_event_by_type", "audit_event", ["type", "occurred_at", "event_id"])
    op.create_table(
        "audit_tenant",
        sa.Column("tenant_id", sa.String(length=256), nullable=False),
        sa.Column("event_id", sa.String(length=256), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "event_id"),
    )
    op.create_index("audit_tenant_by_event", "audit_tenant", ["event_id"])
    # Until now only proposals were read from it; applying those again changes nothing.
    op.execute("DELETE FROM checkpoint WHERE topic = 'audit'")


def downgrade() -> None:
    op.drop_table("audit_tenant")
    op.drop_table("audit_event")
