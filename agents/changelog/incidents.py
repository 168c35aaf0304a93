"""Changelog rows of the incidents agent: steps, and the facts and published entries in them, to Avro and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, assert_never, cast

from agents.changelog.input_rows import InputRows, row_key
from agents.context import AgentContext, Topics
from streams.runtime.processor import Record
from streams.serde.codec import Fields
from streams.sla.events import Position
from streams.sla.incidents.clocks import RESOLUTION, RESPONSE, UPDATE, ClockKey
from streams.sla.incidents.fold import Fact
from streams.sla.incidents.published import (
    BreachEntry,
    ClassificationEntry,
    ClosingEntry,
    ImpactsEntry,
    LinkEntry,
    MetEntry,
    NoticeEntry,
    PublishedEntry,
    RetractionEntry,
)
from streams.sla.incidents.reevaluation import QueueKey, QueueProgress
from streams.sla.incidents.steps import Step, StepIndex
from streams.sla.incidents.tenant_index import UNKNOWN
from streams.sla.limits import shortened

STEP_KEY = b"i\x1f"
#: From here on the rows of an incident are appended to in place: copying them for each step would take quadratic time.
LONG_BYTES = 4 * 1024
STEP, TOMBSTONE, BUFFERED, CONTRACT, BACKFILL_IDLE = "i", "m", "w", "c", "@quiet"
REEVALUATION = "r"

#: Numbers of the metrics and of the kinds of published entries in rows; they never change.
_METRICS = (RESPONSE, UPDATE, RESOLUTION)
_METRIC_NUMBER = {name: number for number, name in enumerate(_METRICS)}
_CLASSIFIED, _BREACHED, _RETRACTED, _MET, _NOTICED, _CLOSED, _IMPACTS, _LINK = range(8)


#: Kind, metric, instance, deadline, at, text.
EntryRow = tuple[int, int, int, int, int, str]


#: Frequent events that have nothing that is removed before they are stored.
_PLAIN = frozenset(["incident.responded", "incident.resolved", "incident.waiting", "incident.waiting_ended"])


class BufferedInput(NamedTuple):
    """An event that waits for its incident's opening: the record, to be rejected as it came, and its event in
    single-object encoding."""

    record: Record
    event: bytes


def step_key(incident_id: str, number: int) -> bytes:
    """The changelog key of an incident's step."""
    return row_key(STEP, incident_id, str(number))


def without_texts(rows: InputRows, event_type: str, fields: Mapping[str, object], value: bytes) -> bytes:
    """The input as it is stored: without texts, which no decision needs, but for a shortened summary, without tenants
    that a platform-wide scope ignores, in single-object encoding. `value` is returned as it is where nothing has to be
    removed."""
    if event_type in _PLAIN:
        return rows.to_single_object(event_type, fields, value)
    changed: Fields = {}
    if fields.get("text") is not None:
        changed["text"] = None
    if fields.get("reason") is not None:  # not optional in its schema, so it becomes empty
        changed["reason"] = ""
    if (summary := fields.get("summary")) is not None and (short := shortened(str(summary))) != summary:
        changed["summary"] = short
    if fields.get("scope") == "platform" and fields.get("tenant_ids"):
        changed["tenant_ids"] = []
    if not changed:
        return rows.to_single_object(event_type, fields, value)
    return rows.codec.encode(event_type, {**fields, **changed})


def encode_step(rows: InputRows, step: Step, values: Sequence[bytes]) -> bytes:
    """`values` are the stored values of the facts in the step, in their order."""
    facts = [
        (fact.arrival, fact.position.partition, fact.position.offset, fact.digest, value)
        for fact, value in zip(step.facts, values, strict=True)
    ]
    tenants, opened_at = step.names()
    incident_id, number, _, entries, processed_until, due, deferred = step
    published = [encode_entry(entry) for entry in entries]
    fields = (due, deferred, tenants, opened_at, incident_id, number, processed_until, facts, published)
    return rows.codec.encode_values("state.incident_step", fields)


def decode_step(rows: InputRows, topics: Topics, row: Fields) -> Step:
    """Undo `encode_step`."""
    topic = topics.name("incident-events")
    facts = []
    for stored in cast(list[dict[str, Any]], row["facts"]):
        position = Position(topic, stored["partition"], stored["offset"])
        event = rows.event_of(stored["event"], stored["digest"])
        facts.append(Fact.of(event, stored["arrival"], position))
    decoded = map(decode_entry, cast(list[Fields], row["said"]))
    return Step(
        cast(str, row["incident_id"]),
        cast(int, row["number"]),
        facts,
        [entry for entry in decoded if entry is not None],
        cast(int, row["clock"]),
        cast(int | None, row["due"]),
        cast(bool, row["held"]),
    )


def encode_entry(entry: PublishedEntry) -> EntryRow:
    """A published entry as the values of its row: one flat record for every kind."""
    match entry:  # the frequent ones first
        case MetEntry():
            return _MET, *_clock(entry.key), entry.at, ""
        case ImpactsEntry():
            return _IMPACTS, 0, 0, 0, entry.revision, entry.digest
        case ClassificationEntry():
            severity, covered, counts, basis = entry
            return _CLASSIFIED, 0, 0, 0, 0, f"{severity}|{covered:d}|{counts:d}|{basis}"
        case NoticeEntry():
            return _NOTICED, *_clock(entry.key), entry.number, ""
        case ClosingEntry():
            return _CLOSED, 0, 0, 0, 0, entry.digest or ""
        case BreachEntry():
            return _BREACHED, *_clock(entry.key), 0, ""
        case RetractionEntry():
            return _RETRACTED, *_clock(entry.key), 0, ""
        case LinkEntry():
            return _LINK, 0, 0, 0, entry.revision, entry.into or ""
        case _:
            assert_never(entry)


def _clock(key: ClockKey) -> tuple[int, int, int]:
    metric, instance, deadline = key
    return _METRIC_NUMBER[metric], instance, deadline


def decode_entry(row: Fields) -> PublishedEntry | None:
    """Undo `encode_entry`. None for the classification of an incident of which none was published: rows of earlier
    releases may contain it."""
    at, text = cast(int, row["at"]), cast(str, row["text"])
    key = ClockKey(_METRICS[cast(int, row["metric"])], cast(int, row["instance"]), cast(int, row["deadline"]))
    match row["kind"]:
        case 0:
            return _decode_classification(text)
        case 1:
            return BreachEntry(key)
        case 2:
            return RetractionEntry(key)
        case 3:
            return MetEntry(key, at)
        case 4:
            return NoticeEntry(key, at)
        case 5:
            return ClosingEntry(text or None)
        case 6:
            return ImpactsEntry(at, text)
        case 7:
            return LinkEntry(at, text or None)
        case kind:
            raise ValueError(f"the changelog holds a published entry of unknown kind {kind}; a later release wrote it")


def _decode_classification(text: str) -> ClassificationEntry | None:
    if not text:
        return None
    severity, covered, counts, basis = text.split("|", 3)
    return ClassificationEntry(severity, covered == "1", counts == "1", basis)


class StepRows:
    """The changelog rows of every incident, concatenated: Avro records are self-delimiting. An incident takes a few
    hundred bytes this way, and some kilobytes as objects."""

    def __init__(self, rows: InputRows, topics: Topics) -> None:
        self._input_rows = rows
        self._topics = topics
        self._rows: dict[str, bytes | bytearray] = {}
        self._index = rows.codec.prefix_reader("state.incident_step", ("due", "held", "tenants", "opened_at"))
        self._index_v1 = rows.codec.prefix_reader("state.incident_step", ("due", "held", "tenants"), version=1)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def restore(self, key: bytes, value: bytes) -> tuple[str, StepIndex]:
        """Add a row of the changelog and return the incident's id and what the store indexes of the row. The rest of it
        is decoded on access."""
        incident_id = key[len(STEP_KEY) : key.rindex(b"\x1f")].decode()
        self.add(incident_id, value)
        row: Any = self._index(value) or self._index_v1(value)
        if row is None:
            raise ValueError(f"changelog row {key!r} can't be read: a later release wrote it")
        return incident_id, StepIndex(row["due"], row["held"], row["tenants"], row.get("opened_at", UNKNOWN))

    def add(self, incident_id: str, row: bytes) -> None:
        """Add an incident's next step."""
        before = self._rows.get(incident_id)
        if before is None:
            self._rows[incident_id] = row
        elif isinstance(before, bytearray):
            before += row
        elif len(before) < LONG_BYTES:
            self._rows[incident_id] = before + row
        else:
            self._rows[incident_id] = bytearray(before) + row

    def drop(self, incident_id: str) -> None:
        """Remove all steps of an incident."""
        self._rows.pop(incident_id, None)

    def steps(self, incident_id: str) -> list[Step]:
        """An incident's steps in their order (streams.sla.incidents.lru_cache.StepReader). Raises ValueError where rows
        can't be read or one is missing: the state is damaged."""
        rows = self._rows.get(incident_id)
        if rows is None:
            return []
        steps = [decode_step(self._input_rows, self._topics, row) for row in self._input_rows.rows(bytes(rows))]
        number = steps[0].number
        for step in steps:
            if step.number != number:
                raise ValueError(f"the row of step {number} is not between those of the steps before and after it")
            number += 1
        if not any(fact.rank == 0 for fact in steps[0].facts):
            raise ValueError(f"step {steps[0].number} is the first, and has no opening: the rows before it are missing")
        return steps


def reevaluation_row(context: AgentContext, progress: QueueProgress) -> tuple[bytes, bytes | None]:
    """Key and value of the row of a queued contract fact; no value once it is done."""
    (tenant, source, event_id), arrival, after = progress
    key = row_key(REEVALUATION, tenant, source, event_id)
    if after is None:
        return key, None
    fields = {"tenant_id": tenant, "source": source, "event_id": event_id, "arrival": arrival, "after": after}
    return key, context.codec.encode("state.reevaluation", fields)


def decode_reevaluation(row: Fields) -> QueueProgress:
    """Undo `reevaluation_row`."""
    key = QueueKey(cast(str, row["tenant_id"]), cast(str, row["source"]), cast(str, row["event_id"]))
    return QueueProgress(key, cast(int, row["arrival"]), cast(str, row["after"]))
