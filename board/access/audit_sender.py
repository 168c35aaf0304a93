"""Sends the audit events that wait in the database to the topic `audit`, in their order.

A row is deleted once Kafka has acknowledged its event. A board that is killed in between sends the event again, with
the same id: readers take the first of an id.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from kafka.errors import KafkaError
from sqlalchemy import Engine, Row, delete, func, select
from sqlalchemy.exc import SQLAlchemyError

from board.metrics import BoardMetrics
from board.store.engine import writing
from board.store.own_tables import audit_outbox
from connect.client.publisher import Producer
from streams.kafka import kafka_python_clients
from streams.kafka.partitioner import partition_of
from streams.schema_registry.schema_source import writing_frame
from streams.serde.cloudevents_headers import headers_for
from streams.serde.codec import encode
from streams.settings import Settings
from streams.topics import TOPIC_OF

SOURCE: Final = "/sla/board"
_AT_ONCE: Final = 200
_TIMEOUT_S: Final = 10.0
_TYPES: Final = tuple(event_type for event_type, topic in TOPIC_OF.items() if topic == "audit")
#: Types whose rows have the fields of the record, beside its envelope.
_WHOLE: Final = frozenset({"audit.acted", *(each for each in _TYPES if each.startswith("action."))})


class AuditSender:
    """Sends what waits; a thread repeats `send`. While Kafka is away the events wait, and sign-ins go on."""

    def __init__(
        self,
        engine: Engine,
        kafka: Settings,
        connect: Callable[[], Producer] | None = None,
        metrics: BoardMetrics | None = None,
    ) -> None:
        self._metrics = metrics or BoardMetrics()
        self._engine = engine
        self._kafka = kafka
        self._connect = connect or self._connected
        self._producer: Producer | None = None
        self._frame: Callable[[bytes], bytes] | None = None

    def send(self) -> bool:
        """As `send_waiting`, for a thread that repeats it; whether more may wait. What waits is measured."""
        try:
            return self.send_waiting() == _AT_ONCE
        finally:
            self._count_waiting()

    def close(self) -> None:
        """Close the connection; the next event makes another one."""
        producer, self._producer, self._frame = self._producer, None, None
        if producer is not None:
            with suppress(KafkaError, OSError):
                producer.close(timeout=1.0)

    def send_waiting(self) -> int:
        """Send the oldest events and delete them once they are acknowledged; how many there were. Raises KafkaError,
        OSError, SlaError and SQLAlchemyError; what was not acknowledged waits on."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(audit_outbox).order_by(audit_outbox.c.id).limit(_AT_ONCE)).all()
        if not rows:
            return 0
        if self._producer is None:
            self._producer = self._connect()
        if self._frame is None:
            kafka = self._kafka
            self._frame = writing_frame(kafka.schema_registry(), kafka.topic_prefix, _TYPES)
        sent = [self._send(self._producer, self._frame, row) for row in rows]
        for each in sent:
            each.get(timeout=_TIMEOUT_S)
        # By id: SQLite gives the number of a deleted row again, perhaps to an event that another board has written.
        ids = [row.event_id for row in rows]
        with writing(self._engine).begin() as connection:
            connection.execute(delete(audit_outbox).where(audit_outbox.c.event_id.in_(ids)))
        return len(rows)

    def _send(self, producer: Producer, frame: Callable[[bytes], bytes], row: Row[Any]) -> Any:
        record = audit_record(row)
        topic = f"{self._kafka.topic_prefix}.audit"
        return producer.send(
            topic,
            key=record["subject"].encode(),
            value=frame(encode(row.type, record)),
            headers=headers_for(row.type, row.event_id, SOURCE, record["subject"], row.occurred_at),
            partition=partition_of(record["subject"], len(producer.partitions_for(topic))),
        )

    def _count_waiting(self) -> None:
        with suppress(SQLAlchemyError), self._engine.connect() as connection:
            waiting = connection.execute(select(func.count()).select_from(audit_outbox)).scalar_one()
            self._metrics.audit_waiting.set(waiting)

    def _connected(self) -> Producer:
        timeout_ms = int(_TIMEOUT_S * 1000)
        made: Producer = kafka_python_clients.producer(
            bootstrap_servers=list(self._kafka.bootstrap()),
            client_id="sla-board-audit",
            acks="all",
            enable_idempotence=True,
            allow_auto_create_topics=False,
            delivery_timeout_ms=timeout_ms,
            request_timeout_ms=timeout_ms // 2,
            max_block_ms=timeout_ms // 2,
            bootstrap_timeout_ms=timeout_ms // 2,
            **self._kafka.client_security(),
        )
        return made


def audit_record(row: Row[Any]) -> dict[str, Any]:
    """The Avro record of a row of the outbox. Rows about actions and proposals have all its fields already."""
    data: dict[str, Any] = json.loads(row.data)
    envelope = {
        "event_id": row.event_id,
        "source": SOURCE,
        "subject": _subject(row.type, data),
        "occurred_at": row.occurred_at,
        "backfill": False,
        "traceparent": None,
    }
    if row.type in _WHOLE:
        return envelope | data
    return {
        **envelope,
        "person": data["person_id"],
        "about": data["subject"],
        **{name: data[name] for name in ("roles", "tenants", "address", "way", "what", "outcome", "reason")},
    }


def _subject(event_type: str, data: dict[str, Any]) -> str:
    if event_type.startswith("action."):
        return str(data["proposal_id"])
    return str(data["person"] if event_type in _WHOLE else data["person_id"] or data["address"])
