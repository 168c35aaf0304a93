"""Changelog rows of the incidents agent: steps, and the facts in them, to Avro and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from agents.gate import Gate, row_key
from streams.codec import Record as Fields
from streams.sla.book import Step
from streams.sla.events import Position
from streams.sla.incident import Fact
from streams.sla.said import Entry

#: Texts stay out of state.
TEXTS = ("summary", "text", "reason")
_SINGLE_OBJECT = b"\xc3\x01"

STEP, MARKER, WAITING, CONTRACT, MARK, QUIET = "i", "m", "w", "c", "@mark", "@quiet"


def step_key(incident_id: str, number: int) -> bytes:
    return row_key(STEP, incident_id, str(number))


def lean_value(gate: Gate, event_type: str, fields: Mapping[str, object], value: bytes) -> bytes:
    """The input as it is kept: without texts, without tenants that a platform-wide scope ignores, in single-object
    encoding. Most inputs can be kept as they came."""
    present = [name for name in TEXTS if fields.get(name) is not None]
    ignored = fields.get("scope") == "platform" and bool(fields.get("tenant_ids"))
    if not present and not ignored and value[:2] == _SINGLE_OBJECT:
        return value
    # A reason is not optional in its schema, so it becomes empty where it can't be null.
    lean = {**fields, **{name: "" if name == "reason" else None for name in present}}
    if ignored:
        lean["tenant_ids"] = []
    return gate.codec.encode(event_type, lean)


def encode_step(gate: Gate, step: Step, lean: Mapping[tuple[str, str], bytes]) -> bytes:
    """`lean` has the kept value of each fact in the step by (source, id)."""
    facts = [
        {
            "arrival": fact.arrival,
            "partition": fact.position.partition,
            "offset": fact.position.offset,
            "digest": fact.digest,
            "event": lean[fact.source, fact.id],
        }
        for fact in step.facts
    ]
    said = [
        {"kind": kind, "metric": metric, "instance": instance, "deadline": deadline, "at": at, "text": text}
        for kind, metric, instance, deadline, at, text in step.entries
    ]
    fields = {
        "incident_id": step.incident_id,
        "number": step.number,
        "clock": step.clock,
        "facts": facts,
        "said": said,
    }
    return gate.codec.encode("state.incident_step", fields)


def decode_step(gate: Gate, row: Fields) -> Step:
    """Undo `encode_step`."""
    topic = gate.topics.name("incident-events")
    facts = []
    for kept in cast(list[Fields], row["facts"]):
        position = Position(topic, cast(int, kept["partition"]), cast(int, kept["offset"]))
        event = gate.event_of(cast(bytes, kept["event"]))
        fact = Fact.of(event, cast(int, kept["arrival"]), position)
        # The digest is of what arrived, texts included (R1).
        facts.append(fact._replace(digest=cast(bytes, kept["digest"])))
    entries = [Entry(**entry) for entry in cast(list[dict[str, int]], row["said"])]  # type: ignore[arg-type]
    return Step(cast(str, row["incident_id"]), cast(int, row["number"]), facts, entries, cast(int, row["clock"]))
