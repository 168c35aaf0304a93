"""A proposal with everything that is known of it, for the API and the pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection

from board.background.jobs import Job
from board.dependencies import BoardContext
from board.proposals.decisions import Proposing, state_of
from board.proposals.effect import EffectRequest, StoredEffect, compute_effect, stored_effect
from board.proposals.issued import with_issued
from board.proposals.listing import sees
from board.proposals.proposal import Proposal, Status
from board.proposals.publishing import PublishedEvent, published_event
from board.proposals.stored import get_proposal
from connect.actions.outcome import State
from connect.actions.person import Person

#: What became of the event of an approved proposal: it is not in Kafka yet; it is, and the read model does not show its
#: effect yet; it is in effect; the workers rejected it.
EventOutcome = Literal["waits", "sent", "accepted", "rejected"]


@dataclass(frozen=True, slots=True)
class ProposalView:
    """A proposal, its latest effect, the job that computes one, and its event. `state` is that of the incident."""

    proposal: Proposal
    status: Status
    state: State | None
    effect: StoredEffect | None
    job: Job | None
    published: PublishedEvent | None

    @property
    def effect_is_current(self) -> bool:
        """Whether the effect is that of the incident's present revision."""
        return self.effect is not None and self.state is not None and self.state["revision"] == self.effect.revision

    @property
    def event(self) -> EventOutcome | None:
        """What became of the event; None where there is none to come."""
        if self.status != "approved":
            return None
        if self.published is None:
            return "waits"
        if self.published.code is not None:
            return "rejected"
        return "accepted" if self.state is not None and _shows(self.state, self.proposal) else "sent"


def view_of(context: BoardContext, connection: Connection, found: Proposal) -> ProposalView:
    """What is known of a proposal now."""
    proposed, now = found.proposed, context.time_source.now()
    effect = stored_effect(connection, proposed.proposal_id)
    if effect is not None:
        # Credits may have been issued since it was computed. What was issued after the decision is its consequence.
        until = now if found.decided is None else found.decided.at
        effect = effect._replace(data=with_issued(connection, effect.data, until))
    return ProposalView(
        found,
        found.status(now),
        state_of(connection, proposed.incident_id),
        effect,
        context.background.effects.latest(proposed.proposal_id),
        published_event(connection, found) if found.decided is not None else None,
    )


def visible_proposal(connection: Connection, person: Person, proposal_id: str) -> Proposal | None:
    """A proposal that the person may see."""
    found = get_proposal(connection, proposal_id)
    return found if found is not None and sees(person, found) else None


def proposing(context: BoardContext) -> Proposing:
    """What proposes and decides on this board."""
    expire = context.settings.proposals_expire
    return Proposing(context.engine, context.kafka, context.policies, expire, context.actions.audit)


def start_effect(context: BoardContext, found: Proposal) -> None:
    """Compute the effect in the background. Raises TooManyJobs."""
    work = EffectRequest(
        context.engine.url.render_as_string(hide_password=False),
        context.policies,
        context.kafka.time_limits(),
        found.proposed.proposal_id,
        context.time_source.now(),
    )
    context.background.effects.submit(found.proposed.proposal_id, None, compute_effect, work)


def _shows(state: State, proposal: Proposal) -> bool:
    """Whether the incident's state is as the proposal's event makes it."""
    form = proposal.proposed.form
    if proposal.proposed.action == "annul":
        return bool(state["status"] == "annulled")
    if proposal.proposed.action == "apply-policy":
        policy = state["policy"]
        return (policy["name"], policy["version"]) == (form["policy"], form["version"])
    given: dict[str, object] = {name: value for name, value in form.items() if name != "reason"}
    if "counts_as_downtime" in given:
        given["counts_as_downtime"] = given["counts_as_downtime"] == "yes"
    return all(state.get(name) == value for name, value in given.items())
