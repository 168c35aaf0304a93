"""Prometheus Alertmanager's webhook, version 4: one incident for each alert and each time it started firing.

An alert is known by its fingerprint (a hash of its labels), an episode of it by startsAt, which Alertmanager keeps
while the alert goes on firing. So retries, repeats and regrouping say the same again (R1), and an alert that was
resolved and fires anew is another incident. What an opening says depends on labels and annotations of its alert alone,
never on the group it came with. The opening goes before every resolution: one that never arrived is made good.

When Prometheus is cut off, Alertmanager takes its alerts for resolved, and they come back with the startsAt they had:
the same incident, which then is reopened, its outage never having ended.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

from connect.intake.formats import bearer_token
from connect.intake.formats.source_format import SourceFormat, StillFiring
from connect.intake.mapping.rules import Classified, IgnoredByRule, Source, Unmapped, classify, opened_fields
from connect.intake.outcome import Event, EventItem, IgnoredItem, ItemOutcome, RejectedItem, event
from streams.sla.instants import SECOND, format_rfc3339, parse_rfc3339, to_datetime

VERSION = "4"
_FINGERPRINT = re.compile(r"[0-9A-Za-z]{1,64}")
_MAX_ALERTS = 10_000
_MAX_TRUNCATED = 1_000_000


def translate(payload: object, source: Source, still_firing: StillFiring) -> Iterator[ItemOutcome]:
    """The outcomes of a notification's alerts; `still_firing` tells which incidents were reported resolved before."""
    alerts = payload.get("alerts") if isinstance(payload, dict) else None
    if not isinstance(payload, dict) or not isinstance(alerts, list):
        yield RejectedItem("", "invalid", "no notification of Alertmanager: it has no list `alerts`")
        return
    if payload.get("version") != VERSION:
        given = str(payload.get("version"))[:20]
        yield RejectedItem(
            "", "invalid", f"version: expected {VERSION!r}, Alertmanager's webhook format, got {given!r}"
        )
        return
    if len(alerts) > _MAX_ALERTS:
        yield RejectedItem("", "oversize", f"alerts: lists {len(alerts):,}; at most {_MAX_ALERTS:,} are allowed")
        return
    for index, alert in enumerate(alerts):
        yield from _alert(f"alerts[{index}]", alert, source, still_firing)


def truncated(payload: object) -> int:
    """How many alerts Alertmanager left out because of `max_alerts`: no notification contains them."""
    count = payload.get("truncatedAlerts") if isinstance(payload, dict) else 0
    return min(count, _MAX_TRUNCATED) if isinstance(count, int) and count > 0 else 0


def _alert(item: str, alert: object, source: Source, still_firing: StillFiring) -> Iterator[ItemOutcome]:
    if not isinstance(alert, dict):
        yield RejectedItem(item, "invalid", "expected an object")
        return
    fingerprint, status = alert.get("fingerprint"), alert.get("status")
    if not isinstance(fingerprint, str) or not _FINGERPRINT.fullmatch(fingerprint):
        yield RejectedItem(
            item, "invalid", "fingerprint: expected letters and digits; without it an alert has no identity"
        )
        return
    if status not in ("firing", "resolved"):  # a tuple, for it may be anything
        yield RejectedItem(item, "invalid", "status: expected firing or resolved")
        return
    for part in ("labels", "annotations"):
        given = alert.get(part, {})
        if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
            yield RejectedItem(item, "invalid", f"{part}: expected an object of texts")
            return
    try:
        started = _instant(alert, "startsAt")
        ended = _instant(alert, "endsAt") if status == "resolved" else None
    except ValueError as error:
        yield RejectedItem(item, "invalid", str(error))
        return
    labels = cast(dict[str, str], alert.get("labels", {}))
    view = {"labels": labels, "annotations": alert.get("annotations", {})}
    found = classify(source, view, labels.get("alertname"))
    subject = f"{source.name}-{fingerprint}-{_compact(started)}"
    match found:
        case IgnoredByRule(reason):
            yield IgnoredItem(item, reason)
        case Unmapped(reason):
            yield RejectedItem(item, "invalid", reason)
        case Classified():
            opened = event(
                "incident.opened",
                f"{subject}-opened",
                source.source,
                subject,
                alert["startsAt"],
                opened_fields(found, "monitor"),
            )
            yield EventItem(item, opened)
            if ended is None and (instants := still_firing(subject)) is not None:
                yield EventItem(item, _reopened(subject, source, *instants))
            if ended is not None:
                data: dict[str, object] = {"who": {"kind": "monitor"}}
                name = f"{subject}-resolved-{_compact(ended)}"
                yield EventItem(item, event("incident.resolved", name, source.source, subject, alert["endsAt"], data))


def _reopened(subject: str, source: Source, ended: int, reported: int) -> Event:
    data: dict[str, object] = {
        "started_at": format_rfc3339(ended),
        "reason": "the alert is still firing, with the same start",
    }
    name = f"{subject}-reopened-{_compact(ended)}"
    return event("incident.reopened", name, source.source, subject, format_rfc3339(reported), data)


def _instant(alert: dict[str, object], name: str) -> int:
    given = alert.get(name)
    try:
        if not isinstance(given, str):
            raise ValueError("expected an RFC 3339 date-time")
        instant = parse_rfc3339(given)
        if instant < 0:
            raise ValueError("lies before 1970: it is not set")
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return instant


def _compact(micros: int) -> str:
    """An instant as part of an id: 20260131T090000.25Z."""
    text, fraction = to_datetime(micros).strftime("%Y%m%dT%H%M%S"), micros % SECOND
    return f"{text}.{fraction:06d}".rstrip("0") + "Z" if fraction else f"{text}Z"


def _looks_like(payload: object) -> bool:
    return isinstance(payload, dict) and "alerts" in payload


FORMAT = SourceFormat(
    name="alertmanager",
    authenticate=bearer_token.authenticate,
    looks_like=_looks_like,
    translate=translate,
    payload_roots=("labels", "annotations"),
    truncated=truncated,
)
