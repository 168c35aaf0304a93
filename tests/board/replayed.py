"""The topics of a deployment without Kafka: what the agents write when lines are published, as records to ingest."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Engine

from board.ingest.apply import AppliedChanges, Applier
from board.ingest.records import CREDITS, REJECTED, IngestRecord
from board.store.engine import writing
from streams.kafka.partitioner import partition_of
from streams.replay.simulate import INCIDENTS_SOURCE, Simulation
from streams.runtime.dead_letter import rejected
from streams.runtime.processor import Record
from streams.serde.cloudevents_json import format_line, from_json, to_json
from streams.serde.codec import Codec, headers_for, output_record
from streams.serde.input_records import CONTRACT_EVENTS, INCIDENT_EVENTS
from streams.sla.arrival import TimeLimits
from streams.sla.events import INCIDENT_RANK, Output, Rejection
from streams.sla.instants import DAY
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
        self._revisions: dict[str, int] = {}

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

    def outputs(self, events: Iterable[dict[str, Any]], timestamp: int) -> None:
        """Outputs in their JSON form."""
        for event in events:
            self._output(event, timestamp)

    def states(self, simulation: Simulation, subjects: set[object] | None, timestamp: int) -> None:
        """The present states of those incidents that have changed; of all without `subjects`."""
        for state in states_of(simulation, subjects):
            data: dict[str, Any] = state["data"]  # type: ignore[assignment]
            if self._revisions.get(data["incident_id"]) != data["revision"]:
                self._revisions[data["incident_id"]] = data["revision"]
                self._output(state, timestamp)

    def _output(self, event: dict[str, Any], timestamp: int) -> None:
        if event["type"] == "sla.rejected":
            self._reject(event["data"], timestamp)
            return
        parsed = from_json(event)
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


def states_of(simulation: Simulation, subjects: set[object] | None) -> Iterable[dict[str, Any]]:
    """As `Simulation.states`, of some incidents."""
    store = simulation._incidents
    found = simulation.states() if subjects is None else map(store.present_state, map(str, subjects))
    for each in found:
        if isinstance(each, Output):
            yield to_json(each.type, output_record(each, INCIDENTS_SOURCE))
        elif each is not None:
            yield each


def replayed(lines: Iterable[str], policies: Policies, until: int) -> list[IngestRecord]:
    """Every record of the topics that the board reads, in the order in which they would be written. All incidents are
    retained."""
    topics = Topics()
    simulation = Simulation(policies, TimeLimits(retain_closed=4_000 * DAY), until=until)
    for number, line in enumerate(lines, 1):
        outputs = list(simulation.read(number, line))
        # History is loaded at once, at the end: in simulation no time passes while it loads.
        topics.line(line, until if json.loads(line).get("backfill") else simulation.clock)
        topics.outputs(outputs, simulation.clock)
        subjects = {json.loads(line)["subject"], *(output["subject"] for output in outputs)}
        topics.states(simulation, subjects, simulation.clock)
    topics.outputs(simulation.finish(), until)
    topics.states(simulation, None, until)
    return topics.records


def ingest(engine: Engine, records: Sequence[IngestRecord], applier: Applier | None = None) -> AppliedChanges:
    """Apply records in one transaction; what they change. Every one must be an event of its topic or rejected."""
    applier = applier or Applier(Codec(), PREFIX, b"key")
    with writing(engine).begin() as connection:
        return applier.apply(connection, records)
