"""What ticket systems have in common: a ticket that is opened once, then changes its fields and its status."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from connect.intake.mapping.rules import (
    Classified,
    IgnoredByRule,
    Source,
    Unmapped,
    classification,
    classify,
    cut,
    opening,
)
from connect.intake.outcome import Fact, Ignored, Outcome, Refused, event

Who = dict[str, object]


class Ticket(NamedTuple):
    """A ticket as one webhook shows it. `key` is what people call it, `created` and `time` are RFC 3339."""

    subject: str
    key: str
    created: str
    title: str | None
    time: str
    change: str
    """The sender's own id of this change: the same in each retry."""
    by: Who | None


def opened(ticket: Ticket, view: object, source: Source, state: str = "open") -> Iterator[Outcome]:
    """A ticket was made: the incident begins with it, unless the mapping leaves it aside. `state` is what its first
    status means, where that is known: no change of status follows then."""
    found = classify(source, view, ticket.title)
    yield from _opening(ticket, found, source)
    if isinstance(found, Classified) and state != "open":
        yield from moved(ticket, "open", state, source)


def changed(ticket: Ticket, before: object, after: object, source: Source) -> Iterator[Outcome]:
    """Fields changed. The first that map open the incident, at the ticket's own creation; later ones reclassify it. A
    ticket that was none of an incident until now opens one now, and one that is none any more ends it."""
    was, found = classify(source, before, ticket.title), classify(source, after, ticket.title)
    if found == was:
        yield Ignored("", "the change means nothing to the mapping")
        return
    if isinstance(was, Classified) and isinstance(found, IgnoredByRule):
        yield _fact(ticket, "incident.resolved", source, {"who": ticket.by})
        return
    if not isinstance(found, Classified):
        yield from _opening(ticket, found, source)
        return
    if isinstance(was, IgnoredByRule):
        yield from _opening(ticket._replace(created=ticket.time), found, source)
        return
    if not isinstance(was, Classified):
        yield from _opening(ticket, found, source)
        yield _fact(ticket, "incident.reclassified", source, classification(found))
        return
    differing: dict[str, object] = {}
    if (was.scope, was.tenant_ids) != (found.scope, found.tenant_ids):
        differing |= {"scope": found.scope, "tenant_ids": list(found.tenant_ids) or None}
    if was.component != found.component:
        differing["component"] = found.component
    if was.impact != found.impact:
        differing["impact"] = found.impact
    if was.tier != found.tier and found.tier is not None:
        differing["tier"] = found.tier
    if differing:
        yield _fact(ticket, "incident.reclassified", source, differing)
    else:
        yield Ignored("", "the change means nothing to the severity")


def moved(ticket: Ticket, before: str, after: str, source: Source) -> Iterator[Outcome]:
    """The status went from one state (`open`, `resolved`, `customer`, `third_party`) to another."""
    if before == after:
        yield Ignored("", f"the status means {after.replace('_', ' ')} as before")
        return
    if before == "resolved":
        yield _fact(ticket, "incident.reopened", source, {})
    elif before != "open" and after != "resolved":
        yield _fact(ticket, "incident.waiting_ended", source, {"on": before, "who": ticket.by})
    if after == "resolved":
        yield _fact(ticket, "incident.resolved", source, {"who": ticket.by})
    elif after != "open":
        yield _fact(ticket, "incident.waiting", source, {"on": after, "who": ticket.by})


def commented(ticket: Ticket, text: str | None, public: bool, source: Source) -> Iterator[Outcome]:
    """Somebody wrote into the ticket; the policy says whose words answer an incident (R7, R8)."""
    data: dict[str, object] = {
        "who": ticket.by or {"kind": "system"},
        "visibility": "public" if public else "internal",
        "text": None if text is None else cut(text),
    }
    yield _fact(ticket, "incident.updated", source, data)


def _opening(ticket: Ticket, found: Classified | Unmapped | IgnoredByRule, source: Source) -> Iterator[Outcome]:
    match found:
        case IgnoredByRule(reason):
            yield Ignored("", reason)
        case Unmapped(reason):
            yield Refused("", "invalid", f"ticket {ticket.key}: {reason}")
        case Classified():
            name, data = f"{ticket.subject}-opened", opening(found, "ticket", ticket.key)
            yield Fact("", event("incident.opened", name, source.source, ticket.subject, ticket.created, data))


def _fact(ticket: Ticket, event_type: str, source: Source, data: dict[str, object]) -> Fact:
    word = event_type.partition(".")[2]
    name = f"{ticket.subject}-{word}-{ticket.change}"
    return Fact("", event(event_type, name, source.source, ticket.subject, ticket.time, data))
