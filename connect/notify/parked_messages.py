"""Which parked messages have to be discarded: those older than the retention, and the oldest beyond a number. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

from connect.notify.page_store_rows import StateRow, parked_at, read_key

#: Parked messages of one destination in one partition; the oldest beyond are discarded.
MOST_PARKED = 10_000


class ParkedMessages:
    """The parked messages of a destination, by the rows of its partitions. `responsible` says for which destinations: a
    worker also looks after those that the routing file no longer names."""

    def __init__(self, responsible: Callable[[str], bool], retention: int, most: int = MOST_PARKED) -> None:
        self._responsible = responsible
        self._retention = retention
        self._most = most
        self._parked: dict[int, dict[bytes, int]] = defaultdict(dict)

    def __len__(self) -> int:
        return sum(map(len, self._parked.values()))

    def read(self, partition: int, key: bytes | None, value: bytes | None) -> None:
        """One row, in the order of the log."""
        found = read_key(key)
        if found is None or key is None or found.kind != "parked" or not self._responsible(found.destination):
            return
        self._parked[partition].pop(key, None)
        if value is not None:
            self._parked[partition][key] = parked_at(value)

    def discard(self, now: int) -> Mapping[int, list[StateRow]]:
        """Forgets what has to be discarded; the rows to be written, by partition."""
        rows: dict[int, list[StateRow]] = {}
        for partition, parked in self._parked.items():
            expired = [key for key, at in parked.items() if at < now - self._retention]
            remaining = len(parked) - len(expired)
            if remaining > self._most:
                oldest = sorted((at, key) for key, at in parked.items() if at >= now - self._retention)
                expired += [key for _, key in oldest[: remaining - self._most]]
            for key in expired:
                del parked[key]
            if expired:
                rows[partition] = [StateRow(key, None) for key in expired]
        return rows

    def clear(self) -> None:
        self._parked.clear()
