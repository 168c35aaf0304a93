"""Times in any JSON body: RFC 3339, seconds or milliseconds since 1970, and patterns with a zone."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from connect.intake.epoch_times import UNITS, since_1970
from connect.intake.mapping.body_rules import TimeRule
from connect.intake.mapping.matching import quoted
from connect.intake.mapping.paths import lookup
from streams.sla.instants import LATEST, parse_rfc3339, to_micros

_LONGEST = 64


def instant_of(rule: TimeRule, view: object, received_at: int | None) -> int | None:
    """The instant (microseconds since 1970), or None where the body has none. Raises ValueError saying what is wrong
    with the one that it has."""
    if rule.path is None:
        if received_at is None:
            raise ValueError("the time of receipt is not known here")
        return received_at
    found = lookup(view, rule.path)
    if not found:
        return None
    problems = []
    for written in rule.formats:
        try:
            instant = _parsed(found[0], written, rule.zone)
        except ValueError as error:
            problems.append(str(error))
            continue
        if not 0 < instant <= LATEST:
            raise ValueError(f"{rule.path} is {quoted(found[0])}, which is not within 1970 to 9999, so it is not set")
        return instant
    raise ValueError(f"{rule.path} is {quoted(found[0])}, which is {' and '.join(problems)}")


def _parsed(text: str, written: str, zone: str | None) -> int:
    if len(text) > _LONGEST:
        raise ValueError(f"longer than a time in the format {written}")
    if written == "rfc3339":
        try:
            return parse_rfc3339(text)
        except ValueError:
            raise ValueError("no RFC 3339 date-time such as 2026-01-31T09:00:00Z") from None
    if written in UNITS:
        return since_1970(text, written)
    try:
        if "%z" in written:
            return to_micros(datetime.strptime(text, written).astimezone(UTC))
        return to_micros(datetime.strptime(text, written).replace(tzinfo=ZoneInfo(zone or "UTC")))
    except (ValueError, OverflowError):
        raise ValueError(f"not of the format {written}") from None
