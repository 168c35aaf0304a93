"""Prometheus Alertmanager's webhook, version 4, and that of Grafana, version 1, which contains an Alertmanager: one
incident for each alert and each time it started firing.

An alert is identified by its fingerprint (a hash of its labels), a firing period of it by startsAt, which Alertmanager
keeps while the alert fires. Retries, repeats and regrouping give the same events (R1). An alert that was resolved and
fires again with another start is another incident. The fields of an opening depend on labels and annotations of its
alert alone, never on the group. Every alert publishes its opening, so a lost one is made up for by the next repeat.

Alertmanager reports an alert as resolved when Prometheus is cut off, and later reports it firing again with the same
startsAt: it had fired all the time. The last report about a start decides (R21), without any state in the intake:

- A firing report that is received at `t` publishes a reopening as of `t` minus `SETTLE`, rounded down. It takes back a
  resolution before that instant and has no effect otherwise.
- A resolution publishes a reopening and a resolution as of endsAt, so the latest endsAt is the end of the outage.
- A resolution that is received later than endsAt plus `SETTLE` publishes another one as of its receipt, with endsAt as
  the end of the outage. It follows the reopenings of all firing reports that were received before it.

The core lets such a reopening take back only the monitor's own resolutions (R15).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from connect.intake.formats import bearer_token
from connect.intake.formats.source_format import Receipt, SourceFormat
from connect.intake.mapping.classification import Classified, IgnoredByRule, Unmapped, classify, opened_fields
from connect.intake.mapping.rules import Source
from connect.intake.outcome import IGNORED_WHILE_OPEN, Event, EventItem, IgnoredItem, ItemOutcome, RejectedItem, event
from streams.sla.instants import DAY, HOUR, LATEST, MINUTE, SECOND, format_rfc3339, parse_rfc3339, to_datetime

#: By the `version` of their notifications.
_SENDERS = {"4": "Alertmanager", "1": "Grafana"}
_FINGERPRINT = re.compile(r"[0-9A-Za-z]{1,64}")
_MAX_ALERTS = 10_000
_MAX_TRUNCATED = 1_000_000


#: How long reports of one start may overtake each other: Alertmanager's replicas settle within a group_interval, 5
#: minutes by default.
SETTLE = 10 * MINUTE
#: How far back a reopening or a late resolution reaches. It stays below the lateness horizon, which bounds instants in
#: payloads (R5).
_MAX_REACH = 30 * DAY


def translate(payload: object, source: Source, receipt: Receipt) -> Iterator[ItemOutcome]:
    """The outcomes of a notification's alerts. Where it is unknown when the request arrived, a report of a firing alert
    takes back no resolution."""
    alerts = payload.get("alerts") if isinstance(payload, dict) else None
    if not isinstance(payload, dict) or not isinstance(alerts, list):
        yield RejectedItem("", "invalid", "not an Alertmanager notification: it has no list `alerts`")
        return
    version = payload.get("version")
    if not isinstance(version, str) or version not in _SENDERS:
        allowed = " or ".join(f"{each!r} ({sender})" for each, sender in _SENDERS.items())
        yield RejectedItem("", "invalid", f"version: expected {allowed}, got {str(version)[:20]!r}")
        return
    if len(alerts) > _MAX_ALERTS:
        yield RejectedItem("", "oversize", f"alerts: lists {len(alerts):,}; at most {_MAX_ALERTS:,} are allowed")
        return
    for index, alert in enumerate(alerts):
        yield from _alert(f"alerts[{index}]", alert, source, receipt.at)


def truncated(payload: object) -> int:
    """How many alerts Alertmanager left out because of `max_alerts`: no notification contains them."""
    count = payload.get("truncatedAlerts") if isinstance(payload, dict) else 0
    return min(count, _MAX_TRUNCATED) if isinstance(count, int) and count > 0 else 0


def _alert(item: str, alert: object, source: Source, received_at: int | None) -> Iterator[ItemOutcome]:
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
    view: dict[str, dict[str, object]] = {}
    for part in ("labels", "annotations"):
        given = alert.get(part)
        # Some senders write null for an absent value; numbers and booleans are compared as texts.
        if not isinstance(given, dict | None) or any(
            isinstance(value, dict | list) for value in (given or {}).values()
        ):
            yield RejectedItem(item, "invalid", f"{part}: expected an object of texts")
            return
        view[part] = given or {}
    try:
        started = _instant(alert, "startsAt")
        ended = _instant(alert, "endsAt") if status == "resolved" else None
    except ValueError as error:
        yield RejectedItem(item, "invalid", str(error))
        return
    name = view["labels"].get("alertname")
    found = classify(source, view, name if isinstance(name, str) else None)
    subject = f"{source.name}-{fingerprint}-{_compact(started)}"
    match found:
        case IgnoredByRule(reason):
            yield IgnoredItem(item, reason, None, subject, IGNORED_WHILE_OPEN)
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
            if ended is None:
                if received_at is not None and (at := _known_firing_until(started, received_at)) is not None:
                    yield EventItem(item, _reopened(subject, source, at, started))
                return
            if 0 < ended - started <= _MAX_REACH:
                yield EventItem(item, _reopened(subject, source, ended, started))
            yield EventItem(item, _resolved(subject, source, ended))
            if received_at is not None and SETTLE < received_at - ended <= _MAX_REACH:
                yield EventItem(item, _resolved(subject, source, ended, received_at // SETTLE * SETTLE))


def _known_firing_until(started: int, received_at: int) -> int | None:
    """The instant until which a firing report proves that the alert fired, or None when it started later.

    Rounded down, so that repeats give the same event and an incident has less than 1,000 of them: to 10 minutes on the
    first day, then to the hour.
    """
    step = SETTLE if received_at - started < DAY else HOUR
    at = received_at // step * step - SETTLE
    return at if 0 < at - started <= _MAX_REACH else None


def _reopened(subject: str, source: Source, at: int, started: int) -> Event:
    data: dict[str, object] = {
        "started_at": format_rfc3339(started),
        "reason": "the alert still fired at this time",
    }
    # `-reopened-` and an end alone were ids of earlier versions, with other fields: repeats of theirs are no conflict.
    name = f"{subject}-reopened-as-of-{_compact(at)}"
    return event("incident.reopened", name, source.source, subject, format_rfc3339(at), data)


def _resolved(subject: str, source: Source, ended: int, reported: int | None = None) -> Event:
    """A resolution as of the alert's end, or as of its report with the end as `restored_at`."""
    data: dict[str, object] = {"who": {"kind": "monitor"}}
    name = f"{subject}-resolved-{_compact(ended)}"
    if reported is not None:
        data["restored_at"] = format_rfc3339(ended)
        # Sorts after every resolution as of an end at the same instant (R2).
        name = f"{subject}-resolved-late-{_compact(ended)}-{_compact(reported)}"
    at = ended if reported is None else reported
    return event("incident.resolved", name, source.source, subject, format_rfc3339(at), data)


def _instant(alert: dict[str, object], name: str) -> int:
    given = alert.get(name)
    try:
        if not isinstance(given, str):
            raise ValueError("expected an RFC 3339 date-time")
        instant = parse_rfc3339(given)
        if instant < 0:
            raise ValueError("is before 1970, so it is not set")
        if instant > LATEST:
            raise ValueError("is after the year 9999")
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return instant


def _compact(micros: int) -> str:
    """An instant as part of an id: 20260131T090000.25Z."""
    text, fraction = to_datetime(micros).strftime("%Y%m%dT%H%M%S"), micros % SECOND
    return f"{text}.{fraction:06d}".rstrip("0") + "Z" if fraction else f"{text}Z"


def _views(payload: object) -> Iterator[tuple[str, object]]:
    alerts = payload.get("alerts") if isinstance(payload, dict) else None
    for index, alert in enumerate(alerts if isinstance(alerts, list) else []):
        if isinstance(alert, dict):
            yield f"alerts[{index}]", {part: alert.get(part) for part in ("labels", "annotations")}


def _looks_like(payload: object) -> bool:
    return isinstance(payload, dict) and "alerts" in payload


def _path_problem(names: tuple[str, ...]) -> str | None:
    root = names[0]
    return None if len(names) > 1 else f"{root} is not a text; allowed: {root} and a name, such as {root}.severity"


FORMAT = SourceFormat(
    name="alertmanager",
    authenticate=bearer_token.authenticate,
    looks_like=_looks_like,
    translate=translate,
    views=lambda payload, _, __: _views(payload),
    payload_roots=("labels", "annotations"),
    dotted_names=True,
    path_problem=_path_problem,
    truncated=lambda payload, _: truncated(payload),
)
