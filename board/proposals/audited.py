"""Proposals and decisions that were refused, in the audit log. Those that are written are there as they are."""

from __future__ import annotations

from typing import Literal

from board.access.audit import Acted, AuditLog
from board.access.identity import RequestSender
from board.actions.audited import outcome_word, reason_of
from board.actions.runner import ActionAttempt
from board.proposals.proposal import Decision, Proposal
from connect.actions.catalogue import ACTIONS
from connect.actions.outcome import Invalid, Moved, Unchanged
from connect.actions.permissions import Denied

#: Decisions as actions: what the API calls them.
WORDS = {"approved": "approve", "declined": "decline", "withdrawn": "withdraw"}


def note_not_proposed(
    audit: AuditLog,
    sender: RequestSender,
    attempt: ActionAttempt,
    outcome: Denied | Invalid | Unchanged | Moved,
) -> None:
    """A person did not get to propose something."""
    action = attempt.action if attempt.action in ACTIONS else "propose"
    if isinstance(outcome, Denied):
        _denied(audit, sender, f"{action} {attempt.subject}", outcome)
        return
    acted = Acted(
        action, attempt.subject, attempt.action_id, outcome_word(outcome), sent=False, reason=reason_of(outcome)
    )
    audit.acted(sender, acted)


def note_not_decided(
    audit: AuditLog,
    sender: RequestSender,
    decision: Decision,
    proposal_id: str,
    proposal: Proposal | None,
    outcome: Denied | Invalid | str,
) -> None:
    """A person did not get to decide about a proposal; `outcome` is the code where it was refused."""
    if isinstance(outcome, Denied):
        _denied(audit, sender, f"{WORDS[decision]} {proposal_id}", outcome)
        return
    word: Literal["invalid", "refused"] = "invalid" if isinstance(outcome, Invalid) else "refused"
    reason = reason_of(outcome) if isinstance(outcome, Invalid) else outcome
    proposed = None if proposal is None else proposal.proposed
    acted = Acted(
        WORDS[decision],
        None if proposed is None else proposed.incident_id,
        proposal_id,
        word,
        sent=False,
        reason=reason,
        concerned=() if proposed is None else proposed.tenants or (),
        proposal_id=proposal_id,
    )
    audit.acted(sender, acted)


def _denied(audit: AuditLog, sender: RequestSender, subject: str, outcome: Denied) -> None:
    audit.denied(sender, outcome.permission, subject, outcome.reason)
