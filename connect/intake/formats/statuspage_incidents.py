"""Incidents of a status page as events: it opens an incident, its posts are the public updates, its end resolves it.

A webhook shows the whole incident as it is at that time, with all posts, so each one produces the events of those
before it too. The same post always gives the same event (R1). What an author edits gives another event:

- The text of a post: another update at the instant of the first version, which no clock counts twice (R8).
- Impact, components, name: an opening for each snapshot, of which the earliest stands in any order of arrival (R2), and
  a reclassification as of the snapshot. The past is corrected by `incident.amended` alone (R21).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from connect.intake.formats.statuspage_page import PageIncident, Post, instant, time_of
from connect.intake.mapping.classification import (
    Classified,
    IgnoredByRule,
    Unmapped,
    classification_fields,
    classify,
    ignored_by_rule,
    opened_fields,
    truncate_text,
    without_tier,
)
from connect.intake.mapping.matching import first_match, quoted
from connect.intake.mapping.rules import Source
from connect.intake.outcome import IGNORED_WHILE_OPEN, EventItem, IgnoredItem, ItemOutcome, RejectedItem, event
from connect.intake.sortable_ids import sortable
from streams.sla.limits import MAX_ID_CHARACTERS

SUPPORT: dict[str, object] = {"kind": "support"}


def incident_outcomes(found: PageIncident, source: Source, *, history: bool = False) -> Iterator[ItemOutcome]:
    """The outcomes of a snapshot. `history`: it is the last one there will be, so it is not known when its fields
    changed, and nothing is reclassified."""
    if (ignored := ignored_by_rule(source, found.view)) is not None:
        yield IgnoredItem("", ignored.reason, None, f"{source.name}-{found.id}", IGNORED_WHILE_OPEN)
        return
    existing = found.link or next(iter(first_match(source.incident, found.view)[0]), None)
    if existing is not None:
        yield from _posts_of(existing, found, source)
        return
    subject = f"{source.name}-{found.id}"
    match classify(source, found.view, found.name):
        case IgnoredByRule(reason):
            yield IgnoredItem("", reason)
        case Unmapped(reason):
            yield RejectedItem("", "invalid", f"incident {found.id}: {reason}")
        case Classified() as classified:
            yield from unknown_components(found, source, subject)
            data = opened_fields(classified, "monitor") | {"started_at": time_of(found.started_at)}
            name = f"{subject}-opened-{sortable(found.updated_at)}"
            opened = event("incident.opened", name, source.source, subject, time_of(found.created_at), data)
            yield EventItem("", opened)
            yield from _progress(subject, found, source)
            if history and not found.posts and _is_over(found, source):
                yield _end_without_posts(subject, found, source)
            if not history and found.updated_at > found.created_at and not _is_over(found, source):
                name = f"{subject}-reclassified-{sortable(found.updated_at)}"
                at, fields = time_of(found.updated_at), classification_fields(classified)
                yield EventItem("", event("incident.reclassified", name, source.source, subject, at, fields))
                yield from without_tier(source, classified)


def unknown_components(found: PageIncident, source: Source, subject: str) -> Iterator[IgnoredItem]:
    """An item for each component of the page that the mapping does not name: someone has to add it."""
    for component in found.components:
        if not first_match(source.component, found.view_of(component))[0]:
            name = quoted(str(component.get("name")))
            reason = f"no entry of `component` names the page's component {name}; the others of its incident count"
            yield IgnoredItem("incident.components", reason, "unknown_component", subject)


def _is_over(found: PageIncident, source: Source) -> bool:
    return source.states.of(found.status) == "resolved"


def _progress(subject: str, found: PageIncident, source: Source) -> Iterator[ItemOutcome]:
    """The posts after the first one, which is the opening."""
    before, began_at = "open", found.started_at
    for number, post in enumerate(found.posts):
        after = source.states.of(post.status)
        if after != "resolved" and number:
            yield _update(subject, f"{subject}-updated", post, source)
        yield from _transition(subject, before, after, post, source, began_at)
        if before == "resolved" != after:
            began_at = post.created_at
        before = after


def _transition(
    subject: str, before: str, after: str, post: Post, source: Source, began_at: int
) -> Iterator[ItemOutcome]:
    """What a post changes of the incident's state, whose outage `began_at` then."""
    if before == after:
        if after == "resolved":  # a post-mortem
            yield _update(subject, f"{subject}-updated", post, source)
        return
    if before == "resolved":
        yield _fact(subject, "reopened", post, source, {"reason": "the status page reports it again"})
    elif before != "open" and after != "resolved":
        yield _fact(subject, "waiting_ended", post, source, {"on": before, "who": SUPPORT})
    if after == "resolved":
        # The author may move the time that the page shows; an end before the beginning would be no outage at all.
        restored = post.shown_at if began_at < post.shown_at < post.created_at else post.created_at
        yield _fact(subject, "resolved", post, source, {"who": SUPPORT}, restored)
    elif after != "open":
        yield _fact(subject, "waiting", post, source, {"on": after, "who": SUPPORT})


def _end_without_posts(subject: str, found: PageIncident, source: Source) -> ItemOutcome:
    try:
        resolved = instant(found.view["incident"], "resolved_at", "incident.")
    except ValueError as error:
        return RejectedItem("", "invalid", f"it is over and has no posts; {error}")
    at = time_of(max(resolved, found.created_at))
    name = f"{subject}-resolved-{sortable(resolved)}"
    data: dict[str, object] = {"who": SUPPORT, "restored_at": at}
    return EventItem("", event("incident.resolved", name, source.source, subject, at, data))


def _posts_of(target: str, found: PageIncident, source: Source) -> Iterator[ItemOutcome]:
    """All posts as updates of an incident that exists: whoever opened it also resolves it."""
    if not found.posts:
        yield IgnoredItem("", f"it is about {target[:MAX_ID_CHARACTERS]} and has no post yet")
    for post in found.posts:
        yield _update(target, f"{source.name}-{found.id}-update", post, source)


def _update(subject: str, name: str, post: Post, source: Source) -> EventItem:
    text = None if post.text is None else truncate_text(post.text)
    digest = hashlib.sha256((text or "").encode(errors="replace")).hexdigest()[:12]
    data: dict[str, object] = {"who": SUPPORT, "visibility": "public", "text": text}
    at = time_of(post.created_at)
    return EventItem("", event("incident.updated", f"{name}-{post.id}-{digest}", source.source, subject, at, data))


def _fact(
    subject: str, kind: str, post: Post, source: Source, data: dict[str, object], restored: int | None = None
) -> EventItem:
    name = f"{subject}-{kind}-{post.id}"
    if restored is not None:
        data |= {"restored_at": time_of(restored)}
        if restored != post.created_at:  # another time is another event
            name += f"-{sortable(restored)}"
    return EventItem("", event(f"incident.{kind}", name, source.source, subject, time_of(post.created_at), data))
