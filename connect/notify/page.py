"""One incident at one destination: which clocks are paged, what waits to be said, in order. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Literal, NamedTuple

from connect.notify.routing.rules import Destination, Language
from connect.notify.triggers import JsonObject, PageTrigger

#: PagerDuty takes no longer one.
LONGEST_KEY = 255


class Message(NamedTuple):
    """One thing to say. `id` stays the same over repeats; `seq` orders a page's messages; `since` is when it was first
    to be said, `due` when to try next (microseconds)."""

    id: str
    action: Literal["trigger", "resolve"]
    clock: str
    event: JsonObject
    seq: int
    since: int
    due: int
    tries: int = 0
    language: Language | None = None
    """Of its texts; None: the destination's own."""


@dataclass(frozen=True, slots=True)
class Page:
    """`open`: clocks that were paged and not yet resolved, each with the timestamp of its latest alert. `pending`: what
    waits; only its first is tried. `language` is what its latest alert was routed in; its end is told in it too."""

    incident: str
    open: Mapping[str, int] = field(default_factory=dict)
    pending: tuple[Message, ...] = ()
    language: Language | None = None

    @property
    def over(self) -> bool:
        return not self.open and not self.pending

    @property
    def head(self) -> Message:
        return self.pending[0]

    def said(self) -> Page:
        """The first message is delivered, or given up."""
        return replace(self, pending=self.pending[1:])

    def tried(self, due: int) -> Page:
        """It failed; the next try is at `due`."""
        return replace(self, pending=(self.head._replace(tries=self.head.tries + 1, due=due), *self.pending[1:]))

    def again(self, message: Message, now: int) -> Page:
        """A parked message is to be said after all."""
        if any(each.id == message.id for each in self.pending):
            return self
        message = message._replace(seq=self._seq(now), since=now, due=now, tries=0)
        return replace(self, pending=(*self.pending, message))

    def take(
        self, notice: PageTrigger, destination: Destination, now: int, *, busy: bool, language: Language | None = None
    ) -> Page:
        """What the page is after a notice. While `busy`, the first message is on its way and stays; `language` is that
        of the route which led an alert here."""
        if any(each.id.partition("/")[0] == notice.id for each in self.pending):
            return self
        if notice.action == "trigger":
            return replace(self, language=language)._said_last(
                [(notice.id, "trigger", notice.clock)], notice, destination, now, busy, {notice.clock}
            )
        if notice.action == "resolve":
            if notice.clock not in self.open:
                return self
            ends = {notice.clock}
            ending = [(notice.id, notice.clock)]
        else:
            # Not what an incident that was reopened later has been paged for since, where that was read before.
            ends = {clock for clock, at in self.open.items() if at <= notice.at}
            if not ends:
                return self
            each = destination.kind == "pagerduty"
            ending = [(f"{notice.id}/{clock}", clock) for clock in sorted(ends)] if each else [(notice.id, "")]
        resolves: list[tuple[str, Literal["trigger", "resolve"], str]] = [
            (id_, "resolve", clock) for id_, clock in ending
        ]
        return self._said_last(resolves, notice, destination, now, busy, ends)

    def _said_last(
        self,
        said: Sequence[tuple[str, Literal["trigger", "resolve"], str]],
        notice: PageTrigger,
        destination: Destination,
        now: int,
        busy: bool,
        clocks: set[str],
    ) -> Page:
        waiting = self.pending
        if destination.folds:
            kept = waiting[:1] if busy else ()
            waiting = (*kept, *(each for each in waiting[len(kept) :] if each.clock not in clocks))
        seq, event = self._seq(now), _kept_of(notice, destination)
        added = tuple(
            Message(id_, action, clock, event, seq + index, now, now, language=self.language)
            for index, (id_, action, clock) in enumerate(said)
        )
        still_open = {clock: at for clock, at in self.open.items() if clock not in clocks}
        if notice.action == "trigger":
            still_open |= dict.fromkeys(clocks, notice.at)
        return replace(self, open=still_open, pending=(*waiting, *added))

    def _seq(self, now: int) -> int:
        return max(now, self.pending[-1].seq + 1) if self.pending else now


def _kept_of(notice: PageTrigger, destination: Destination) -> JsonObject:
    """What is needed of an event to say it: a closing lists every clock, and may end many pages."""
    if notice.action != "close" or not destination.folds:
        return notice.event
    left_out = {"clocks", "tenant_ids"} if destination.kind == "pagerduty" else {"clocks"}
    return {**notice.event, "data": {name: value for name, value in notice.data.items() if name not in left_out}}


def dedup_key(incident: str, clock: str) -> str:
    """What folds a clock's reminder, breach and resolution into one page; at most 255 characters."""
    key = f"{incident}/{clock}"
    return key if len(key) <= LONGEST_KEY else sha256(key.encode()).hexdigest()
