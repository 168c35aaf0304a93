"""Bounds on bytes held in memory at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class ByteBudget:
    """Counts reserved bytes against a limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.reserved = 0

    def reserve(self, size: int) -> bool:
        """Reserve `size` bytes. False when they exceed the limit; nothing is reserved then."""
        if self.reserved + size > self.limit:
            return False
        self.reserved += size
        return True

    def release(self, size: int) -> None:
        """Release bytes that were reserved."""
        self.reserved -= size

    def gains_from(self, other: ByteBudget) -> bool:
        """Whether bytes that are released in another budget make room in this one."""
        return other is self


class BudgetShares:
    """A budget of the same limit for each key that has a request now."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._budgets: dict[str, ByteBudget] = {}
        self._requests: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._budgets)

    @contextmanager
    def of(self, key: str) -> Iterator[ByteBudget]:
        """The budget of a key, for one request."""
        self._requests[key] += 1
        try:
            yield self._budgets.setdefault(key, ByteBudget(self._limit))
        finally:
            self._requests[key] -= 1
            if not self._requests[key]:
                del self._requests[key], self._budgets[key]

    def used_of_minimum(self, minimum: int) -> int:
        """Bytes that all keys have reserved of a minimum that each of them may always reserve."""
        return sum(min(each.reserved, minimum) for each in self._budgets.values())


class SourceBudgets:
    """A budget that sources share: none gets more than `most` of it, and each one its `minimum`, whatever all others
    have reserved. So nobody but a source itself can use up what it needs for ordinary requests."""

    def __init__(self, whole: ByteBudget, most: int) -> None:
        self.whole = whole
        self._shares = BudgetShares(most)
        self._sources = 0
        self.minimum = 0

    def __len__(self) -> int:
        return len(self._shares)

    def guarantee(self, minimum: int, sources: int) -> None:
        """Guarantee each of so many sources a minimum from now on."""
        self.minimum, self._sources = minimum, sources

    @contextmanager
    def of(self, source: str) -> Iterator[tuple[ByteBudget, ByteBudget]]:
        """The budgets of a source, for one request: its share, and what it may use of the whole."""
        with self._shares.of(source) as share:
            yield share, _Part(self, share)

    def minimums_of_others(self, share: ByteBudget) -> int:
        """Bytes of their minimum that the sources other than that of a share have not reserved."""
        others = self.minimum * max(self._sources - 1, 0)
        return max(others - self._shares.used_of_minimum(self.minimum) + min(share.reserved, self.minimum), 0)


class _Part(ByteBudget):
    """What one source may use of a budget that others share. Its share is reserved before it, and released after it."""

    def __init__(self, all_sources: SourceBudgets, share: ByteBudget) -> None:
        super().__init__(all_sources.whole.limit)
        self._all = all_sources
        self._share = share

    def reserve(self, size: int) -> bool:
        whole = self._all.whole
        # Within its minimum a source takes what is kept for it, which others can't have used up.
        if whole.reserved + size + self._all.minimums_of_others(self._share) > whole.limit:
            return False
        return whole.reserve(size)

    def release(self, size: int) -> None:
        self._all.whole.release(size)

    def gains_from(self, other: ByteBudget) -> bool:
        """Bytes within the minimum of another source stay kept for it."""
        if not isinstance(other, _Part) or other._all is not self._all:
            return False
        return other._share is self._share or other._share.reserved > self._all.minimum


class FairShares:
    """A budget of which a source gets more only as long as twice its part stays free, and one request in any case. So
    whatever some sources hold, the next one finds room, and nobody has to know how many there are."""

    def __init__(self, whole: ByteBudget) -> None:
        self.whole = whole
        self._used: Counter[str] = Counter()

    def reserve(self, source: str, size: int) -> bool:
        """Reserve bytes for a source; an empty name stands for this process itself, which has no share."""
        part = self._used[source] + size
        shared = bool(source) and part > size
        if shared and self.whole.reserved + size + 2 * part > self.whole.limit:
            return False
        if not self.whole.reserve(size):
            return False
        self._used[source] = part
        return True

    def used(self, source: str) -> int:
        """Bytes that a source has reserved."""
        return self._used.get(source, 0)

    def release(self, source: str, size: int) -> None:
        """Release bytes that were reserved for a source."""
        self.whole.release(size)
        self._used[source] -= size
        if not self._used[source]:
            del self._used[source]


def reserve_all(budgets: Sequence[ByteBudget], size: int) -> ByteBudget | None:
    """Reserve bytes in every budget; else in none, and the budget that is used up is returned."""
    for index, budget in enumerate(budgets):
        if not budget.reserve(size):
            for reserved in budgets[:index]:
                reserved.release(size)
            return budget
    return None
