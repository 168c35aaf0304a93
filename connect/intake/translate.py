"""The pure core of the intake: what a request's body means, by source; no I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from connect.intake.formats import alertmanager, cloudevents, jira, json_body, rest, zendesk
from connect.intake.kafka_records import Ready, prepare
from connect.intake.mapping.rules import Source
from connect.intake.outcome import Fact, Ignored, Outcome, Refused
from streams.sla.events import Rejection


@dataclass(slots=True)
class Decision:
    """What a request becomes. All of `ready` is published, whatever else was refused: one bad alert of a group must
    not hold back the others."""

    ready: list[Ready] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    truncated: int = 0


def hook(source: Source, content: bytes, going_on: alertmanager.GoingOn = lambda _: None) -> Decision:
    """A webhook of Alertmanager, Zendesk or Jira."""
    payload = json_body.parse(content)
    if isinstance(payload, Rejection):
        return Decision(refused=[Refused("", payload.code, payload.message)])
    match source.format:
        case "alertmanager":
            found = alertmanager.outcomes(payload, source, going_on)
        case "zendesk":
            found = zendesk.outcomes(payload, source)
        case "jira":
            found = jira.outcomes(payload, source)
        case "api":
            raise AssertionError("events of format api have addresses of their own")
    decision = checked(found, source)
    decision.truncated = alertmanager.truncated(payload) if source.format == "alertmanager" else 0
    return decision


def events(source: Source, media_type: str, headers: Mapping[str, str], content: bytes) -> Decision:
    """CloudEvents, one or a batch."""
    return checked(cloudevents.outcomes(media_type, headers, content), source)


def fact(
    source: Source, route: rest.Route, path_id: str | None, headers: Mapping[str, str], content: bytes
) -> Decision:
    """Plain JSON at one of the addresses."""
    return checked([rest.outcome(route, path_id, headers, content, source)], source)


def checked(outcomes: Iterable[Outcome], source: Source) -> Decision:
    """Each fact checked as the product will check it, and held against what the source may publish."""
    decision = Decision()
    for outcome in outcomes:
        match outcome:
            case Ignored():
                decision.ignored.append(outcome)
            case Refused():
                decision.refused.append(outcome)
            case Fact(item, event):
                ready = prepare(event)
                if isinstance(ready, Rejection):
                    decision.refused.append(Refused(item, ready.code, ready.message))
                elif not source.allows(ready.event_type):
                    told = (
                        f"{source.name} may not publish {ready.event_type}; its `allow` names {', '.join(source.allow)}"
                    )
                    decision.refused.append(Refused(item, "forbidden", told))
                elif event.get("source") in source.others:
                    told = f"{source.name} may not speak for {event['source']}, another source of this intake"
                    decision.refused.append(Refused(item, "forbidden", told))
                else:
                    decision.ready.append(ready)
    return decision
