"""What the intake answers: always JSON, with a reason; each refusal has its status."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web

from connect.intake.translate import Decision

ACCEPTED, UNPROCESSABLE, FORBIDDEN = 202, 422, 403
_MOST_TOLD = 100


class RequestRejected(Exception):  # noqa: N818 -- it names what happened
    """A request is turned away before it is looked at; it leaves no trace in Kafka."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = dict(headers or {})


def unauthorized(reason: str) -> RequestRejected:
    return RequestRejected(401, reason, {"WWW-Authenticate": "Bearer"})


def later(status: int, reason: str, seconds: int) -> RequestRejected:
    """429 or 503: the same request again, after some seconds."""
    return RequestRejected(status, reason, {"Retry-After": str(seconds)})


def turned(why: RequestRejected) -> web.Response:
    """The answer to a request that was turned away."""
    return _json(why.status, {"error": why.reason}, why.headers)


def decided(decision: Decision) -> web.Response:
    """The answer once Kafka has everything: 202, or what was refused and why."""
    told: dict[str, object] = {
        "published": [
            {"type": each.event_type, "id": each.event_id, "subject": each.subject}
            for each in decision.ready[:_MOST_TOLD]
        ],
        "ignored": [_known({"item": each.item, "reason": each.reason}) for each in decision.ignored[:_MOST_TOLD]],
    }
    if not decision.refused:
        return _json(ACCEPTED, told)
    first = decision.refused[0]
    told["rejected"] = [
        _known({"item": each.item, "code": each.code, "reason": each.reason}) for each in decision.refused[:_MOST_TOLD]
    ]
    told["error"] = f"{first.item}: {first.reason}" if first.item else first.reason
    forbidden = all(each.code == "forbidden" for each in decision.refused)
    return _json(FORBIDDEN if forbidden else UNPROCESSABLE, told)


def _known(fields: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value}


def _json(status: int, value: object, headers: Mapping[str, str] | None = None) -> web.Response:
    # Reasons quote what was sent: a lone surrogate of it must not break the answer, so everything is ASCII.
    return web.Response(
        status=status, text=json.dumps(value), content_type="application/json", headers=dict(headers or {})
    )
