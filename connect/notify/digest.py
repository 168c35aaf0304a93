"""Digests: beyond a rate of pages, alerts about several incidents become one message. Pure.

A digest has a page of its own, so that its end never overtakes it. Each incident remembers which clocks are in which
digest: a digest ends with the last of them. An alert in a digest opens no page of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import NamedTuple

from connect.notify.destinations.kind import Destination
from connect.notify.message import DIGEST, Message
from connect.notify.page import Page, folded
from connect.notify.triggers import JsonObject, PageTrigger
from streams.serde.cloudevents_headers import INCIDENT_ENDED
from streams.sla.instants import format_rfc3339
from streams.sla.severity import SEVERITIES

#: Incidents that a digest names.
_LISTED = 50
_LISTED_COMPONENTS = 5
_DIGITS = 32
_TYPE = "sla.digest"
#: In place of an incident, whose id has no control characters.
_DIGEST_PREFIX = "\x1f"
_RANKS: Mapping[str, int] = {severity: rank for rank, severity in enumerate(SEVERITIES)}


class FoldedPages(NamedTuple):
    """The page of a digest, and the pages whose alerts it has taken."""

    digest: Page
    pages: tuple[Page, ...]
    alerts: int


def digest_page(key: str) -> Page:
    """The page of a digest that is not sent yet, by its dedup key."""
    return Page(incident_of_digest(key), keys={DIGEST: key})


def incident_of_digest(key: str) -> str:
    """What the page of a digest has in place of an incident."""
    return f"{_DIGEST_PREFIX}{key}"


def key_of_digest(incident: str) -> str | None:
    """The dedup key of the digest that a page is of; None for the page of an incident."""
    return incident.removeprefix(_DIGEST_PREFIX) if incident.startswith(_DIGEST_PREFIX) else None


def waiting_digest(page: Page, *, busy: bool) -> Message | None:
    """The message of a digest that can take further alerts: it waits, and is not being sent."""
    waiting = [each for each in page.pending[1 if busy else 0 :] if each.action == "trigger"]
    return waiting[-1] if waiting and DIGEST in page.open else None


def name_of(pages: Sequence[Page]) -> str:
    """The name of a new digest of these pages' alerts: always the same for the same alerts."""
    return _hash(sorted(each.id for page in pages for each in page.pending))


def fold(
    digest: Page, pages: Sequence[Page], destination: Destination, now: int, *, busy: bool, due: int
) -> FoldedPages:
    """Fold the untried alerts of these pages into a digest. They join its message while that waits; otherwise it has
    another one, which is sent at `due`. While `busy`, its first message is being sent."""
    key = str(key_of_digest(digest.incident))
    taken = [[each for each in page.pending if page.may_be_folded(each)] for page in pages]
    waiting = waiting_digest(digest, busy=busy)
    new = [
        (page.incident, each[-1].event) for page, each in zip(pages, taken, strict=True)
        if waiting is None or not _has(waiting.event["data"]["digest"], page, key)
    ]  # fmt: skip
    late = [each for messages in taken for each in messages if each.late]
    ids = sorted(each.id for messages in taken for each in messages)
    name = _hash([*ids, "" if waiting is None else waiting.id])
    event = _event(name, new, [each[-1].event for each in taken], len(ids), now, waiting)
    if waiting is not None and waiting.late:
        late.append(waiting)
    if late:
        event = {**event, INCIDENT_ENDED: late[-1].event[INCIDENT_ENDED]}
    digest = digest.apply(
        PageTrigger(event, "trigger", DIGEST, 0), destination, now, busy=busy, key=key,
        due=due if waiting is None else min(due, waiting.due),
    )  # fmt: skip
    return FoldedPages(digest, tuple(folded(page, key) for page in pages), len(ids))


def ended(digest: Page, destination: Destination, now: int, *, busy: bool) -> Page:
    """The page of a digest after the last of its alerts has ended. A kind without digests, which the destination may
    have become, is not told of it."""
    if destination.kind.pages_per_minute is None:
        return replace(digest, open={}, keys={}, pending=digest.pending[:1] if busy else ())
    event: JsonObject = {
        "id": f"digest-end-{_hash([digest.incident])}",
        "type": _TYPE,
        "subject": "",
        "time": format_rfc3339(now),
        "data": {"digest": {"ended": True}},
    }
    return digest.apply(PageTrigger(event, "resolve", DIGEST, 0), destination, now, busy=busy)


def _has(counts: JsonObject, page: Page, key: str) -> bool:
    """Whether a waiting message counts this incident; it names the most severe ones only."""
    listed = {each["incident_id"] for each in counts["listed"]}
    return page.incident in listed or (len(listed) < int(counts["incidents"]) and key in page.digests)


def _hash(ids: Sequence[str]) -> str:
    return sha256("\x1f".join(ids).encode()).hexdigest()[:_DIGITS]


def _event(
    name: str,
    new: Sequence[tuple[str, JsonObject]],
    newest: Sequence[JsonObject],
    alerts: int,
    now: int,
    waiting: Message | None,
) -> JsonObject:
    """A digest as an event: what payloads need of one, and `digest` with the incidents, the most severe first. `new`
    are those that the waiting message does not have yet."""
    before = {} if waiting is None else waiting.event["data"]
    counts = before.get("digest", {"incidents": 0, "alerts": 0, "severities": {}, "listed": []})
    incidents = int(counts["incidents"]) + len(new)
    listed = [
        *counts["listed"],
        *(
            {"incident_id": incident, "type": event["type"], "severity": event["data"]["severity"],
             "component": event["data"]["component"]}
            for incident, event in new
        ),
    ]  # fmt: skip
    listed.sort(key=lambda each: _rank(each["severity"]))
    components = sorted({*counts.get("components", ()), *(str(each["data"]["component"]) for each in newest)})
    severities = Counter(counts["severities"]) + Counter(str(event["data"]["severity"]) for _, event in new)
    all_data = [*([before] if before else []), *(each["data"] for each in newest)]
    worst = min(all_data, key=lambda each: _rank(each["severity"]))
    return {
        "id": f"digest-{name}",
        "type": _TYPE,
        "subject": f"{incidents} incidents",
        "time": format_rfc3339(now),
        "data": {
            "severity": worst["severity"],
            "component": ", ".join(components[:_LISTED_COMPONENTS]),
            "policy": worst["policy"],
            "digest": {
                "incidents": incidents,
                "alerts": int(counts["alerts"]) + alerts,
                "severities": dict(sorted(severities.items())),
                "components": components[:_LISTED_COMPONENTS],
                "listed": listed[:_LISTED],
            },
        },
    }


def _rank(severity: object) -> int:
    return _RANKS.get(str(severity), len(_RANKS))
