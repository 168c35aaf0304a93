"""What came of an action, for people and for programs, and the exit code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from cli.support.console import safe
from cli.support.exits import FOUND, WRONG_USE
from connect.actions.outcome import (
    Accepted,
    ActionUnavailable,
    ActionWarning,
    FormProblem,
    Invalid,
    Moved,
    NotReadYet,
    Outcome,
    RejectedByWorker,
    Unchanged,
)
from connect.actions.permissions import Denied
from connect.actions.texts import problem_text, warning_text
from streams.sla.events import Position


def exit_code(outcome: Outcome, *, required: bool) -> int:
    """0: done, or acknowledged where nobody `required` to wait; 1: rejected by the workers, not read in time, or the
    incident moved on; 2: wrong."""
    match outcome:
        case Accepted() | Unchanged():
            return 0
        case NotReadYet():
            return FOUND if required else 0
        case RejectedByWorker() | Moved():
            return FOUND
        case Invalid() | Denied() | ActionUnavailable():
            return WRONG_USE


def outcome_lines(outcome: Outcome, done: str, incident: str, app_id: str, waited_s: float | None) -> Iterator[str]:
    """The lines for people. `done` says what was done, `waited_s` how long the workers had."""
    match outcome:
        case Accepted():
            yield f"{done}: accepted"
        case Unchanged(reason):
            yield f"{problem_text(reason)}; nothing was published"
        case NotReadYet(reason=reason) if reason:
            yield f"{done}: published; what workers made of it can't be read: {safe(reason)}"
        case NotReadYet():
            late = "" if waited_s is None else f", not read within {waited_s:g} s: is a worker of {app_id} running?"
            yield f"{done}: published{late}"
        case RejectedByWorker(code, message):
            yield f"{done}: rejected: {code}: {safe(message)}"
        case Moved():
            yield from _moved_lines(outcome, incident)
        case Invalid(problems):
            for problem in problems:
                yield problem_line(problem, incident)
            yield "nothing was published"
        case Denied():
            yield f"{safe(outcome.reason)}; nothing was published"
        case ActionUnavailable(reason, sent):
            yield safe(reason) if sent else f"{safe(reason)}; nothing was published"


def warning_lines(outcome: Outcome) -> Iterator[str]:
    """What was accepted and is rarely meant."""
    if isinstance(outcome, Accepted | NotReadYet):
        for each in outcome.warnings:
            yield f"warning: {safe(warning_text(each))}"


def problem_line(problem: FormProblem, incident: str) -> str:
    """A problem with the option that it is about."""
    where = f"--{_OPTIONS.get(problem.field, problem.field.replace('_', '-'))}" if problem.field else safe(incident)
    return f"{where}: {safe(problem_text(problem))}"


_OPTIONS = {"tenant_ids": "tenant", "ticket_id": "ticket", "phone_call_id": "phone-call"}


def _moved_lines(outcome: Moved, incident: str) -> Iterator[str]:
    name = safe(incident)
    yield f"{name} changed since revision {outcome.seen}, it is at {outcome.present}; nothing was published"
    for change in outcome.changes or ():
        yield f"  {change.field}: {_value(change.before)} → {_value(change.after)}"
    if outcome.changes is None:
        for field in ("status", "severity", "waiting", "responded_at", "updated_at", "ended_at"):
            if outcome.state.get(field) is not None:
                yield f"  {field}: {_value(outcome.state[field])}"
    yield f"look at it with `sla incidents show {name}`, then repeat with --revision {outcome.present}"


def as_object(outcome: Outcome) -> dict[str, object]:
    """The outcome for programs: `outcome` names it."""
    match outcome:
        case Accepted(positions, events, warnings):
            published = {"positions": _positions(positions), "events": list(events)}
            return {"outcome": "accepted", **published, "warnings": warning_objects(warnings)}
        case Unchanged(reason):
            return {"outcome": "unchanged", "reason": problem_text(reason)}
        case NotReadYet(positions, events, warnings, reason):
            published = {"positions": _positions(positions), "events": list(events)}
            stopped = {"stopped": reason} if reason else {}
            return {"outcome": "not_read_yet", **published, "warnings": warning_objects(warnings), **stopped}
        case RejectedByWorker(code, message, positions):
            return {"outcome": "rejected", "code": code, "message": message, "positions": _positions(positions)}
        case Moved(seen, present, changes):
            listed = None if changes is None else [change._asdict() for change in changes]
            return {"outcome": "moved", "seen": seen, "present": present, "changes": listed}
        case Invalid(problems):
            found = [
                {"field": problem.field, "code": problem.code, "message": problem_text(problem)} for problem in problems
            ]
            return {"outcome": "invalid", "problems": found}
        case Denied():
            return {"outcome": "denied", "cause": outcome.cause, "reason": outcome.reason}
        case ActionUnavailable(reason, sent):
            return {"outcome": "unavailable", "reason": reason, "sent": sent}


def warning_objects(warnings: Iterable[ActionWarning]) -> list[Mapping[str, str]]:
    """Warnings for programs."""
    return [{"code": each.code, "message": warning_text(each)} for each in warnings]


def _positions(positions: tuple[Position, ...]) -> list[Mapping[str, object]]:
    return [position._asdict() for position in positions]


def _value(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_value(each)}" for name, each in value.items())
    return ", ".join(map(safe, value)) if isinstance(value, list) else safe(value)
