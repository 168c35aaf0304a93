"""The clocks that ended in some months of one tenant, by the zone of its contract: those of incidents that name the
tenant, and of platform-wide ones."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, or_, select

from board.queries.attainment import VerdictCount
from board.reports.report import BreachRow
from board.store.events import json_text
from board.store.tables import verdict
from streams.sla.instants import Month, month_bounds, month_of

_COLUMNS = tuple(
    verdict.c[name] for name in ("verdict", "at", "severity", "metric", "scope", "tenant_ids", "backfill", "superseded")
)


@dataclass(frozen=True, slots=True)
class EndedClock:
    """A verdict of a clock; `month` is that of the zone. `shown`: no later verdict of the clock stands."""

    month: Month
    severity: str
    metric: str
    met: bool
    backfill: bool
    shown: bool


def clocks_of(connection: Connection, tenant: str, months: Sequence[Month], zone: str) -> list[EndedClock]:
    """The verdicts that concern a tenant and are of these months, which follow each other."""
    start, end = month_bounds(months[0], zone)[0], month_bounds(months[-1], zone)[1]
    named = or_(verdict.c.scope == "platform", verdict.c.tenant_ids.contains(json_text(tenant), autoescape=True))
    utc = {month_of(start, "UTC"), *months, month_of(end, "UTC")}  # the index is by month of UTC
    single = select(*_COLUMNS).where(verdict.c.month.in_(sorted(utc)), verdict.c.superseded.is_(None), named)
    several = select(*_COLUMNS).where(verdict.c.superseded.is_not(None))  # few; no condition that an index would serve
    found: list[EndedClock] = []
    for query in (single, several):
        for row in connection.execute(query).mappings():
            hidden = json.loads(row["superseded"]) if row["superseded"] else []  # only what differs from the row
            found += _ended([*({**row, **each} for each in hidden), dict(row)], tenant, months, zone)
    return found


def _ended(
    standing: Iterable[Mapping[str, Any]], tenant: str, months: Collection[Month], zone: str
) -> Iterable[EndedClock]:
    """The verdicts of one clock, the shown one last."""
    concerning = [each for each in standing if each["scope"] == "platform" or tenant in json.loads(each["tenant_ids"])]
    for each in concerning:
        if (month := month_of(each["at"], zone)) in months:
            met, shown = each["verdict"] == "met", each is concerning[-1]
            yield EndedClock(month, each["severity"], each["metric"], met, bool(each["backfill"]), shown)


def breaches_in(clocks: Iterable[EndedClock]) -> list[BreachRow]:
    """Every breach that stands, also of a clock that another breach is shown of."""
    counts = Counter((each.month, each.severity, each.metric) for each in clocks if not each.met)
    return [BreachRow(*key, count) for key, count in sorted(counts.items())]


def shares_in(clocks: Iterable[EndedClock]) -> list[VerdictCount]:
    """How many clocks were met; each counts once."""
    counts = Counter((each.month, each.severity, each.metric, each.backfill, each.met) for each in clocks if each.shown)
    return [
        VerdictCount(month, severity, metric, backfill, number if met else 0, number)
        for (month, severity, metric, backfill, met), number in counts.items()
    ]
