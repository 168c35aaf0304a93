"""The messages of the AsyncAPI document: one for each event type, with its schema and a golden record as example."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from typing import Any, Final, cast

from schemas import registry
from schemas.registry import Schema
from streams.asyncapi.headers import ALWAYS, OMITTED_HEADERS, REJECT_HEADERS, example_headers
from streams.serde.codec import Fields, decode
from streams.sla.events import Rejection
from streams.topics import TopicSpec

#: Version of AsyncAPI's Kafka bindings.
BINDING: Final = "0.5.0"
#: The topic, and the name of its message.
REJECTED: Final = "rejected"
_AVRO = "application/vnd.apache.avro+json;version=1.9.0"


def message(schema: Schema) -> dict[str, Any]:
    """The message of an event type."""
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
        "headers": headers if is_input else {**headers, "required": list(ALWAYS)},
        "payload": {"schemaFormat": _AVRO, "schema": schema.definition},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": fields["subject"]["doc"], "examples": [example["subject"]]},
                "schemaIdLocation": "payload",
                "schemaIdPayloadEncoding": "confluent",
                "schemaLookupStrategy": "TopicRecordNameStrategy",
                "bindingVersion": BINDING,
            }
        },
        "examples": [{"name": schema.name, "headers": example_headers(schema.name, example), "payload": example}],
    }


def latest_message(schema: Schema, topic: TopicSpec) -> dict[str, Any]:
    """The message of a topic that keeps the latest event for each key: another key, the same value."""
    found = message(schema)
    kafka = {**found["bindings"]["kafka"], "key": {"type": "string", "description": sentence(topic.key)}}
    return {**found, "title": f"the latest {schema.name}", "bindings": {"kafka": kafka}}


def latest_name(event_type: str) -> str:
    """The name of `latest_message`."""
    return f"Latest{registry.load().latest[event_type].definition['name']}"


def rejected_message() -> dict[str, Any]:
    """The message of rejected inputs."""
    return {
        "name": REJECTED,
        "title": REJECTED,
        "summary": "An input that could not be applied, untouched, with headers that say why.",
        "description": "The original's own headers come first, these after them. A repeated rejection adds its own.",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "properties": REJECT_HEADERS | OMITTED_HEADERS,
            "required": list(REJECT_HEADERS),
        },
        "payload": {
            "type": ["string", "null"],
            "format": "binary",
            "description": "The original's bytes, whatever they are; none if an incident or tenant was quarantined, "
            "if a claim was too late once its contract was known, or if the original is too large to store.",
        },
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": "The original's key."},
                "bindingVersion": BINDING,
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


def messages_of(topic: TopicSpec) -> list[str]:
    """The names of the messages of a topic."""
    latest = registry.load().latest
    names = [str(latest[name].definition["name"]) for name in topic.types]
    return [*names, *map(latest_name, topic.latest_of)] or ["Rejected"]


def sentence(words: str) -> str:
    """Words of the table of topics as a sentence."""
    return f"{words[0].upper()}{words[1:]}."
