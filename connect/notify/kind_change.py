"""Judges anew what waits for a destination whose kind has changed. Pure.

What may be open at the service of the kind before can't be ended at the new one. And kinds differ in what waits: people
are told of the newest state only, machines of every event. So alerts that still hold go to the new kind as if they were
new; those that have ended meanwhile are dropped, with their ends. The end of what may be open at the service before is
parked, so that people see it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from connect.notify.destinations.kind import Destination
from connect.notify.message import DIGEST, Message
from connect.notify.page import Page
from connect.notify.pending_messages import never_paged, superseded_by, with_end


class ParkedByChange(NamedTuple):
    """A message that the new kind can't send, and why."""

    incident: str
    message: Message
    reason: str


class JudgedPage(NamedTuple):
    """A page as it has to be for the present kind."""

    page: Page
    parked: tuple[ParkedByChange, ...] = ()
    dropped: int = 0
    """Messages that are not sent, as what they tell has ended or a newer one tells it."""

    kinds: frozenset[str] = frozenset()
    """The kinds before; empty: its messages are of the present one."""


def judged_anew(page: Page, destination: Destination, now: int) -> JudgedPage:
    """A stored page, whose messages may have been made for another kind."""
    other = [each for each in page.pending if _is_of_another_kind(each, destination)]
    if not other:
        return JudgedPage(page)
    parked = [
        ParkedByChange(page.incident, each, reason)
        for each in other
        if (reason := _why_parked(each, page.pending, destination)) is not None
    ]
    out = {each.message.id for each in parked}
    holding = [
        each
        for each in page.pending
        if each.id not in out and (each not in other or (each.action == "trigger" and not _has_ended(each, page)))
    ]
    outdated = [each for each in holding if each in other and _is_outdated(each, holding)]
    if destination.kind.latest_only:
        holding = [each for each in holding if each not in outdated]
        alerted = {each.clock for each in holding}
        unpaged = {each for each in never_paged(outdated) if each not in alerted}
        page = replace(
            page,
            open={clock: at for clock, at in page.open.items() if clock not in unpaged},
            keys={clock: key for clock, key in page.keys.items() if clock not in unpaged},
            breached=page.breached - (unpaged - page.folded.keys()),
        )
    return JudgedPage(
        replace(page, pending=_as_new(holding, other, destination, now)),
        tuple(parked),
        len(other) - len(parked) - sum(each in other for each in holding),
        frozenset(_name_of_kind(each) for each in other),
    )


def why_not_retried(message: Message, destination: Destination) -> str | None:
    """Why a parked message can't be sent to this kind of destination, or None."""
    if not _is_of_another_kind(message, destination):
        return None
    if message.action == "resolve" and not message.clock and destination.kind.resolve_each_clock:
        return f"it was made for a destination of kind {_name_of_kind(message)}, and names no page to end here"
    if message.clock == DIGEST and destination.kind.pages_per_minute is None:
        return f"a digest for a destination of kind {_name_of_kind(message)}; this kind has none"
    return None


def _is_of_another_kind(message: Message, destination: Destination) -> bool:
    if message.kind:
        return message.kind != destination.kind.name
    # A release before did not store it. Of its messages one can't be of this kind.
    return destination.kind.resolve_each_clock and message.action == "resolve" and not message.clock


def _name_of_kind(message: Message) -> str:
    return message.kind or "another"


def _why_parked(message: Message, pending: Sequence[Message], destination: Destination) -> str | None:
    before = _name_of_kind(message)
    if message.clock == DIGEST and message.action == "trigger" and destination.kind.pages_per_minute is None:
        return f"a digest for a destination of kind {before}; kind {destination.kind.name} has none"
    if message.action == "trigger" or not _may_be_open(message, pending):
        return None
    return f"the destination was of kind {before}: what may be open there was not ended, and can't be from here"


def _may_be_open(end: Message, pending: Sequence[Message]) -> bool:
    """Whether an end ends something that the kind before may have been told of."""
    earlier = [each for each in pending if each.seq < end.seq and each.action == "trigger" and _ends(end, each)]
    clocks = {each.clock for each in reversed(earlier) if each.opens and not each.attempted}
    return not earlier or any(each.clock not in clocks or each.attempted for each in earlier)


def _ends(end: Message, alert: Message) -> bool:
    return end.clock in {alert.clock, ""} and end.late == alert.late


def _has_ended(alert: Message, page: Page) -> bool:
    """People see a late alert all the same: its end follows it."""
    if alert.late:
        return False
    return any(each.action == "resolve" and each.seq > alert.seq and _ends(each, alert) for each in page.pending)


def _is_outdated(alert: Message, holding: Iterable[Message]) -> bool:
    """Whether a later alert tells more. A digest names other incidents than the one before."""
    later = (each for each in holding if each.action == "trigger" and each.seq > alert.seq)
    if alert.late or alert.action != "trigger" or alert.clock == DIGEST:
        return False
    return any(
        (each.clock == alert.clock and not each.late) or superseded_by(alert.clock, each.clock) for each in later
    )


def _as_new(
    holding: Sequence[Message], other: Sequence[Message], destination: Destination, now: int
) -> tuple[Message, ...]:
    """In the order in which they wait, each with its end where it is late."""
    waiting = list[Message]()
    for message in holding:
        seq = max(message.seq, waiting[-1].seq + 1) if waiting else message.seq
        if message not in other:
            waiting.append(message._replace(seq=seq))
            continue
        opens = not any(each.clock == message.clock and each.action == "trigger" for each in waiting)
        message = message._replace(
            kind=destination.kind.name, seq=seq, since=now, due=now, tries=0, attempted=False, opens=opens
        )
        waiting += with_end(message, destination)
    return tuple(waiting)
