"""The pure core of the intake: request body → events, ignored items, rejected items. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from connect.intake.arrival_check import Arrival
from connect.intake.contradictory_extensions import differing_extension
from connect.intake.contradictory_times import StatedTimes
from connect.intake.formats import cloudevents, rest
from connect.intake.formats.registry import format_of
from connect.intake.formats.source_format import Receipt
from connect.intake.kafka_records import PreparedEvent, prepare
from connect.intake.mapping.headers import NO_HEADERS, Headers
from connect.intake.mapping.rules import Source
from connect.intake.outcome import EventItem, IgnoredItem, ItemOutcome, RejectedItem
from connect.intake.permissions import forbidden
from streams.sla.events import Event as CheckedEvent
from streams.sla.events import Rejection


@dataclass(slots=True)
class Translation:
    """The outcomes of a request. All `events` are published, even when other items are rejected: one bad alert of a
    group must not block the others."""

    events: list[PreparedEvent] = field(default_factory=list)
    ignored: list[IgnoredItem] = field(default_factory=list)
    rejected: list[RejectedItem] = field(default_factory=list)
    truncated: int = 0
    """How many items the sender reports to have left out."""
    unjudged: list[tuple[str, CheckedEvent]] = field(default_factory=list)
    """Events of a part, by their items, whose times could not be compared with that of Kafka."""

    def add(self, other: Translation) -> None:
        """Add the outcomes of another part of the same request."""
        self.events += other.events
        self.ignored += other.ignored
        self.rejected += other.rejected
        self.truncated += other.truncated


class Outcomes(NamedTuple):
    """The outcomes of a request, one by one, before they are checked."""

    items: Iterator[ItemOutcome]
    truncated: int = 0


def webhook_outcomes(
    source: Source, content: bytes, received_at: int | None = None, headers: Headers = NO_HEADERS
) -> Outcomes:
    """The webhook of a source whose format has one, received at an instant (microseconds since 1970). `headers` are
    those that its mapping reads."""
    form = format_of(source)
    payload = form.parse(content)
    if isinstance(payload, Rejection):
        return Outcomes(iter([RejectedItem("", payload.code, payload.message)]))
    assert form.translate is not None, f"sources of format {form.name} have no webhook"
    items = form.translate(payload, source, Receipt(received_at, headers))
    return Outcomes(items, form.truncated(payload, source))


def cloud_event_outcomes(media_type: str, headers: Mapping[str, str], content: bytes) -> Outcomes:
    """CloudEvents, one or a batch."""
    return Outcomes(cloudevents.outcomes(media_type, headers, content))


def plain_json_outcomes(source: Source, route: rest.RestRoute, path_id: str | None, content: bytes) -> Outcomes:
    """Plain JSON at one of the addresses of `rest.ROUTES`."""
    return Outcomes(iter([rest.outcome(route, path_id, content, source)]))


def in_parts(outcomes: Outcomes, source: Source, size: int, arrival: Arrival | None = None) -> Iterator[Translation]:
    """Check each event as the agents will check it, and against what the source may publish. A part has at most `size`
    outcomes, so a large request needs the memory of a small one. Without an `arrival` times are not checked."""
    part, times = Translation(truncated=outcomes.truncated), StatedTimes()
    for number, outcome in enumerate(outcomes.items, 1):
        _check(outcome, source, part, arrival, times)
        if number % size == 0:
            yield part
            part = Translation()
    yield part


def translated(outcomes: Outcomes, source: Source, arrival: Arrival | None = None) -> Translation:
    """All parts in one."""
    translation = Translation()
    for part in in_parts(outcomes, source, 1000, arrival):
        translation.add(part)
    return translation


def webhook(
    source: Source, content: bytes, received_at: int | None = None, headers: Headers = NO_HEADERS
) -> Translation:
    """As `webhook_outcomes`, checked."""
    return translated(webhook_outcomes(source, content, received_at, headers), source)


def cloud_events(source: Source, media_type: str, headers: Mapping[str, str], content: bytes) -> Translation:
    """As `cloud_event_outcomes`, checked."""
    return translated(cloud_event_outcomes(media_type, headers, content), source)


def plain_json(source: Source, route: rest.RestRoute, path_id: str | None, content: bytes) -> Translation:
    """As `plain_json_outcomes`, checked."""
    return translated(plain_json_outcomes(source, route, path_id, content), source)


def _check(
    outcome: ItemOutcome, source: Source, part: Translation, arrival: Arrival | None, times: StatedTimes
) -> None:
    match outcome:
        case IgnoredItem():
            part.ignored.append(outcome)
        case RejectedItem():
            part.rejected.append(outcome)
        case EventItem(_, event, optional=True) if forbidden(source, event) is not None:
            pass
        case EventItem(item, event):
            prepared = prepare(event, None if arrival is None else arrival.rejects)
            if isinstance(prepared, Rejection):
                part.rejected.append(RejectedItem(item, prepared.code, prepared.message))
            elif (reason := forbidden(source, event)) is not None:
                part.rejected.append(RejectedItem(item, "forbidden", reason))
            else:
                part.events.append(prepared)
                if arrival is not None and arrival.at is None:
                    part.unjudged.append((item, prepared.checked))
                reports = (
                    times.note(item, prepared.checked),
                    differing_extension(item, event, prepared.subject),
                )
                part.ignored += [each for each in reports if each is not None]
