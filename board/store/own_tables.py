"""Tables of what the board itself writes: it does not follow from Kafka, so a rebuild keeps it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text

from board.store.tables import metadata

#: Sessions of people who are signed in to the board. `key` is the SHA-256 of the session's id. `roles` and `tenants`
#: are JSON arrays; `tenants` is null for people who see every tenant. `token` is the SHA-256 of the token that it began
#: with.
session = Table(
    "session",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("person_id", String(128), nullable=False),
    Column("name", Text, nullable=False),
    Column("roles", Text, nullable=False),
    Column("tenants", Text),
    Column("token", String(64)),
    Column("id_token", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
)

#: Audit events that Kafka does not have yet, in the order in which they are sent. `data` are their fields as JSON.
audit_outbox = Table(
    "audit_outbox",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("event_id", String(64), nullable=False),
    Column("type", String(64), nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
)

#: The latest computed effect of each proposal: at which revision of the incident, and the effect as JSON.
proposal_effect = Table(
    "proposal_effect",
    metadata,
    Column("proposal_id", String(256), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("computed_at", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
)

#: All of them.
OWN = (session, audit_outbox, proposal_effect)
