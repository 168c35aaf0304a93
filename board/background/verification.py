"""Verifies a statement from the events that the read model keeps; runs in a process of its own.

First from the events that can decide the tenant's months alone, which are few. Only if a term differs then, the whole
history is read: when a backfill counts as over depends on everybody's events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sqlalchemy import Connection, select

from board.background.job_process import Report
from board.queries.history import every_input, extent, history_lines, inputs_about, whole_history_lines
from board.queries.statements import StatementDetail, revisions
from board.store.chunks import chunks
from board.store.engine import open_engine
from board.store.tables import entry, erased_tenant
from streams.errors import SlaError
from streams.replay.verify import ReplayedMonths, check_with_events
from streams.sla.arrival import TimeLimits
from streams.sla.credits.submitted import SubmittedStatement, TermDifference
from streams.sla.credits.verify import check_alone
from streams.sla.policy import Policies

_REPORT_EVERY = 500


class VerificationRequest(NamedTuple):
    """Which statement, and by which policies and limits (those of the deployment's workers)."""

    database_url: str
    policies: Policies
    time_limits: TimeLimits
    tenant_id: str
    month: str
    revision: int


class Verification(NamedTuple):
    """What came of it. `difference` is the first term that differs; None when the statement is verified. `events` were
    read for it; `whole` when they were the whole history. `missing` are deciding inputs (kind and id) that the read
    model no longer keeps, at most ten: then it can't verify, and `difference` is about the statement alone. `erased`:
    the tenant is erased, so its inputs are redacted here."""

    difference: TermDifference | None
    events: int
    whole: bool
    missing: tuple[str, ...] = ()
    erased: bool = False

    @property
    def possible(self) -> bool:
        """Whether the events that it rests on could be read."""
        return not self.missing and not self.erased


class NoSuchStatement(SlaError):  # noqa: N818 -- it names what happened
    """The read model does not have the statement."""


def verify_statement(report: Report, request: VerificationRequest) -> Verification:
    """Recompute a statement. Raises NoSuchStatement."""
    engine = open_engine(request.database_url)
    try:
        with engine.connect() as connection:
            detail, alone = _statement(connection, request)
            found = _from_part(report, connection, request, detail)
            history = extent(connection, every_input())
        if found.possible and found.difference is not None and history.last is not None:
            lines = whole_history_lines(engine, history.last)
            difference = _compare(report, request, detail.terms, lines, history.events)
            found = found._replace(difference=difference, events=history.events, whole=True)
        # A difference from the events says more than a wrong sum; a wrong digest alone comes last.
        return found._replace(difference=found.difference or alone)
    finally:
        engine.dispose()


def _statement(connection: Connection, request: VerificationRequest) -> tuple[StatementDetail, TermDifference | None]:
    """The revision, and what it differs in from itself and its policy."""
    known = revisions(connection, request.tenant_id, request.month)
    for detail in known:
        if detail.terms.revision == request.revision:
            return detail, check_alone(detail.terms, request.policies, [one.terms for one in known])
    raise NoSuchStatement(f"there is no revision {request.revision} of {request.tenant_id}, {request.month}")


def _from_part(
    report: Report, connection: Connection, request: VerificationRequest, detail: StatementDetail
) -> Verification:
    """From the events about the tenant alone."""
    pseudonym = erased_tenant.c.pseudonym
    erased = connection.execute(select(pseudonym).where(pseudonym == request.tenant_id)).first() is not None
    missing = _missing(connection, detail)
    if erased or missing:
        return Verification(None, 0, whole=False, missing=missing, erased=erased)
    wanted = inputs_about(request.tenant_id)
    events = extent(connection, wanted).events
    difference = _compare(report, request, detail.terms, history_lines(connection, wanted), events)
    return Verification(difference, events, whole=False)


def _compare(
    report: Report, request: VerificationRequest, terms: SubmittedStatement, lines: Iterable[str], total: int
) -> TermDifference | None:
    """The first term that differs from a history; None when none does."""

    def counted() -> Iterator[str]:
        for number, line in enumerate(lines):
            if number % _REPORT_EVERY == 0:
                report(number, total)
            yield line

    months = ReplayedMonths(request.policies, request.time_limits)
    return check_with_events([terms], counted(), months)[0]


def _missing(connection: Connection, detail: StatementDetail) -> tuple[str, ...]:
    """Listed evidence that is not in the read model: retention deletes old events."""
    incidents = {item.id for item in detail.evidence if item.kind == "incident"}
    others = {item.id for item in detail.evidence if item.kind == "contract"}
    windows = {item.id for item in detail.evidence if item.kind == "maintenance"}
    found = [f"incident {name}" for name in sorted(incidents - _opened(connection, incidents, "incident.opened"))]
    found += [f"contract {name}" for name in sorted(others - _with_ids(connection, others))]
    found += [f"maintenance {name}" for name in sorted(windows - _opened(connection, windows, "maintenance.scheduled"))]
    return tuple(found[:10])


def _opened(connection: Connection, names: set[str], event_type: str) -> set[str]:
    """Those of some subjects that have an event of a type."""
    found: set[str] = set()
    for chunk in chunks(sorted(names)):
        query = select(entry.c.subject).where(entry.c.subject.in_(chunk), entry.c.type == event_type)
        found.update(connection.execute(query).scalars())
    return found


def _with_ids(connection: Connection, names: set[str]) -> set[str]:
    query = select(entry.c.event_id).where(entry.c.type == "contract.set", entry.c.event_id.in_(sorted(names)))
    return set(connection.execute(query).scalars())
