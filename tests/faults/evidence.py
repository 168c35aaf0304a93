"""What lies in Kafka after a run: inputs, outputs, rejects, changelogs, offsets; all as committed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition

from agents.context import Topics
from agents.incidents import INPUTS as INCIDENT_INPUTS
from agents.ledger import INPUTS as LEDGER_INPUTS
from connect.kafka_io.reader import TopicRecord, read_topics
from streams.runtime.settings import RuntimeSettings
from streams.serde.cloudevents_json import format_line, to_json
from streams.serde.codec import Codec
from streams.sla.events import Rejection

from .deployment import PARTITIONS, PREFIX

TOPICS = Topics(PREFIX, PARTITIONS)
INPUTS = ("incident-events", "contract-events")
OUTPUTS = ("incidents", "alerts", "impacts", "credits")
STATES = "incident-state"
AGENTS = {"incidents": INCIDENT_INPUTS, "ledger": LEDGER_INPUTS}
_LIMIT = 64 * 1024 * 1024


class Place(NamedTuple):
    """Where a record lies. `topic` without the prefix."""

    topic: str
    partition: int
    offset: int


@dataclass
class Evidence:
    """Everything that is needed to judge a run. `inputs` are by arrival; `lag` and `undecided` should be empty."""

    inputs: list[TopicRecord] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    """In the JSON form, with `visible`: the record's timestamp in microseconds."""
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The data of the newest state of each incident that is not deleted."""
    outdated_states: list[str] = field(default_factory=list)
    """States that follow one of the same or a later revision."""
    rejected: dict[Place, list[str]] = field(default_factory=dict)
    """Codes by the place of the original."""
    rows: dict[tuple[str, int], dict[bytes, bytes]] = field(default_factory=dict)
    """The final view of each changelog partition."""
    lag: dict[str, int] = field(default_factory=dict)
    undecided: list[str] = field(default_factory=list)
    """Partitions that a transaction left open keeps from being read to their end."""


def gather(bootstrap: str) -> Evidence:
    """Read everything."""
    found = Evidence()
    codec = Codec()
    for record in read_topics(
        bootstrap.split(","), [TOPICS.name(topic) for topic in (*INPUTS, *OUTPUTS, STATES, "rejected")]
    ):
        topic = record.topic.removeprefix(f"{PREFIX}.")
        if topic in INPUTS:
            found.inputs.append(record)
        elif topic == STATES:
            take_state(found, record, codec)
        elif topic == "rejected":
            why = {name: (value or b"").decode() for name, value in record.headers[-7:]}
            original = why["sla_original_topic"].removeprefix(f"{PREFIX}.")
            place = Place(original, int(why["sla_original_partition"]), int(why["sla_original_offset"]))
            found.rejected.setdefault(place, []).append(why["sla_error_code"])
        else:
            decoded = codec.decode(record.value, _LIMIT)
            assert not isinstance(decoded, Rejection), decoded
            event = json.loads(format_line(to_json(*decoded)))
            found.outputs.append({**event, "visible": record.arrival})
    found.inputs.sort(key=lambda each: (each.arrival, each.topic, each.partition, each.offset))
    for agent in AGENTS:
        for record in read_topics(bootstrap.split(","), [f"{PREFIX}.{agent}-changelog"]):
            rows = found.rows.setdefault((agent, record.partition), {})
            assert record.key is not None
            if record.value is None:
                rows.pop(record.key, None)
            else:
                rows[record.key] = record.value
    found.lag = lag(bootstrap)
    found.undecided = undecided(bootstrap)
    return found


def take_state(found: Evidence, record: TopicRecord, codec: Codec) -> None:
    """Take the next record of the topic of states, in the order of its partition."""
    assert record.key is not None
    incident = record.key.decode()
    before = found.states.pop(incident, None)
    if record.value is None:
        return
    decoded = codec.decode(record.value, _LIMIT)
    assert not isinstance(decoded, Rejection), decoded
    event = json.loads(format_line(to_json(*decoded)))
    found.states[incident] = data = event["data"]
    if before is not None and before["revision"] >= data["revision"]:
        found.outdated_states.append(f"{incident}: revision {data['revision']} after {before['revision']}")


def lag(bootstrap: str) -> dict[str, int]:
    """By agent and input partition, how many records are not applied; only those that lag. Time marks come for ever
    and don't count, nor do the marks of transactions."""
    behind = {}
    settings = RuntimeSettings(app_id=PREFIX, brokers=(bootstrap,), prefix=PREFIX)
    for agent, inputs in AGENTS.items():
        consumer = _consumer(bootstrap, settings.group(agent))
        try:
            wanted = [TopicPartition(TOPICS.name(topic), number) for topic in inputs for number in range(PARTITIONS)]
            ends = consumer.end_offsets(wanted)
            committed = {each: consumer.committed(each) or 0 for each in wanted}
            short = {each: committed[each] for each in wanted if committed[each] < ends[each]}
            for each, count in _unread(consumer, short, ends).items():
                if count:
                    behind[f"{agent} {each.topic}/{each.partition}"] = count
        finally:
            consumer.close()
    return behind


def unread_credits(bootstrap: str) -> int:
    """How many records of the credits topic the billing consumer has not committed."""
    consumer = _consumer(bootstrap, "billing")
    try:
        wanted = [TopicPartition(TOPICS.name("credits"), number) for number in range(PARTITIONS)]
        ends = consumer.end_offsets(wanted)
        return sum(_unread(consumer, {each: consumer.committed(each) or 0 for each in wanted}, ends).values())
    finally:
        consumer.close()


def _unread(
    consumer: KafkaConsumer, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """How many records lie between offsets."""
    counts = dict.fromkeys(starts, 0)
    consumer.assign(list(starts))
    for each, start in starts.items():
        consumer.seek(each, start)
    while any(consumer.position(each) < ends[each] for each in starts):
        for each, records in consumer.poll(timeout_ms=200).items():
            counts[each] += sum(not (one.key or b"").startswith(b"partition-") for one in records)
    return counts


def undecided(bootstrap: str) -> list[str]:
    """Where the last stable offset is not the end."""
    names = (
        *INPUTS,
        *OUTPUTS,
        STATES,
        "tenant-months",
        "rejected",
        *(f"{agent}-{what}" for agent in AGENTS for what in ("internal", "changelog")),
    )
    wanted = [TopicPartition(TOPICS.name(name), number) for name in names for number in range(PARTITIONS)]
    stable, all_of_it = (_consumer(bootstrap, None, level) for level in ("read_committed", "read_uncommitted"))
    try:
        ends, last = stable.end_offsets(wanted), all_of_it.end_offsets(wanted)
        return [f"{each.topic}/{each.partition}" for each in wanted if ends[each] != last[each]]
    finally:
        stable.close()
        all_of_it.close()


def _consumer(bootstrap: str, group: str | None, level: str = "read_committed") -> Any:
    return KafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False, isolation_level=level)


def doubled(outputs: Iterable[dict[str, Any]]) -> list[str]:
    """Outputs that a reader of committed records sees more than once."""
    counts = Counter((each["type"], each["id"]) for each in outputs if each["type"] != "time.mark")
    return [f"{kind} {name} {count} times" for (kind, name), count in counts.items() if count > 1]
