"""Which parked messages have to be discarded: those older than the retention, and the oldest beyond a number; and what
is left of destinations that are no more. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping

from connect.notify.page_store_rows import (
    UNREADABLE,
    Parked,
    StateRow,
    parked_at,
    parked_row,
    read_key,
    read_message,
    retried_row,
    waiting_since,
)

#: Parked messages of one destination in one partition; the oldest beyond are discarded.
MOST_PARKED = 10_000
NO_DESTINATION = "the routing file has no such destination"


class ParkedMessages:
    """The parked messages of a destination, by the rows of its partitions. `responsible` says for which destinations: a
    worker also looks after those that the routing file no longer names, where `removed` holds."""

    def __init__(
        self,
        responsible: Callable[[str], bool],
        retention: int,
        most: int = MOST_PARKED,
        removed: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._responsible = responsible
        self._retention = retention
        self._most = most
        self._removed = removed
        self._parked: dict[tuple[int, str], dict[bytes, int]] = defaultdict(dict)
        """When each was parked, by partition and destination."""
        self._requests: dict[int, dict[bytes, bytes]] = defaultdict(dict)
        """Requests to retry a message of a destination that is no more."""
        self._left: dict[int, dict[bytes, int]] = defaultdict(dict)
        """Pages and waiting messages of destinations that are no more, and since when."""
        self._since: float = math.inf
        """Nothing is older: thousands for each destination and partition are looked at only once some are too old."""
        self.too_old_since: int | None = None
        """When some were first found to be too old, since when there always were some."""

    def __len__(self) -> int:
        return sum(map(len, self._parked.values()))

    def read(self, partition: int, key: bytes | None, value: bytes | None) -> None:
        """One row, in the order of the log."""
        found = read_key(key)
        if found is None or key is None or not self._responsible(found.destination):
            return
        if found.kind == "retry" and self._removed(found.destination):
            self._requests[partition].pop(key, None)
            if value is not None:
                self._requests[partition][key] = value
        elif found.kind == "parked":
            parked = self._parked[partition, found.destination]
            parked.pop(key, None)
            if value is not None:
                parked[key] = at = parked_at(value)
                self._since = min(self._since, at)
        elif found.kind in {"page", "pending"} and self._removed(found.destination):
            self._left[partition].pop(key, None)
            if value is not None:
                self._left[partition][key] = at = waiting_since(found.kind, value)
                self._since = min(self._since, at)

    def look(self, now: int) -> int:
        """How many are older than the retention."""
        count, too_old = 0, now - self._retention
        if self._since < too_old:
            ages = [at for rows in (*self._parked.values(), *self._left.values()) for at in rows.values()]
            count, self._since = sum(at < too_old for at in ages), min(ages, default=math.inf)
        if not count:
            self.too_old_since = None
        elif self.too_old_since is None or self.too_old_since > now:
            self.too_old_since = now
        return count

    def discard(self, now: int, *, too_old: bool = True) -> Mapping[int, list[StateRow]]:
        """Forgets what has to be discarded, those that are `too_old` among them; the rows to be written, by
        partition."""
        rows: dict[int, list[StateRow]] = {}
        for (partition, _), parked in self._parked.items():
            if not too_old and len(parked) <= self._most:
                continue
            since = now - self._retention if too_old else 0
            expired = [key for key, at in parked.items() if at < since]
            remaining = len(parked) - len(expired)
            if remaining > self._most:
                oldest = sorted((at, key) for key, at in parked.items() if at >= since)
                expired += [key for _, key in oldest[: remaining - self._most]]
            for key in expired:
                del parked[key]
            if expired:
                rows.setdefault(partition, []).extend(StateRow(key, None) for key in expired)
        return rows

    def discard_left(self, now: int) -> Mapping[int, list[StateRow]]:
        """As `discard`: pages and waiting messages of destinations that are no more. A destination that comes back
        before has them again."""
        rows: dict[int, list[StateRow]] = {}
        for partition, left in self._left.items():
            for key in [key for key, at in left.items() if at < now - self._retention]:
                del left[key]
                found = read_key(key)
                if found is not None and self._removed(found.destination):
                    rows.setdefault(partition, []).append(StateRow(key, None))
        return rows

    def park_again(self, now: int) -> Mapping[int, list[StateRow]]:
        """What an operator wants retried at a destination that is no more is parked again, where people see it; the
        rows to be written, by partition."""
        rows: dict[int, list[StateRow]] = {}
        for partition, requests in self._requests.items():
            for key, value in requests.items():
                found = read_key(key)
                if found is None or not self._removed(found.destination):
                    continue
                try:
                    incident, message = read_message(value)
                except UNREADABLE:
                    rows.setdefault(partition, []).append(StateRow(key, None))
                    continue
                parked = parked_row(Parked(found.destination, incident, message, NO_DESTINATION, now))
                rows.setdefault(partition, []).extend((parked, retried_row(found.destination, message)))
        self._requests.clear()
        return rows

    def clear(self) -> None:
        self._parked.clear()
        self._requests.clear()
        self._left.clear()
