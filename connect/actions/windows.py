"""Maintenance windows as facts: announced, changed, cancelled; the same said again is no fact (R23)."""

from __future__ import annotations

from collections.abc import Mapping

from connect.client.outgoing import checked_record
from connect.contract_import.diff import fact_id
from streams.sla.events import Event, MaintenanceCancelled, MaintenanceScheduled
from streams.sla.instants import format_rfc3339


def scheduling(
    event: Mapping[str, object], standing: Event | None, *, announced_now: bool
) -> tuple[dict[str, object], MaintenanceScheduled] | None:
    """The event that announces or changes a window, with its own id and time, and what it says; None where the window
    stands so already. `event` is the event as asked for, `standing` the latest fact of the window. With
    `announced_now` nobody named the instant of the announcement. Raises InvalidEvent."""
    checked = checked_record(event).event
    plan = checked.payload
    assert isinstance(plan, MaintenanceScheduled)
    current = standing.payload if standing is not None else None
    # A moved window is announced anew; otherwise it would exclude downtime without an announcement (R23).
    same = plan
    if announced_now and isinstance(current, MaintenanceScheduled):
        same = plan._replace(announced_at=current.announced_at)
    if current == same:
        return None
    identity = fact_id(checked.type, checked.subject, plan, standing and standing.id)
    return {**event, "id": identity, "time": _after(checked, standing)}, plan


def cancelling(event: Mapping[str, object], standing: Event) -> dict[str, object] | None:
    """The event that cancels a window, with its own id and time; None where it is cancelled already. Raises
    InvalidEvent."""
    if isinstance(standing.payload, MaintenanceCancelled):
        return None
    checked = checked_record(event).event
    return {**event, "id": fact_id(checked.type, checked.subject, standing.id), "time": _after(checked, standing)}


def _after(event: Event, standing: Event | None) -> str:
    """The time of a fact that has to count: later than the one it replaces, also when that is from a fast clock."""
    return format_rfc3339(event.time if standing is None else max(event.time, standing.time + 1))
