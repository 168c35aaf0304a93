"""Makes the stored pages of a partition consistent after a crash, or as a release before has left them. Pure.

Rows are written one by one, so a crash may leave some of a change. Repairs follow one rule: an alert may be sent twice,
and what may be open at the destination is ended. The process that has written them may have had a clock that was ahead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from connect.notify.destinations.kind import Destination
from connect.notify.digest import digest_page, ended, incident_of_digest, key_of_digest
from connect.notify.message import DIGEST, Message
from connect.notify.page import Page
from connect.notify.pending_messages import with_end
from connect.notify.retry_policy import by_clock
from connect.notify.triggers import BREACH


class RecoveredPage(NamedTuple):
    """A page as it is stored, if it is, and as it has to be."""

    stored: Page | None
    page: Page


def recovered(
    stored: Iterable[Page], destination: Destination, now: int, judged: Mapping[str, Page] = MappingProxyType({})
) -> list[RecoveredPage]:
    """Every stored page, those of digests first. `judged` are those that a change of kind has changed."""
    before = {page.incident: page for page in stored}
    pages = {**before, **judged}
    digests = {key: page for page in pages.values() if (key := key_of_digest(page.incident)) is not None}
    incidents = [page for page in pages.values() if key_of_digest(page.incident) is None]
    moved = defaultdict[str, list[Message]](list)
    for page in incidents:
        for message in page.pending:
            if message.clock == DIGEST and message.key is not None:  # a release before sent it with an incident's page
                moved[message.key].append(message)
    members = {key for page in incidents for key in page.digests}
    found = [
        RecoveredPage(
            before.get(incident_of_digest(key)),
            _digest(key, digests.get(key), moved[key], destination, now, member=key in members),
        )
        for key in sorted({*digests, *moved, *members})
    ]
    for page in incidents:
        left = _without_replaced(page) if destination.kind.latest_only else page
        found.append(RecoveredPage(before[page.incident], _with_ends(_incident(left), destination)))
    if destination.kind.latest_only:
        found = [each._replace(page=_opened_once(each.page)) for each in found]
    return [each._replace(page=_by_clock(each.page, destination, now)) for each in found]


def _opened_once(page: Page) -> Page:
    """No alert opens the page that one before it may have opened: of the two rows that say so a crash may have left the
    first."""
    attempted, pending = set[str](), list[Message]()
    for each in page.pending:
        pending.append(each._replace(opens=False) if each.opens and each.clock in attempted else each)
        if each.action == "resolve":
            attempted = attempted - {each.clock} if each.clock else set()
        elif each.attempted:
            attempted.add(each.clock)
    return page if pending == list(page.pending) else replace(page, pending=tuple(pending))


def _by_clock(page: Page, destination: Destination, now: int) -> Page:
    pending = tuple(by_clock(destination, each, now) for each in page.pending)
    return page if pending == page.pending else replace(page, pending=pending)


def _digest(
    key: str, page: Page | None, moved: list[Message], destination: Destination, now: int, *, member: bool
) -> Page:
    if page is None:
        over = any(each.action == "resolve" for each in moved)
        page = digest_page(key) if over else replace(digest_page(key), open={DIGEST: 0})
    page = _incident(replace(page, pending=tuple(sorted((*page.pending, *moved), key=lambda each: each.seq))))
    page = replace(page, keys={DIGEST: key} if page.open else {})
    return page if member or not page.open or page.waits_late else ended(page, destination, now, busy=False)


def _without_replaced(page: Page) -> Page:
    """Without what a later message has replaced, where a crash has left its row: an alert that was never sent and whose
    incident was closed then, and an end whose clock has another alert."""
    closed = max((each.seq for each in page.pending if each.action == "resolve" and not each.clock), default=-1)

    def replaced(number: int, message: Message) -> bool:
        if message.action == "resolve":
            later = (each for each in page.pending[number + 1 :] if each.action == "trigger")
            return any((each.clock, each.key) == (message.clock, message.key) for each in later)
        return message.seq < closed and not message.attempted and not message.late and message.clock not in page.open

    out = [each for number, each in enumerate(page.pending) if replaced(number, each)]
    unended = {each.clock for each in out if each.action == "resolve"}  # their pages are open there
    pending = tuple(
        each._replace(opens=False) if each.clock in unended and each.opens else each
        for each in page.pending
        if each not in out
    )
    return replace(page, pending=pending) if out else page


def _with_ends(page: Page, destination: Destination) -> Page:
    """A late alert that was stored without its end has it again: nothing else may end its page."""
    pending = list[Message]()
    for message in page.pending:
        ended_by = {each.clock for each in page.pending if each.action == "resolve" and each.seq > message.seq}
        pending += (message,) if message.clock in ended_by else with_end(message, destination)
    return page if len(pending) == len(page.pending) else replace(page, pending=tuple(pending))


def _incident(page: Page) -> Page:
    """Without messages of digests; an alert that was stored without its page has it again."""
    is_digest = key_of_digest(page.incident) is not None
    pending = tuple(each for each in page.pending if is_digest or each.clock != DIGEST)
    ends = {each.clock: each.seq for each in pending if each.action == "resolve"}  # no clock: of all clocks

    def waits_for_its_end(alert: Message) -> bool:
        return max(ends.get(alert.clock, -1), ends.get("", -1)) > alert.seq

    # A tried alert without a page is one that an operator retries; a late one has no page.
    unpaged = [
        each
        for each in pending
        if each.action == "trigger" and (each.opens or not each.attempted) and (not each.late or each.clock == DIGEST)
    ]
    unstored = [each for each in unpaged if each.clock not in page.open and not waits_for_its_end(each)]
    # The row of a page may be older than its latest alert, which an earlier closing must not end.
    newer = [
        each
        for each in pending
        if each.action == "trigger" and each.record_at > page.open.get(each.clock, each.record_at)
    ]
    if not unstored and not newer and pending == page.pending:
        return page
    opened = dict(page.open)
    for each in (*unstored, *newer):
        opened[each.clock] = max(opened.get(each.clock, 0), each.record_at)
    return replace(
        page,
        pending=pending,
        open=opened,
        keys={**page.keys, **{each.clock: each.key for each in unstored if each.key is not None}},
        breached=page.breached | {each.clock for each in (*unstored, *newer) if each.event["type"] == BREACH},
    )
