"""Computes what a proposal would change, in a process of its own, and stores it beside the proposal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, delete, insert, or_, select, update
from sqlalchemy.exc import OperationalError

from board.background.job_process import Report
from board.proposals.issued import with_issued
from board.proposals.proposal import SOURCE, Proposal, input_event_id
from board.proposals.stored import get_proposal
from board.queries.history import ever_platform, every_input, extent, history_lines, inputs_about, whole_history_lines
from board.store.engine import open_engine, writing
from board.store.own_tables import proposal_effect
from board.store.tables import checkpoint, erased_tenant, incident, named_tenant
from connect.actions.build import build
from connect.actions.catalogue import ACTIONS
from connect.actions.form import ReadForm
from connect.actions.outcome import JsonEvent
from connect.actions.revision import changes_between
from streams.errors import SlaError
from streams.replay.added_event import AddedEvent, AddedEventEffect, MonthEffect
from streams.replay.what_if import StandingBreach
from streams.serde.input_records import CONTRACT_EVENTS
from streams.sla.arrival import TimeLimits
from streams.sla.events import Who
from streams.sla.instants import format_rfc3339
from streams.sla.policy import Policies

_REPORT_EVERY = 500
#: Events that are read for one effect.
MOST_EVENTS = 2_000_000
#: What an effect lists at most; totals are of everything.
MOST_MONTHS, MOST_BREACHES = 200, 100
#: How often it is computed anew because tenants are erased meanwhile.
_TRIES = 5
#: Of PostgreSQL: another transaction wrote the same row, or they waited for each other.
_CONFLICTS = {"40001", "40P01"}


class EffectRequest(NamedTuple):
    """Of which proposal, at which instant, by which policies and limits (those of the deployment's workers)."""

    database_url: str
    policies: Policies
    time_limits: TimeLimits
    proposal_id: str
    now: int


class StoredEffect(NamedTuple):
    """The latest effect: for which revision of the incident, when computed, and its JSON form."""

    revision: int
    computed_at: int
    data: Mapping[str, Any]


class EffectImpossible(SlaError):  # noqa: N818 -- it names what happened
    """The effect can't be computed here."""


class _Computed(NamedTuple):
    """An effect, and the tenants that were erased when its history was read, by pseudonym."""

    revision: int
    data: Mapping[str, Any]
    erased: frozenset[str]


def compute_effect(report: Report, request: EffectRequest) -> None:
    """Compute and store the effect. Raises EffectImpossible."""
    engine = open_engine(request.database_url)
    try:
        for _ in range(_TRIES):
            if _store(engine, request, _compute(report, engine, request)):
                return
    finally:
        engine.dispose()
    raise EffectImpossible("tenants were erased while it was computed; compute it again")


def _compute(report: Report, engine: Engine, request: EffectRequest) -> _Computed:
    with engine.connect() as connection:
        erased = _erased(connection)
        proposal = get_proposal(connection, request.proposal_id)
        if proposal is None:
            raise EffectImpossible("the board does not have the proposal any more")
        incident_id = proposal.proposed.incident_id
        query = select(incident.c.revision).where(incident.c.incident_id == incident_id)
        present = connection.execute(query).first()
        if present is None:
            raise EffectImpossible(f"the board has no incident {incident_id} any more")
        wanted = _wanted(connection, incident_id)
        history = extent(connection, every_input() if wanted is None else wanted)
        if history.events > MOST_EVENTS:
            raise EffectImpossible(
                f"the history of the tenants has {history.events:,} events; at most {MOST_EVENTS:,} are read here. "
                "Run `sla simulate` over the history with and without the event"
            )
        lines: Iterable[str] = () if wanted is None else history_lines(connection, wanted)
        if wanted is None and history.last is not None:
            lines = whole_history_lines(engine, history.last)
        at = max(request.now, history.last or 0)
        replayed = AddedEvent(request.policies, request.time_limits, assumed_event(proposal, at), at)
        for number, line in enumerate(lines, 1):
            if number % _REPORT_EVERY == 0:
                report(number, history.events)
            replayed.read(number, line)
        data = with_issued(connection, as_json(replayed.end()), request.now)
    data["months"] = data["months"][:MOST_MONTHS]
    return _Computed(present.revision, {**data, "events": history.events}, erased)


def _store(engine: Engine, request: EffectRequest, found: _Computed) -> bool:
    """Store an effect unless tenants were erased since its history was read: it may name one. Whether it is stored."""
    row = {"proposal_id": request.proposal_id, "revision": found.revision, "computed_at": request.now}
    try:
        with writing(engine).begin() as connection:
            # An erasure moves these rows. So of an erasure and this transaction, when they run at the same time on
            # PostgreSQL, one fails and runs again after the other. On SQLite they exclude each other anyway.
            rows = checkpoint.c.topic == CONTRACT_EVENTS
            connection.execute(update(checkpoint).where(rows).values(next_offset=checkpoint.c.next_offset))
            if _erased(connection) != found.erased:
                return False
            connection.execute(delete(proposal_effect).where(proposal_effect.c.proposal_id == request.proposal_id))
            data = json.dumps(found.data, ensure_ascii=False)
            connection.execute(insert(proposal_effect).values(row | {"data": data}))
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) not in _CONFLICTS:
            raise
        return False
    return True


def _erased(connection: Connection) -> frozenset[str]:
    return frozenset(connection.execute(select(erased_tenant.c.pseudonym)).scalars())


def stored_effect(connection: Connection, proposal_id: str) -> StoredEffect | None:
    """The latest effect of a proposal."""
    table = proposal_effect
    query = select(table.c.revision, table.c.computed_at, table.c.data).where(table.c.proposal_id == proposal_id)
    row = connection.execute(query).first()
    return None if row is None else StoredEffect(row.revision, row.computed_at, json.loads(row.data))


def assumed_event(proposal: Proposal, at: int) -> JsonEvent:
    """The event as it would be if somebody approved now."""
    proposed = proposal.proposed
    return build(
        ACTIONS[proposed.action],
        proposed.incident_id,
        ReadForm(proposed.form, ()),
        proposed.who,
        source=SOURCE,
        identity=input_event_id(proposed.proposal_id),
        now=at,
        approver=Who("support", "second" if proposed.who.id == "first" else "first"),
    )


def _wanted(connection: Connection, incident_id: str) -> ColumnElement[bool] | None:
    """The inputs that decide the months of every tenant that the incident ever named; None: all inputs, because it
    names none or was platform-wide."""
    query = select(named_tenant.c.tenant_id).where(
        named_tenant.c.kind == "incident", named_tenant.c.subject == incident_id
    )
    tenants = sorted(connection.execute(query).scalars())
    if not tenants or ever_platform(connection, incident_id):
        return None
    return or_(*(inputs_about(tenant) for tenant in tenants))


def as_json(effect: AddedEventEffect) -> dict[str, Any]:
    """The JSON form of an effect, with all its months: RFC 3339 instants, seconds, minor units."""
    before, after = effect.before or {}, effect.after or {}
    changes = list(changes_between(before, after)) if before and after else []
    months = sorted(effect.months, key=lambda each: (-abs(each.after.credit - each.before.credit), each[:2]))
    totals: dict[str, int] = {}
    for month in months:
        totals[month.currency] = totals.get(month.currency, 0) + month.after.credit - month.before.credit
    return {
        "rejection": None
        if effect.rejection is None
        else {
            "code": effect.rejection.code,
            "message": effect.rejection.message,
        },
        "breaches_gone": [_breach(each) for each in effect.gone[:MOST_BREACHES]],
        "breaches_new": [_breach(each) for each in effect.new[:MOST_BREACHES]],
        "breaches": {"gone": len(effect.gone), "new": len(effect.new)},
        "changes": [each._asdict() for each in changes],
        "months": [_month(each) for each in months],
        "months_changed": len(months),
        "credit_change": totals,
    }


def _breach(breach: StandingBreach) -> dict[str, Any]:
    return {
        "metric": breach.metric,
        "instance": breach.instance,
        "severity": breach.severity,
        "deadline": format_rfc3339(breach.deadline),
    }


def _month(month: MonthEffect) -> dict[str, Any]:
    def terms(side: Any) -> dict[str, Any]:
        return {
            "downtime_s": side.downtime / 1_000_000,
            "availability_percent": side.availability_percent,
            "guarantee_met": side.guarantee_met,
            "credit_minor": side.credit,
        }

    return {
        "tenant_id": month.tenant,
        "month": month.month,
        "currency": month.currency,
        "final": month.final,
        "before": terms(month.before),
        "after": terms(month.after),
        "adjust_after_s": month.adjust_after / 1_000_000,
        "claim": month.claim,
        "claimable_until": format_rfc3339(month.claimable_until),
    }
