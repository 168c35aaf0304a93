"""Types that several models and parameters of the API have: ids, cursors, money, closed lists."""

from __future__ import annotations

import binascii
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field

from board.api.problems import ApiError, ParameterProblem, wrong_parameters
from streams.sla.instants import SECOND, format_rfc3339

_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
_MONTH = r"^(19[7-9][0-9]|[2-9][0-9]{3})-(0[1-9]|1[0-2])$"
_CURSOR = r"^[A-Za-z0-9_-]+$"
_WRONG_CURSOR = "is not a cursor of this list; allowed: `next_cursor` of the page before, with the same parameters"
#: What is wrong with a value that does not match a pattern.
PATTERN_PROBLEMS = {
    _PRINTABLE: "has a control character, which is not allowed",
    _MONTH: "is not a month; allowed: YYYY-MM of the years 1970 to 9999, such as 2026-05",
    _CURSOR: _WRONG_CURSOR,
}
#: What no id has, and a database may not take: control characters and lone surrogates.
_UNUSABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")

#: An id in a path or parameter.
Id = Annotated[str, Field(min_length=1, max_length=256, pattern=_PRINTABLE)]
#: A text to look for.
SearchText = Annotated[str, Field(min_length=1, max_length=200, pattern=_PRINTABLE)]
#: A calendar month of 1970 to 9999.
MonthText = Annotated[str, Field(pattern=_MONTH, description="A calendar month, YYYY-MM.")]
CursorText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1000,
        pattern=_CURSOR,
        description="Where to continue: `next_cursor` of the page before, with the same other parameters.",
    ),
]
PageSize = Annotated[int, Field(ge=1, le=200, description="Rows of a page, at most.")]

#: RFC 3339, UTC.
InstantText = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


@dataclass(slots=True)
class TitleBody:
    """One line for people."""

    en: str
    ja: str


@dataclass(slots=True)
class PolicyVersionBody:
    """A policy version."""

    name: str
    version: str


class EvidenceBody(BaseModel):
    """Where an event stands in Kafka; `topic` without prefix."""

    topic: str
    partition: int
    offset: int


class MoneyBody(BaseModel):
    """An amount in minor units of its currency."""

    amount_minor: int
    currency: str = Field(description="ISO 4217.")


def instant_text(micros: int | None) -> str | None:
    """RFC 3339 of an instant, if there is one."""
    return None if micros is None else format_rfc3339(micros)


def seconds_of(micros: int) -> int | float:
    """A duration in the JSON form: seconds, with at most 6 decimals."""
    return micros // SECOND if micros % SECOND == 0 else micros / SECOND


def encode_cursor(*parts: object) -> str:
    """An opaque text of JSON scalars."""
    content = json.dumps(parts, separators=(",", ":"), ensure_ascii=False)
    return urlsafe_b64encode(content.encode()).decode().rstrip("=")


def decode_cursor(text: str, *kinds: type | tuple[type, ...]) -> tuple[Any, ...]:
    """The parts of a cursor, of these types. Raises ApiError for a text that is no cursor of this list."""
    try:
        parts = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, RecursionError, binascii.Error) as error:
        raise wrong_cursor() from error
    fits = isinstance(parts, list) and len(parts) == len(kinds)
    if not fits or not all(_is(part, kind) for part, kind in zip(parts, kinds, strict=True)):
        raise wrong_cursor()
    return tuple(parts)


def wrong_cursor() -> ApiError:
    """The error of a cursor that this list did not give."""
    return wrong_parameters([ParameterProblem(parameter="cursor", problem=_WRONG_CURSOR)])


def _is(part: object, kind: type | tuple[type, ...]) -> bool:
    """Whether a part has the type, and a database takes it."""
    if isinstance(part, bool) or not isinstance(part, kind):
        return False
    if isinstance(part, int):
        return -(2**63) <= part < 2**63
    return not isinstance(part, str) or (len(part) <= 256 and not _UNUSABLE.search(part))
