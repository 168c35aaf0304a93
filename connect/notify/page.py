"""One incident, or one digest, at one destination: what is open there, which messages wait, in order. Pure.

The end of a page that was certainly never sent is dropped together with its alert. An attempt whose outcome is not
known may have opened the page, so its end is sent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from connect.notify.destinations.kind import Destination
from connect.notify.message import DIGEST, LISTED_TENANTS, Message, dedup_key
from connect.notify.pending_messages import ends_never_needed, never_paged, superseded, unsent_ends, with_end
from connect.notify.triggers import BREACH, REOPENED, JsonObject, PageTrigger
from streams.i18n.catalogues import Language
from streams.topics import DEFAULT_PREFIX

#: Clocks that the message of a closing lists, the latest; an incident may have thousands of update windows.
_MOST_CLOCKS = 1_000


class _NewMessage(NamedTuple):
    id: str
    action: Literal["trigger", "resolve"]
    clock: str
    key: str | None
    opens: bool = False


class FoldedClock(NamedTuple):
    """A clock whose alerts are in digests: the timestamp of the latest alert, and the dedup keys of the digests."""

    at: int
    digests: tuple[str, ...]


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

    folded: Mapping[str, FoldedClock] = field(default_factory=dict)
    """Clocks whose alerts are in digests; the clock is empty where a release before did not store it."""

    breached: frozenset[str] = frozenset()
    """Clocks, open or folded, whose latest alert is a breach; releases before did not store it."""

    @property
    def over(self) -> bool:
        return not self.open and not self.pending and not self.folded

    @property
    def head(self) -> Message:
        return self.pending[0]

    @property
    def digests(self) -> frozenset[str]:
        """The dedup keys of the digests that have alerts of this incident."""
        return frozenset(key for each in self.folded.values() for key in each.digests)

    @property
    def foldable(self) -> bool:
        """Whether its first message is an alert that a digest may have instead."""
        return bool(self.pending) and self.may_be_folded(self.head)

    @property
    def waits_late(self) -> bool:
        """Whether a late alert waits, or is being sent."""
        return any(each.late and each.action == "trigger" for each in self.pending)

    def may_be_folded(self, message: Message) -> bool:
        """An alert that has not been tried, and whose clock will end or whose incident has ended."""
        untried = message.action == "trigger" and message.tries == 0
        return untried and message.clock != DIGEST and (message.clock in self.open or message.late)

    def started(self) -> Page:
        """The first message is about to be sent: from now on its page may be open at the destination."""
        head, later = self.head._replace(attempted=True), self.pending[1:]
        if head.action == "trigger":
            later = tuple(each._replace(opens=False) if each.clock == head.clock else each for each in later)
        return replace(self, pending=(head, *later))

    def delivered(self) -> Page:
        """The first message is delivered, or parked."""
        return replace(self, pending=self.pending[1:])

    def failed(self, due: int, *, latest_only: bool = False) -> Page:
        """The first message was not delivered; its next attempt is at `due`. With `latest_only` a later message about
        its clock takes its place, if there is one."""
        head, later = self.head, self.pending[1:]
        newer = next((each for each in later if each.clock in {head.clock, ""}), None) if latest_only else None
        if newer is not None and newer.clock != head.clock:  # a closing, which no later alert may overtake
            newer = None
        if newer is not None and newer.late and newer.action == "resolve":  # it follows the alert, and replaces nothing
            newer = None
        if newer is None or (newer.action == head.action == "trigger" and head.clock == DIGEST):  # its incidents differ
            return replace(self, pending=(head._replace(tries=head.tries + 1, due=due, attempted=True), *later))
        # The page may be open there: a later alert updates it, by the key that it has.
        first = newer._replace(key=head.key, opens=False, due=max(newer.due, due))
        keys = {clock: key for clock, key in self.keys.items() if clock != head.clock}
        if head.clock in self.open and head.key is not None:
            keys[head.clock] = head.key
        return replace(self, keys=keys, pending=(first, *(each for each in later if each is not newer)))

    def apply(
        self,
        trigger: PageTrigger,
        destination: Destination,
        now: int,
        *,
        busy: bool,
        language: Language | None = None,
        deployment: str = DEFAULT_PREFIX,
        key: str | None = None,
        due: int | None = None,
    ) -> Page:
        """The page after a trigger. While `busy`, the first message is being sent and stays. `language` is that of the
        route which led an alert here; `deployment` goes into the dedup keys of pages that are opened, unless `key` is
        given. An alert is first tried at `due`; default: now."""
        if trigger.action == "trigger":
            key = key or dedup_key(deployment, self.incident, trigger.clock)
            return self._alerted(trigger, destination, now, busy, language, key, now if due is None else due)
        if trigger.action == "resolve":
            return self._ended(trigger, {trigger.clock}, destination, now, busy)
        # A closing that is read late must not end what a reopened incident has been paged for since.
        paged_at = [*self.open.items(), *((clock, folded.at) for clock, folded in self.folded.items())]
        ended = {
            clock for clock, at in paged_at if at < trigger.at or (at == trigger.at and self._ends(trigger, clock))
        }
        since = {clock for clock, at in paged_at if at > trigger.at}
        ended -= since
        reopened = any(clock not in ended for clock, _ in paged_at)
        return self._ended(trigger, ended, destination, now, busy, reopened=reopened)

    def _ends(self, closing: PageTrigger, clock: str) -> bool:
        """Whether a closing ends the page of a clock whose latest alert is of the same transaction. That alert may be
        of the reopening after it. A closing lists the clocks that it ends. A clock may have been paged before and not
        be listed, as late evidence has taken it back; then a breach was retracted before the closing. Nothing is
        published about a reminder or warning that was taken back, so their pages end: it is better to page twice than
        to leave a page open."""
        metric, _, instance = clock.partition("/")
        listed = closing.data.get("clocks", ())
        return clock not in self.breached or any(
            each["metric"] == metric and str(each["instance"]) == instance for each in listed
        )

    def _alerted(
        self,
        trigger: PageTrigger,
        destination: Destination,
        now: int,
        busy: bool,
        language: Language | None,
        key: str,
        due: int,
    ) -> Page:
        clock = trigger.clock
        if self._waits(trigger):
            return self
        waiting, replaced = self._replaced(destination, busy, {clock}, trigger)
        unpaged = never_paged(replaced)
        # A page whose end has not been sent yet is still open there: a new alert of its clock updates it.
        unended = [each for each in unsent_ends(replaced) if each.clock == clock]
        used = unended[-1].key if unended else self.keys.get(clock) if clock in self.open else key
        opens = not unended and (clock not in self.open or clock in unpaged)
        still_open = {each: at for each, at in self.open.items() if each not in unpaged}
        if not trigger.late:
            still_open[clock] = trigger.at
        elif destination.kind.resolve_each_clock:  # else a closing may be one message, which is still sent
            still_open.pop(clock, None)
        keys = {each: named for each, named in self.keys.items() if each in still_open and each != clock}
        breached = self.breached - {clock} | ({clock} if trigger.type == BREACH else set())
        page = replace(
            self,
            language=language,
            open=still_open,
            breached=breached & (still_open.keys() | self.folded.keys()),
            keys={**keys, clock: used} if used is not None and clock in still_open else keys,
            pending=waiting,
        )
        return page._enqueue([_NewMessage(trigger.id, "trigger", clock, used, opens)], trigger, destination, now, due)

    def _waits(self, alert: PageTrigger) -> bool:
        """Whether an alert that was read again waits already, or its end does. Late evidence may take a breach back,
        and later evidence may bring it back: it has the same id then (R3), and waits behind its retraction."""
        if alert.late:
            return any(
                each.late and each.id.startswith(alert.id) and each.record_at == alert.at for each in self.pending
            )
        waiting = [each for each in self.pending if each.event["id"] == alert.id or each.clock in {alert.clock, ""}]
        return any(each.event["id"] == alert.id for each in waiting) and waiting[-1].action == "trigger"

    def _ended(
        self,
        trigger: PageTrigger,
        clocks: Collection[str],
        destination: Destination,
        now: int,
        busy: bool,
        *,
        reopened: bool = False,
    ) -> Page:
        """With `reopened` it is a closing that comes behind alerts of the reopening after it."""
        ends = {clock for clock in clocks if clock in self.open}
        closing = trigger.action == "close"
        late = {each.clock for each in self.pending if each.late and not closing}
        waiting, replaced = self._replaced(destination, busy, ends | late.intersection(clocks), keep_late=closing)
        unpaged = never_paged(replaced)
        unended = {each.clock: each.key for each in unsent_ends(replaced)}
        needed = sorted((ends - unpaged) | unended.keys())
        keys = {**{clock: self.keys.get(clock) for clock in ends}, **unended}
        if closing and destination.kind.resolve_each_clock:
            added = [_NewMessage(f"{trigger.id}/{each}", "resolve", each, keys[each]) for each in needed]
        elif closing:
            added = [_NewMessage(trigger.id, "resolve", "", None)] if needed else []
        else:
            added = [_NewMessage(trigger.id, "resolve", each, keys[each]) for each in needed]
        page = replace(
            self,
            open={clock: at for clock, at in self.open.items() if clock not in ends},
            keys={clock: named for clock, named in self.keys.items() if clock not in ends},
            folded={clock: folded for clock, folded in self.folded.items() if clock not in clocks},
            breached=self.breached.difference(clocks),
            pending=waiting,
        )
        if reopened and destination.kind.latest_only:
            trigger = replace(trigger, event={**trigger.event, "data": {**trigger.data, REOPENED: True}})
        return page._enqueue(added, trigger, destination, now, now)

    def _replaced(
        self,
        destination: Destination,
        busy: bool,
        clocks: Collection[str],
        alert: PageTrigger | None = None,
        *,
        keep_late: bool = False,
    ) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
        """What still waits, and what does not, after a new message about these clocks."""
        if not destination.kind.latest_only:
            return self.pending, ()
        sending, unsent = (self.pending[:1], self.pending[1:]) if busy else ((), self.pending)
        out = [
            each
            for each in unsent
            if (each.clock in clocks and not (keep_late and each.late))
            or (alert is not None and superseded(each, alert))
        ]
        out += ends_never_needed(out, unsent)
        return (*sending, *(each for each in unsent if each not in out)), tuple(out)

    def _enqueue(
        self, added: Sequence[_NewMessage], trigger: PageTrigger, destination: Destination, now: int, due: int
    ) -> Page:
        seq, event = self.next_seq(now), _stored_event(trigger, destination) if added else {}
        names = {each.id for each in self.pending}  # each message has a row of its own
        messages = tuple(
            Message(
                f"{each.id}/again/{seq + index}" if each.id in names else each.id, each.action, each.clock, event,
                seq + index, now, due, language=self.language, key=each.key, opens=each.opens, record_at=trigger.at,
                kind=destination.kind.name,
            )
            for index, each in enumerate(added)
            if not self._known(each, trigger)
        )  # fmt: skip
        if trigger.late:
            messages = tuple(each for message in messages for each in with_end(message, destination))
        return replace(self, pending=(*self.pending, *messages))

    def _known(self, new: _NewMessage, trigger: PageTrigger) -> bool:
        """Whether an end that was read again waits already, and still ends what it has to."""
        return new.action == "resolve" and any(
            each.action == "resolve" and each.clock == new.clock and each.event["id"] == trigger.id
            for each in self.pending
            if not self._overtaken(each)
        )

    def _overtaken(self, end: Message) -> bool:
        """Whether an alert that was read again after a crash waits behind the end that it had before."""
        later = (each for each in self.pending if each.action == "trigger" and each.seq > end.seq)
        return any(end.clock in {each.clock, ""} for each in later)

    def next_seq(self, now: int) -> int:
        """Of a message that is created now."""
        return max(now, self.pending[-1].seq + 1) if self.pending else now


def differing(
    before: tuple[Message, ...], after: tuple[Message, ...]
) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """Both without the same messages at their beginnings and ends: of a thousand that wait one comes or goes."""
    start, most = 0, min(len(before), len(after))
    while start < most and before[start] is after[start]:
        start += 1
    end = 0
    while end < most - start and before[-1 - end] is after[-1 - end]:
        end += 1
    return before[start : len(before) - end], after[start : len(after) - end]


def folded(page: Page, key: str) -> Page:
    """The page after a digest with this dedup key has taken its alerts. Clocks of late alerts have ended already."""
    taken = [each for each in page.pending if page.may_be_folded(each)]
    unpaged = never_paged(taken)
    taken += ends_never_needed(taken, page.pending)
    clocks = dict(page.folded)
    for clock in sorted({each.clock for each in taken if each.clock in page.open}):
        before = clocks.get(clock, FoldedClock(0, ())).digests
        clocks[clock] = FoldedClock(page.open[clock], tuple(dict.fromkeys((*before, key))))
    return replace(
        page,
        open={clock: at for clock, at in page.open.items() if clock not in unpaged},
        keys={clock: named for clock, named in page.keys.items() if clock not in unpaged},
        pending=tuple(each for each in page.pending if each not in taken),
        folded=clocks,
    )


def _stored_event(trigger: PageTrigger, destination: Destination) -> JsonObject:
    """The event without what its messages do not need: a closing lists every clock, and may end many pages; people are
    shown some of a thousand tenants."""
    data = dict(trigger.data)
    if trigger.action != "trigger":
        data = {name: value for name, value in data.items() if name not in destination.kind.unused_in_ends}
    more = len(data.get("tenant_ids", ())) - LISTED_TENANTS
    if more > 0 and destination.kind.latest_only:
        data |= {"tenant_ids": data["tenant_ids"][:LISTED_TENANTS], "tenant_ids_left_out": more}
    left_out = len(data.get("clocks", ())) - _MOST_CLOCKS
    if left_out > 0:
        data |= {"clocks": data["clocks"][-_MOST_CLOCKS:], "clocks_left_out": left_out}
    return {**trigger.event, "data": data}
