"""What a destination's answer means for a message. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from connect.notify.destinations.text import plain
from streams.sla.instants import SECOND, to_micros

_MAX_ANSWER_CHARACTERS = 200
_RETRIED_STATUSES = frozenset({408, 425, 429})
_SECONDS = re.compile(r"\d{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Delivered:
    """The destination has accepted the message."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The destination may or may not have the message; it is retried. `retry_after` is what Retry-After asks for,
    in microseconds. `rate_limited`: the destination works, but has received too much."""

    reason: str
    retry_after: int | None = None
    rate_limited: bool = False


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """The destination will never accept this message; with `gone`, no message at all."""

    reason: str
    gone: bool = False


Outcome = Delivered | Failed | Undeliverable


def judge_status(status: int, retry_after: str | None, answer: str, now: int) -> Outcome:
    """The outcome by HTTP status, as most services mean them. `answer` is the start of the body, without secrets."""
    if 200 <= status < 300:
        return Delivered()
    reason = describe_status(status, answer)
    if 400 <= status < 500 and status not in _RETRIED_STATUSES:
        return Undeliverable(reason)
    wait = None if retry_after is None else _wait_asked_for(retry_after.strip(), now)
    return Failed(reason, wait, rate_limited=status == 429)


def describe_status(status: int, answer: str) -> str:
    """The status and the start of the body, on one line."""
    if 300 <= status < 400:
        return f"HTTP {status}: a redirect, which is not followed"
    return f"HTTP {status}: {plain(answer, _MAX_ANSWER_CHARACTERS)}" if answer.strip() else f"HTTP {status}"


def judge_service(
    status: int,
    retry_after: str | None,
    answer: str,
    now: int,
    *,
    service: str,
    refuses: Callable[[Mapping[str, object]], bool],
) -> Outcome:
    """As `judge_status` of a service that never answers a request with a page for people: a sign-in page, or that of a
    proxy, is a failed attempt whatever its status. By the body: Slack's own `ok` says that it is HTML. So is a 2xx with
    a JSON object that `refuses` finds to be a refusal."""
    found = judge_status(status, retry_after, answer, now)
    if not isinstance(found, Delivered):
        return found
    if answer.lstrip("\ufeff \t\r\n").startswith("<"):
        return Failed(f"a page instead of an answer of {service}, {describe_status(status, answer)}")
    return Failed(describe_status(status, answer)) if refuses(_json_object(answer)) else found


def _json_object(answer: str) -> Mapping[str, object]:
    """The body where it is a JSON object; otherwise empty."""
    try:
        body = json.loads(answer)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _wait_asked_for(retry_after: str, now: int) -> int | None:
    """Microseconds of Retry-After, seconds or a date (RFC 9110, 10.2.3); None for anything else."""
    if _SECONDS.fullmatch(retry_after):
        return int(retry_after) * SECOND
    try:
        moment = parsedate_to_datetime(retry_after)
        return max(to_micros(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - now, 0)
    except (ValueError, TypeError, OverflowError):
        return None
