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


def earliest(live: TimerIndex, held: TimerIndex, before: int, *, quiet: bool) -> tuple[int, str] | None:
    """Of two indexes the first timer due strictly before an instant; those held back during a load of history only
    once it is quiet (R32)."""
    first, waiting = live.first(), held.first()
    chosen = first if first is not None and first[0] < before else None
    if quiet and waiting is not None and waiting[0] < before:
        chosen = waiting if chosen is None or waiting < chosen else chosen
    return chosen
