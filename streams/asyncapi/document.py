"""The AsyncAPI 3 document: what other services may read and write, from the table of topics and the Avro schemas.

Topics that carry no event type of the contract (`sla.shared`, changelogs) are left out on purpose: their records may
change in any release, while every channel listed here is part of the contract. `sla topics show` lists them all.

`python -m streams.asyncapi.document` writes schemas/asyncapi.json and docs/topics.md anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from schemas import registry
from schemas.registry import Schema
from streams.asyncapi.markdown import markdown
from streams.runtime import dead_letter
from streams.serde.codec import Fields, decode, headers_for
from streams.serde.json_values import instant_to_json
from streams.sla.events import REJECT_CODES, Rejection
from streams.topics import TopicSpec, declared

_ROOT = Path(__file__).parents[2]
FILE = _ROOT / "schemas" / "asyncapi.json"
PAGE = _ROOT / "docs" / "topics.md"

_BINDING = "0.5.0"
_AVRO = "application/vnd.apache.avro+json;version=1.9.0"
_REJECTED = "rejected"

_ABOUT = """\
Guaranteed support times and uptime, measured and proven. Monitors, ticket systems and billing publish events; out \
come severities, reminders, breaches and service credits, each exactly once.

**Values** are Avro, one record type per event type, in one of two framings that readers distinguish by the first byte:

- *single-object encoding*, where no schema registry is configured: `C3 01`, 8 bytes of the schema's fingerprint \
(CRC-64-AVRO, little-endian), the datum. The server `kafka`.
- *Confluent framing*, where one is: `00`, 4 bytes of schema id (big-endian), the datum. The server `kafkaWithRegistry`.

**Headers** are those of CloudEvents 1.0, Kafka binding, binary mode. The value is authoritative, headers are for \
generic tools: inputs may come without.

**Instants** are microseconds since the epoch, UTC; durations (`*_s`) are microseconds; money is in minor units with \
its ISO 4217 code. Enumerations have the symbol `unknown` so that they can grow: never write it.

**Keys** are the value's `subject`, in UTF-8, unless the topic says otherwise; the partition is Kafka's murmur2 of the \
subject. Input that lies elsewhere is forwarded.

**Input** counts once by its `source` and `event_id`, in whatever order it comes. What was not acknowledged is to be \
sent again as the same event, with the same id and time. **Output** is written in transactions: read it \
`read_committed`. The same fact always has the same `event_id`.

Examples show the decoded record."""

_HEADERS: dict[str, dict[str, Any]] = {
    "ce_specversion": {"type": "string", "const": "1.0", "description": "Version of CloudEvents."},
    "ce_id": {"type": "string", "minLength": 1, "description": "`event_id` of the value."},
    "ce_type": {"type": "string", "description": "The event type."},
    "ce_source": {"type": "string", "minLength": 1, "description": "`source` of the value."},
    "ce_time": {
        "type": "string",
        "format": "date-time",
        "description": "`occurred_at` of the value as RFC 3339, UTC.",
    },
    "ce_subject": {"type": "string", "minLength": 1, "description": "`subject` of the value: the key."},
    "content-type": {"type": "string", "const": "application/avro", "description": "Media type of the value."},
    "ce_backfill": {"type": "string", "const": "true", "description": "Present where `backfill` of the value is true."},
    "ce_incidentended": {
        "type": "string",
        "format": "date-time",
        "description": "Of an alert that was published only after its incident had ended: when that was, as RFC 3339, "
        "UTC. The value does not have it.",
    },
    "ce_receivedtime": {
        "type": "string",
        "format": "date-time",
        "description": "`received_time` of an input as RFC 3339, UTC, if given.",
    },
    "traceparent": {"type": "string", "description": "W3C trace context, if known."},
}
_ALWAYS = ("ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_subject", "content-type")
_NUMBER = {"type": "string", "pattern": "^-?[0-9]+$"}
_REJECT_HEADERS: dict[str, dict[str, Any]] = {
    dead_letter.CODE: {"type": "string", "enum": list(REJECT_CODES), "description": "Why, as a code of a closed list."},
    dead_letter.MESSAGE: {"type": "string", "description": "Why, as a sentence for people."},
    dead_letter.TOPIC: {
        "type": "string",
        "description": "Topic of the original; `intake/…` for the body of a request.",
    },
    dead_letter.PARTITION: {**_NUMBER, "description": "Its partition."},
    dead_letter.OFFSET: {**_NUMBER, "description": "Its offset."},
    dead_letter.TIMESTAMP: {**_NUMBER, "description": "When it arrived, milliseconds since the epoch."},
    dead_letter.ATTEMPTS: {**_NUMBER, "description": "How often it was tried."},
}
_OMITTED_HEADERS: dict[str, dict[str, Any]] = {
    dead_letter.SIZE: {**_NUMBER, "description": "Only if the original was too large to store: its size in bytes."},
    dead_letter.SHA256: {
        "type": "string",
        "description": "Only if the original was too large to store: its SHA-256 in hex.",
    },
    dead_letter.FIRST_OFFSET: {
        **_NUMBER,
        "description": "Only for a record batch that was too large to read: its first offset; the other is its last.",
    },
}


def document(topics: Sequence[TopicSpec], brokers: Sequence[str]) -> dict[str, Any]:
    """The document of a deployment with these topics and bootstrap servers (`host:port`)."""
    schemas = registry.load().latest
    public = [topic for topic in topics if topic.types or topic.latest_of or _suffix(topic) == _REJECTED]
    messages = {schemas[name].definition["name"]: _message(schemas[name]) for topic in public for name in topic.types}
    messages |= {_latest_name(name): _latest(schemas[name], topic) for topic in public for name in topic.latest_of}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "SLA clocks and service credits",
            "version": version("sla-clocks"),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/avro",
        "servers": _servers(brokers),
        "channels": {_camel(_suffix(topic)): _channel(topic) for topic in public},
        "operations": dict(_operation(topic) for topic in public),
        "components": {
            "messages": {**messages, "Rejected": _rejected()},
            "schemas": {
                "CloudEventHeaders": {"type": "object", "properties": _HEADERS},
            },
        },
    }


def text(made: Mapping[str, Any]) -> str:
    """The text of the committed file for a document."""
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def published() -> dict[str, Any]:
    """The committed document: the topics with their default settings, on localhost."""
    return document(declared(), ["127.0.0.1:9092"])


def _servers(brokers: Sequence[str]) -> dict[str, Any]:
    server: dict[str, Any] = {
        "host": "{bootstrap}",
        "protocol": "kafka",
        "variables": {
            "bootstrap": {
                "default": brokers[0],
                "description": "A bootstrap server of the deployment, host and port.",
                "examples": ["kafka-1.example.com:9092"],
            }
        },
    }
    if len(brokers) > 1:
        server["variables"]["bootstrap"]["enum"] = list(brokers)
    registry_url = {"schemaRegistryUrl": "https://schema-registry.example.com", "schemaRegistryVendor": "confluent"}
    return {
        "kafka": {**server, "description": "A deployment without schema registry: single-object encoding."},
        "kafkaWithRegistry": {
            **server,
            "description": "A deployment with a schema registry: Confluent framing.",
            "bindings": {"kafka": {**registry_url, "bindingVersion": _BINDING}},
        },
    }


def _channel(topic: TopicSpec) -> dict[str, Any]:
    retention = "without limit" if topic.retention is None else f"{topic.retention.days} days"
    return {
        "address": topic.name,
        "title": _suffix(topic),
        "summary": _sentence(topic.carries),
        "description": f"Key: {topic.key}. Written by: {topic.writer}. Retained {retention}: {topic.retention_why}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _messages_of(topic)},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "replicas": topic.replication,
                "topicConfiguration": {name: _setting(name, value) for name, value in topic.config().items()},
                "bindingVersion": _BINDING,
            }
        },
    }


def _operation(topic: TopicSpec) -> tuple[str, dict[str, Any]]:
    """From the viewpoint of this product: it receives what others write, and sends the rest."""
    action = "receive" if topic.is_input else "send"
    channel = _camel(_suffix(topic))
    return f"{action}{channel[0].upper()}{channel[1:]}", {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": _sentence(topic.carries),
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in _messages_of(topic)],
    }


def _message(schema: Schema) -> dict[str, Any]:
    fields = {field["name"]: field for field in cast(Iterable[dict[str, Any]], schema.definition["fields"])}
    is_input = "received_time" in fields
    example = _example(schema)
    headers = {
        "type": "object",
        "allOf": [{"$ref": "#/components/schemas/CloudEventHeaders"}],
        "properties": {"ce_type": {"const": schema.name}},
    }
    return {
        "name": schema.name,
        "title": schema.name,
        "summary": schema.definition["doc"],
        "contentType": "application/avro",
        "headers": headers if is_input else {**headers, "required": list(_ALWAYS)},
        "payload": {"schemaFormat": _AVRO, "schema": schema.definition},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": fields["subject"]["doc"], "examples": [example["subject"]]},
                "schemaIdLocation": "payload",
                "schemaIdPayloadEncoding": "confluent",
                "schemaLookupStrategy": "TopicRecordNameStrategy",
                "bindingVersion": _BINDING,
            }
        },
        "examples": [{"name": schema.name, "headers": _example_headers(schema.name, example), "payload": example}],
    }


def _latest(schema: Schema, topic: TopicSpec) -> dict[str, Any]:
    """The message of a topic that keeps the latest event for each key: another key, the same value."""
    message = _message(schema)
    kafka = {**message["bindings"]["kafka"], "key": {"type": "string", "description": _sentence(topic.key)}}
    return {**message, "title": f"the latest {schema.name}", "bindings": {"kafka": kafka}}


def _latest_name(event_type: str) -> str:
    return f"Latest{registry.load().latest[event_type].definition['name']}"


def _rejected() -> dict[str, Any]:
    return {
        "name": _REJECTED,
        "title": _REJECTED,
        "summary": "An input that could not be applied, untouched, with headers that say why.",
        "description": "The original's own headers come first, these after them. A repeated rejection adds its own.",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "properties": _REJECT_HEADERS | _OMITTED_HEADERS,
            "required": list(_REJECT_HEADERS),
        },
        "payload": {
            "type": ["string", "null"],
            "format": "binary",
            "description": "The original's bytes, whatever they are; none if an incident or tenant was quarantined, or "
            "if the original is too large to store.",
        },
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": "The original's key."},
                "bindingVersion": _BINDING,
            }
        },
    }


def _example(schema: Schema) -> Fields:
    """The golden record, as any Avro library decodes it."""
    stem = schema.name if schema.version == 1 else f"{schema.name}.v{schema.version}"
    golden = resources.files("schemas") / "golden" / f"{stem}.hex"
    decoded = decode(bytes.fromhex(golden.read_text(encoding="utf-8")))
    assert not isinstance(decoded, Rejection), decoded
    return decoded[1]


def _example_headers(event_type: str, record: Fields) -> dict[str, str]:
    headers = headers_for(
        event_type,
        cast(str, record["event_id"]),
        cast(str, record["source"]),
        cast(str, record["subject"]),
        cast(int, record["occurred_at"]),
        traceparent=cast(str | None, record["traceparent"]),
        backfill=cast(bool, record["backfill"]),
    )
    shown = {name: value.decode() for name, value in headers}
    if record.get("received_time") is not None:
        shown["ce_receivedtime"] = str(instant_to_json(cast(int, record["received_time"])))
    return shown


def _messages_of(topic: TopicSpec) -> list[str]:
    latest = registry.load().latest
    names = [str(latest[name].definition["name"]) for name in topic.types]
    return [*names, *map(_latest_name, topic.latest_of)] or ["Rejected"]


def _setting(name: str, value: str) -> object:
    """Kafka's settings are text; the binding has a list of policies and numbers."""
    if name == "cleanup.policy":
        return value.split(",")
    if value in {"true", "false"}:
        return value == "true"
    return int(value) if value.lstrip("-").isdigit() else value


def _suffix(topic: TopicSpec) -> str:
    return topic.name.rpartition(".")[2]


def _camel(name: str) -> str:
    first, *rest = name.split("-")
    return first + "".join(word.title() for word in rest)


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


if __name__ == "__main__":
    FILE.write_text(text(published()), encoding="utf-8")
    PAGE.write_text(markdown(published()), encoding="utf-8")
