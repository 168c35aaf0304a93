"""Digests: beyond a rate of pages, alerts about several incidents become one message. Pure.

A digest is a message on the page of one of its incidents. Each incident remembers the key of its digest, so that the
digest is resolved when the last of them is closed. An alert in a digest opens no page of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import NamedTuple

from connect.notify.message import DIGEST, Message, digest_key
from connect.notify.page import Page
from connect.notify.triggers import JsonObject
from streams.i18n.catalogues import LANGUAGES
from streams.sla.instants import format_rfc3339
from streams.sla.severity import SEVERITIES

#: Incidents that a digest names.
_LISTED = 50
_DIGITS = 32


class Digest(NamedTuple):
    """The pages after their alerts were folded, the one that carries the message first."""

    pages: tuple[Page, ...]
    key: str
    alerts: int


def can_be_folded(page: Page) -> bool:
    """Whether its first message is a page that nobody can have received yet."""
    return bool(page.pending) and _unsent(page.head)


def fold(pages: Sequence[Page], now: int, deployment: str) -> Digest:
    """Fold the unsent alerts of these pages, at least two, into one message."""
    newest = [[each for each in page.pending if _unsent(each)][-1] for page in pages]
    alerts = [each for page in pages for each in page.pending if _unsent(each)]
    name = sha256("\x1f".join(sorted(each.id for each in alerts)).encode()).hexdigest()[:_DIGITS]
    # Incidents that were folded before keep their digest; others join it, so that one page is told of all of them.
    key = next((page.digest for page in pages if page.digest is not None), digest_key(deployment, name))
    folded = [_folded(page, page.digest or key) for page in pages]
    carrier = folded[0]
    message = Message(
        f"digest-{name}", "trigger", DIGEST, _event(name, pages, newest, len(alerts), now),
        max(now, carrier.pending[-1].seq + 1 if carrier.pending else now), now, now, key=key,
    )  # fmt: skip
    folded[0] = replace(carrier, pending=(*carrier.pending, message))
    return Digest(tuple(folded), key, len(alerts))


def end_of(key: str, page: Page, closing: JsonObject, now: int) -> Page:
    """The page with the message that resolves a digest: its last incident has closed."""
    texts = dict.fromkeys(LANGUAGES, "")
    event = {**closing, "data": {**closing["data"], "title": texts, "digest": {"ended": True}, "clocks": []}}
    seq = max(now, page.pending[-1].seq + 1) if page.pending else now
    message = Message(f"{closing['id']}/digest", "resolve", DIGEST, event, seq, now, now, key=key)
    return replace(page, pending=(*page.pending, message))


def _unsent(message: Message) -> bool:
    return message.action == "trigger" and message.tries == 0 and message.clock != DIGEST


def _folded(page: Page, key: str) -> Page:
    """Without its unsent alerts; clocks that one of them would have paged first have no page."""
    unpaged = {each.clock for each in page.pending if _unsent(each) and each.opens}
    return replace(
        page,
        open={clock: at for clock, at in page.open.items() if clock not in unpaged},
        keys={clock: named for clock, named in page.keys.items() if clock not in unpaged},
        pending=tuple(each for each in page.pending if not _unsent(each)),
        digest=key,
    )


def _event(name: str, pages: Sequence[Page], newest: Sequence[Message], alerts: int, now: int) -> JsonObject:
    """A digest as an event: what payloads need of one, and `digest` with the incidents, the most severe first."""
    ranks = {severity: rank for rank, severity in enumerate(SEVERITIES)}
    order = sorted(
        zip(pages, newest, strict=True), key=lambda pair: ranks.get(pair[1].event["data"]["severity"], len(ranks))
    )
    severities = Counter(str(each.event["data"]["severity"]) for each in newest)
    components = sorted({str(each.event["data"]["component"]) for each in newest})
    worst = order[0][1].event["data"]
    incidents = [
        {"incident_id": page.incident, "type": each.event["type"], "severity": each.event["data"]["severity"],
         "component": each.event["data"]["component"]}
        for page, each in order[:_LISTED]
    ]  # fmt: skip
    return {
        "id": f"digest-{name}",
        "type": "sla.digest",
        "subject": f"{len(pages)} incidents",
        "time": format_rfc3339(now),
        "data": {
            "severity": worst["severity"],
            "component": components[0] if len(components) == 1 else ", ".join(components[:5]),
            "policy": worst["policy"],
            "digest": {
                "incidents": len(pages),
                "alerts": alerts,
                "severities": dict(sorted(severities.items())),
                "listed": incidents,
            },
        },
    }
