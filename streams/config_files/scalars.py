"""The scalar types of a policy file: durations, percentages, instants, zones, weekly hours, holiday calendars."""

from __future__ import annotations

import difflib
import importlib.resources
import itertools
import re
from collections.abc import Hashable, Iterable, Mapping
from fractions import Fraction
from functools import cache
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from streams.sla.instants import DAY, HOUR, MINUTE, SECOND, format_rfc3339, parse_rfc3339

LONGEST = 3660 * DAY
_LISTED = 100
_COMPARED = 200
_Item = TypeVar("_Item", bound=Hashable)
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

DURATION = re.compile(
    r"P(?:(?P<weeks>\d{1,4})W|(?:(?P<days>\d{1,5})D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d{1,6})H)?(?:(?P<minutes>\d{1,7})M)?(?:(?P<seconds>\d{1,9})(?P<decimals>\.\d{1,6})?S)?)?)",
    re.ASCII,
)
DURATION_SCHEMA = (
    r"^P([0-9]{1,4}W|(?=[0-9T])([0-9]{1,5}D)?(T(?=[0-9])([0-9]{1,6}H)?([0-9]{1,7}M)?([0-9]{1,9}(\.[0-9]{1,6})?S)?)?)$"
)
PERCENT = r"^((0|[1-9][0-9]?)(\.[0-9]{1,9})?|100(\.0{1,9})?)$"
COMPONENT_ID = r"^[a-z0-9][a-z0-9_.-]{0,127}$"
RULE_NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"
POLICY_NAME = r"^[a-z0-9][a-z0-9-]{0,63}$"
VERSION = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
HOLIDAYS = r"^[A-Z]{2}(-.{1,40})?$"
CLOCK_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]"
HOURS = f"({CLOCK_TIME})-({CLOCK_TIME}|24:00)"
DAYS = f"^({'|'.join(WEEKDAYS)})(-({'|'.join(WEEKDAYS)}))?$"


def close_to(word: str, known: Iterable[str]) -> str:
    """`did you mean …?` with a leading separator, or nothing when no known word is close. Compares with a thousand
    words at most: each takes microseconds."""
    near = difflib.get_close_matches(word[:_COMPARED], itertools.islice(known, 1_000), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def listed(known: Iterable[str]) -> str:
    """Words for a message: all of them, or the first hundred and an ellipsis."""
    words = list(itertools.islice(known, _LISTED + 1))
    return ", ".join(words[:_LISTED]) + (", …" if len(words) > _LISTED else "")


def parse_duration(value: object) -> int:
    """Microseconds of an ISO 8601 duration of fixed length. Raises ValueError for months, years and anything else."""
    allowed = "allowed: an ISO 8601 duration such as PT30M, PT2H or P60D"
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a duration; {allowed}")
    found = DURATION.fullmatch(value)
    if found is None or value == "P":
        if re.fullmatch(r"P[\dYMWD]*[YM][\dYMWD]*(T.*)?", value):
            raise ValueError(f"{value!r} has years or months, whose length varies; {allowed}, with weeks at most")
        raise ValueError(f"{value!r} is not a duration; {allowed}")
    part = {name: int(text) for name, text in found.groupdict().items() if text and name != "decimals"}
    micros = (part.get("weeks", 0) * 7 + part.get("days", 0)) * DAY + part.get("hours", 0) * HOUR
    micros += part.get("minutes", 0) * MINUTE + part.get("seconds", 0) * SECOND
    micros += int(Fraction(f"0{found['decimals']}") * SECOND) if found["decimals"] else 0
    if micros > LONGEST:
        raise ValueError(f"{value!r} is longer than ten years; allowed: up to {format_duration(LONGEST)}")
    return micros


def format_duration(micros: int) -> str:
    """The one ISO 8601 form of a duration that digests use: days from a week on, hours below; parts in order."""
    days = micros // DAY if micros >= 7 * DAY else 0
    rest = micros - days * DAY
    hours, rest = divmod(rest, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    seconds = f"{rest // SECOND}.{rest % SECOND:06d}".rstrip("0").rstrip(".") if rest else ""
    time = (f"{hours}H" if hours else "") + (f"{minutes}M" if minutes else "") + (f"{seconds}S" if seconds else "")
    if not days and not time:
        return "PT0S"
    return "P" + (f"{days}D" if days else "") + (f"T{time}" if time else "")


def positive(micros: int) -> int:
    if micros <= 0:
        raise ValueError("must be longer than zero; allowed: an ISO 8601 duration above PT0S")
    return micros


def at_least_a_second(micros: int) -> int:
    if micros < SECOND:
        raise ValueError("must not be shorter than a second; allowed: an ISO 8601 duration of PT1S or more")
    return micros


def exact_decimal(value: Fraction) -> str:
    """A terminating decimal without trailing zeros: 99.9, 0.75, 100."""
    whole, rest = divmod(value.numerator * 10**12 // value.denominator, 10**12)
    return f"{whole}.{rest:012d}".rstrip("0").rstrip(".")


def check_percent(value: object) -> str:
    """The canonical text of an exact percentage between 0 and 100, given as a text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f'{value} is a number and may lose digits; allowed: a text in quotes, "{value}"')
    if not isinstance(value, str) or not re.fullmatch(PERCENT, value):
        raise ValueError(f'{value!r} is not a percentage; allowed: 0 to 100 as a text in quotes, such as "99.9"')
    return exact_decimal(Fraction(value))


def check_instant(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not an instant; allowed: null or an RFC 3339 date-time")
    try:
        return parse_rfc3339(value)
    except ValueError as error:
        raise ValueError(f"{error}; allowed: null or an RFC 3339 date-time with its offset") from error


@cache
def iana_zones() -> frozenset[str]:
    """The zone names of the tz database that ships with the product (the machine's own may lag behind)."""
    return frozenset(importlib.resources.files("tzdata").joinpath("zones").read_text("ascii").split())


def check_zone(zone: str) -> str:
    if zone not in iana_zones() or zone == "Factory":
        near = close_to(zone, iana_zones())
        raise ValueError(f"{zone!r} is not a time zone{near}; allowed: an IANA name such as Asia/Tokyo")
    return zone


@cache
def _countries() -> Mapping[str, list[str]]:
    import holidays  # the import takes a third of a second, so only policies that name holidays pay for it

    found: Mapping[str, list[str]] = holidays.list_supported_countries(include_aliases=False)
    return found


def check_holidays(code: str) -> str:
    country, _, subdivision = code.partition("-")
    if country not in _countries():
        near = close_to(country.upper(), _countries())
        raise ValueError(f"no holidays are known for {code!r}{near}; allowed: an ISO 3166 country such as JP or US-CA")
    known = sorted(_countries()[country])
    if "-" in code and subdivision not in known:
        listed = f"{country} or {country}- with one of {', '.join(known)}" if known else f"{country} alone"
        raise ValueError(f"{country} has no subdivision {subdivision!r} with holidays of its own; allowed: {listed}")
    return code


def days_of(key: str) -> tuple[int, ...]:
    """Weekday numbers (0 = Monday) of `mon` or `mon-fri`. Raises ValueError for anything else."""
    first, dash, last = key.partition("-")
    if first not in WEEKDAYS or (dash and last not in WEEKDAYS):
        raise ValueError(f"{key!r} is not a weekday; allowed: {', '.join(WEEKDAYS)} or a span such as mon-fri")
    start, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
    if end < start:
        raise ValueError(f"{key!r} runs backwards; allowed: a span within Monday to Sunday such as mon-fri")
    return tuple(range(start, end + 1))


def minutes_of(span: str) -> tuple[int, int]:
    """Opening and closing of `09:00-17:00` as minutes of the day. Raises ValueError."""
    allowed = 'allowed: one span within a day such as "09:00-17:00", the end at most 24:00'
    if re.fullmatch(HOURS, span) is None:
        raise ValueError(f"{span!r} is not a span of hours; {allowed}")
    opens, closes = (int(end[:2]) * 60 + int(end[3:]) for end in span.split("-"))
    if closes <= opens:
        raise ValueError(f"{span!r} ends before it begins; {allowed}")
    return opens, closes


def check_days(key: str) -> str:
    days_of(key)
    return key


def check_span(span: str) -> str:
    minutes_of(span)
    return span


def check_week(hours: dict[str, str]) -> dict[str, str]:
    taken: dict[int, str] = {}
    for key in hours:
        for day in days_of(key):
            if day in taken:
                raise ValueError(f"{key} and {taken[day]} both set {WEEKDAYS[day]}; allowed: each day once")
            taken[day] = key
    return hours


def check_thresholds(values: list[float]) -> list[float]:
    if any(not 0 < value < 1 for value in values):
        raise ValueError(f"{values} leaves (0, 1); allowed: shares of the time between 0 and 1, such as [0.5, 0.9]")
    if any(later <= earlier for earlier, later in itertools.pairwise(values)):
        raise ValueError(f"{values} does not increase; allowed: each threshold above the one before")
    return values


def check_unique(values: list[_Item]) -> list[_Item]:
    seen: set[_Item] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{value!r} is listed twice; allowed: each once")
        seen.add(value)
    return values


def check_rule_name(name: str) -> str:
    if name == "default":
        raise ValueError("'default' names what default_severity decides; allowed: any other name")
    return name


UNIQUE = AfterValidator(check_unique)
_DURATION_JSON = {"type": "string", "pattern": DURATION_SCHEMA}
Duration = Annotated[
    int, BeforeValidator(parse_duration), PlainSerializer(format_duration), WithJsonSchema(_DURATION_JSON)
]
PositiveDuration = Annotated[
    int,
    BeforeValidator(parse_duration),
    AfterValidator(positive),
    PlainSerializer(format_duration),
    WithJsonSchema({**_DURATION_JSON, "not": {"pattern": r"^P(0+[WD])?(T(0+[HMS])*)?$"}}),
]
Interval = Annotated[
    int,
    BeforeValidator(parse_duration),
    AfterValidator(positive),
    AfterValidator(at_least_a_second),
    PlainSerializer(format_duration),
    WithJsonSchema({**_DURATION_JSON, "not": {"pattern": r"^P(0+[WD])?(T(0+[HM])*(0+(\.[0-9]+)?S)?)?$"}}),
]
"""Of something that is done again and again."""
Percent = Annotated[
    str, BeforeValidator(check_percent), WithJsonSchema({"type": "string", "pattern": PERCENT, "examples": ["99.9"]})
]
Instant = Annotated[
    int | None,
    BeforeValidator(check_instant),
    PlainSerializer(lambda micros: None if micros is None else format_rfc3339(micros)),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}),
]
Zone = Annotated[str, AfterValidator(check_zone)]
Holidays = Annotated[str, Field(pattern=HOLIDAYS), AfterValidator(check_holidays)]
Days = Annotated[str, AfterValidator(check_days), WithJsonSchema({"type": "string", "pattern": DAYS})]
Span = Annotated[str, AfterValidator(check_span), WithJsonSchema({"type": "string", "pattern": f"^({HOURS})$"})]
Thresholds = Annotated[
    list[Annotated[float, Field(json_schema_extra={"exclusiveMinimum": 0, "exclusiveMaximum": 1})]],
    AfterValidator(check_thresholds),
]
