"""One message to one destination, and the key that ties the messages of one page together. Pure."""

from __future__ import annotations

from hashlib import sha256
from typing import Literal, NamedTuple

from connect.notify.triggers import JsonObject
from streams.i18n.catalogues import Language

#: PagerDuty refuses a longer `dedup_key`.
LONGEST_DEDUP_KEY = 255


class Message(NamedTuple):
    """One message. `id` is the same on every attempt; `seq` orders the messages of a page. `since` is when the message
    was created, `due` when to try next (microseconds)."""

    id: str
    action: Literal["trigger", "resolve"]
    clock: str
    event: JsonObject
    seq: int
    since: int
    due: int
    tries: int = 0
    language: Language | None = None
    """Of the texts; None: the destination's own."""


def dedup_key(incident: str, clock: str) -> str:
    """The key shared by a clock's reminder, breach and resolution; at most 255 characters."""
    key = f"{incident}/{clock}"
    return key if len(key) <= LONGEST_DEDUP_KEY else sha256(key.encode()).hexdigest()
