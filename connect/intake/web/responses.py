"""Responses of the intake: always JSON; an error has a status and a reason."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web

from connect.intake.record_publisher import Unavailable
from connect.intake.translate import Translation

ACCEPTED, UNPROCESSABLE, FORBIDDEN = 202, 422, 403
MAX_LISTED = 100


class RequestRejected(Exception):  # noqa: N818 -- it names what happened
    """A request is rejected before its body is translated; nothing is written to Kafka."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = dict(headers or {})


def unauthorized(reason: str) -> RequestRejected:
    return RequestRejected(401, reason, {"WWW-Authenticate": "Bearer"})


def retry_after(status: int, reason: str, seconds: int) -> RequestRejected:
    """429 or 503: the sender should send the same request again after `seconds`."""
    return RequestRejected(status, reason, {"Retry-After": str(seconds)})


def unacknowledged(error: Unavailable, again: str, seconds: int) -> RequestRejected:
    """503: Kafka has not acknowledged; `again` says what the sender should do. Why Kafka is away is for the operator;
    what only this source can change is for its people too."""
    why = str(error) if error.of_request else "Kafka has not acknowledged"
    return retry_after(503, f"{why}; {error.remedy or again}", seconds)


def rejection_response(rejected: RequestRejected) -> web.Response:
    """The response to a request that was rejected before translation."""
    return _json(rejected.status, {"error": rejected.reason}, rejected.headers)


def translation_response(translation: Translation, status: int | None = None) -> web.Response:
    """The response once Kafka has acknowledged: 202, or 403 or 422 with the rejected items; `status` overrides it."""
    body: dict[str, object] = {
        "published": [
            {"type": each.event_type, "id": each.event_id, "subject": each.subject}
            for each in translation.events[:MAX_LISTED]
        ],
        "ignored": [
            _without_empty({"item": each.item, "reason": each.reason}) for each in translation.ignored[:MAX_LISTED]
        ],
    }
    if not translation.rejected:
        return _json(status or ACCEPTED, body)
    first = translation.rejected[0]
    body["rejected"] = rejected_items(translation)
    body["error"] = f"{first.item}: {first.reason}" if first.item else first.reason
    forbidden = all(each.code == "forbidden" for each in translation.rejected)
    return _json(status or (FORBIDDEN if forbidden else UNPROCESSABLE), body)


def rejected_items(translation: Translation) -> list[dict[str, str]]:
    """The first rejected items, as answers list them."""
    return [
        _without_empty({"item": each.item, "code": each.code, "reason": each.reason})
        for each in translation.rejected[:MAX_LISTED]
    ]


def _without_empty(fields: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value}


def _json(status: int, value: object, headers: Mapping[str, str] | None = None) -> web.Response:
    # Reasons quote the request: a lone surrogate in it must not break the response, so the body is ASCII.
    return web.Response(
        status=status, text=json.dumps(value), content_type="application/json", headers=dict(headers or {})
    )
