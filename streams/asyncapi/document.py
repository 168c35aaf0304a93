"""The AsyncAPI 3 document: what other services may read and write, from the table of topics and the Avro schemas.

Topics that carry no event type of the contract (`sla.shared`, changelogs) are left out on purpose: their records may
change in any release, while every channel listed here is part of the contract. `sla topics show` lists them all.

`python -m streams.asyncapi.document` writes schemas/asyncapi.json and docs/topics.md anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from schemas import registry
from streams.asyncapi.headers import EVENT_HEADERS
from streams.asyncapi.markdown import markdown
from streams.asyncapi.messages import (
    BINDING,
    REJECTED,
    latest_message,
    latest_name,
    message,
    messages_of,
    rejected_message,
    sentence,
)
from streams.topics import TopicSpec, declared

_ROOT = Path(__file__).parents[2]
FILE = _ROOT / "schemas" / "asyncapi.json"
PAGE = _ROOT / "docs" / "topics.md"

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


def document(topics: Sequence[TopicSpec], brokers: Sequence[str]) -> dict[str, Any]:
    """The document of a deployment with these topics and bootstrap servers (`host:port`)."""
    schemas = registry.load().latest
    public = [topic for topic in topics if topic.types or topic.latest_of or _suffix(topic) == REJECTED]
    messages = {schemas[name].definition["name"]: message(schemas[name]) for topic in public for name in topic.types}
    messages |= {
        latest_name(name): latest_message(schemas[name], topic) for topic in public for name in topic.latest_of
    }
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
            "messages": {**messages, "Rejected": rejected_message()},
            "schemas": {
                "CloudEventHeaders": {"type": "object", "properties": EVENT_HEADERS},
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
            "bindings": {"kafka": {**registry_url, "bindingVersion": BINDING}},
        },
    }


def _channel(topic: TopicSpec) -> dict[str, Any]:
    retention = "without limit" if topic.retention is None else f"{topic.retention.days} days"
    return {
        "address": topic.name,
        "title": _suffix(topic),
        "summary": sentence(topic.carries),
        "description": f"Key: {topic.key}. Written by: {topic.writer}. Retained {retention}: {topic.retention_why}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages_of(topic)},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "replicas": topic.replication,
                "topicConfiguration": {name: _setting(name, value) for name, value in topic.config().items()},
                "bindingVersion": BINDING,
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
        "summary": sentence(topic.carries),
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages_of(topic)],
    }


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


if __name__ == "__main__":
    FILE.write_text(text(published()), encoding="utf-8")
    PAGE.write_text(markdown(published()), encoding="utf-8")
