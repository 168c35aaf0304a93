"""Instants as parts of ids. Of facts of one time the first id comes first (R2), so ids are in the order of instants."""

from __future__ import annotations

from functools import lru_cache

from streams.sla.instants import LATEST, SECOND, to_datetime


def sortable(micros: int) -> str:
    """An instant as part of an id: ids that differ in it alone are in the order of their instants. Raises ValueError
    for one that no event can have."""
    if not 0 <= micros <= LATEST:
        raise ValueError("lies outside the years 1970 to 9999")
    return f"{to_datetime(micros).strftime('%Y%m%dT%H%M%S')}{micros % SECOND:06d}Z"


@lru_cache(maxsize=1024)
def compact(micros: int) -> str:
    """An instant as part of an id, written for people: 20260131T090000.250000Z."""
    text = to_datetime(micros).strftime("%Y%m%dT%H%M%S").rjust(15, "0")  # some C libraries do not pad the year
    return f"{text}.{micros % SECOND:06d}Z"
