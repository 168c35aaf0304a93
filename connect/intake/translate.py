"""The pure core of the intake: request body → events, ignored items, rejected items. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from connect.intake.formats import cloudevents, json_body, rest
from connect.intake.formats.registry import format_of
from connect.intake.kafka_records import PreparedEvent, prepare
from connect.intake.mapping.rules import Source
from connect.intake.outcome import EventItem, IgnoredItem, ItemOutcome, RejectedItem
from connect.intake.permissions import forbidden
from streams.sla.events import Rejection


@dataclass(slots=True)
class Translation:
    """The outcomes of a request. All `events` are published, whatever is rejected beside them: one bad alert of a group
    must not hold back the others."""

    events: list[PreparedEvent] = field(default_factory=list)
    ignored: list[IgnoredItem] = field(default_factory=list)
    rejected: list[RejectedItem] = field(default_factory=list)
    truncated: int = 0
    """How many items the sender reports to have left out."""


def webhook(source: Source, content: bytes, received_at: int | None = None) -> Translation:
    """The webhook of a source whose format has one, received at an instant (microseconds since 1970)."""
    payload = json_body.parse(content)
    if isinstance(payload, Rejection):
        return Translation(rejected=[RejectedItem("", payload.code, payload.message)])
    form = format_of(source)
    assert form.translate is not None, f"sources of format {form.name} have no webhook"
    translation = check_outcomes(form.translate(payload, source, received_at), source)
    translation.truncated = form.truncated(payload)
    return translation


def cloud_events(source: Source, media_type: str, headers: Mapping[str, str], content: bytes) -> Translation:
    """CloudEvents, one or a batch."""
    return check_outcomes(cloudevents.outcomes(media_type, headers, content), source)


def plain_json(
    source: Source, route: rest.RestRoute, path_id: str | None, headers: Mapping[str, str], content: bytes
) -> Translation:
    """Plain JSON at one of the addresses of `rest.ROUTES`."""
    return check_outcomes([rest.outcome(route, path_id, headers, content, source)], source)


def check_outcomes(outcomes: Iterable[ItemOutcome], source: Source) -> Translation:
    """Check each event as the agents will check it, and against what the source may publish."""
    translation = Translation()
    for outcome in outcomes:
        match outcome:
            case IgnoredItem():
                translation.ignored.append(outcome)
            case RejectedItem():
                translation.rejected.append(outcome)
            case EventItem(item, event):
                prepared = prepare(event)
                if isinstance(prepared, Rejection):
                    translation.rejected.append(RejectedItem(item, prepared.code, prepared.message))
                elif (reason := forbidden(source, event)) is not None:
                    translation.rejected.append(RejectedItem(item, "forbidden", reason))
                else:
                    translation.events.append(prepared)
    return translation
