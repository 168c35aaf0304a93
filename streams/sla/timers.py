"""The timer index: which subject next wants waking, O(log n) a change. Due instants are state, wake-ups are hints."""

from __future__ import annotations

from heapq import heapify, heappop, heappush


class TimerIndex:
    """At most one due instant per key. Superseded entries stay in the heap and are skipped when they surface."""

    __slots__ = ("_due", "_heap")

    def __init__(self) -> None:
        self._due: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._due)

    def set(self, key: str, due: int | None) -> None:
        """Wake `key` at `due`; None means never."""
        if due is None:
            self._due.pop(key, None)
        elif self._due.get(key) != due:
            self._due[key] = due
            heappush(self._heap, (due, key))
            if len(self._heap) > 4 * len(self._due) + 64:
                self._heap = [(at, name) for name, at in self._due.items()]
                heapify(self._heap)

    def first(self) -> tuple[int, str] | None:
        """The earliest due instant and its key; ties by key."""
        heap = self._heap
        while heap:
            due, key = heap[0]
            if self._due.get(key) == due:
                return due, key
            heappop(heap)
        return None


class Timers:
    """The timers of many subjects: live ones, and those held back until a load of history is through (R32). A subject
    that is quarantined has none until it is released (R27)."""

    __slots__ = ("_held", "_live", "_quarantined", "quiet_at")

    def __init__(self) -> None:
        self._live = TimerIndex()
        self._held = TimerIndex()
        self._quarantined: set[str] = set()
        self.quiet_at = 0
        """No backfill is expected after this instant (R32)."""

    def set(self, key: str, live: int | None, held: int | None = None) -> None:
        """Wake `key` at these instants; None means never."""
        if key not in self._quarantined:
            self._live.set(key, live)
            self._held.set(key, held)

    def quiet_not_before(self, instant: int) -> None:
        """More history may come until then."""
        self.quiet_at = max(self.quiet_at, instant)

    def next_due(self, passed: int | None = None) -> int | None:
        """The earliest instant at which a timer acts once time has passed it; none after `passed`."""
        live, held = self._live.first(), self._held.first()
        dues = [] if live is None else [live[0]]
        if held is not None:
            dues.append(max(held[0], self.quiet_at))
        return min((due for due in dues if passed is None or due <= passed), default=None)

    def first_due(self, before: int, *, quiet: bool = False) -> tuple[int, str] | None:
        """The earliest timer due strictly before an instant, as (due, key). What is held back waits until the load has
        been quiet, or until `quiet` says that no more is to come."""
        first, waiting = self._live.first(), self._held.first()
        chosen = first if first is not None and first[0] < before else None
        if (quiet or self.quiet_at < before) and waiting is not None and waiting[0] < before:
            chosen = waiting if chosen is None or waiting < chosen else chosen
        return chosen

    def quarantine(self, key: str) -> None:
        """No timer of `key` until it is released."""
        self.set(key, None)
        self._quarantined.add(key)

    def release(self, key: str) -> bool:
        """Let it have timers again; False when it was not quarantined."""
        if key not in self._quarantined:
            return False
        self._quarantined.remove(key)
        return True
