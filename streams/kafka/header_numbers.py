"""Integers in the headers of records. Anybody may write headers, so each is checked where it is read."""

from __future__ import annotations

import re
from typing import Final

MAX_PARTITION: Final = 2**31 - 1
MAX_OFFSET: Final = 2**63 - 1
#: The last millisecond of the year 9999.
MAX_TIMESTAMP: Final = 253_402_300_799_999
_DIGITS: Final = 19
_DECIMAL = re.compile(rb"-?[0-9]{1,%d}" % _DIGITS)


def header_number(value: bytes | None, lowest: int, highest: int) -> int:
    """The decimal number of a header. Raises ValueError unless it is within [lowest, highest]."""
    if value is None or not ((value.isdigit() and len(value) <= _DIGITS) or _DECIMAL.fullmatch(value)):
        raise ValueError(f"a decimal number is expected, not {(value or b'')[:40]!r}")
    number = int(value)
    if not lowest <= number <= highest:
        raise ValueError(f"{number} is not within {lowest} to {highest}")
    return number
