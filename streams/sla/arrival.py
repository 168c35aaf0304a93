"""When an input may arrive and when it arrived (R5, R32): time limits, the check of its time, its own arrival."""

from __future__ import annotations

from dataclasses import dataclass, field

from streams.sla import events as ev
from streams.sla.instants import DAY, HOUR, MINUTE, format_rfc3339


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Worker settings: durations in microseconds, `retain_months` in calendar months, the most update windows of an
    incident (R28), and the key of erased tenants' pseudonyms (R29)."""

    lateness: int = 35 * DAY
    future_skew: int = 5 * MINUTE
    orphan_after: int = 24 * HOUR
    backfill_quiet: int = 10 * MINUTE
    retain_closed: int = 120 * DAY
    retain_markers: int = 400 * DAY
    max_update_windows: int = 10_000
    retain_months: int = 36
    pseudonym_key: bytes = field(default=b"", repr=False)


#: Event type → the instants in its payload that are checked against the event's own time (R5).
_INSTANTS = {
    "incident.opened": ("started_at",),
    "incident.reopened": ("started_at",),
    "incident.resolved": ("restored_at",),
    "incident.amended": ("started_at", "restored_at"),
}


def check_time(event: ev.Event, arrival: int, time_limits: TimeLimits, *, instants: bool = True) -> ev.Rejection | None:
    """R5: an event's time must not be far ahead of its arrival, nor too far behind it unless it is backfill. Without
    `instants` its `receivedtime` and those in its payload are not checked: an earlier release accepted it."""
    if event.time > arrival + time_limits.future_skew:
        message = f"time {format_rfc3339(event.time)} is after its arrival {format_rfc3339(arrival)}; check the clock"
        return ev.Rejection("future", message, event.id)
    if event.time < arrival - time_limits.lateness and not event.backfill:
        message = (
            f"time {format_rfc3339(event.time)} is more than {time_limits.lateness // DAY} days before its arrival "
            f"{format_rfc3339(arrival)}; load history with backfill"
        )
        return ev.Rejection("too_late", message, event.id)
    if not instants:
        return None
    if event.received is not None and (rejection := check_received(event, arrival, time_limits)) is not None:
        return rejection
    return check_instants(event, time_limits) if event.type in _INSTANTS else None


def check_received(event: ev.Event, arrival: int, time_limits: TimeLimits) -> ev.Rejection | None:
    """R32: the `receivedtime` of history must not be far ahead of its arrival. The incident would count as processed up
    to it, and what is due before it would not be published."""
    if not event.backfill or event.received is None or event.received <= arrival + time_limits.future_skew:
        return None
    message = (
        f"receivedtime {format_rfc3339(event.received)} is after its arrival {format_rfc3339(arrival)}; history became "
        "known before it is loaded"
    )
    return ev.Rejection("future", message, event.id)


def check_instants(event: ev.Event, time_limits: TimeLimits) -> ev.Rejection | None:
    """R5: instants in a payload may not lie far ahead of the event's own time, nor, unless they are amended, further
    behind it than the lateness horizon. Contracts and maintenance have limits of their own."""
    for name in _INSTANTS.get(event.type, ()):
        rejection = _check_instant(event, name, getattr(event.payload, name), time_limits)
        if rejection is not None:
            return rejection
    return None


def _check_instant(event: ev.Event, field: str, instant: int | None, time_limits: TimeLimits) -> ev.Rejection | None:
    if instant is None or event.time - time_limits.lateness <= instant <= event.time:
        return None
    if instant > event.time + time_limits.future_skew:
        message = (
            f"{field} {format_rfc3339(instant)} is after the event's time {format_rfc3339(event.time)}; "
            "say what happened once it has happened"
        )
        return ev.Rejection("future", message, event.id)
    if instant < event.time and not isinstance(event.payload, ev.Amended):
        message = (
            f"{field} {format_rfc3339(instant)} is more than {time_limits.lateness // DAY} days before the event's "
            f"time {format_rfc3339(event.time)}; amend it (incident.amended), which takes two people"
        )
        return ev.Rejection("too_late", message, event.id)
    return None


def own_arrival(event: ev.Event, arrival: int) -> int:
    """When a fact arrives for its own subject: backfill arrives at its `receivedtime`, else at its time (R32)."""
    if not event.backfill:
        return arrival
    return event.received if event.received is not None else event.time
