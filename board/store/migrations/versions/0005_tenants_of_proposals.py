"""The tenants of proposals; contract facts that retention had deleted are read again"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    made = op.create_table(
        "proposal_tenant",
        sa.Column("proposal_id", sa.String(length=256), nullable=False),
        sa.Column("tenant_id", sa.String(length=256), nullable=False),
        sa.PrimaryKeyConstraint("proposal_id", "tenant_id"),
    )
    rows = [
        {"proposal_id": name, "tenant_id": tenant}
        for name, data in op.get_bind().execute(sa.text("SELECT proposal_id, data FROM proposal")).all()
        for tenant in sorted(set(json.loads(data)["proposed"]["tenants"] or ()))
    ]
    if rows:
        op.bulk_insert(made, rows)
    # Until now they expired like events of incidents; what is there already does not change.
    op.execute("DELETE FROM checkpoint WHERE topic = 'contract-events'")


def downgrade() -> None:
    op.drop_table("proposal_tenant")
