"""Ids of events that are in the order of their instants: of facts of one time the first id comes first (R2)."""

from __future__ import annotations

from streams.sla.instants import LATEST, SECOND, to_datetime


def sortable(micros: int) -> str:
    """An instant as part of an id: ids that differ in it alone are in the order of their instants. Raises ValueError
    for one that no event can have."""
    if not 0 <= micros <= LATEST:
        raise ValueError("lies outside the years 1970 to 9999")
    return f"{to_datetime(micros).strftime('%Y%m%dT%H%M%S')}{micros % SECOND:06d}Z"
