"""Rechecks of many accounts: queued, and done a few months at a time between other work (R26)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple


class Recheck(NamedTuple):
    """Inputs of the months within [start, end) changed at `arrival`, for the named tenants or, with None, for all.
    Tenants are done in order of their names: those up to `after` are done, and of the next one the months that end by
    `resume`. One changelog row, by `number`. Instants in microseconds."""

    number: int
    arrival: int
    start: int
    end: int
    tenants: tuple[str, ...] | None
    after: str = ""
    resume: int = 0

    @property
    def remaining_from(self) -> int:
        """Where the months that remain of the next tenant begin."""
        return max(self.start, self.resume)


class RecheckQueue:
    """Rechecks in the order of their arrival. `names` gives all tenants."""

    __slots__ = ("_first_number", "_items", "_names", "_next_number", "_remaining")

    def __init__(self, names: Callable[[], Collection[str]]) -> None:
        self._names = names
        self._items: dict[int, Recheck] = {}
        #: None of the items has a lower number. To look for the lowest would take long where many are queued.
        self._first_number = 0
        self._next_number = 0
        #: The tenants that remain of the first item, last name first; None before it is looked at.
        self._remaining: list[str] | None = None

    def __len__(self) -> int:
        return len(self._items)

    def add(self, arrival: int, start: int, end: int, tenants: Collection[str] | None) -> Recheck:
        """Queue a recheck, or widen the last one, if that has not begun and is of the same arrival and tenants: it will
        find what all inputs of that arrival have changed."""
        names = None if tenants is None else tuple(sorted(tenants))
        last = self._items.get(self._next_number - 1)
        if (
            last is not None
            and (len(self._items) > 1 or self._remaining is None)
            and (last.arrival, last.tenants, last.after, last.resume) == (arrival, names, "", 0)
            and start <= last.end
            and last.start <= end
        ):
            item = last._replace(start=min(start, last.start), end=max(end, last.end))
        else:
            item = Recheck(self._next_number, arrival, start, end, names)
        self.restore(item)
        return item

    def restore(self, item: Recheck) -> None:
        """Put a recheck back as its row has it."""
        self._first_number = min(self._first_number, item.number) if self._items else item.number
        self._items[item.number] = item
        self._next_number = max(self._next_number, item.number + 1)

    def items(self) -> list[Recheck]:
        """All queued rechecks, in order."""
        return [self._items[number] for number in sorted(self._items)]

    def remove(self, tenant: str) -> dict[int, Recheck | None]:
        """A tenant is rechecked, and loses its name. Returns the rechecks that named it as they are now, by number;
        None: done."""
        changed: dict[int, Recheck | None] = {}
        for item in self.items():
            names = self._names() if item.tenants is None else item.tenants
            others = sorted(name for name in names if name != tenant)
            following = next((name for name in sorted(names) if name > item.after), None)
            after = max((name for name in others if name < tenant), default="") if item.after == tenant else item.after
            listed = None if item.tenants is None else tuple(others)
            left = item._replace(after=after, tenants=listed, resume=0 if following == tenant else item.resume)
            if left == item:
                continue
            self._items[item.number] = left
            changed[item.number] = left
            if not any(name > after for name in others):
                del self._items[item.number]
                changed[item.number] = None
        self._remaining = None
        return changed

    def first(self) -> tuple[Recheck, str] | None:
        """The recheck to continue, and its next tenant; None when nothing is queued."""
        if not self._items:
            return None
        while self._first_number not in self._items:
            self._first_number += 1
        item = self._items[self._first_number]
        if self._remaining is None:
            names = self._names() if item.tenants is None else item.tenants
            self._remaining = sorted((name for name in names if name > item.after), reverse=True)
        return item, self._remaining[-1] if self._remaining else ""

    def advance(self, resume: int | None) -> tuple[int, Recheck | None]:
        """The next tenant of the first recheck is done, or with `resume` its months that end by then. Returns the
        number of the recheck and what remains of it."""
        first = self.first()
        assert first is not None
        item, tenant = first
        assert self._remaining is not None
        if resume is not None:
            changed = item._replace(resume=resume)
        else:
            if self._remaining:
                self._remaining.pop()
            changed = item._replace(after=tenant, resume=0)
        if not self._remaining:
            del self._items[item.number]
            self._remaining = None
            return item.number, None
        self._items[item.number] = changed
        return item.number, changed
