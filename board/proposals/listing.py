"""Lists of the proposals that a person may see."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, or_, select

from board.proposals.proposal import Proposal
from board.proposals.stored import read_proposal
from board.store.proposal_tables import proposal, proposal_tenant
from connect.actions.person import Person

#: Of one incident, at most.
MOST_LISTED = 500


class ProposalKey(NamedTuple):
    """The place of a proposal in the list: `ended` is 0 while it can be decided, else 1."""

    ended: int
    proposed_at: int
    proposal_id: str


class ProposalPage(NamedTuple):
    """A page of the list; `after` continues it, and is None at its end."""

    proposals: tuple[Proposal, ...]
    after: ProposalKey | None


def list_proposals(
    connection: Connection, person: Person, now: int, *, after: ProposalKey | None = None, limit: int = 50
) -> ProposalPage:
    """Those that can be decided at `now` first, then the others; the latest of each first, from behind `after` on."""
    ended = case((_open(now), 0), else_=1)
    at, name = proposal.c.proposed_at, proposal.c.proposal_id
    query = select(ended.label("ended"), at, name, proposal.c.data).where(*_visible(person))
    if after is not None:
        earlier = or_(at < after.proposed_at, and_(at == after.proposed_at, name > after.proposal_id))
        query = query.where(or_(ended > after.ended, and_(ended == after.ended, earlier)))
    rows = connection.execute(query.order_by(ended, at.desc(), name).limit(limit + 1)).all()
    following = ProposalKey(*rows[limit - 1][:3]) if len(rows) > limit else None
    return ProposalPage(tuple(read_proposal(row.data) for row in rows[:limit]), following)


def proposals_about(connection: Connection, person: Person, incident_id: str) -> list[Proposal]:
    """The proposals about an incident that a person may see, the latest first; at most `MOST_LISTED`."""
    query = select(proposal.c.data).where(proposal.c.incident_id == incident_id, *_visible(person))
    rows = connection.execute(query.order_by(proposal.c.proposed_at.desc()).limit(MOST_LISTED))
    return [read_proposal(data) for data in rows.scalars()]


def count_open(connection: Connection, person: Person, now: int) -> int:
    """How many proposals that a person may see can be approved now."""
    query = select(func.count()).select_from(proposal).where(_open(now), *_visible(person))
    return int(connection.execute(query).scalar_one())


def sees(person: Person, found: Proposal) -> bool:
    """Somebody limited to tenants sees only proposals all of whose tenants are the person's own."""
    if person.tenants is None:
        return True
    tenants = found.proposed.tenants
    return bool(tenants) and person.tenants.issuperset(tenants or ())


def _open(now: int) -> ColumnElement[bool]:
    return and_(proposal.c.status == "proposed", proposal.c.expires_at >= now)


def _visible(person: Person) -> list[ColumnElement[bool]]:
    """What `sees` says, of rows."""
    if person.tenants is None:
        return []
    concerned = exists().where(proposal_tenant.c.proposal_id == proposal.c.proposal_id)
    others = concerned.where(proposal_tenant.c.tenant_id.not_in(sorted(person.tenants)))
    return [concerned, ~others]
