"""Changelog rows of the incidents agent: steps, and the facts in them, to Avro and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, cast

from agents.ingress import Ingress, row_key
from streams.runtime.processor import Record
from streams.serde.codec import Fields
from streams.sla.events import Position
from streams.sla.incidents.fold import Fact
from streams.sla.incidents.published import Entry
from streams.sla.incidents.steps import Step

#: Texts stay out of state.
TEXTS = ("summary", "text", "reason")

STEP_KEY = b"i\x1f"
STEP, MARKER, WAITING, CONTRACT, MARK, QUIET = "i", "m", "w", "c", "@mark", "@quiet"


class Waiting(NamedTuple):
    """An event without its incident: the record, to be rejected as it came, and its event in single-object encoding."""

    record: Record
    event: bytes


def step_key(incident_id: str, number: int) -> bytes:
    return row_key(STEP, incident_id, str(number))


def lean_value(ingress: Ingress, event_type: str, fields: Mapping[str, object], value: bytes) -> bytes:
    """The input as it is kept: without texts, without tenants that a platform-wide scope ignores, in single-object
    encoding. Most inputs can be kept as they came."""
    present = [name for name in TEXTS if fields.get(name) is not None]
    ignored = fields.get("scope") == "platform" and bool(fields.get("tenant_ids"))
    if not present and not ignored:
        return ingress.to_single_object(event_type, fields, value)
    # A reason is not optional in its schema, so it becomes empty where it can't be null.
    lean = {**fields, **{name: "" if name == "reason" else None for name in present}}
    if ignored:
        lean["tenant_ids"] = []
    return ingress.codec.encode(event_type, lean)


def encode_step(ingress: Ingress, step: Step, lean: Mapping[tuple[str, str], bytes]) -> bytes:
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
        "due": step.due,
        "held": step.held,
        "tenants": step.tenants(),
        "number": step.number,
        "clock": step.clock,
        "facts": facts,
        "said": said,
    }
    return ingress.codec.encode("state.incident_step", fields)


def decode_step(ingress: Ingress, row: Fields) -> Step:
    """Undo `encode_step`."""
    topic = ingress.topics.name("incident-events")
    facts = []
    for kept in cast(list[Fields], row["facts"]):
        position = Position(topic, cast(int, kept["partition"]), cast(int, kept["offset"]))
        event = ingress.event_of(cast(bytes, kept["event"]))
        fact = Fact.of(event, cast(int, kept["arrival"]), position)
        # The digest is of what arrived, texts included (R1).
        facts.append(fact._replace(digest=cast(bytes, kept["digest"])))
    entries = [Entry(**entry) for entry in cast(list[dict[str, int]], row["said"])]  # type: ignore[arg-type]
    return Step(
        cast(str, row["incident_id"]),
        cast(int, row["number"]),
        facts,
        entries,
        cast(int, row["clock"]),
        cast(int | None, row["due"]),
        cast(bool, row["held"]),
    )


class StepRows:
    """The rows of every incident as the changelog has them, one after the other: Avro says where each ends. An
    incident costs a few hundred bytes this way, and some kilobytes as objects."""

    def __init__(self, ingress: Ingress) -> None:
        self._ingress = ingress
        self._rows: dict[str, bytes] = {}
        self._index = ingress.codec.prefix_reader("state.incident_step", ("due", "held", "tenants"))

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def restore(self, key: bytes, value: bytes) -> tuple[str, int | None, bool, list[str]]:
        """Keep a row of the changelog. What a book indexes of it: the incident, when to wake it, whether that is held
        back, the tenants it names; the rest is read when the incident is woken."""
        incident_id = key[len(STEP_KEY) : key.rindex(b"\x1f")].decode()
        self.add(incident_id, value)
        index = self._index(value) or self._ingress.row(key, value)[1]
        return (
            incident_id,
            cast(int | None, index["due"]),
            cast(bool, index["held"]),
            cast(list[str], index["tenants"]),
        )

    def add(self, incident_id: str, row: bytes) -> None:
        """One more step, the last so far."""
        before = self._rows.get(incident_id)
        self._rows[incident_id] = row if before is None else before + row

    def drop(self, incident_id: str) -> None:
        """Its steps are gone, or others come in their place."""
        self._rows.pop(incident_id, None)

    def steps(self, incident_id: str) -> list[Step]:
        """What was recorded of an incident (streams.sla.incidents.lru_cache.Recorded)."""
        rows = self._rows.get(incident_id)
        return [] if rows is None else [decode_step(self._ingress, row) for row in self._ingress.rows(rows)]
