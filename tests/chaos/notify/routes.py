"""The routing files of the simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

from connect.notify.destinations.kind import MASKED
from connect.notify.routing.file import routing_in
from connect.notify.routing.loaded import LoadedRouting
from connect.notify.routing.rules import Routing
from connect.notify.triggers import PageTrigger, page_trigger
from streams.config_files.reload import content_digest
from streams.sla.instants import SECOND
from tests import page_triggers

#: Destinations: PagerDuty, Slack, a webhook.
PAGES, POSTS, EVENTS = "pages", "posts", "events"
ALL = PAGES, POSTS, EVENTS

_DESTINATIONS = {
    PAGES: "{kind: pagerduty, routing_key: {env: A}}",
    POSTS: "{kind: slack, url: {env: B}}",
    EVENTS: "{kind: webhook, url: {env: C}, secrets: [{env: D}]}",
}


def _file(destinations: Sequence[str], *routes: str) -> str:
    lines = [f"  {name}: {_DESTINATIONS[name]}" for name in destinations]
    return "\n".join(["version: 1", "destinations:", *lines, "routes:", *(f"  - {{{each}}}" for each in routes), ""])


FILES: Mapping[str, str] = {
    "one": _file([PAGES], "to: pages"),
    "all": _file(
        ALL,
        "to: pages, continue: true",
        "match: {severity: [P1, P2]}, to: events, continue: true",
        "match: {severity: [P3]}, to: posts",
    ),
    "both": _file(ALL, "match: {severity: [P1, P2]}, to: [pages, events]", "to: posts"),
    "without-posts": _file([PAGES, EVENTS], "match: {severity: [P1]}, to: pages", "to: events"),
    "split": _file(ALL, "match: {severity: [P1]}, to: pages", "match: {severity: [P2]}, to: events", "to: posts"),
    "turned": _file(ALL, "match: {severity: [P2]}, to: posts", "match: {severity: [P1]}, to: events", "to: pages"),
}
#: Of a start; and of runs in which the file is edited.
AT_START = ("one", "all", "both", "without-posts")
EDITED = ("all", "both", "split", "turned", "without-posts")

#: So that messages are retried, and given up, within minutes.
_RETRIES = tuple(seconds * SECOND for seconds in (5, 5, 10, 10, 20, 20, 40, 40, *[60] * 11))
_DIGESTS_ABOVE = 4


@cache
def loaded(name: str, *, digests: bool) -> LoadedRouting:
    """A file as a notifier has read it; with `digests` some pages a minute are enough for one."""
    text = FILES[name].encode()
    found = routing_in(text, "notify.yaml")
    destinations = {}
    for each, destination in found.destinations.items():
        kind = destination.kind
        if kind.retry_schedule is not None:
            kind = replace(kind, retry_schedule=_RETRIES)
        limit = _DIGESTS_ABOVE if digests and kind.pages_per_minute else None
        destinations[each] = replace(destination, kind=kind, pages_per_minute=limit)
    routing = Routing(destinations, found.routes)
    return LoadedRouting(routing, dict.fromkeys(destinations, MASKED), content_digest(text + bytes([digests])))


@cache
def destinations_of(name: str, severity: str) -> frozenset[str]:
    """Where a file leads the alerts of a severity."""
    return frozenset(loaded(name, digests=False).routing.destinations_for(_alert(severity)))


def _alert(severity: str) -> PageTrigger:
    found = page_trigger(page_triggers.event("breached", severity=severity, tenant_ids=[], scope="platform"), at=0)
    assert isinstance(found, PageTrigger)
    return found
