"""The tables of the read model.

Every row follows from records of Kafka alone, whatever the order in which the board reads the topics, so that a rebuild
gives the same rows; `own_tables.py` has the exceptions. Instants and durations are microseconds, UTC; money is in
minor units; `topic` is without prefix; `data` is the `data` object of the event's JSON form as text
(`board.store.events.cloud_event` adds the envelope). `partition` and `offset` say which record a row is from.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

metadata = MetaData()

#: How far each partition has been applied. Written in the same transaction as what was applied. Of records
#: that Kafka deleted, none from after `current_at` can have been missed: the partition was read to its end then, or its
#: reading began.
checkpoint = Table(
    "checkpoint",
    metadata,
    Column("topic", String(249), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("topic_id", String(36), nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("current_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("topic", "partition"),
)

#: The present state of each incident: columns that are filtered, sorted or listed, and the whole `incident.state`.
incident = Table(
    "incident",
    metadata,
    Column("incident_id", String(256), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
    Column("waiting", String(16)),
    Column("severity", String(8), nullable=False),
    Column("covered", Boolean, nullable=False),
    Column("rule", String(256), nullable=False),
    Column("scope", String(16), nullable=False),
    Column("component", String(256), nullable=False),
    Column("impact", String(32), nullable=False),
    Column("title_en", Text, nullable=False),
    Column("title_ja", Text, nullable=False),
    Column("summary", Text),
    Column("ticket_id", Text),
    Column("opened_at", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("restored_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("responded_at", BigInteger),
    Column("updated_at", BigInteger),
    Column("next_deadline", BigInteger),
    Column("next_at", BigInteger),
    Column("breached", Integer, nullable=False),
    Column("backfill", Boolean, nullable=False),
    Column("policy", String(256), nullable=False),
    Column("policy_version", String(128), nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
    Index("incident_by_deadline", "status", "next_deadline", "incident_id"),
    # With what the overview counts and sorts, so that it does not read the rows.
    Index(
        "incident_by_opening",
        "opened_at",
        "incident_id",
        "severity",
        "status",
        "backfill",
        "responded_at",
        "ended_at",
    ),
    # What is counted at every request: open incidents by severity, and all by the policy version that decided.
    Index("incident_by_status", "status", "policy", "policy_version", "severity"),
    Index("incident_by_status_and_opening", "status", "opened_at", "incident_id"),
    Index("incident_by_change", "changed_at", "incident_id"),
    Index("incident_by_ticket", "ticket_id"),
    Index("incident_by_end", "ended_at"),
)

#: The tenants that each incident concerns now; none for scope platform.
incident_tenant = Table(
    "incident_tenant",
    metadata,
    Column("tenant_id", String(256), nullable=False),
    Column("incident_id", String(256), nullable=False),
    PrimaryKeyConstraint("tenant_id", "incident_id"),
    Index("incident_tenant_by_incident", "incident_id", "tenant_id"),
)

#: Every tenant that any record about an incident or maintenance window has ever named. `kind` is `incident` or
#: `maintenance`. Erasure finds by it what to redact.
named_tenant = Table(
    "named_tenant",
    metadata,
    Column("tenant_id", String(256), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("subject", String(256), nullable=False),
    PrimaryKeyConstraint("tenant_id", "kind", "subject"),
    Index("named_tenant_by_subject", "kind", "subject"),
)

#: Every valid input event, and every event of the topics `incidents` and `alerts`: the timeline of an incident, what
#: was said of a tenant. Statements and credits are in tables of their own. `subject` is the incident's id, the tenant's
#: or the maintenance's. An input that the agents rejected is here too: `reject` names its position. `received_at` is
#: the event's own `receivedtime`, at which a backfilled input arrives for its incident or tenant (R32).
entry = Table(
    "entry",
    metadata,
    Column("topic", String(249), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("subject", String(256), nullable=False),
    Column("type", String(64), nullable=False),
    Column("event_id", String(256), nullable=False),
    Column("source", Text, nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("arrived_at", BigInteger, nullable=False),
    Column("received_at", BigInteger),
    Column("backfill", Boolean, nullable=False),
    Column("data", Text, nullable=False),
    PrimaryKeyConstraint("topic", "partition", "offset"),
    Index("entry_by_subject", "subject", "occurred_at"),
    Index("entry_by_arrival", "arrived_at"),
)

#: The verdict that stands of each clock: the last `sla.breached` that was not retracted, else the last `sla.met`.
#: `tenant_ids` is a JSON array; `month` is the UTC month of `at`, YYYY-MM; `superseded` is a
#: JSON array of the verdicts that stand behind this one, null when there are none.
verdict = Table(
    "verdict",
    metadata,
    Column("incident_id", String(256), nullable=False),
    Column("metric", String(16), nullable=False),
    Column("instance", Integer, nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("deadline", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("month", String(7), nullable=False),
    Column("severity", String(8), nullable=False),
    Column("component", String(256), nullable=False),
    Column("scope", String(16), nullable=False),
    Column("tenant_ids", Text, nullable=False),
    Column("backfill", Boolean, nullable=False),
    Column("superseded", Text),
    PrimaryKeyConstraint("incident_id", "metric", "instance"),
    Index("verdict_by_month", "month", "verdict", "backfill", "severity", "metric", "incident_id"),
)

#: Every published statement. `occurred_at` is its nominal instant, `published_at` that of its record (R26).
statement = Table(
    "statement",
    metadata,
    Column("tenant_id", String(256), nullable=False),
    Column("month", String(7), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("event_id", String(64), nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("published_at", BigInteger, nullable=False),
    Column("policy", String(256), nullable=False),
    Column("policy_version", String(128), nullable=False),
    Column("eligible_us", BigInteger, nullable=False),
    Column("downtime_us", BigInteger, nullable=False),
    Column("excluded_us", BigInteger, nullable=False),
    Column("availability", Float, nullable=False),
    Column("availability_percent", String(32), nullable=False),
    Column("guarantee_met", Boolean, nullable=False),
    Column("charge_minor", BigInteger, nullable=False),
    Column("credit_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
    PrimaryKeyConstraint("tenant_id", "month", "revision"),
)

#: The highest revision of each tenant's month.
tenant_month = Table(
    "tenant_month",
    metadata,
    Column("tenant_id", String(256), nullable=False),
    Column("month", String(7), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("availability", Float, nullable=False),
    Column("availability_percent", String(32), nullable=False),
    Column("guarantee_met", Boolean, nullable=False),
    Column("downtime_us", BigInteger, nullable=False),
    Column("credit_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    PrimaryKeyConstraint("tenant_id", "month"),
    Index("tenant_month_by_month", "month", "guarantee_met"),
)

#: Every credit issued to billing.
credit = Table(
    "credit",
    metadata,
    Column("event_id", String(64), primary_key=True),
    Column("tenant_id", String(256), nullable=False),
    Column("month", String(7), nullable=False),
    Column("statement_revision", Integer, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("cause", String(16), nullable=False),
    Column("issued_at", BigInteger, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
    Index("credit_by_month", "tenant_id", "month"),
)

#: Contract terms, each as it was set; of equal ids the first to arrive (R1).
contract = Table(
    "contract",
    metadata,
    Column("tenant_id", String(256), nullable=False),
    Column("source", String(256), nullable=False),
    Column("event_id", String(256), nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("arrived_at", BigInteger, nullable=False),
    Column("valid_from", BigInteger, nullable=False),
    Column("valid_to", BigInteger),
    Column("plan", String(256), nullable=False),
    Column("charge_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("tier", Integer),
    Column("time_zone", String(64)),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
    PrimaryKeyConstraint("tenant_id", "source", "event_id"),
)

#: Maintenance windows, each version as it was scheduled or cancelled (`start` and `end` are null then).
maintenance = Table(
    "maintenance",
    metadata,
    Column("maintenance_id", String(256), nullable=False),
    Column("source", String(256), nullable=False),
    Column("event_id", String(256), nullable=False),
    Column("type", String(64), nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("arrived_at", BigInteger, nullable=False),
    Column("scope", String(16)),
    Column("start", BigInteger),
    Column("end", BigInteger),
    Column("announced_at", BigInteger),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
    PrimaryKeyConstraint("maintenance_id", "source", "event_id"),
    Index("maintenance_by_time", "start", "end"),
)

#: Rejected input, with its original (R27). `original_topic` is without prefix for the product's own topics. `headers`
#: is a JSON array of [name, text] pairs. An original of more than 256 KiB is not kept; of an erased tenant there is
#: neither original nor message.
reject = Table(
    "reject",
    metadata,
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("rejected_at", BigInteger, nullable=False),
    Column("code", String(32), nullable=False),
    Column("message", Text, nullable=False),
    Column("agent", String(64)),
    Column("event_type", String(64)),
    Column("subject", String(256)),
    Column("original_topic", String(249)),
    Column("original_partition", Integer),
    Column("original_offset", BigInteger),
    Column("original", LargeBinary),
    Column("headers", Text, nullable=False),
    PrimaryKeyConstraint("partition", "offset"),
    Index("reject_by_time", "rejected_at"),
    Index("reject_by_original", "original_topic", "original_partition", "original_offset"),
    Index("reject_by_subject", "subject"),
)

#: What the notifier keeps: open pages, messages that wait or were given up; its newest row of each key. `kind` is
#: `page`, `pending`, `parked` or `retry`.
notification = Table(
    "notification",
    metadata,
    Column("key", String(1024), primary_key=True),
    Column("destination", String(256), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("incident_id", String(256)),
    Column("written_at", BigInteger, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
    Index("notification_by_incident", "incident_id"),
)

#: The pseudonyms of erased tenants (R29): what names one is redacted, whatever is read first. `key_check` identifies
#: the key that the pseudonyms were made with.
erased_tenant = Table(
    "erased_tenant",
    metadata,
    Column("pseudonym", String(64), primary_key=True),
    Column("key_check", String(64), nullable=False),
)
