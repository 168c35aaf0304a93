"""Why a person may not decide about a proposal, or not yet, or in vain."""

from __future__ import annotations

from typing import Literal, NamedTuple

from sqlalchemy import Connection

from board.proposals.effect import stored_effect
from board.proposals.proposal import Decision, Ignored, Proposal, same_person
from connect.actions.build import concerned_tenants
from connect.actions.form import shown
from connect.actions.outcome import State
from connect.actions.permissions import PLATFORM, Concerned, Denied, Permission, allowed
from connect.actions.person import Person

#: Why a decision is refused before it is written: as `Ignored`, or the effect is missing, or is that of an earlier
#: revision of the incident, or there is no such proposal or incident for this person.
Refusal = Literal[Ignored, "no_effect", "effect_outdated", "would_be_rejected", "unknown"]


class ProposalRefused(NamedTuple):
    """The decision is not written. `detail` says it in English."""

    code: Refusal
    detail: str


def decision_obstacle(
    connection: Connection,
    person: Person,
    proposal: Proposal,
    decision: Decision,
    state: State | None,
    now: int,
) -> Denied | ProposalRefused | None:
    """Why a person may not decide so, or not yet, or why it would have no effect. `state` is the incident's."""
    denied = allowed(person, Permission.APPROVE, _concerned(proposal, state))
    if isinstance(denied, Denied):
        return denied
    proposed = proposal.proposed
    own = same_person(person.who, proposed.who)
    decided = proposal.decided
    if decided is not None:
        if decided.decision == decision and same_person(decided.who, person.who):
            return None  # the same click again: the same event
        return ProposalRefused("decided_before", f"{shown(decided.who.id)} has {decided.decision} it already")
    if now > proposed.expires_at:
        return ProposalRefused("expired", "the proposal has expired; propose it again")
    if decision == "withdrawn":
        return (
            None
            if own
            else ProposalRefused("not_proposer", "only its proposer withdraws a proposal; decline it instead")
        )
    if own:
        return ProposalRefused(
            "same_person", f"another person than {shown(proposed.who.id)} has to decide; withdraw it"
        )
    if decision == "declined":
        return None
    effect = stored_effect(connection, proposed.proposal_id)
    if effect is None or state is None:
        return ProposalRefused(
            "no_effect", "its effect has not been computed; compute it and look at it before you approve"
        )
    if effect.revision != state["revision"]:
        detail = f"the incident is at revision {state['revision']}, the effect is that of {effect.revision}"
        return ProposalRefused("effect_outdated", f"{detail}; look at what changed and compute the effect again")
    if (rejection := effect.data["rejection"]) is not None:
        return ProposalRefused("would_be_rejected", f"the workers would reject it: {rejection['message']}; decline it")
    return None


def _concerned(proposal: Proposal, state: State | None) -> Concerned:
    """Whom it concerned when it was proposed, and whom it concerns now."""
    now = proposal.concerned if state is None else (concerned_tenants(state) or PLATFORM)
    if isinstance(proposal.concerned, str) or isinstance(now, str):
        return PLATFORM
    return proposal.concerned | now
