"""When which component had which impact: the episodes of an incident, as reported and as amended (R21)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from streams.sla.events import Amended, Opened, Payload, Reclassified, Reopened
from streams.sla.severity import Subject


class Impact(NamedTuple):
    """Whom a component's impact touched over a half-open interval; `end` None while open, `counts` None unless
    amended."""

    component: str
    impact: str
    start: int
    end: int | None
    counts: bool | None
    scope: str
    tenant_ids: tuple[str, ...]


#: What the tenants in an impact list may weigh: each interval names its own, and a record has a limit (R28).
MAX_LISTED_BYTES = 2 * 1024 * 1024


def listed_bytes(payloads: Iterable[Payload]) -> int:
    """The most that the tenants in the impact list of such facts can weigh: the widest list, once an interval."""
    changes = [payload for payload in payloads if isinstance(payload, Opened | Reopened | Reclassified)]
    lists = (getattr(payload, "tenant_ids", None) or () for payload in changes)
    return len(changes) * max((sum(len(tenant.encode()) + 2 for tenant in each) for each in lists), default=0)


class Episode:
    """One outage: from its (re)opening until it is restored."""

    __slots__ = ("amended_restored", "amended_started", "changes", "opened_at", "restored", "started")

    def __init__(self, opened_at: int, started: int, subject: Subject) -> None:
        self.opened_at = opened_at
        self.started = started
        self.restored: int | None = None
        self.amended_started: int | None = None
        self.amended_restored: int | None = None
        self.changes: list[tuple[int, Subject]] = [(started, subject)]

    def change(self, at: int, subject: Subject) -> None:
        """From `at` on the incident affects something else; the past stays (R21)."""
        self.changes.append((at, subject))

    def amend(self, fact: Amended) -> None:
        """Times that beat any report; the last amendment per field wins (R21)."""
        if fact.started_at is not None:
            self.amended_started = fact.started_at
        if fact.restored_at is not None:
            self.amended_restored = fact.restored_at

    def impacts(self, counts: bool | None) -> list[Impact]:
        start = self.amended_started if self.amended_started is not None else self.started
        end = self.amended_restored if self.amended_restored is not None else self.restored
        found: list[Impact] = []
        for index, (_, subject) in enumerate(self.changes):
            begin = start if index == 0 else max(start, self.changes[index][0])
            until = max(start, self.changes[index + 1][0]) if index + 1 < len(self.changes) else end
            if end is not None and (until is None or until > end):
                until = end
            if until is not None and begin >= until:
                continue
            tenants = subject.tenant_ids if subject.scope == "tenants" else ()
            impact = Impact(subject.component, subject.impact, begin, until, counts, subject.scope, tenants)
            if found and found[-1] == impact._replace(start=found[-1].start, end=begin):
                found[-1] = found[-1]._replace(end=until)
            else:
                found.append(impact)
        return found
