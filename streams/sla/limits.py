"""Limits of single input values (R28): ids, texts, lists, instants, tiers, months, money, zones."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from importlib import resources
from typing import cast

from streams.sla.events import ActorKind, Money, Scope, Who
from streams.sla.instants import LATEST
from streams.sla.severity import SEVERITIES

MAX_ID_CHARACTERS = 128
MAX_TEXT_BYTES = 4096
#: Characters of a summary that are kept with an incident.
MAX_SUMMARY = 500
MAX_TENANTS = 1000

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
#: What is not shown, beside the format characters (Cf): joiners, fillers and selectors of variants.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_MONTH = re.compile(r"(19[7-9][0-9]|[2-9][0-9]{3})-(0[1-9]|1[0-2])")
_CURRENCY = re.compile(r"[A-Z]{3}")
#: The default symbol of every enumeration: what a newer release added reads as this.
_UNKNOWN = "unknown"


class InvalidInputError(Exception):
    """An input can't be applied; caught in facts.to_event, which turns it into a Rejection."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def invalid(field: str, problem: str) -> InvalidInputError:
    return InvalidInputError("invalid", f"{field}: {problem}")


def check_id(value: str, field: str) -> str:
    """An id: 1 to 128 characters, none of them a control character."""
    if 0 < len(value) <= MAX_ID_CHARACTERS and (value.isprintable() or not _CONTROL.search(value)):
        return value
    if not value:
        raise invalid(field, "is empty")
    if len(value) > MAX_ID_CHARACTERS:
        raise invalid(field, f"has {len(value):,} characters; at most {MAX_ID_CHARACTERS} are allowed")
    raise invalid(field, "has a control character")


def check_optional_id(value: str | None, field: str) -> str | None:
    return None if value is None else check_id(value, field)


def check_text(value: str | None, field: str) -> None:
    """A text for people: at most 4 KiB of UTF-8."""
    if value is not None and len(value) * 4 > MAX_TEXT_BYTES and len(value.encode()) > MAX_TEXT_BYTES:
        raise InvalidInputError(
            "oversize", f"{field}: has {len(value.encode()):,} bytes; at most {MAX_TEXT_BYTES:,} are allowed"
        )


def shortened(summary: str | None) -> str | None:
    """A summary as it is stored: its first characters."""
    return summary if summary is None or len(summary) <= MAX_SUMMARY else summary[:MAX_SUMMARY]


def check_instant(value: int, field: str) -> int:
    """Within 1970–9999."""
    if 0 <= value <= LATEST:
        return value
    raise invalid(field, "lies outside the years 1970 to 9999")


def check_optional_instant(value: int | None, field: str) -> int | None:
    return None if value is None else check_instant(value, field)


def check_symbol(value: str, field: str) -> str:
    """An enumeration's symbol whose meaning this release must know to apply the event."""
    if value == _UNKNOWN:
        raise invalid(field, "a value that this release does not know")
    return value


def check_tier(value: int | None) -> int | None:
    if value is None or 1 <= value <= 3:
        return value
    raise invalid("tier", f"expected 1, 2 or 3, got {value}")


def check_severity(value: str | None) -> str | None:
    if value is None or value in SEVERITIES:
        return value
    raise invalid("severity", f"expected {', '.join(SEVERITIES)} or null")


def check_ids(values: list[str], field: str) -> tuple[str, ...]:
    """At most 1,000 ids; duplicates count once."""
    if len(values) > MAX_TENANTS:
        raise InvalidInputError("oversize", f"{field}: lists {len(values):,}; at most {MAX_TENANTS:,} are allowed")
    for index, value in enumerate(values):
        check_id(value, f"{field}[{index}]")
    return tuple(dict.fromkeys(values))


def check_scope(scope: str, tenant_ids: list[str] | None) -> tuple[Scope, tuple[str, ...]]:
    """Scope and its tenants: at least one for `tenants`; any that come with `platform` are ignored."""
    if scope == "platform":
        return "platform", ()
    if scope != "tenants":
        raise invalid("scope", "expected tenants or platform")
    if not tenant_ids:
        raise invalid("tenant_ids", "scope tenants needs at least one")
    return "tenants", check_ids(tenant_ids, "tenant_ids")


def check_who(value: dict[str, str | None], field: str = "who") -> Who:
    return _who(value["kind"], value.get("id"), field)


@lru_cache(maxsize=4096)
def _who(kind: str | None, identity: str | None, field: str) -> Who:
    """Cached, because few people and systems send most events."""
    if kind is None or kind == _UNKNOWN:
        raise invalid(f"{field}.kind", "expected support, customer, monitor or system")
    return Who(cast(ActorKind, kind), identity if identity is None else check_id(identity, f"{field}.id"))


def check_four_eyes(who: dict[str, str | None] | None, approver: dict[str, str | None] | None) -> None:
    """R17: two people, both named and different."""
    first = who.get("id") if who else None
    second = approver.get("id") if approver else None
    if not first or not second:
        raise InvalidInputError("four_eyes", f"{'approver' if first else 'who'}.id: is missing; two people are needed")
    if first == second:
        raise InvalidInputError("four_eyes", "approver.id: is who.id; two different people are needed")
    if who and approver:
        check_who(who)
        check_who(approver, "approver")


def same_person(one: str | None, other: str | None) -> bool:
    """Whether two ids may be one person's: case, width, surrounding space and characters that nobody sees do not make
    another person."""
    return _plain(one) == _plain(other)


def _plain(name: str | None) -> str:
    visible = (each for each in _INVISIBLE.sub("", name or "") if unicodedata.category(each) != "Cf")
    return unicodedata.normalize("NFKC", "".join(visible)).strip().casefold()


def check_month(value: str) -> str:
    if _MONTH.fullmatch(value):
        return value
    raise invalid("month", "expected a month such as 2026-01")


def check_money(value: dict[str, int | str], field: str) -> Money:
    amount, currency = int(value["amount_minor"]), str(value["currency"])
    if amount < 0:
        raise invalid(f"{field}.amount_minor", "is negative")
    if not _CURRENCY.fullmatch(currency):
        raise invalid(f"{field}.currency", "expected an ISO 4217 code such as USD")
    return Money(amount, currency)


def check_zone(value: str | None) -> str | None:
    """A name of the IANA database; those of the pinned tzdata package, so that machines agree."""
    if value is None or value in _zones():
        return value
    raise invalid("time_zone", "expected an IANA time zone such as Asia/Tokyo")


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset((resources.files("tzdata") / "zones").read_text(encoding="utf-8").split())
