"""Lists of positions that begin as the one before did: what was read of it is not read again.

Every copy of an incident's impacts lists all inputs that they follow from, up to a thousand, mostly one more than the
copy before. Of the last few incidents with many, the bytes of the longest list are kept beside its records; a list
whose bytes begin with them, or are their beginning, shares its records with it.
"""

from __future__ import annotations

from itertools import chain
from typing import NamedTuple

from streams.sla.evidence import Made, PositionRecords

_MANY = 64
"""Shorter lists are read as they are."""
_INCIDENTS = 8
"""Longest lists that are kept: less than 8 MiB."""
_HEAD = 64
"""Bytes by which a list is looked up: the first position is that of the incident's opening, which no other has."""


class _Known(NamedTuple):
    encoded: bytes
    ends: tuple[int, ...]
    """Where each record ends in it."""
    records: list[dict[str, object]]
    made: Made


_known: dict[bytes, _Known] = {}


def known_positions(data: bytes, at: int, count: int) -> tuple[list[dict[str, object]], int]:
    """The first records of a list of so many whose items begin at `at`, as far as they are known, and their end."""
    if count < _MANY:
        return [], at
    known = _known.get(data[at : at + _HEAD])
    if known is None:
        return [], at
    common = min(count, len(known.ends))
    end = at + known.ends[common - 1]
    if data[at:end] != known.encoded[: end - at]:
        return [], at
    return PositionRecords(known.records[:common], known.made), end


def keep_positions(data: bytes, at: int, records: list[dict[str, object]], ends: list[int]) -> list[dict[str, object]]:
    """Keep a list that was read from `at` on; of the last of its records, those not known before, `ends` says where in
    `data` each ends. Returns it as one that shares what is made of its records."""
    if not ends or len(records) < _MANY:
        return records
    head, new = data[at : at + _HEAD], (end - at for end in ends)
    known = _known.pop(head, None)
    if isinstance(records, PositionRecords):
        if known is None or known.made is not records.made or len(known.ends) + len(ends) != len(records):
            return records  # another thread has kept another list
        all_ends, made = tuple(chain(known.ends, new)), known.made
    else:
        all_ends, made = tuple(new), {}
        records = PositionRecords(records, made)
    _known[head] = _Known(data[at : ends[-1]], all_ends, [*records], made)
    while len(_known) > _INCIDENTS:
        _known.pop(next(iter(_known)), None)
    return records
