"""The OpenAPI document of the intake, generated from the routes and the Avro schemas. openapi.json holds a copy.

`python -m connect.intake.web.openapi` writes that copy.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from connect.intake.formats import cloudevents, rest
from connect.intake.mapping.monitors import MONITOR_NAME
from connect.intake.web.openapi_examples import EXAMPLES, STRUCTURED_EXAMPLE

FILE = Path(__file__).with_name("openapi.json")
_INSTANT = {"type": "string", "format": "date-time"}
_PLAIN = {"string": "string", "boolean": "boolean", "int": "integer", "long": "integer", "double": "number"}
_ENVELOPE: dict[str, dict[str, Any]] = {
    "id": {
        "type": "string",
        "minLength": 1,
        "maxLength": 128,
        "description": "Identifies the event; default: a digest of the body.",
    },
    "time": {**_INSTANT, "description": "When it happened."},
    "backfill": {"type": "boolean", "description": "The event is loaded history: it triggers no page."},
    "receivedtime": {**_INSTANT, "description": "When backfilled history became known; default: time."},
    "traceparent": {"type": "string", "description": "W3C trace context; default: the header of that name."},
}


@lru_cache(maxsize=1)
def encoded_document() -> bytes:
    """The document as JSON. Anybody may ask for it, so it is made once."""
    return json.dumps(document(), indent=2).encode()


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """OpenAPI 3.1."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {"Answer": _ANSWER, "Problem": _PROBLEM}
    for route in rest.ROUTES:
        name = "".join(word.title() for word in route.event_type.replace("_", ".").split("."))
        schemas[name] = _body(route)
        paths[route.path] = {"post": _operation(route.summary, {"application/json": _content(name, route)}, route.path)}
    paths["/v1/events"] = {"post": _events()}
    paths["/v1/hooks/{name}"] = {"post": _hook()}
    paths["/v1/heartbeats/{monitor}"] = {"post": _heartbeat(), "delete": _forgotten_monitor()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Intake of incidents and contract facts",
            "version": "1",
            "description": "202 means that Kafka has acknowledged. Requests are idempotent. After 429, 500 and 503 "
            "send the same request again; after any other error a retry changes nothing.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def text() -> str:
    """The document as written to openapi.json."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _content(name: str, route: rest.RestRoute) -> dict[str, Any]:
    return {
        "schema": {"$ref": f"#/components/schemas/{name}"},
        "examples": {"example": {"value": EXAMPLES[route.event_type]}},
    }


def _operation(summary: str, content: dict[str, Any], path: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "requestBody": {"required": True, "content": content},
        "responses": _RESPONSES,
    }
    if "{id}" in path:
        whose = "maintenance window" if "maintenance" in path else "incident"
        schema = {"type": "string", "minLength": 1, "maxLength": 128}
        given = {"name": "id", "in": "path", "required": True, "schema": schema, "description": f"Id of the {whose}."}
        operation["parameters"] = [given]
    return operation


def _events() -> dict[str, Any]:
    one: dict[str, Any] = {
        "type": "object",
        "required": ["specversion", "id", "type", "source", "subject", "time", "data"],
    }
    content = {
        cloudevents.STRUCTURED: {"schema": one, "examples": {"example": {"value": STRUCTURED_EXAMPLE}}},
        cloudevents.BATCH: {
            "schema": {"type": "array", "items": one},
            "examples": {"example": {"value": [STRUCTURED_EXAMPLE]}},
        },
        cloudevents.BINARY: {
            "schema": {
                "type": "object",
                "description": "The data; attributes are in headers ce-id, ce-type and so on.",
            },
            "examples": {"example": {"value": STRUCTURED_EXAMPLE["data"]}},
        },
    }
    return _operation("Publish CloudEvents: structured, batched or binary.", content, "")


def _hook() -> dict[str, Any]:
    operation = _operation(
        "Webhook of Alertmanager (version 4), Zendesk, Jira Service Management, PagerDuty (version 3), Statuspage or "
        "any other sender of JSON, or Slack's interactivity: the format in the mapping file decides.",
        {
            "application/json": {"schema": {"type": "object"}},
            "application/x-www-form-urlencoded": {
                "schema": {"type": "object", "properties": {"payload": {"type": "string"}}, "required": ["payload"]}
            },
        },
        "",
    )
    operation["responses"] = {"200": _response("As 202 and 422: Slack takes no other status.", "Answer"), **_RESPONSES}
    schema = {"type": "string"}
    given = {
        "name": "name",
        "in": "path",
        "required": True,
        "schema": schema,
        "description": "Name in the mapping file.",
    }
    without_headers = "The token, for senders that can set no header (statuspage; json with `authentication: address`)."
    in_address = {
        "name": "token",
        "in": "query",
        "schema": schema,
        "description": without_headers,
    }
    return {**operation, "parameters": [given, in_address], "security": [{"token": []}, {}]}


def _heartbeat() -> dict[str, Any]:
    accepted = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("monitor", "every", "grace")},
        "required": ["monitor", "every", "grace"],
    }
    acknowledged = {"description": "Kafka has the heartbeat.", "content": {"application/json": {"schema": accepted}}}
    refused = {status: _RESPONSES[status] for status in ("401", "403", "429", "503")}
    return {
        "summary": "Heartbeat of a monitor (format heartbeat). A silence opens an incident, the next one resolves it. "
        "The body is not read.",
        "parameters": [_MONITOR],
        "responses": {
            "202": acknowledged,
            "404": _response("The mapping file does not name the monitor; the message says which names are allowed."),
            "422": _response("The mapping file makes no incident of its silence."),
            **refused,
        },
    }


def _forgotten_monitor() -> dict[str, Any]:
    refused = {status: _RESPONSES[status] for status in ("401", "429", "503")}
    accepted = {"type": "object", "properties": {"monitor": {"type": "string"}}, "required": ["monitor"]}
    acknowledged = {"description": "Kafka has it.", "content": {"application/json": {"schema": accepted}}}
    return {
        "summary": "Watch a monitor no longer, until it is heard again. An incident of its silence is resolved.",
        "parameters": [_MONITOR],
        "responses": {"202": acknowledged, "404": _response("No heartbeat of it is known."), **refused},
    }


def _body(route: rest.RestRoute) -> dict[str, Any]:
    fields = {str(field["name"]): field for field in rest.definition_of(route.event_type)}
    named: dict[str, Any] = {}
    for field in fields.values():  # a type that is used twice is defined at its first use
        _schema(field["type"], named)
    properties, required = dict(_ENVELOPE), ["time"]
    for name in rest.fields_of(route):
        field = fields.get(
            name,
            {
                "type": "string",
                "doc": "The incident's id, chosen by the sender.",
            },
        )
        schema = _schema(field["type"], named)
        properties[name] = {**schema, "description": field.get("doc", "")}
        if "default" not in field:
            required.append(name)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _schema(schema: Any, named: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of an Avro type, as the JSON form has it."""
    if isinstance(schema, list):
        (inner,) = [branch for branch in schema if branch != "null"]
        return {"anyOf": [_schema(inner, named), {"type": "null"}]}
    if isinstance(schema, str):
        return {"type": _PLAIN[schema]} if schema in _PLAIN else dict(named[schema])
    if schema.get("logicalType") == "timestamp-micros":
        return dict(_INSTANT)
    result: dict[str, Any]
    match schema["type"]:
        case "array":
            return {"type": "array", "items": _schema(schema["items"], named)}
        case "enum":
            result = {"type": "string", "enum": [each for each in schema["symbols"] if each != schema.get("default")]}
        case "record":
            fields = schema["fields"]
            result = {
                "type": "object",
                "properties": {field["name"]: _schema(field["type"], named) for field in fields},
                "required": [field["name"] for field in fields if "default" not in field],
            }
        case plain_type:
            return _schema(plain_type, named)
    named[schema["name"]] = result
    return dict(result)


_MONITOR = {
    "name": "monitor",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": f"^{MONITOR_NAME.pattern}$"},
    "description": "Name that the mapping file or a pattern of it gives.",
}
_ITEM = {
    "type": "object",
    "properties": {"item": {"type": "string"}, "code": {"type": "string"}, "reason": {"type": "string"}},
}
_PUBLISHED = {"type": "object", "properties": {name: {"type": "string"} for name in ("type", "id", "subject")}}
_ANSWER = {
    "type": "object",
    "properties": {
        "published": {"type": "array", "items": _PUBLISHED},
        "ignored": {"type": "array", "items": _ITEM},
    },
    "required": ["published", "ignored"],
}
_PROBLEM = {
    "type": "object",
    "properties": {
        "error": {"type": "string"},
        "published": {"type": "array", "items": _PUBLISHED},
        "ignored": {"type": "array", "items": _ITEM},
        "rejected": {"type": "array", "items": _ITEM},
    },
    "required": ["error"],
}
_RETRY = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}}


def _response(description: str, schema: str = "Problem", headers: dict[str, Any] | None = None) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content, **({"headers": headers} if headers else {})}


_RESPONSES = {
    "202": _response("Kafka has acknowledged every event.", "Answer"),
    "401": _response("The token or signature is missing or wrong, or the signature is too old."),
    "403": _response("This sender may not publish such events; they are written to the rejected topic."),
    "413": _response("The body is too large."),
    "415": _response("Another media type or content encoding is needed."),
    "422": _response(
        "At least one item is not understood or not mapped: `rejected` gives the reasons, the body is written to the "
        "rejected topic. The events in `published` are published."
    ),
    "429": _response("Too many requests.", headers=_RETRY),
    "503": _response("Kafka has not acknowledged, or too many bytes are in flight.", headers=_RETRY),
}


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
