"""What becomes of a parked message that an operator wants sent again. Pure.

Its page may have gone on since: an end that was parked must not end a page that was opened again.
"""

from __future__ import annotations

from dataclasses import replace

from connect.notify import kind_change
from connect.notify.destinations.kind import Destination
from connect.notify.message import Message
from connect.notify.page import Page
from connect.notify.pending_messages import with_end
from connect.notify.triggers import REOPENED

_STANDS = "its page was opened again since, and this would end it: discard it"


def why_not_retried(message: Message, page: Page, destination: Destination) -> str | None:
    """Why it can't be sent, or must not be; None where it is sent."""
    if (why := kind_change.why_not_retried(message, destination)) is not None:
        return why
    ends_page = message.action == "resolve" and message.clock and destination.kind.latest_only
    return _STANDS if ends_page and _opened_since(page, message) else None


def not_retried(page: Page, message: Message) -> Page:
    """An end that is not sent leaves its page open: an alert that waits to open it again updates it, so that the end of
    the alert is sent also where the alert never was."""
    return page if message.action == "trigger" else _left_open(page, message.clock)


def requeued(page: Page, message: Message, destination: Destination, now: int) -> Page:
    """It waits again, as if it were new; the end of a late alert follows it again."""
    if any(each.id == message.id for each in page.pending):
        return page
    event = message.event
    if message.action == "resolve" and destination.kind.latest_only and _opened_since(page, message):
        event = {**event, "data": {**event["data"], REOPENED: True}}
        page = _left_open(page, *page.open)  # its end is told too, or this would be the last word
    message = message._replace(
        seq=page.next_seq(now), since=now, due=now, tries=0, attempted=True, opens=False, kind=destination.kind.name,
        event=event,
    )  # fmt: skip
    return replace(page, pending=(*page.pending, *with_end(message, destination)))


def _left_open(page: Page, *clocks: str) -> Page:
    """The alerts of these clocks that wait open no page."""
    pending = tuple(
        each._replace(opens=False) if each.clock in clocks and each.opens and not each.attempted else each
        for each in page.pending
    )
    return replace(page, pending=pending)


def _opened_since(page: Page, end: Message) -> bool:
    """Whether the clock of an end, or where it is of all clocks one of them, has a later alert."""
    if not end.clock and any(each.at > end.record_at for each in page.folded.values()):
        return True
    return any(at > end.record_at for clock, at in page.open.items() if end.clock in {clock, ""})
