"""One incident at one destination: which clocks have an open page, which messages wait, in order. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from connect.notify.destinations.kind import Destination
from connect.notify.message import Message, dedup_key
from connect.notify.triggers import JsonObject, PageTrigger
from streams.i18n.catalogues import Language
from streams.topics import DEFAULT_PREFIX

#: Clocks that the message of a closing lists, the latest; an incident may have thousands of update windows.
_MOST_CLOCKS = 1_000
_UPDATE = "update"


class _NewMessage(NamedTuple):
    id: str
    action: Literal["trigger", "resolve"]
    clock: str


@dataclass(frozen=True, slots=True)
class Page:
    """`open`: clocks that were paged and not yet resolved, each with the timestamp of its latest alert. `pending`: the
    messages that wait; only the first is tried. `language` is that of the route which led the latest alert here; the
    page is resolved in it too."""

    incident: str
    open: Mapping[str, int] = field(default_factory=dict)
    pending: tuple[Message, ...] = ()
    language: Language | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    """The dedup keys that open clocks were paged with; a clock without one was paged by a release before there were."""

    digest: str | None = None
    """The dedup key of the digest that has alerts of this incident."""

    @property
    def over(self) -> bool:
        return not self.open and not self.pending and self.digest is None

    @property
    def head(self) -> Message:
        return self.pending[0]

    def delivered(self) -> Page:
        """The first message is delivered, or parked."""
        return replace(self, pending=self.pending[1:])

    def failed(self, due: int) -> Page:
        """The first message was not delivered; its next attempt is at `due`."""
        return replace(self, pending=(self.head._replace(tries=self.head.tries + 1, due=due), *self.pending[1:]))

    def requeued(self, message: Message, now: int) -> Page:
        """A parked message waits again, as if it were new."""
        if any(each.id == message.id for each in self.pending):
            return self
        message = message._replace(seq=self._next_seq(now), since=now, due=now, tries=0)
        return replace(self, pending=(*self.pending, message))

    def apply(
        self,
        trigger: PageTrigger,
        destination: Destination,
        now: int,
        *,
        busy: bool,
        language: Language | None = None,
        deployment: str = DEFAULT_PREFIX,
    ) -> Page:
        """The page after a trigger. While `busy`, the first message is being sent and stays. `language` is that of the
        route which led an alert here; `deployment` goes into the dedup keys of pages that are opened."""
        if any(each.id.partition("/")[0] == trigger.id for each in self.pending):
            return self
        if trigger.action == "trigger":
            added = [_NewMessage(trigger.id, "trigger", trigger.clock)]
            page = replace(self, language=language)
            if trigger.clock not in self.open:
                key = dedup_key(deployment, self.incident, trigger.clock)
                page = replace(page, keys={**self.keys, trigger.clock: key})
            return page._enqueue(added, trigger, destination, now, busy, {trigger.clock})
        if trigger.action == "resolve":
            if trigger.clock not in self.open:
                return self
            added = [_NewMessage(trigger.id, "resolve", trigger.clock)]
            return self._enqueue(added, trigger, destination, now, busy, {trigger.clock})
        # A closing that is read late must not end what a reopened incident has been paged for since.
        ends = {clock for clock, at in self.open.items() if at <= trigger.at}
        if not ends:
            return replace(self, digest=None)
        if destination.kind.resolve_each_clock:
            added = [_NewMessage(f"{trigger.id}/{clock}", "resolve", clock) for clock in sorted(ends)]
        else:
            added = [_NewMessage(trigger.id, "resolve", "")]
        return replace(self, digest=None)._enqueue(added, trigger, destination, now, busy, ends)

    def _enqueue(
        self,
        added: Sequence[_NewMessage],
        trigger: PageTrigger,
        destination: Destination,
        now: int,
        busy: bool,
        clocks: set[str],
    ) -> Page:
        waiting, replaced = self.pending, list[Message]()
        if destination.kind.latest_only:
            sending, unsent = (waiting[:1], waiting[1:]) if busy else ((), waiting)
            replaced = [each for each in unsent if each.clock in clocks or _superseded(each, trigger)]
            waiting = (*sending, *(each for each in unsent if each not in replaced))
        unpaged = {each.clock for each in replaced if each.opens and each.tries == 0}
        # A page whose end has not been sent yet is still open there: a new alert of its clock updates it.
        unended = {each.clock for each in replaced if each.action == "resolve"}
        seq, event = self._next_seq(now), _stored_event(trigger, destination)
        messages = tuple(
            Message(
                each.id,
                each.action,
                each.clock,
                event,
                seq + index,
                now,
                now,
                language=self.language,
                key=self.keys.get(each.clock),
                opens=each.action == "trigger"
                and each.clock not in unended
                and (each.clock not in self.open or each.clock in unpaged),
            )
            for index, each in enumerate(added)
        )
        still_open = {clock: at for clock, at in self.open.items() if clock not in clocks | unpaged}
        if trigger.action == "trigger":
            still_open |= dict.fromkeys(clocks, trigger.at)
        keys = {clock: key for clock, key in self.keys.items() if clock in still_open}
        return replace(self, open=still_open, keys=keys, pending=(*waiting, *messages))

    def _next_seq(self, now: int) -> int:
        return max(now, self.pending[-1].seq + 1) if self.pending else now


def _superseded(message: Message, trigger: PageTrigger) -> bool:
    """Whether a waiting page is about an earlier update of the same incident than a new one, so that it says nothing
    more: a burst of late openings has many of them."""
    if message.action != "trigger" or trigger.action != "trigger" or message.tries > 0:
        return False
    metric, _, instance = message.clock.partition("/")
    newer, _, number = trigger.clock.partition("/")
    return metric == newer == _UPDATE and int(instance) < int(number)


def _stored_event(trigger: PageTrigger, destination: Destination) -> JsonObject:
    """The event without what its messages do not need: a closing lists every clock, and may end many pages."""
    if trigger.action != "close":
        return trigger.event
    data = {name: value for name, value in trigger.data.items() if name not in destination.kind.unused_when_closing}
    left_out = len(data.get("clocks", ())) - _MOST_CLOCKS
    if left_out > 0:
        data |= {"clocks": data["clocks"][-_MOST_CLOCKS:], "clocks_left_out": left_out}
    return {**trigger.event, "data": data}
