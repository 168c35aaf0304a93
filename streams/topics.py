"""The one table of topics: `sla topics apply`, the manifests and the AsyncAPI document all read it from here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from streams.internal_topics import internal_topic
from streams.sla.events import CONTRACT_TYPES, INCIDENT_RANK

DEFAULT_PREFIX = "sla"
DEFAULT_PARTITIONS = 8

_MIB = 1024 * 1024
#: What Kafka allows by default: 1 MiB of record batch. Other services write here with any client.
_INPUT_BYTES = 1_048_588
#: A derived record may carry an impact list, or an input of the full size plus why it was rejected or forwarded.
_DERIVED_BYTES = 5 * _MIB

Cleanup = Literal["delete", "compact"]


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic as it should be."""

    name: str
    key: str
    writer: str
    carries: str
    cleanup: Cleanup
    retention: timedelta | None
    """How long records are kept; None: without limit."""
    retention_why: str
    partitions: int
    replication: int
    arrival_time: bool = False
    """The broker stamps records with its own clock: an input's arrival (R32), the instant of a heartbeat. Elsewhere the
    writer's instant stands."""
    max_message_bytes: int = _DERIVED_BYTES
    types: tuple[str, ...] = ()
    """The event types of the contract that are published in it; none where others have no business reading."""
    latest_of: tuple[str, ...] = ()
    """The event types published in another topic whose latest event for each key it keeps."""
    keeps_deletions: timedelta = timedelta(hours=1)
    """Compacted topics: how long a deleted key stays visible, so that a reader that comes late does not miss it."""
    compacts_after: timedelta = timedelta()
    """Compacted topics: how old a row is at least that drops those before it."""

    @property
    def is_input(self) -> bool:
        """Whether it carries inputs of the contract, from which everything else follows."""
        return self.arrival_time and bool(self.types)

    def config(self) -> dict[str, str]:
        """The settings that this topic overrides, by Kafka's names."""
        declared = {
            "cleanup.policy": self.cleanup,
            "message.timestamp.type": "LogAppendTime" if self.arrival_time else "CreateTime",
            "max.message.bytes": str(self.max_message_bytes),
            "min.insync.replicas": "2" if self.replication >= 3 else "1",
            "unclean.leader.election.enable": "false",
        }
        if self.cleanup == "delete":
            declared["retention.ms"] = str(_milliseconds(self.retention))
        else:
            declared |= _COMPACTED | {"delete.retention.ms": str(_milliseconds(self.keeps_deletions))}
            if self.compacts_after:
                declared["min.compaction.lag.ms"] = str(_milliseconds(self.compacts_after))
        return declared


#: A task is restored by reading its changelog from end to end, so little of it may be outdated rows. Segments are
#: small and closed soon, for the cleaner never touches the open one. Deleted keys of a changelog stay visible for an
#: hour, far longer than a replay takes: one that began before a deletion must not miss it. Other services read on from
#: their offsets after a weekend's outage, so topics for them keep deletions longer (`_DELETIONS_FOR_OTHERS`).
_COMPACTED = {
    "min.cleanable.dirty.ratio": "0.2",
    "segment.bytes": str(64 * _MIB),
    "segment.ms": str(30 * 60 * 1000),
}


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the table, before prefix, partitions and replication are known."""

    suffix: str
    key: str
    writer: str
    carries: str
    retention: timedelta | None
    why: str
    cleanup: Cleanup = "delete"
    arrival_time: bool = False
    max_message_bytes: int = _DERIVED_BYTES
    types: tuple[str, ...] = ()
    latest_of: tuple[str, ...] = ()
    keeps_deletions: timedelta = timedelta(hours=1)
    compacts_after: timedelta = timedelta()


_DELETIONS_FOR_OTHERS = timedelta(days=7)
_QUARTER = timedelta(days=90)
_YEAR = timedelta(days=400)
_SOURCE = "the source of truth: statements are verified from it years later"
_REPORTED = "reports look back a year and a month; beyond, it can be recomputed from the inputs"
_PURGED = "its agent deletes what it has applied; what a worker writes while it catches up on years is born old"

_TABLE = (
    _Row(
        "incident-events",
        "incident id",
        "other microservices, the intake",
        "what happened to incidents",
        None,
        _SOURCE,
        arrival_time=True,
        max_message_bytes=_INPUT_BYTES,
        types=tuple(INCIDENT_RANK),
    ),
    _Row(
        "contract-events",
        "tenant id (maintenance: its id)",
        "billing, operations",
        "contract terms, maintenance windows, claims, erasures",
        None,
        _SOURCE,
        arrival_time=True,
        max_message_bytes=_INPUT_BYTES,
        types=tuple(sorted(CONTRACT_TYPES)),
    ),
    _Row(
        "incidents",
        "incident id",
        "incidents agent",
        "what was decided about incidents: severity, clocks, verdicts, links",
        _YEAR,
        _REPORTED,
        types=("incident.classified", "incident.closed", "incident.link_changed"),
    ),
    _Row(
        "alerts",
        "incident id",
        "incidents agent",
        "alerts for on-call tooling, and what takes them back or ends them",
        _YEAR,
        _REPORTED,
        types=("sla.warning", "sla.update_due", "sla.breached", "sla.breach_retracted", "sla.met"),
    ),
    _Row(
        "impacts",
        "incident id",
        "incidents agent",
        "which component had which impact when; watermarks of the incidents agent",
        _YEAR,
        _REPORTED,
        types=("impact.changed", "time.mark"),
    ),
    _Row(
        "incident-state",
        "incident id",
        "incidents agent",
        "the present state of each incident; a record without value once an incident is no longer retained",
        None,
        "the newest record of each key is the state",
        cleanup="compact",
        types=("incident.state",),
        keeps_deletions=_DELETIONS_FOR_OTHERS,
    ),
    _Row(
        internal_topic("incidents"),
        "as routed",
        "agents",
        "for the incidents agent alone: copies of contract terms, forwarded records",
        None,
        _PURGED,
    ),
    _Row(
        internal_topic("ledger"),
        "as routed",
        "agents",
        "for the ledger agent alone: copies of impacts and maintenance, watermarks, forwarded records",
        None,
        _PURGED,
    ),
    _Row(
        "credits",
        "tenant id",
        "ledger agent",
        "statements of each tenant's month, and credits for billing",
        None,
        "what was promised to be paid, with its evidence: small, and asked for years later",
        types=("credit.statement", "credit.issued"),
    ),
    _Row(
        "tenant-months",
        "tenant id, a slash, month (YYYY-MM)",
        "ledger agent",
        "the latest statement of each tenant's month; a record without value once a month is no longer retained",
        None,
        "the newest record of each key is the state",
        cleanup="compact",
        latest_of=("credit.statement",),
        keeps_deletions=_DELETIONS_FOR_OTHERS,
    ),
    _Row(
        "rejected",
        "key of the original",
        "every agent, the intake",
        "the original bytes plus why",
        _QUARTER,
        "time to mend and retry; the original stays in its own topic, so what cannot be read need not stay here",
    ),
    _Row(
        "notifications",
        "destination, what it is, incident or message id",
        "notifier",
        "what a notifier has to remember: open pages, messages that wait or were given up (JSON)",
        None,
        "the newest row of each key is the state",
        cleanup="compact",
        # A row that a former owner wrote late drops none before its successor has repaired it, which takes seconds
        # (ADR 33). Senders' clocks would not tell when it came.
        arrival_time=True,
        compacts_after=timedelta(minutes=10),
    ),
    _Row(
        "heartbeats",
        "what it is, source and monitor; of watermarks: the partition",
        "intake",
        "what the intakes have to remember of monitors: the last heartbeat, published silences, absences (JSON)",
        None,
        "the newest row of each key is the state",
        cleanup="compact",
        arrival_time=True,
    ),
    _Row(
        "audit",
        "person or address; of proposals: proposal id",
        "board",
        "who signed in to the board, or could not; who did or was refused what; proposals and their decisions",
        _YEAR,
        "questions about who did what come up to a year later",
        types=(
            "audit.signed_in",
            "audit.sign_in_failed",
            "audit.signed_out",
            "audit.denied",
            "audit.acted",
            "action.proposed",
            "action.approved",
            "action.declined",
            "action.withdrawn",
        ),
    ),
    _Row(
        "incidents-changelog",
        "state key",
        "incidents agent",
        "state of the incidents agent",
        None,
        "the newest row of each key is the state",
        cleanup="compact",
    ),
    _Row(
        "ledger-changelog",
        "state key",
        "ledger agent",
        "state of the ledger agent",
        None,
        "the newest row of each key is the state",
        cleanup="compact",
    ),
)

#: Event type → the topic, without prefix, that it is published in.
TOPIC_OF = {event_type: row.suffix for row in _TABLE for event_type in row.types}


def declared(
    prefix: str = DEFAULT_PREFIX, partitions: int = DEFAULT_PARTITIONS, replication: int = 1
) -> list[TopicSpec]:
    """Every topic of a deployment. One partition count for all: agents route by it, so it is fixed at creation."""
    return [
        TopicSpec(
            name=f"{prefix}.{row.suffix}",
            key=row.key,
            writer=row.writer,
            carries=row.carries,
            cleanup=row.cleanup,
            retention=row.retention,
            retention_why=row.why,
            partitions=partitions,
            replication=replication,
            arrival_time=row.arrival_time,
            max_message_bytes=row.max_message_bytes,
            types=row.types,
            latest_of=row.latest_of,
            keeps_deletions=row.keeps_deletions,
            compacts_after=row.compacts_after,
        )
        for row in _TABLE
    ]


def _milliseconds(retention: timedelta | None) -> int:
    return -1 if retention is None else retention // timedelta(milliseconds=1)
