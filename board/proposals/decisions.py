"""What people do with proposals: every check, and the event of the audit log. What stands, the log decides."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Engine, insert, select

from board.access.audit import AuditLog
from board.access.identity import Identity
from board.proposals.audited import note_not_decided, note_not_proposed
from board.proposals.effect import stored_effect
from board.proposals.listing import sees
from board.proposals.proposal import SOURCE, Decision, Ignored, Proposal, same_person
from board.proposals.stored import get_proposal
from board.store.engine import writing
from board.store.own_tables import audit_outbox
from board.store.tables import incident
from connect.actions.build import NAMESPACE, concerned_tenants, event_id
from connect.actions.catalogue import ACTIONS
from connect.actions.form import Choices, FormValues, read_form, shown
from connect.actions.outcome import FormProblem, Invalid, Moved, State, Unchanged
from connect.actions.permissions import PLATFORM, Concerned, Denied, Permission, allowed
from connect.actions.person import Person
from connect.actions.prepared import Prepared, Request, incident_action, invalid, visible
from connect.actions.revision import moved
from streams.settings import Settings
from streams.sla.events import Who
from streams.sla.limits import MAX_TEXT_BYTES
from streams.sla.policy import Policies

#: Why a decision is refused before it is written: as `Ignored`, or the effect is missing, or is that of an earlier
#: revision of the incident, or there is no such proposal or incident for this person.
Refusal = Literal[Ignored, "no_effect", "effect_outdated", "would_be_rejected", "unknown"]


class ProposalRefused(NamedTuple):
    """The decision is not written. `detail` says it in English."""

    code: Refusal
    detail: str


class Written(NamedTuple):
    """The event waits for the audit log; `event_id` is its id."""

    proposal_id: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Proposing:
    """Proposes and decides on one board. `expire` in microseconds. `audit` has what was refused."""

    engine: Engine
    kafka: Settings
    policies: Policies
    expire: int
    audit: AuditLog

    def propose(
        self,
        person: Person,
        identity: Identity,
        action_name: str,
        incident_id: str,
        form: FormValues,
        *,
        action_id: str,
        seen_revision: int,
        now: int,
    ) -> Written | Denied | Invalid | Unchanged | Moved:
        """Write `action.proposed`. The same `action_id` of the same person is the same proposal."""
        outcome = self._propose(person, identity, action_name, incident_id, form, action_id, seen_revision, now)
        if not isinstance(outcome, Written):
            name = action_name if action_name in ACTIONS else "propose"
            note_not_proposed(self.audit, person, identity, name, incident_id, action_id, outcome)
        return outcome

    def _propose(
        self,
        person: Person,
        identity: Identity,
        action_name: str,
        incident_id: str,
        form: FormValues,
        action_id: str,
        seen_revision: int,
        now: int,
    ) -> Written | Denied | Invalid | Unchanged | Moved:
        action = ACTIONS.get(action_name)
        if action is None or not action.two_persons:
            names = ", ".join(each.name for each in ACTIONS.values() if each.two_persons)
            return invalid(FormProblem("action", "unknown_action", {"action": shown(action_name), "allowed": names}))
        found = allowed(person, action.permission, PLATFORM if person.tenants is None else person.tenants)
        if isinstance(found, Denied):
            return found
        proposal_id = event_id(person.id, action_name, incident_id, action_id)
        with self.engine.connect() as connection:
            state = state_of(connection, incident_id)
        tenants = None if state is None else concerned_tenants(state)
        if state is None or not visible(person, state):
            return invalid(FormProblem("", "incident_unknown", {"incident": shown(incident_id)}))
        read = read_form(action, form, Choices.of(self.policies))
        second = Who("support", "second" if person.id == "first" else "first")
        request = Request(action, person, incident_id, read, person.who, second, SOURCE, proposal_id, now)
        prepared = incident_action(request, state, {incident_id: state}.get, self.kafka)
        if not isinstance(prepared, Prepared):
            return prepared
        if (change := moved(seen_revision, state, None)) is not None:
            return change
        data = {
            "action": action_name,
            "incident_id": incident_id,
            "tenants": None if tenants is None else sorted(tenants),
            "revision": seen_revision,
            "form": json.dumps(read.values, ensure_ascii=False),
            "expires_at": now + self.expire,
        }
        return self._write("proposed", proposal_id, proposal_id, person, identity, now, data)

    def decide(
        self,
        person: Person,
        identity: Identity,
        proposal_id: str,
        decision: Decision,
        reason: str,
        *,
        now: int,
        seen: int | None = None,
    ) -> Written | Denied | Invalid | ProposalRefused:
        """Write `action.approved`, `declined` or `withdrawn`. A person's same decision is the same event. An approver
        who names the revision of the effect that it has `seen` approves no other one."""
        outcome = self._decide(person, identity, proposal_id, decision, reason, now, seen)
        if not isinstance(outcome, Written):
            with self.engine.connect() as connection:
                found = get_proposal(connection, proposal_id)
            code = outcome.code if isinstance(outcome, ProposalRefused) else outcome
            note_not_decided(self.audit, person, identity, decision, proposal_id, found, code)
        return outcome

    def _decide(
        self,
        person: Person,
        identity: Identity,
        proposal_id: str,
        decision: Decision,
        reason: str,
        now: int,
        seen: int | None,
    ) -> Written | Denied | Invalid | ProposalRefused:
        found = allowed(person, Permission.APPROVE, PLATFORM if person.tenants is None else person.tenants)
        if isinstance(found, Denied):
            return found
        size = len(reason.encode(errors="replace"))
        if size > MAX_TEXT_BYTES:
            return invalid(FormProblem("reason", "check", {"message": _too_long(size)}))
        with self.engine.connect() as connection:
            proposal = get_proposal(connection, proposal_id)
            if proposal is None or not sees(person, proposal):
                return ProposalRefused("unknown", "there is no such proposal")
            state = state_of(connection, proposal.proposed.incident_id)
            obstacle = self.obstacle(connection, person, proposal, decision, state, now)
            if obstacle is not None:
                return obstacle
            effect = stored_effect(connection, proposal_id)
            if decision == "approved" and seen is not None and (effect is None or effect.revision != seen):
                return ProposalRefused("effect_outdated", "its effect was computed again since; look at it first")
        identity_of_event = str(uuid.uuid5(NAMESPACE, json.dumps([proposal_id, decision, person.id])))
        data: dict[str, Any] = {"reason": reason or None}
        if decision == "approved":
            assert state is not None
            data["revision"] = int(state["revision"])
        return self._write(decision, proposal_id, identity_of_event, person, identity, now, data)

    def obstacle(
        self,
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
            return ProposalRefused(
                "would_be_rejected", f"the workers would reject it: {rejection['message']}; decline it"
            )
        return None

    def _write(
        self,
        kind: str,
        proposal_id: str,
        identity_of_event: str,
        person: Person,
        identity: Identity,
        now: int,
        data: Mapping[str, Any],
    ) -> Written:
        who = person.who
        fields = {
            "proposal_id": proposal_id,
            "person": who.id,
            "kind": who.kind,
            "address": identity.address,
            "way": identity.way,
            **data,
        }
        row = {"event_id": identity_of_event, "type": f"action.{kind}", "occurred_at": now}
        with writing(self.engine).begin() as connection:
            waits = select(audit_outbox.c.id).where(audit_outbox.c.event_id == identity_of_event).limit(1)
            if connection.execute(waits).first() is None:
                connection.execute(insert(audit_outbox), row | {"data": json.dumps(fields, ensure_ascii=False)})
        return Written(proposal_id, identity_of_event)


def state_of(connection: Connection, incident_id: str) -> State | None:
    """The data of an incident's `incident.state`."""
    data = connection.execute(select(incident.c.data).where(incident.c.incident_id == incident_id)).scalar()
    return None if data is None else json.loads(data)


def _concerned(proposal: Proposal, state: State | None) -> Concerned:
    """Whom it concerned when it was proposed, and whom it concerns now."""
    now = proposal.concerned if state is None else (concerned_tenants(state) or PLATFORM)
    if isinstance(proposal.concerned, str) or isinstance(now, str):
        return PLATFORM
    return proposal.concerned | now


def _too_long(size: int) -> str:
    return f"has {size:,} bytes; at most {MAX_TEXT_BYTES:,} are allowed"
