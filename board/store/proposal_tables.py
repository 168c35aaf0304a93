"""Tables of proposals. They follow from the audit log in Kafka, and a rebuild makes them anew."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, PrimaryKeyConstraint, String, Table, Text

from board.store.tables import metadata

#: Proposals (R17) as the audit log tells them. `status` is `proposed`, `approved`, `declined` or `withdrawn`: the
#: first valid decision of the partition. `data` is the whole of it as JSON.
proposal = Table(
    "proposal",
    metadata,
    Column("proposal_id", String(256), primary_key=True),
    Column("incident_id", String(256), nullable=False),
    Column("status", String(16), nullable=False),
    Column("proposed_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("decided_at", BigInteger),
    Column("data", Text, nullable=False),
    Index("proposal_by_status", "status", "proposed_at"),
    Index("proposal_by_incident", "incident_id"),
)

#: The tenants that each proposal concerned when it was made; none for one that concerned everybody.
proposal_tenant = Table(
    "proposal_tenant",
    metadata,
    Column("proposal_id", String(256), nullable=False),
    Column("tenant_id", String(256), nullable=False),
    PrimaryKeyConstraint("proposal_id", "tenant_id"),
)
