"""The topics of a deployment without Kafka: what the agents write when lines are published, as records to ingest."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Engine
from synthetic_state import States

from board.ingest.apply import AppliedChanges, Applier
from board.ingest.records import CREDITS, REJECTED, IngestRecord
from board.store.engine import writing
from streams.kafka.partitioner import partition_of
from streams.replay.simulate import Simulation
from streams.runtime.dead_letter import rejected
from streams.runtime.processor import Record
from streams.serde.cloudevents_json import format_line, from_json
from streams.serde.codec import Codec, headers_for
from streams.serde.input_records import CONTRACT_EVENTS, INCIDENT_EVENTS
from streams.sla.events import INCIDENT_RANK, Rejection
from streams.sla.policy import Policies
from streams.topics import TOPIC_OF

PARTITIONS = 4
PREFIX = "sla"


class Topics:
    """Records by arrival. Outputs are written as their line arrives; the present state of incidents at each change."""

    def __init__(self) -> None:
        self.records: list[IngestRecord] = []
        self._ends: Counter[tuple[str, int]] = Counter()
        self._codec = Codec()
        self._lines: list[IngestRecord] = []

    def write(
        self,
        topic: str,
        subject: str,
        timestamp: int,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        *,
        key: bytes | None = None,
    ) -> IngestRecord:
        """Append a record to its subject's partition; the key is the subject by default."""
        where = (topic, partition_of(subject, PARTITIONS))
        record = IngestRecord(*where, self._ends[where], timestamp, key or subject.encode(), value, list(headers))
        self._ends[where] += 1
        self.records.append(record)
        return record

    def line(self, text: str, timestamp: int) -> None:
        """An input line, as `sla publish` would send it without its checks."""
        event = json.loads(text)
        topic = INCIDENT_EVENTS if event["type"] in INCIDENT_RANK else CONTRACT_EVENTS
        parsed = from_json(event)
        value = text.encode() if isinstance(parsed, Rejection) else self._codec.encode(*parsed)
        self._lines.append(self.write(topic, event["subject"], timestamp, value))

    def output(self, event: dict[str, Any], timestamp: int) -> None:
        """An output in its JSON form."""
        if event["type"] == "sla.rejected":
            self._reject(event["data"], timestamp)
            return
        parsed = from_json(json.loads(format_line(event)))
        assert not isinstance(parsed, Rejection), parsed
        kind, fields = parsed
        topic = CREDITS if kind.startswith("credit.") else TOPIC_OF[kind]
        if topic != "impacts":
            self.write(topic, event["subject"], timestamp, self._codec.encode(kind, fields))

    def _reject(self, data: dict[str, Any], timestamp: int) -> None:
        at = self._lines[data["line"] - 1]
        event = json.loads(format_line(data)) | {"id": data.get("id", "")}
        headers = headers_for("unknown", event["id"], "/test", (at.key or b"").decode(), at.timestamp)
        original = Record(f"{PREFIX}.{at.topic}", *at[1:4], at.key, at.value, headers)
        sent = rejected(original, data["code"], data["message"], f"{PREFIX}.{REJECTED}", 0)
        self.write(REJECTED, (at.key or b"").decode(), timestamp, sent.value, sent.headers)


def replayed(lines: Iterable[str], policies: Policies, until: int) -> list[IngestRecord]:
    """Every record of the topics that the board reads, in the order in which they would be written."""
    topics, states = Topics(), States()
    simulation = Simulation(policies, until=until)
    for number, line in enumerate(lines, 1):
        outputs = simulation.read(number, line)
        before = list(outputs)
        topics.line(line, simulation.clock)
        states.take(json.loads(line))
        for output in before:
            topics.output(output, simulation.clock)
            states.take(json.loads(format_line(output)))
    for output in simulation.finish():
        topics.output(output, until)
        states.take(json.loads(format_line(output)))
    for state in states.events():
        topics.output(state, until)
    return topics.records


def ingest(engine: Engine, records: Sequence[IngestRecord], applier: Applier | None = None) -> AppliedChanges:
    """Apply records in one transaction; what they change. Every one must be an event of its topic or rejected."""
    applier = applier or Applier(Codec(), PREFIX, b"key")
    with writing(engine).begin() as connection:
        return applier.apply(connection, records)
