"""What people do with proposals: the checks, and the event of the audit log. What stands, the log decides."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, insert, select

from board.access.audit import AuditLog
from board.access.identity import RequestSender
from board.actions.runner import ActionAttempt
from board.proposals.audited import note_not_decided, note_not_proposed
from board.proposals.effect import stored_effect
from board.proposals.listing import sees
from board.proposals.obstacles import ProposalRefused, decision_obstacle
from board.proposals.proposal import SOURCE, Decision
from board.proposals.stored import get_proposal
from board.store.engine import writing
from board.store.own_tables import audit_outbox
from board.store.tables import incident
from connect.actions.build import NAMESPACE, concerned_tenants, event_id
from connect.actions.catalogue import ACTIONS
from connect.actions.form import Choices, read_form, shown
from connect.actions.outcome import FormProblem, Invalid, Moved, State, Unchanged
from connect.actions.permissions import PLATFORM, Denied, Permission, allowed
from connect.actions.prepared import Prepared, Request, incident_action, invalid, visible
from connect.actions.revision import moved
from streams.settings import Settings
from streams.sla.events import Who
from streams.sla.limits import MAX_TEXT_BYTES
from streams.sla.policy import Policies


class Written(NamedTuple):
    """The event waits for the audit log; `event_id` is its id."""

    proposal_id: str
    event_id: str


@dataclass(frozen=True, slots=True)
class DecisionAttempt:
    """What a person decides about a proposal. Who names the revision of the effect that they have `seen` approves no
    other one."""

    proposal_id: str
    decision: Decision
    reason: str
    seen: int | None = None


@dataclass(frozen=True, slots=True)
class Proposing:
    """Proposes and decides on one board. `expire` in microseconds. `audit` has what was refused."""

    engine: Engine
    kafka: Settings
    policies: Policies
    expire: int
    audit: AuditLog

    def propose(
        self, sender: RequestSender, attempt: ActionAttempt, *, now: int
    ) -> Written | Denied | Invalid | Unchanged | Moved:
        """Write `action.proposed`. The same `action_id` of the same person is the same proposal."""
        outcome = self._propose(sender, attempt, now)
        if not isinstance(outcome, Written):
            note_not_proposed(self.audit, sender, attempt, outcome)
        return outcome

    def _propose(
        self, sender: RequestSender, attempt: ActionAttempt, now: int
    ) -> Written | Denied | Invalid | Unchanged | Moved:
        person, action_name, incident_id = sender.person, attempt.action, attempt.subject
        action = ACTIONS.get(action_name)
        if action is None or not action.two_persons:
            names = ", ".join(each.name for each in ACTIONS.values() if each.two_persons)
            return invalid(FormProblem("action", "unknown_action", {"action": shown(action_name), "allowed": names}))
        found = allowed(person, action.permission, PLATFORM if person.tenants is None else person.tenants)
        if isinstance(found, Denied):
            return found
        proposal_id = event_id(person.id, action_name, incident_id, attempt.action_id)
        with self.engine.connect() as connection:
            state = state_of(connection, incident_id)
        tenants = None if state is None else concerned_tenants(state)
        if state is None or not visible(person, state):
            return invalid(FormProblem("", "incident_unknown", {"incident": shown(incident_id)}))
        read = read_form(action, attempt.form, Choices.of(self.policies))
        second = Who("support", "second" if person.id == "first" else "first")
        request = Request(
            action, person, incident_id, read, person.who, second, SOURCE, proposal_id, now, self.policies
        )
        prepared = incident_action(request, state, {incident_id: state}.get, self.kafka)
        if not isinstance(prepared, Prepared):
            return prepared
        seen_revision = attempt.seen_revision or 0
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
        return self._write("proposed", proposal_id, proposal_id, sender, now, data)

    def decide(
        self, sender: RequestSender, attempt: DecisionAttempt, *, now: int
    ) -> Written | Denied | Invalid | ProposalRefused:
        """Write `action.approved`, `declined` or `withdrawn`. A person's same decision is the same event."""
        outcome = self._decide(sender, attempt, now)
        if not isinstance(outcome, Written):
            with self.engine.connect() as connection:
                found = get_proposal(connection, attempt.proposal_id)
            code = outcome.code if isinstance(outcome, ProposalRefused) else outcome
            note_not_decided(self.audit, sender, attempt.decision, attempt.proposal_id, found, code)
        return outcome

    def _decide(
        self, sender: RequestSender, attempt: DecisionAttempt, now: int
    ) -> Written | Denied | Invalid | ProposalRefused:
        person, proposal_id, decision = sender.person, attempt.proposal_id, attempt.decision
        found = allowed(person, Permission.APPROVE, PLATFORM if person.tenants is None else person.tenants)
        if isinstance(found, Denied):
            return found
        size = len(attempt.reason.encode(errors="replace"))
        if size > MAX_TEXT_BYTES:
            return invalid(FormProblem("reason", "check", {"message": _too_long(size)}))
        with self.engine.connect() as connection:
            proposal = get_proposal(connection, proposal_id)
            if proposal is None or not sees(person, proposal):
                return ProposalRefused("unknown", "there is no such proposal")
            state = state_of(connection, proposal.proposed.incident_id)
            obstacle = decision_obstacle(connection, person, proposal, decision, state, now)
            if obstacle is not None:
                return obstacle
            effect = stored_effect(connection, proposal_id)
            seen = attempt.seen
            if decision == "approved" and seen is not None and (effect is None or effect.revision != seen):
                return ProposalRefused("effect_outdated", "its effect was computed again since; look at it first")
        identity_of_event = str(uuid.uuid5(NAMESPACE, json.dumps([proposal_id, decision, person.id])))
        data: dict[str, Any] = {"reason": attempt.reason or None}
        if decision == "approved":
            assert state is not None
            data["revision"] = int(state["revision"])
        return self._write(decision, proposal_id, identity_of_event, sender, now, data)

    def _write(
        self,
        kind: str,
        proposal_id: str,
        identity_of_event: str,
        sender: RequestSender,
        now: int,
        data: Mapping[str, Any],
    ) -> Written:
        who = sender.person.who
        fields = {
            "proposal_id": proposal_id,
            "person": who.id,
            "kind": who.kind,
            "address": sender.address,
            "way": sender.way,
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


def _too_long(size: int) -> str:
    return f"has {size:,} bytes; at most {MAX_TEXT_BYTES:,} are allowed"
