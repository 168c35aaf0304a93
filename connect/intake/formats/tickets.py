"""What ticket systems have in common: a ticket is opened once, then its fields and its status change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from connect.intake.mapping.classification import (
    Classified,
    IgnoredByRule,
    Unmapped,
    classification_fields,
    classify,
    opened_fields,
    truncate_text,
)
from connect.intake.mapping.mapping_rule import paths_of
from connect.intake.mapping.rules import Source
from connect.intake.outcome import IGNORED_WHILE_OPEN, EventItem, IgnoredItem, ItemOutcome, RejectedItem, event
from connect.intake.sortable_ids import sortable
from streams.sla.instants import parse_rfc3339

Author = dict[str, object]
#: A change that somebody has to look at.
TIER_REMOVED = "tier_removed"


class Ticket(NamedTuple):
    """A ticket as one webhook shows it. `key` is its name for people, `created` and `time` are RFC 3339."""

    subject: str
    key: str
    created: str
    title: str | None
    time: str
    change: str
    """The sender's own id of this change, the same in each retry."""
    by: Author | None


def ticket_opened(ticket: Ticket, view: object, source: Source, state: str = "open") -> Iterator[ItemOutcome]:
    """A ticket was created: its incident begins, unless the mapping ignores it. `state` is the meaning of the first
    status where that is known; no change of status follows then."""
    found = classify(source, view, ticket.title)
    yield from _opening(ticket, found, source)
    if isinstance(found, Classified) and state != "open":
        yield from status_changed(ticket, "open", state, source)


def fields_changed(
    ticket: Ticket, before: object, after: object, source: Source, state: str = "open"
) -> Iterator[ItemOutcome]:
    """Fields changed. The first change that can be mapped opens the incident as of the ticket's creation; later changes
    reclassify it. A ticket that was ignored until now opens its incident now, in the `state` that its status means; one
    that is ignored from now on resolves it."""
    was, found = classify(source, before, ticket.title), classify(source, after, ticket.title)
    if found == was:
        yield IgnoredItem("", "the mapping does not depend on the change")
        return
    if isinstance(was, Classified) and isinstance(found, IgnoredByRule):
        yield _fact(ticket, "incident.resolved", source, {"who": ticket.by})
        return
    if not isinstance(found, Classified):
        yield from _opening(ticket, found, source)
        return
    if isinstance(was, IgnoredByRule):
        yield from _counted_from_now_on(ticket, found, source, state)
        return
    if not isinstance(was, Classified):
        yield from _mapped_late(ticket, found, source, classification_fields(found), state)
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
    if was.tier is not None and found.tier is None:
        reason = f"the ticket has no tier any more, which no event takes back: its incident stays of tier {was.tier}"
        yield IgnoredItem("", reason, TIER_REMOVED, ticket.subject)
    elif not differing:
        yield IgnoredItem("", "the severity does not depend on the change")


def fields_set(
    ticket: Ticket, after: object, changed: Callable[[tuple[str, ...]], bool], source: Source, state: str = "open"
) -> Iterator[ItemOutcome]:
    """Fields changed whose values before are unknown. What the mapping derives from a `changed` path is published as it
    is now; a value that is the same as before has no effect. Its opening comes with it, as the ticket may not have been
    mapped until now. `state` is what the status means."""
    found = classify(source, after, ticket.title)
    may_differ = any(changed(condition.path.names) for conditions in source.ignore for condition in conditions)
    if isinstance(found, IgnoredByRule):
        if may_differ:
            yield _fact(ticket, "incident.resolved", source, {"who": ticket.by})
        else:
            yield IgnoredItem("", found.reason)
        return
    if isinstance(found, Unmapped):
        yield RejectedItem("", "invalid", f"ticket {ticket.key}: {found.reason}")
        return
    if may_differ:  # it may have been ignored until now
        yield from _counted_from_now_on(ticket, found, source, state)
        return
    fields = classification_fields(found)
    rules = {"component": source.component, "impact": source.impact, "tier": source.tier, "tenants": source.tenants}
    names = [name for name, given in rules.items() if any(changed(path.names) for path in paths_of(given))]
    data = {name: fields[name] for name in names if name != "tenants" and fields[name] is not None}
    if "tenants" in names:
        data |= {"scope": fields["scope"], "tenant_ids": fields["tenant_ids"]}
    if data:
        # Without an end: the ticket may have been mapped all the time, and somebody may have reopened its incident.
        yield from _mapped_late(ticket, found, source, data)
    if "tier" in names and found.tier is None:
        reason = "the ticket has no tier, and no event takes one back: its incident keeps the tier that it may have"
        yield IgnoredItem("", reason, TIER_REMOVED, ticket.subject)
    elif not data:
        yield IgnoredItem("", "the mapping does not depend on the change")


def with_opening(
    ticket: Ticket,
    before: Callable[[], object],
    changes: Iterable[ItemOutcome],
    source: Source,
    state: str,
    deleted: bool = False,
) -> Iterator[ItemOutcome]:
    """The outcomes of an update; where the mapping says so with the ticket's opening, without which they would be
    orphans if the webhook of its creation was lost (R4). That of the creation sorts before it, and stands if it comes.
    A ticket that was over by then is opened by nothing. `before` gives the ticket before the update, as far as that is
    known: what the update changes counts from its own time on. `state` is what the status means, which a deletion does
    not change."""
    if not source.opening_with_updates:
        yield from changes
        return
    found = list(changes)
    types = {outcome.event["type"] for outcome in found if isinstance(outcome, EventItem)}
    over = state == "resolved" and (deleted or not types & {"incident.resolved", "incident.reopened"})
    if types and "incident.opened" not in types and not over and isinstance(ticket.created, str):
        classified = classify(source, before(), ticket.title)
        if isinstance(classified, Classified):
            yield _opened(ticket, classified, source, _again(ticket))._replace(optional=True)
    yield from found


def change_ignored(ticket: Ticket, reason: str, *, ends: bool) -> IgnoredItem:
    """What the mapping ignores of a ticket. Where it `ends` the ticket, its incident stays open if it is: `ignore` has
    named it only since then."""
    return IgnoredItem("", reason, None, ticket.subject, IGNORED_WHILE_OPEN if ends else None)


def ticket_deleted(ticket: Ticket, source: Source) -> Iterator[ItemOutcome]:
    """The ticket was deleted. Nothing can resolve its incident any more, so the incident ends now."""
    yield _fact(ticket, "incident.resolved", source, {"who": ticket.by})


def status_changed(ticket: Ticket, before: str, after: str, source: Source) -> Iterator[ItemOutcome]:
    """The status went from one state (`open`, `resolved`, `customer`, `third_party`) to another."""
    if before == after:
        yield IgnoredItem("", f"the status still means {after.replace('_', ' ')}")
        return
    if before == "resolved":
        yield _fact(ticket, "incident.reopened", source, {})
    elif before != "open" and after != "resolved":
        yield _fact(ticket, "incident.waiting_ended", source, {"on": before, "who": ticket.by})
    if after == "resolved":
        yield _fact(ticket, "incident.resolved", source, {"who": ticket.by})
    elif after != "open":
        yield _fact(ticket, "incident.waiting", source, {"on": after, "who": ticket.by})


def comment_added(ticket: Ticket, text: str | None, public: bool, source: Source) -> Iterator[ItemOutcome]:
    """Somebody commented on the ticket; the policy decides whose comments answer an incident (R7, R8)."""
    data: dict[str, object] = {
        "who": ticket.by or {"kind": "system"},
        "visibility": "public" if public else "internal",
        "text": None if text is None else truncate_text(text),
    }
    yield _fact(ticket, "incident.updated", source, data)


def _counted_from_now_on(ticket: Ticket, found: Classified, source: Source, state: str) -> Iterator[ItemOutcome]:
    """The mapping ignored the ticket until now. Its incident may have been opened and resolved before that, which
    nothing here knows; so it is opened, reopened and reclassified, of which only what changes it has an effect (R2)."""
    data = opened_fields(found, "ticket", ticket.key)
    name = f"{ticket.subject}-opened-{ticket.change}"
    yield EventItem("", event("incident.opened", name, source.source, ticket.subject, ticket.time, data))
    if state != "resolved":
        yield _fact(ticket, "incident.reopened", source, {})
    # Of a ticket that is solved too: a later reopening goes on with what the ticket is now.
    yield _fact(ticket, "incident.reclassified", source, classification_fields(found))
    if state != "open":
        yield from status_changed(ticket, "open", state, source)


def _mapped_late(
    ticket: Ticket, found: Classified, source: Source, changed: dict[str, object], state: str = "open"
) -> Iterator[ItemOutcome]:
    """The ticket may not have been mapped until now, when the `changed` fields of its classification are. Its end may
    have waited for the opening for too long (R4); of two ends the first counts."""
    yield from _opening(ticket, found, source, _again(ticket))
    yield _fact(ticket, "incident.reclassified", source, changed)
    if state == "resolved":
        yield _fact(ticket, "incident.resolved", source, {"who": ticket.by})


def _again(ticket: Ticket) -> str:
    """The part of an opening's id that tells it from others of its ticket. It may have been mapped before it could not
    be, which nothing here knows: so it is opened again, with what it is like now. Of all its openings the first stands,
    because their ids are in the order of their changes (R2)."""
    try:
        at = sortable(parse_rfc3339(ticket.time))
    except ValueError:  # the event is rejected because of it
        at = ticket.time
    return f"-{at}-{ticket.change}"


def _opening(
    ticket: Ticket, found: Classified | Unmapped | IgnoredByRule, source: Source, again: str = ""
) -> Iterator[ItemOutcome]:
    match found:
        case IgnoredByRule(reason):
            yield IgnoredItem("", reason)
        case Unmapped(reason):
            yield RejectedItem("", "invalid", f"ticket {ticket.key}: {reason}")
        case Classified():
            yield _opened(ticket, found, source, again)


def _opened(ticket: Ticket, found: Classified, source: Source, again: str) -> EventItem:
    name, data = f"{ticket.subject}-opened{again}", opened_fields(found, "ticket", ticket.key)
    return EventItem("", event("incident.opened", name, source.source, ticket.subject, ticket.created, data))


def _fact(ticket: Ticket, event_type: str, source: Source, data: dict[str, object]) -> EventItem:
    kind = event_type.partition(".")[2]
    name = f"{ticket.subject}-{kind}-{ticket.change}"
    return EventItem("", event(event_type, name, source.source, ticket.subject, ticket.time, data))
