"""Starts the first effect of every proposal once it is in the read model, so that whoever opens it need not wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy import Connection, exists, select

from board.background.jobs import TooManyJobs
from board.dependencies import BoardContext
from board.proposals.proposal import Proposal
from board.proposals.stored import get_proposal
from board.proposals.view import start_effect
from board.store.own_tables import proposal_effect
from board.store.proposal_tables import proposal
from board.store.tables import incident

#: Proposals that are looked at, the oldest first.
_MOST = 500


class EffectStarter:
    """Starts effects that are missing: of new proposals, and of those whose effect was deleted with an erased tenant.
    It leaves half of the queue to people. What failed is left to them too."""

    def __init__(self, context: BoardContext, start: Callable[[BoardContext, Proposal], None] = start_effect) -> None:
        self._context = context
        self._start = start

    def start_missing(self) -> int:
        """Start what there is room for; how many. Raises SQLAlchemyError."""
        context, effects = self._context, self._context.background.effects
        if not context.ingest().reached_end:
            return 0  # the history is not complete yet
        latest = {job.key: job for job in reversed(effects.all())}  # before the rows: a job that is done has stored its
        room = effects.waiting // 2 - sum(job.status == "queued" for job in latest.values())
        if room <= 0:
            return 0
        with context.engine.connect() as connection:
            names = _without_effect(connection, context.time_source.now())
            due = [name for name in names if name not in latest or latest[name].status == "done"][:room]
            found = [each for each in (get_proposal(connection, name) for name in due) if each is not None]
        try:
            for each in found:
                self._start(context, each)
        except TooManyJobs:
            return 0  # people were faster
        return len(found)


def _without_effect(connection: Connection, now: int) -> Iterable[str]:
    """Open proposals about a known incident that have no effect."""
    has_effect = exists().where(proposal_effect.c.proposal_id == proposal.c.proposal_id)
    has_incident = exists().where(incident.c.incident_id == proposal.c.incident_id)
    query = select(proposal.c.proposal_id).where(
        proposal.c.status == "proposed", proposal.c.expires_at >= now, ~has_effect, has_incident
    )
    return connection.execute(query.order_by(proposal.c.proposed_at).limit(_MOST)).scalars().all()
