"""Outcomes of actions as words, and as the audit log has them."""

from __future__ import annotations

from typing import Final

from board.access.audit import Acted
from connect.actions.catalogue import ACTIONS, FIELD_NAMES
from connect.actions.outcome import (
    Accepted,
    ActionUnavailable,
    FormProblem,
    Invalid,
    JsonEvent,
    Moved,
    NotReadYet,
    Outcome,
    RejectedByWorker,
    Unchanged,
)
from connect.actions.permissions import Denied

#: Outcomes of actions that reached Kafka, or may have, as words of the log and the API.
SENT: Final = {
    Accepted: "accepted",
    RejectedByWorker: "rejected",
    NotReadYet: "not_read_yet",
    ActionUnavailable: "unavailable",
}
_MOST_PROBLEMS = 20


def outcome_word(outcome: Outcome) -> str:
    """The outcome as the API names it."""
    match outcome:
        case Unchanged():
            return "unchanged"
        case Moved():
            return "moved"
        case Invalid():
            return "invalid"
        case Denied():
            return "denied"
    return SENT[type(outcome)]


def acted_of(action: str, subject: str, action_id: str, outcome: Outcome) -> Acted:
    """An attempt of an action, and what came of it."""
    events: tuple[JsonEvent, ...] = ()
    count = 0
    if isinstance(outcome, Accepted | NotReadYet | RejectedByWorker):
        events = outcome.events
        count = len(events) or len(outcome.positions)  # a rejected input that is sent again is no new event
    imported = action in ACTIONS and ACTIONS[action].subject == "contracts"
    return Acted(
        action if action in ACTIONS else "unknown",
        subject or None,
        action_id,
        outcome_word(outcome),
        sent=type(outcome) in SENT and not (isinstance(outcome, ActionUnavailable) and not outcome.sent),
        reason=reason_of(outcome),
        event_ids=tuple(str(each["id"]) for each in events),
        events=count,
        concerned=tuple(sorted({str(each["subject"]) for each in events})) if imported else (),
    )


def reason_of(outcome: Outcome) -> str | None:
    """Why something was not done, as codes and without what was entered; None where it was."""
    match outcome:
        case Invalid(problems):
            return ", ".join(map(_problem, problems[:_MOST_PROBLEMS]))
        case Unchanged(problem):
            return _problem(problem)
        case Moved(seen=seen, present=present):
            return f"revision {seen} is {present} now"
        case RejectedByWorker(code=code):
            return code
        case ActionUnavailable(sent=sent):
            return "perhaps_sent" if sent else "not_sent"
    return None


def _problem(problem: FormProblem) -> str:
    return f"{problem.field}: {problem.code}" if problem.field in FIELD_NAMES else problem.code
