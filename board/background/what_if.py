"""Runs a candidate policy over the history that the read model keeps; in a process of its own."""

from __future__ import annotations

from typing import NamedTuple

from board.background.job_process import Report
from board.queries.history import every_input, extent, whole_history_lines
from board.store.engine import open_engine
from streams.replay.what_if import PolicyComparer, StandingBreach
from streams.replay.what_if_files import as_csv
from streams.replay.what_if_result import ComparedTenant, Comparison, MonthChange, compare, credits_of
from streams.sla.arrival import TimeLimits
from streams.sla.policy import Policies

_REPORT_EVERY = 500
#: What a result lists at most; the CSV has more.
MOST_TENANTS, MOST_MONTHS, MOST_BREACHES = 200, 200, 50
#: A larger CSV is not kept in memory.
LARGEST_CSV = 4 * 1024 * 1024


class WhatIfRequest(NamedTuple):
    """Two deployments to compare."""

    database_url: str
    old: Policies
    new: Policies
    time_limits: TimeLimits


class WhatIfResult(NamedTuple):
    """A comparison, cut to what a page shows. `tenants` are those for whom something differs, `alike` is how many
    others there are; `more_…` count what was cut. `first` and `last` are arrivals of the history,
    microseconds. `csv` is None when it is too large."""

    tenants: tuple[ComparedTenant, ...]
    more_tenants: int
    alike: int
    total: ComparedTenant
    months: tuple[MonthChange, ...]
    more_months: int
    gained: tuple[StandingBreach, ...]
    more_gained: int
    lost: tuple[StandingBreach, ...]
    more_lost: int
    events: int
    rejected: int
    first: int | None
    last: int | None
    csv: str | None


def run_what_if(report: Report, request: WhatIfRequest) -> WhatIfResult:
    """Compare both deployments over every event that has arrived until now, as `sla what-if` does."""
    engine = open_engine(request.database_url)
    try:
        with engine.connect() as connection:
            history = extent(connection, every_input())
        comparer = PolicyComparer(request.old, request.new, request.time_limits)
        lines = whole_history_lines(engine, history.last) if history.last is not None else ()
        for number, line in enumerate(lines, 1):
            if number % _REPORT_EVERY == 0:
                report(number, history.events)
            comparer.read(number, line)
    finally:
        engine.dispose()
    part = comparer.end()
    old, new = (credits_of([part], side, request.time_limits) for side in (request.old, request.new))
    return bounded(compare([part], old, new), history.first, history.last)


def bounded(found: Comparison, first: int | None, last: int | None) -> WhatIfResult:
    """A comparison as a result of limited size: the tenants whose credits change most come first."""
    differing = [row for row in found.rows if row.differs]
    differing.sort(key=_weight)
    text = as_csv(found)
    return WhatIfResult(
        tenants=tuple(differing[:MOST_TENANTS]),
        more_tenants=max(0, len(differing) - MOST_TENANTS),
        alike=len(found.rows) - len(differing),
        total=found.total,
        months=tuple(found.months[:MOST_MONTHS]),
        more_months=max(0, len(found.months) - MOST_MONTHS),
        gained=tuple(found.gained[:MOST_BREACHES]),
        more_gained=max(0, len(found.gained) - MOST_BREACHES),
        lost=tuple(found.lost[:MOST_BREACHES]),
        more_lost=max(0, len(found.lost) - MOST_BREACHES),
        events=found.lines,
        rejected=found.rejected,
        first=first,
        last=last,
        csv=text if len(text) <= LARGEST_CSV else None,
    )


def _weight(row: ComparedTenant) -> tuple[int, int, str]:
    return -sum(abs(one.new - one.old) for one in row.credits), -(row.gained + row.lost), row.tenant
