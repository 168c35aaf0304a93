"""When which component had which impact: the episodes of an incident, as reported and as amended (R21)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from streams.sla.erasure import PSEUDONYM_BYTES
from streams.sla.events import Amended, Opened, Payload, Reclassified, Reopened
from streams.sla.impact import Impact
from streams.sla.incidents.classification import Subject

#: Facts that may make the impact list longer.
LISTED = (Opened, Reopened, Reclassified)
#: Limit of the bytes of all tenant names in an impact list: each interval names its own, and records are limited (R28).
MAX_LISTED_BYTES = 2 * 1024 * 1024


#: Limit of the bytes of an impact list whose tenants are all erased, so that their pseudonyms fit too (R29): 4 MiB less
#: evidence and envelope.
MAX_ERASED_BYTES = 15 * 256 * 1024
#: What an interval has beside names of tenants and component.
_INTERVAL_BYTES = 64


class Listed(NamedTuple):
    """Upper bounds of an impact list: how many intervals, the bytes of the longest list of tenants, the same if they
    were erased, and the bytes of the longest component."""

    intervals: int = 0
    widest: int = 0
    erased: int = 0
    component: int = 0

    def plus(self, payloads: Iterable[Payload]) -> Listed:
        """With more facts."""
        intervals, widest, erased, component = self
        for payload in payloads:
            if isinstance(payload, LISTED):
                intervals += 1
                lengths = [len(tenant.encode()) for tenant in getattr(payload, "tenant_ids", None) or ()]
                widest = max(widest, sum(lengths) + 2 * len(lengths))
                erased = max(erased, sum(max(length, PSEUDONYM_BYTES) + 2 for length in lengths))
                if not isinstance(payload, Reopened):
                    component = max(component, len((payload.component or "").encode()))
        return Listed(intervals, widest, erased, component)

    @property
    def too_long(self) -> bool:
        """Whether the list may exceed what is written of it, now or once its tenants are erased (R28)."""
        written = self.intervals + 1  # the list also names the tenants of now
        erased = written * (self.erased + self.component + _INTERVAL_BYTES)
        return self.intervals * self.widest > MAX_LISTED_BYTES or erased > MAX_ERASED_BYTES


class ContradictoryTimes(NamedTuple):
    """When an outage began, was opened and is said to have ended, which can't all be right."""

    started: int
    opened: int
    ended: int


class Episode:
    """One outage: from its (re)opening until it is restored. All episodes of an incident share one list of changes;
    each uses those up to the next reopening."""

    __slots__ = (
        "_known",
        "amended_restored",
        "amended_started",
        "changes",
        "opened_at",
        "reported_end",
        "restored",
        "started",
        "taken_back",
    )

    def __init__(self, opened_at: int, started: int, changes: list[tuple[int, Subject]]) -> None:
        self.opened_at = opened_at
        self.started = started
        self.restored: int | None = None
        self.reported_end: int | None = None
        """The end as its report has it, where that is before the opening: what is earlier counts as at the opening
        (R2), so the outage counts until then."""
        self.taken_back = 0
        """The latest end that the monitor reported and retracted (R15); 0: none."""
        self.amended_started: int | None = None
        self.amended_restored: int | None = None
        self.changes = changes
        self._known: int | None = None

    def reopened(self, at: int, started: int) -> Episode:
        """The episode that follows: earlier changes count from their own time on, there too (R21)."""
        self._known = len(self.changes)
        return Episode(at, started, self.changes)

    def change(self, at: int, subject: Subject) -> None:
        """From `at` on the incident affects something else; the past is unchanged (R21)."""
        self.changes.append((at, subject))

    def amend(self, fact: Amended) -> None:
        """Times that override any report; the last amendment of a field counts (R21)."""
        if fact.started_at is not None:
            self.amended_started = fact.started_at
        if fact.restored_at is not None:
            self.amended_restored = fact.restored_at

    @property
    def contradictory(self) -> ContradictoryTimes | None:
        """Its times, where its end is said to be before its beginning, so that there is no downtime (R21), or before
        its opening, so that what lies between counts too (R2)."""
        start = self.amended_started if self.amended_started is not None else self.started
        early = self.reported_end if self.amended_restored is None else None
        end = self.amended_restored if self.amended_restored is not None else self.restored
        end = end if early is None else early
        if end is None or (end >= start and early is None):
            return None
        return ContradictoryTimes(start, self.opened_at, end)

    def impacts(self, counts: bool | None) -> list[Impact]:
        start = self.amended_started if self.amended_started is not None else self.started
        end = self.amended_restored if self.amended_restored is not None else self.restored
        found: list[Impact] = []
        changes = self.changes
        known = len(changes) if self._known is None else self._known
        # Whatever its own time, the first change counts from the start; after it they ascend.
        first = bisect_right(changes, start, 1, known, key=lambda change: change[0]) - 1
        for index in range(first, known):
            subject = changes[index][1]
            begin = start if index == first else changes[index][0]
            until = changes[index + 1][0] if index + 1 < known else end
            if end is not None and begin >= end:
                break
            if end is not None and (until is None or until > end):
                until = end
            if begin == until:
                continue
            tenants = subject.tenant_ids if subject.scope == "tenants" else ()
            impact = Impact(subject.component, subject.impact, begin, until, counts, subject.scope, tenants)
            if found and found[-1] == impact._replace(start=found[-1].start, end=begin):
                found[-1] = found[-1]._replace(end=until)
            else:
                found.append(impact)
        return found
