"""The timer index: which subject is due next, in O(log n) a change."""

from __future__ import annotations

from collections.abc import Set
from heapq import heapify, heappop, heappush


class TimerIndex:
    """At most one due instant per key. Superseded entries stay in the heap and are skipped when they surface."""

    __slots__ = ("_heap", "dues")

    def __init__(self) -> None:
        self.dues: dict[str, int] = {}
        """Key → when it is due."""
        self._heap: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self.dues)

    def set(self, key: str, due: int | None) -> None:
        """Set the timer of `key`; None removes it."""
        if due is None:
            self.dues.pop(key, None)
        elif self.dues.get(key) != due:
            self.dues[key] = due
            heappush(self._heap, (due, key))
            if len(self._heap) > 4 * len(self.dues) + 64:
                self._heap = [(at, name) for name, at in self.dues.items()]
                heapify(self._heap)

    def first(self) -> tuple[int, str] | None:
        """The earliest due instant and its key; ties by key."""
        heap = self._heap
        while heap:
            due, key = heap[0]
            if self.dues.get(key) == due:
                return due, key
            heappop(heap)
        return None

    def soonest(self, before: int, limit: int) -> list[str]:
        """The keys of up to `limit` timers that are due before an instant, in their order."""
        heap, found = self._heap, list[tuple[int, str]]()
        while len(found) < limit and (first := self.first()) is not None and first[0] < before:
            found.append(heappop(heap))
        for each in found:
            heappush(heap, each)
        return [key for _, key in found]


class Timers:
    """The timers of many subjects: live ones, and those deferred until no more backfill is expected (R32). A subject
    that is quarantined has none until it is released (R27)."""

    __slots__ = ("_deferred", "_live", "_quarantined", "backfill_idle_at")

    def __init__(self) -> None:
        self._live = TimerIndex()
        self._deferred = TimerIndex()
        self._quarantined: set[str] = set()
        self.backfill_idle_at = 0
        """No backfill is expected after this instant (R32)."""

    def set(self, key: str, live: int | None, deferred: int | None = None) -> None:
        """Set the timers of `key`; None removes one."""
        if key not in self._quarantined:
            self._live.set(key, live)
            if deferred is not None or key in self._deferred.dues:
                self._deferred.set(key, deferred)

    def expect_backfill_until(self, instant: int) -> None:
        """More backfill may follow until then."""
        self.backfill_idle_at = max(self.backfill_idle_at, instant)

    def deferred_due(self, now: int) -> int:
        """How many timers wait for the end of a backfill where one of them is due; 0 where no backfill is expected."""
        first = self._deferred.first() if self.backfill_idle_at >= now else None
        return len(self._deferred) if first is not None and first[0] < now else 0

    def next_due(self, passed: int | None = None) -> int | None:
        """The earliest instant of which a timer fires once time has passed it; none after `passed`."""
        first, deferred = self._live.first(), self._deferred.first()
        due = None if first is None else first[0]
        if deferred is not None:
            resumes = max(deferred[0], self.backfill_idle_at)
            due = resumes if due is None else min(due, resumes)
        return None if due is None or (passed is not None and due > passed) else due

    def first_due(self, before: int, *, backfill_idle: bool = False) -> tuple[int, str] | None:
        """The earliest timer due strictly before an instant, as (due, key). Deferred timers wait until no more backfill
        is expected; `backfill_idle` says that none follows."""
        first, deferred = self._live.first(), self._deferred.first()
        chosen = first if first is not None and first[0] < before else None
        if (backfill_idle or self.backfill_idle_at < before) and deferred is not None and deferred[0] < before:
            chosen = deferred if chosen is None or deferred < chosen else chosen
        return chosen

    def soonest(self, before: int, limit: int) -> list[str]:
        """The keys of up to `limit` timers, without deferred ones, that are due before an instant, in their order."""
        return self._live.soonest(before, limit)

    def quarantine(self, key: str) -> None:
        """No timer of `key` until it is released."""
        self.set(key, None)
        self._quarantined.add(key)

    def quarantined(self, key: str) -> bool:
        """Whether `key` has no timers until it is released."""
        return key in self._quarantined

    @property
    def all_quarantined(self) -> Set[str]:
        """All keys that have no timers until they are released; it changes with them."""
        return self._quarantined

    def release(self, key: str) -> bool:
        """Let `key` have timers again; False when it was not quarantined."""
        if key not in self._quarantined:
            return False
        self._quarantined.remove(key)
        return True
