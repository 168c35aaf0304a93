"""Messages of one page that wait: which of them a new one replaces, and what they have opened. Pure."""

from __future__ import annotations

from collections.abc import Collection

from connect.notify.destinations.kind import Destination
from connect.notify.message import DIGEST, Message
from connect.notify.triggers import PageTrigger

_UPDATE = "update"


def never_paged(dropped: Collection[Message]) -> set[str]:
    """The clocks that one of these messages would have paged first, had it been sent."""
    return {each.clock for each in dropped if each.opens and not each.attempted}


def unsent_ends(dropped: Collection[Message]) -> list[Message]:
    """Those of these messages whose clocks have a page that is to end. That of a late alert which may have been sent
    has, without an end of its own too; one that was never sent has none."""
    unpaged = never_paged(dropped)
    return [
        each
        for each in dropped
        if (each.action == "resolve" and not (each.late and each.clock in unpaged)) or (each.late and each.attempted)
    ]


def ends_never_needed(out: Collection[Message], unsent: Collection[Message]) -> list[Message]:
    """The ends of late alerts that are not sent any more, and whose clocks have no page."""
    unpaged = never_paged(out)
    ends = (each for each in unsent if each.late and each.action == "resolve" and each not in out)
    return [each for each in ends if each.clock in unpaged]


def with_end(message: Message, destination: Destination) -> tuple[Message, ...]:
    """A message, and the end that follows it where it is a late alert."""
    if not message.late or message.action == "resolve" or message.clock == DIGEST:
        return (message,)
    if not destination.kind.ends_late_pages:
        return (message,)
    return message, message.end(destination.kind.unused_in_ends)


def superseded(message: Message, trigger: PageTrigger) -> bool:
    """Whether a waiting page is about an earlier update of the same incident than a new one, so that it says nothing
    more: a burst of late openings has many of them."""
    if message.action != "trigger" or message.tries > 0:
        return False
    return superseded_by(message.clock, trigger.clock)


def superseded_by(clock: str, later: str) -> bool:
    """Whether a clock is of an earlier update than another one of the same incident."""
    metric, _, instance = clock.partition("/")
    newer, _, number = later.partition("/")
    return metric == newer == _UPDATE and int(instance) < int(number)
