"""The tables of the read model"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:

    op.create_table(
        "checkpoint",
        sa.Column("topic", sa.String(length=249), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("topic_id", sa.String(length=36), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("current_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition"),
    )
    op.create_table(
        "contract",
        sa.Column("tenant_id", sa.String(length=256), nullable=False),
        sa.Column("source", sa.String(length=256), nullable=False),
        sa.Column("event_id", sa.String(length=256), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("arrived_at", sa.BigInteger(), nullable=False),
        sa.Column("valid_from", sa.BigInteger(), nullable=False),
        sa.Column("valid_to", sa.BigInteger(), nullable=True),
        sa.Column("plan", sa.String(length=256), nullable=False),
        sa.Column("charge_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("tier", sa.Integer(), nullable=True),
        sa.Column("time_zone", sa.String(length=64), nullable=True),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "source", "event_id"),
    )
    op.create_table(
        "credit",
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("tenant_id", sa.String(length=256), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("statement_revision", sa.Integer(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("cause", sa.String(length=16), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    with op.batch_alter_table("credit", schema=None) as batch_op:
        batch_op.create_index("credit_by_month", ["tenant_id", "month"], unique=False)

    op.create_table(
        "entry",
        sa.Column("topic", sa.String(length=249), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.String(length=256), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("event_id", sa.String(length=256), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("arrived_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=True),
        sa.Column("backfill", sa.Boolean(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", "offset"),
    )
    with op.batch_alter_table("entry", schema=None) as batch_op:
        batch_op.create_index("entry_by_arrival", ["arrived_at"], unique=False)
        batch_op.create_index("entry_by_subject", ["subject", "occurred_at"], unique=False)

    op.create_table(
        "erased_tenant",
        sa.Column("pseudonym", sa.String(length=64), nullable=False),
        sa.Column("key_check", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("pseudonym"),
    )
    op.create_table(
        "incident",
        sa.Column("incident_id", sa.String(length=256), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("waiting", sa.String(length=16), nullable=True),
        sa.Column("severity", sa.String(length=8), nullable=False),
        sa.Column("covered", sa.Boolean(), nullable=False),
        sa.Column("rule", sa.String(length=256), nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("component", sa.String(length=256), nullable=False),
        sa.Column("impact", sa.String(length=32), nullable=False),
        sa.Column("title_en", sa.Text(), nullable=False),
        sa.Column("title_ja", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=True),
        sa.Column("ticket_id", sa.Text(), nullable=True),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("restored_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("responded_at", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=True),
        sa.Column("next_deadline", sa.BigInteger(), nullable=True),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("breached", sa.Integer(), nullable=False),
        sa.Column("backfill", sa.Boolean(), nullable=False),
        sa.Column("policy", sa.String(length=256), nullable=False),
        sa.Column("policy_version", sa.String(length=128), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("incident_id"),
    )
    with op.batch_alter_table("incident", schema=None) as batch_op:
        batch_op.create_index("incident_by_change", ["changed_at", "incident_id"], unique=False)
        batch_op.create_index("incident_by_ticket", ["ticket_id"], unique=False)
        batch_op.create_index("incident_by_deadline", ["status", "next_deadline", "incident_id"], unique=False)
        batch_op.create_index("incident_by_end", ["ended_at"], unique=False)
        batch_op.create_index(
            "incident_by_opening",
            ["opened_at", "incident_id", "severity", "status", "backfill", "responded_at", "ended_at"],
            unique=False,
        )
        batch_op.create_index("incident_by_status", ["status", "policy", "policy_version", "severity"], unique=False)
        batch_op.create_index("incident_by_status_and_opening", ["status", "opened_at", "incident_id"], unique=False)

    op.create_table(
        "incident_tenant",
        sa.Column("tenant_id", sa.String(length=256), nullable=False),
        sa.Column("incident_id", sa.String(length=256), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "incident_id"),
    )
    with op.batch_alter_table("incident_tenant", schema=None) as batch_op:
        batch_op.create_index("incident_tenant_by_incident", ["incident_id", "tenant_id"], unique=False)

    op.create_table(
        "maintenance",
        sa.Column("maintenance_id", sa.String(length=256), nullable=False),
        sa.Column("source", sa.String(length=256), nullable=False),
        sa.Column("event_id", sa.String(length=256), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("arrived_at", sa.BigInteger(), nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=True),
        sa.Column("start", sa.BigInteger(), nullable=True),
        sa.Column("end", sa.BigInteger(), nullable=True),
        sa.Column("announced_at", sa.BigInteger(), nullable=True),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("maintenance_id", "source", "event_id"),
    )
    with op.batch_alter_table("maintenance", schema=None) as batch_op:
        batch_op.create_index("maintenance_by_time", ["start", "end"], unique=False)

    op.create_table(
        "named_tenant",
        sa.Column("tenant_id", sa.String(length=256), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=256), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "kind", "subject"),
    )
    with op.batch_alter_table("named_tenant", schema=None) as batch_op:
        batch_op.create_index("named_tenant_by_subject", ["kind", "subject"], unique=False)

    op.create_table(
        "notification",
        sa.Column("key", sa.String(length=1024), nullable=False),
        sa.Column("destination", sa.String(length=256), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("incident_id", sa.String(length=256), nullable=True),
        sa.Column("written_at", sa.BigInteger(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    with op.batch_alter_table("notification", schema=None) as batch_op:
        batch_op.create_index("notification_by_incident", ["incident_id"], unique=False)

    op.create_table(
        "reject",
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("rejected_at", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.String(length=32), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("agent", sa.String(length=64), nullable=True),
        sa.Column("event_type", sa.String(length=64), nullable=True),
        sa.Column("subject", sa.String(length=256), nullable=True),
        sa.Column("original_topic", sa.String(length=249), nullable=True),
        sa.Column("original_partition", sa.Integer(), nullable=True),
        sa.Column("original_offset", sa.BigInteger(), nullable=True),
        sa.Column("original", sa.LargeBinary(), nullable=True),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "offset"),
    )
    with op.batch_alter_table("reject", schema=None) as batch_op:
        batch_op.create_index(
            "reject_by_original", ["original_topic", "original_partition", "original_offset"], unique=False
        )
        batch_op.create_index("reject_by_subject", ["subject"], unique=False)
        batch_op.create_index("reject_by_time", ["rejected_at"], unique=False)

    op.create_table(
        "statement",
        sa.Column("tenant_id", sa.String(length=256), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=False),
        sa.Column("policy", sa.String(length=256), nullable=False),
        sa.Column("policy_version", sa.String(length=128), nullable=False),
        sa.Column("eligible_us", sa.BigInteger(), nullable=False),
        sa.Column("downtime_us", sa.BigInteger(), nullable=False),
        sa.Column("excluded_us", sa.BigInteger(), nullable=False),
        sa.Column("availability", sa.Float(), nullable=False),
        sa.Column("availability_percent", sa.String(length=32), nullable=False),
        sa.Column("guarantee_met", sa.Boolean(), nullable=False),
        sa.Column("charge_minor", sa.BigInteger(), nullable=False),
        sa.Column("credit_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "month", "revision"),
    )
    op.create_table(
        "tenant_month",
        sa.Column("tenant_id", sa.String(length=256), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("availability", sa.Float(), nullable=False),
        sa.Column("availability_percent", sa.String(length=32), nullable=False),
        sa.Column("guarantee_met", sa.Boolean(), nullable=False),
        sa.Column("downtime_us", sa.BigInteger(), nullable=False),
        sa.Column("credit_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "month"),
    )
    with op.batch_alter_table("tenant_month", schema=None) as batch_op:
        batch_op.create_index("tenant_month_by_month", ["month", "guarantee_met"], unique=False)

    op.create_table(
        "verdict",
        sa.Column("incident_id", sa.String(length=256), nullable=False),
        sa.Column("metric", sa.String(length=16), nullable=False),
        sa.Column("instance", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("deadline", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("severity", sa.String(length=8), nullable=False),
        sa.Column("component", sa.String(length=256), nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("tenant_ids", sa.Text(), nullable=False),
        sa.Column("backfill", sa.Boolean(), nullable=False),
        sa.Column("superseded", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("incident_id", "metric", "instance"),
    )
    with op.batch_alter_table("verdict", schema=None) as batch_op:
        batch_op.create_index(
            "verdict_by_month", ["month", "verdict", "backfill", "severity", "metric", "incident_id"], unique=False
        )


def downgrade() -> None:

    with op.batch_alter_table("verdict", schema=None) as batch_op:
        batch_op.drop_index("verdict_by_month")

    op.drop_table("verdict")
    with op.batch_alter_table("tenant_month", schema=None) as batch_op:
        batch_op.drop_index("tenant_month_by_month")

    op.drop_table("tenant_month")
    op.drop_table("statement")
    with op.batch_alter_table("reject", schema=None) as batch_op:
        batch_op.drop_index("reject_by_time")
        batch_op.drop_index("reject_by_subject")
        batch_op.drop_index("reject_by_original")

    op.drop_table("reject")
    with op.batch_alter_table("notification", schema=None) as batch_op:
        batch_op.drop_index("notification_by_incident")

    op.drop_table("notification")
    with op.batch_alter_table("named_tenant", schema=None) as batch_op:
        batch_op.drop_index("named_tenant_by_subject")

    op.drop_table("named_tenant")
    with op.batch_alter_table("maintenance", schema=None) as batch_op:
        batch_op.drop_index("maintenance_by_time")

    op.drop_table("maintenance")
    with op.batch_alter_table("incident_tenant", schema=None) as batch_op:
        batch_op.drop_index("incident_tenant_by_incident")

    op.drop_table("incident_tenant")
    with op.batch_alter_table("incident", schema=None) as batch_op:
        batch_op.drop_index("incident_by_status_and_opening")
        batch_op.drop_index("incident_by_status")
        batch_op.drop_index("incident_by_opening")
        batch_op.drop_index("incident_by_end")
        batch_op.drop_index("incident_by_deadline")
        batch_op.drop_index("incident_by_ticket")
        batch_op.drop_index("incident_by_change")

    op.drop_table("incident")
    op.drop_table("erased_tenant")
    with op.batch_alter_table("entry", schema=None) as batch_op:
        batch_op.drop_index("entry_by_subject")
        batch_op.drop_index("entry_by_arrival")

    op.drop_table("entry")
    with op.batch_alter_table("credit", schema=None) as batch_op:
        batch_op.drop_index("credit_by_month")

    op.drop_table("credit")
    op.drop_table("contract")
    op.drop_table("checkpoint")
