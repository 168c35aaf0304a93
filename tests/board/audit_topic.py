"""Events of the audit log as records of their topic."""

from __future__ import annotations

from typing import Any

from replayed import Topics

from schemas import registry
from streams.serde.codec import Codec
from streams.topics import TOPIC_OF

NOBODY: dict[str, Any] = {"person": None, "roles": [], "tenants": None}


def audit_line(event_type: str, event_id: str, at: int, person: str | None = "kim", **given: Any) -> dict[str, Any]:
    """The Avro record of an event of the audit log, with its type; `given` replaces fields."""
    record: dict[str, Any] = {
        "event_id": event_id,
        "source": "/sla/board",
        "occurred_at": at,
        "backfill": False,
        "traceparent": None,
        "person": person,
        "address": "192.0.2.7",
        "way": "session",
        **_OF_TYPE[event_type.partition(".")[0]],
        **given,
        "type": event_type,
    }
    return {
        "subject": record["proposal_id"] if event_type.startswith("action.") else person or record["address"],
        **record,
    }


def acted(event_id: str, at: int, action: str, about: str | None, **given: Any) -> dict[str, Any]:
    """`audit.acted`, accepted unless `given` says otherwise."""
    done = {"reason": None, "event_ids": [f"of-{event_id}"], "events": 1, "concerned": []}
    return audit_line(
        "audit.acted", event_id, at, **{"outcome": "accepted", **done, **given}, action=action, about=about
    )


def audit_topic(lines: list[dict[str, Any]], topics: Topics | None = None) -> Topics:
    """The topic with these events in their order."""
    topics = topics or Topics()
    codec = Codec()
    for line in lines:
        event_type = line["type"]
        fields = registry.load().latest[event_type].definition["fields"]
        known = {each["name"] for each in fields}
        value = codec.encode(event_type, {name: each for name, each in line.items() if name in known})
        topics.write(TOPIC_OF[event_type], line["subject"], line["occurred_at"], value)
    return topics


_OF_TYPE: dict[str, dict[str, Any]] = {
    "audit": {
        "roles": ["responder"],
        "tenants": None,
        "what": "sign-in",
        "about": None,
        "outcome": "ok",
        "reason": None,
    },
    "action": {"kind": "support", "proposal_id": "p1", "reason": None, "revision": 3},
}
