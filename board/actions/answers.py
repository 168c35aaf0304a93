"""Outcomes of actions as answers of the API."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal

from fastapi import Response
from pydantic import BaseModel, Field

from board.actions.audited import outcome_word
from board.api.problems import MEDIA_TYPE, ParameterProblem, ProblemDetails
from board.api.route import json_response
from board.api.types import EvidenceBody
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

#: Problems of what an address names.
_UNKNOWN = frozenset({"incident_unknown", "maintenance_unknown", "reject_unknown", "tenant_unknown"})
_AGAIN_S = 5
NOT_READ_YET = (
    "the event is in Kafka, and no worker has read it yet. Ask at the address in `Location`, or send the request again "
    "with the same Idempotency-Key: the event counts once"
)


class WarningBody(BaseModel):
    """What was accepted and is rarely meant, such as a maintenance window that was announced after its start."""

    code: str
    message: str


class ActedBody(BaseModel):
    """What came of an action that was done, or needed nothing."""

    outcome: Literal["accepted", "unchanged", "not_read_yet"]
    detail: str
    events: list[dict[str, Any]] = Field(description="The events that were published, in the JSON form.")
    positions: list[EvidenceBody] = Field(description="Where they stand in Kafka.")
    warnings: list[WarningBody] = Field([], description="What was accepted and is rarely meant.")


class ChangeBody(BaseModel):
    """A field of the incident that changed; a clock is `clock.METRIC.INSTANCE`."""

    field: str
    before: Any
    after: Any


class ActionProblem(ProblemDetails):
    """An action that was not done, RFC 9457."""

    outcome: Literal["rejected", "moved", "denied", "invalid", "unavailable"]
    code: str | None = Field(None, description="rejected: the code of the reject.")
    positions: list[EvidenceBody] = Field([], description="rejected: where the events stand in Kafka.")
    revision: int | None = Field(None, description="moved: the incident's revision now.")
    changes: list[ChangeBody] | None = Field(
        None, description="moved: what has changed since; null where the earlier state is no longer known."
    )
    recent: list[dict[str, Any]] = Field(
        [], description="moved: events of others that were accepted and may not show in the state yet."
    )


def answer_of(outcome: Outcome, prefix: str) -> Response:
    """The answer to who asked for an action. `prefix` is that of the topics."""
    match outcome:
        case Accepted(positions, events, warnings):
            return _acted("accepted", "the workers applied it", positions, events, prefix, warnings)
        case Unchanged(reason):
            return _acted("unchanged", problem_text(reason), (), (), prefix)
        case NotReadYet(positions, events, warnings):
            response = _acted("not_read_yet", NOT_READ_YET, positions, events, prefix, warnings)
            response.status_code = HTTPStatus.ACCEPTED
            first = _place(positions[0], prefix)
            response.headers["Location"] = f"/api/v1/inputs/{first.topic}/{first.partition}/{first.offset}"
            return response
        case RejectedByWorker(code, message, positions, accepted):
            also = f"; {accepted} other events were applied" if accepted else ""
            places = [_place(each, prefix) for each in positions]
            return _problem(422, outcome, f"{code}: {message}{also}", code=code, positions=places)
        case Moved():
            return _moved(outcome)
        case Denied(cause=cause, reason=reason):
            response = _problem(
                HTTPStatus.UNAUTHORIZED if cause == "sign_in" else HTTPStatus.FORBIDDEN, outcome, reason
            )
            if cause == "sign_in":
                response.headers["WWW-Authenticate"] = 'Bearer realm="sla board"'
            return response
        case Invalid(problems):
            texts = [f"{each.field}: {problem_text(each)}".removeprefix(": ") for each in problems]
            status = 404 if any(each.code in _UNKNOWN and not each.field for each in problems) else 422
            return _problem(status, outcome, "; ".join(texts), problems=[_field_problem(each) for each in problems])
        case ActionUnavailable(reason, sent):
            what = "the event may be in Kafka" if sent else "nothing was sent"
            how = "send the request again with the same Idempotency-Key: its event counts once"
            response = _problem(503, outcome, f"{reason}; {what}; {how}")
            response.headers["Retry-After"] = str(_AGAIN_S)
            return response


def _acted(
    outcome: Literal["accepted", "unchanged", "not_read_yet"],
    detail: str,
    positions: tuple[Position, ...],
    events: tuple[Any, ...],
    prefix: str,
    warnings: tuple[ActionWarning, ...] = (),
) -> Response:
    places = [_place(each, prefix) for each in positions]
    published = [dict(each) for each in events]
    body = ActedBody(
        outcome=outcome, detail=detail, events=published, positions=places, warnings=warning_bodies(warnings)
    )
    return json_response(body)


def warning_bodies(warnings: tuple[ActionWarning, ...]) -> list[WarningBody]:
    """Warnings as the API has them, in English as its errors are."""
    return [WarningBody(code=each.code, message=warning_text(each)) for each in warnings]


def _moved(outcome: Moved) -> Response:
    changes = None
    if outcome.changes is not None:
        changes = [ChangeBody(field=each.field, before=each.before, after=each.after) for each in outcome.changes]
    return _problem(
        409,
        outcome,
        f"the incident has changed since revision {outcome.seen}; nothing was sent. Look at it again, and name "
        f"revision {outcome.present}",
        revision=outcome.present,
        changes=changes,
        recent=[dict(each) for each in outcome.recent],
    )


def _field_problem(problem: FormProblem) -> ParameterProblem:
    return ParameterProblem(parameter=problem.field, problem=problem_text(problem))


def _place(position: Position, prefix: str) -> EvidenceBody:
    topic = position.topic.removeprefix(f"{prefix}.")
    return EvidenceBody(topic=topic, partition=position.partition, offset=position.offset)


def _problem(status: int, outcome: Outcome, detail: str, **more: Any) -> Response:
    details = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    body = ActionProblem(**{"problems": [], "outcome": outcome_word(outcome), **details, **more})
    return Response(body.model_dump_json(), status, media_type=MEDIA_TYPE)
