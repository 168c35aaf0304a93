"""Times that are written as a number of seconds or milliseconds since 1970."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from streams.sla.instants import LATEST, SECOND

#: The microseconds of one unit of each format.
UNITS = {"epoch_seconds": SECOND, "epoch_milliseconds": SECOND // 1000}


def since_1970(text: str, written: str) -> int:
    """The instant (microseconds since 1970) of a number in one of the formats of UNITS; 0, which counts as no
    time, for one that is not within 1970 to 9999. Raises ValueError for what is no number."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise ValueError(f"no number ({written})")
    unit = UNITS[written]
    # Compared before it is multiplied: 1e999999 overflows, and 1e300000 takes a second to become an int.
    return int(number * unit) if 0 < number <= LATEST // unit else 0
