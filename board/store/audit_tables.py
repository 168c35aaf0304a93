"""Tables of the audit log. They follow from Kafka like those of `tables.py`, and a rebuild makes them anew."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, PrimaryKeyConstraint, String, Table, Text

from board.store.tables import metadata

#: Who signed in, and what people did, tried or were refused; the first event of each id. `about` is what it was done
#: to: an id where `about_kind` says of what (`incident`, `maintenance`, `tenant`), else in words. `action` is what was
#: asked for, where it was an action. `data` are the other fields of the event, without what people wrote.
audit_event = Table(
    "audit_event",
    metadata,
    Column("event_id", String(256), primary_key=True),
    Column("type", String(64), nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("person", String(256)),
    Column("address", Text, nullable=False),
    Column("way", String(32), nullable=False),
    Column("action", String(64)),
    Column("about_kind", String(16)),
    Column("about", Text),
    Column("outcome", String(32), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
    Index("audit_event_by_time", "occurred_at", "event_id"),
    Index("audit_event_by_person", "person", "occurred_at", "event_id"),
    Index("audit_event_by_type", "type", "occurred_at", "event_id"),
)

#: The tenants that each event of the audit log names. Those of its incident or window are in `named_tenant`.
audit_tenant = Table(
    "audit_tenant",
    metadata,
    Column("tenant_id", String(256), nullable=False),
    Column("event_id", String(256), nullable=False),
    PrimaryKeyConstraint("tenant_id", "event_id"),
    Index("audit_tenant_by_event", "event_id"),
)
