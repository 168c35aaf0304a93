"""What the latest records of alerts and closings ask for, remembered once for all destinations of a process. Pure.

Every destination reads every alert, in a consumer group of its own and at a place of its own, but few concern it. So
that one that does not concern a destination costs it next to nothing, a record is decoded by the first destination that
reads it, and remembered in short; whole only for a while, as its JSON is large.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Generic, NamedTuple, TypeVar

from connect.notify.triggers import Action, PageTrigger

#: Records that are remembered in short: about 0.5 KB each. Destinations that read a backlog are so far apart at most.
MOST_IN_SHORT = 50_000
#: Records that are remembered whole, and how large each may be.
_MOST_WHOLE = 5_000
_LARGEST_WHOLE = 4 * 1024

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Latest(Generic[_Key, _Value]):
    """The latest values by key: at least half of `most`, and never more."""

    def __init__(self, most: int) -> None:
        self._half = max(most // 2, 1)
        self._new: dict[_Key, _Value] = {}
        self._old: dict[_Key, _Value] = {}

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def get(self, key: _Key) -> _Value | None:
        found = self._new.get(key)
        return self._old.get(key) if found is None else found

    def put(self, key: _Key, value: _Value) -> None:
        if len(self._new) >= self._half:  # at once: a dict is slow to find the first of its keys after others went
            self._old, self._new = self._new, {}
        self._new[key] = value

    def clear(self) -> None:
        self._new, self._old = {}, {}


class InShort(NamedTuple):
    """What a record asks for; no `action` where it asks for nothing. `key` and `timestamp` are the record's: a topic
    that was made anew has others at the same place."""

    key: bytes | None
    timestamp: int
    action: Action | None
    incident: str
    id: str


class ReadRecords:
    """Of all destinations of a process."""

    def __init__(self, most: int = MOST_IN_SHORT) -> None:
        self._short: Latest[tuple[str, int, int], InShort] = Latest(most)
        self._whole: Latest[tuple[str, int, int], tuple[InShort, PageTrigger | None]] = Latest(_MOST_WHOLE)

    def in_short(self, record: Any) -> InShort | None:
        """None where the record is not known."""
        found = self._short.get((record.topic, record.partition, record.offset))
        return found if found is not None and self._is_of(found, record) else None

    def whole(self, record: Any) -> tuple[PageTrigger | None] | None:
        """What the record asks for, as the only element; None where it is not known."""
        found = self._whole.get((record.topic, record.partition, record.offset))
        return (found[1],) if found is not None and self._is_of(found[0], record) else None

    def put(self, record: Any, trigger: PageTrigger | None) -> None:
        place = record.topic, record.partition, record.offset
        if trigger is None:
            short = InShort(record.key, record.timestamp, None, "", "")
        else:
            short = InShort(record.key, record.timestamp, trigger.action, trigger.incident, trigger.id)
        self._short.put(place, short)
        if len(record.value or b"") <= _LARGEST_WHOLE:
            self._whole.put(place, (short, trigger))

    def _is_of(self, found: InShort, record: Any) -> bool:
        return bool(found.timestamp == record.timestamp and found.key == record.key)
