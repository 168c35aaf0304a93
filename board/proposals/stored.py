"""Proposals in the read model: events of the audit log folded into rows, and rows read back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, or_, select

from board.proposals.proposal import DECISIONS, Decided, Proposal, ProposalEvent, Proposed, WithoutEffect, fold
from board.store.own_tables import proposal_effect
from board.store.proposal_tables import proposal as table
from board.store.proposal_tables import proposal_tenant
from connect.actions.catalogue import ACTIONS
from streams.sla.erasure import Erasures
from streams.sla.events import Who

_DECISIONS = {f"action.{name}": name for name in DECISIONS}
#: Instead of a text of an erased tenant: a reason may not be empty.
_ERASED = "-"


def proposal_event(event_type: str, fields: Mapping[str, Any]) -> ProposalEvent | None:
    """The event of a record of the audit log; None for other events, and for an action that this release lacks."""
    if event_type == "action.proposed":
        action = ACTIONS.get(fields["action"])
        if action is None or not action.two_persons:
            return None
        tenants = fields["tenants"]
        return Proposed(
            fields["proposal_id"],
            fields["occurred_at"],
            action.name,
            fields["incident_id"],
            None if tenants is None else tuple(tenants),
            fields["revision"],
            json.loads(fields["form"]),
            _who(fields),
            fields["expires_at"],
        )
    if (decision := _DECISIONS.get(event_type)) is None:
        return None
    return Decided(
        fields["proposal_id"],
        fields["occurred_at"],
        decision,
        fields["event_id"],
        _who(fields),
        fields["reason"] or "",
        fields.get("revision"),
    )


def apply_proposals(connection: Connection, events: Iterable[ProposalEvent]) -> set[str]:
    """Fold events, in the order of their partitions, into the table; the incidents whose proposals changed."""
    found: dict[str, Proposal | None] = {}
    before: dict[str, Proposal | None] = {}
    for event in events:
        name = event.proposal_id
        if name not in found:
            found[name] = before[name] = get_proposal(connection, name)
        found[name] = fold(found[name], event)
    changed = [each for name, each in found.items() if each is not None and each != before[name]]
    for each in changed:
        _write(connection, each)
    return {each.proposed.incident_id for each in changed}


def redact_proposals(connection: Connection, incidents: Iterable[str], erasures: Erasures) -> None:
    """Take the texts and the names of erased tenants from proposals about incidents that named them (R29). Persons
    stay: the rules of decisions need them."""
    for incident_id in incidents:
        query = select(table.c.data).where(table.c.incident_id == incident_id)
        for before in map(read_proposal, connection.execute(query).scalars().all()):
            after = _redacted(before, erasures)
            if after != before:
                _write(connection, after)


def delete_effects(connection: Connection) -> None:
    """Delete every effect: a tenant is erased, whom any of them may name. They are computed anew from what is left."""
    connection.execute(delete(proposal_effect))


def expire_proposals(connection: Connection, before: int, most: int) -> int:
    """Delete at most so many proposals that ended before an instant, with their effects; how many."""
    ended = or_(table.c.decided_at < before, and_(table.c.decided_at.is_(None), table.c.expires_at < before))
    names = connection.execute(select(table.c.proposal_id).where(ended).limit(most)).scalars().all()
    for name in names:
        connection.execute(delete(proposal_effect).where(proposal_effect.c.proposal_id == name))
        _delete(connection, name)
    return len(names)


def _redacted(found: Proposal, erasures: Erasures) -> Proposal:
    def without_text(decided: Decided) -> Decided:
        return decided._replace(reason=_ERASED if decided.reason else "")

    proposed = found.proposed
    tenants = None if proposed.tenants is None else tuple(sorted(erasures.names(proposed.tenants)))
    form = {name: _ERASED if name == "reason" else value for name, value in proposed.form.items()}
    return Proposal(
        proposed._replace(tenants=tenants, form=form),
        None if found.decided is None else without_text(found.decided),
        tuple(each._replace(decided=without_text(each.decided)) for each in found.without_effect),
    )


def get_proposal(connection: Connection, proposal_id: str) -> Proposal | None:
    """A proposal by its id."""
    data = connection.execute(select(table.c.data).where(table.c.proposal_id == proposal_id)).scalar()
    return None if data is None else read_proposal(data)


def _who(fields: Mapping[str, Any]) -> Who:
    return Who("customer" if fields["kind"] == "customer" else "support", fields["person"])


def _write(connection: Connection, found: Proposal) -> None:
    name = found.proposed.proposal_id
    _delete(connection, name)
    connection.execute(insert(table).values(_row(found)))
    if tenants := sorted(set(found.proposed.tenants or ())):
        rows = [{"proposal_id": name, "tenant_id": tenant} for tenant in tenants]
        connection.execute(insert(proposal_tenant), rows)


def _delete(connection: Connection, name: str) -> None:
    for each in (proposal_tenant, table):
        connection.execute(delete(each).where(each.c.proposal_id == name))


def _row(proposal: Proposal) -> dict[str, Any]:
    proposed, decided = proposal.proposed, proposal.decided
    return {
        "proposal_id": proposed.proposal_id,
        "incident_id": proposed.incident_id,
        "status": "proposed" if decided is None else decided.decision,
        "proposed_at": proposed.at,
        "expires_at": proposed.expires_at,
        "decided_at": None if decided is None else decided.at,
        "data": json.dumps(
            {
                "proposed": proposed._asdict(),
                "decided": None if decided is None else decided._asdict(),
                "without_effect": [(each.decided._asdict(), each.why) for each in proposal.without_effect],
            },
            ensure_ascii=False,
        ),
    }


def read_proposal(text: str) -> Proposal:
    """The proposal of a row's `data`."""
    data = json.loads(text)
    proposed, decided = data["proposed"], data["decided"]
    tenants, who = proposed["tenants"], Who(*proposed["who"])
    return Proposal(
        Proposed(**proposed | {"tenants": None if tenants is None else tuple(tenants), "who": who}),
        None if decided is None else _decided(decided),
        tuple(WithoutEffect(_decided(each), why) for each, why in data["without_effect"]),
    )


def _decided(data: dict[str, Any]) -> Decided:
    return Decided(**data | {"who": Who(*data["who"])})
