"""Names indexed by key and time, so the cost of a lookup does not grow with the length of the history (R22, R23)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streams.sla.instants import DAY

PLATFORM = ""
"""The key of what concerns every tenant, beside those of tenants."""
BUCKET = 32 * DAY
#: An interval that spans more buckets than this is not listed in each; every lookup of its key returns it.
MAX_BUCKETS = 40


class TimeIndex:
    """Names by key and bucket of time. An entry is (key, start, end), `end` None while it is open."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        self._buckets: dict[str, dict[int | None, set[str]]] = {}

    @staticmethod
    def buckets_of(start: int, end: int | None) -> Iterable[int | None]:
        """The buckets that an entry is listed in."""
        if end is None or end - start >= MAX_BUCKETS * BUCKET:
            return (None,)
        return range(start // BUCKET, end // BUCKET + 1)

    def add(self, key: str, start: int, end: int | None, name: str) -> None:
        """List a name under a key for [start, end]."""
        self.add_to(key, self.buckets_of(start, end), name)

    def add_to(self, key: str, buckets: Iterable[int | None], name: str) -> None:
        """List a name under a key in what `buckets_of` returned."""
        for bucket in buckets:
            self._buckets.setdefault(key, {}).setdefault(bucket, set()).add(name)

    def discard(self, key: str, start: int, end: int | None, name: str) -> None:
        """Undo `add`."""
        self.discard_from(key, self.buckets_of(start, end), name)

    def discard_from(self, key: str, listed: Iterable[int | None], name: str) -> None:
        """Undo `add_to`."""
        buckets = self._buckets.get(key)
        if buckets is None:
            return
        for bucket in listed:
            names = buckets.get(bucket)
            if names is not None:
                names.discard(name)
                if not names:
                    del buckets[bucket]
        if not buckets:
            del self._buckets[key]

    def rename(self, key: str, new: str) -> None:
        """List what is listed under a key under another one instead."""
        moved = self._buckets.pop(key, {})
        buckets = self._buckets.setdefault(new, moved)
        if buckets is not moved:
            for bucket, names in moved.items():
                buckets.setdefault(bucket, set()).update(names)

    def between(self, keys: Iterable[str], start: int, end: int) -> set[str]:
        """The names whose entries under one of the keys may overlap [start, end)."""
        found: set[str] = set()
        for key in keys:
            buckets = self._buckets.get(key)
            if buckets is not None:
                for bucket in (None, *range(start // BUCKET, end // BUCKET + 1)):
                    found |= buckets.get(bucket, set())
        return found

    def count(self, keys: Iterable[str], start: int, end: int) -> int:
        """At least as many as `between` returns; names in several buckets count for each."""
        buckets_of = (self._buckets.get(key, {}) for key in keys)
        wanted = (None, *range(start // BUCKET, end // BUCKET + 1))
        return sum(len(buckets.get(bucket, ())) for buckets in buckets_of for bucket in wanted)

    def __iter__(self) -> Iterator[str]:
        """Every key that has an entry."""
        return iter(self._buckets)

    def names(self, key: str) -> Iterator[str]:
        """Every name listed under a key, each once."""
        return iter(set().union(*self._buckets.get(key, {}).values()))
