"""Local times of a form that a change of clocks repeats or skips (R19): whoever wrote one has to say which is meant."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from connect.actions.outcome import FormProblem
from connect.written_times import clock_change

#: Codes of the problems that such a time has.
LOCAL_TIME_PROBLEMS = frozenset(["instant_twice", "instant_never"])
#: RFC 9557: a local time with the zone whose clock shows it.
_ZONED = re.compile(r"(.+)\[([A-Za-z0-9_+/-]+)\]")


def doubtful(local: datetime) -> str | None:
    """A local time that `local_time_problem` knows again, where the clock of its zone repeats or skips it."""
    if clock_change(local) is None or not isinstance(local.tzinfo, ZoneInfo):
        return None
    return f"{local.replace(tzinfo=None).isoformat()}[{local.tzinfo.key}]"


def local_time_problem(field: str, value: str) -> FormProblem | None:
    """What is wrong with a value that `doubtful` gave."""
    found = _ZONED.fullmatch(value)
    if found is None:
        return None
    try:
        local = datetime.fromisoformat(found[1]).replace(tzinfo=ZoneInfo(found[2]))
    except (ValueError, OSError, KeyError):  # no time, or no zone
        return None
    values = {"value": found[1], "zone": found[2]}
    match clock_change(local):
        case "twice":
            both = {"first": local.isoformat(), "second": local.replace(fold=1).isoformat()}
            return FormProblem(field, "instant_twice", values | both)
        case "never":
            later = local.astimezone(UTC).astimezone(local.tzinfo).isoformat()
            return FormProblem(field, "instant_never", values | {"later": later})
    return None
