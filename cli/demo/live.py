"""The demo's live part: one incident under a policy of seconds, its reminders and breaches as they arrive."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import cast

from rich.console import Console

from cli.demo.summary import lag_s
from cli.events.publish_lines import publish_lines
from cli.kafka_io.follower import Follower
from cli.local.stack import Stack
from cli.replay.outcome import Event, data_of
from streams.sla.instants import SECOND, format_rfc3339
from streams.time_source import SystemTimeSource

TENANT = "live-tenant"
_COLOURS = {"sla.breached": "red", "sla.met": "green", "sla.update_due": "yellow", "sla.warning": "yellow"}
_ENDS_AFTER_S = 30.0


def play(console: Console, stack: Stack, follower: Follower) -> None:
    """Open an outage, answer it too late, then keep the updates coming, and print what arrives meanwhile."""
    incident = f"live-{SystemTimeSource().now() // SECOND}"
    console.print("   P1: answer within 6 s, update every 4 s (policies/demo-live/1.yaml).")
    console.print("   Support is slow today. On the right: how late an event arrived.\n")
    began = time.monotonic()
    for after_s, line, what in _script(incident):
        _watch(console, follower, incident, began, until=began + after_s)
        publish_lines([line()], [stack.bootstrap])
        console.print(f"{time.monotonic() - began:5.1f} s [bold]→ {what}[/bold]")
    closed = _watch(console, follower, incident, began, until=began + _ENDS_AFTER_S, until_closed=True)
    if not closed:
        console.print("   [red]the incident was not closed in time[/red]")


def _script(incident: str) -> Iterator[tuple[float, Line, str]]:
    support = {"kind": "support", "id": "kim"}
    contract = {
        "tenant_id": TENANT,
        "valid_from": format_rfc3339(SystemTimeSource().now() - SECOND),
        "plan": "demo-live",
        "monthly_charge": {"amount_minor": 120_000, "currency": "USD"},
        "emergency_member": True,
    }
    opened = {
        "scope": "tenants",
        "tenant_ids": [TENANT],
        "component": "git_operations",
        "impact": "complete_outage",
        "channel": "phone",
        "summary": "pushes fail",
    }
    update = {"who": support, "visibility": "public", "text": "we are on it"}
    yield 0.0, Line("contract.set", f"contract-{incident}", TENANT, contract), "billing: contract of live-tenant"
    yield 1.0, Line("incident.opened", f"{incident}-1", incident, opened), "monitor: git operations are down"
    yield 13.5, Line("incident.updated", f"{incident}-2", incident, update), "support: first public update"
    yield 16.0, Line("incident.updated", f"{incident}-3", incident, update), "support: another, in time"
    yield 17.0, Line("incident.resolved", f"{incident}-4", incident, {}), "support: resolved"


class Line:
    """An input line that gets its time when it is sent."""

    def __init__(self, kind: str, event_id: str, subject: str, data: Mapping[str, object]) -> None:
        self._event: dict[str, object] = {
            "specversion": "1.0",
            "id": event_id,
            "type": kind,
            "source": "/demo",
            "subject": subject,
            "data": data,
        }

    def __call__(self) -> str:
        return json.dumps({**self._event, "time": format_rfc3339(SystemTimeSource().now())})


def _watch(
    console: Console, follower: Follower, incident: str, began: float, *, until: float, until_closed: bool = False
) -> bool:
    """Print the incident's events as they arrive; True when it was closed."""
    closed = False
    while (left := until - time.monotonic()) > 0 and not (closed and until_closed):
        for event in follower.poll(min(left, 0.1)):
            if event["subject"] == incident:
                _print(console, event, time.monotonic() - began, seen_at=SystemTimeSource().now())
                closed = closed or event["type"] == "incident.closed"
    return closed


def _print(console: Console, event: Event, after_s: float, *, seen_at: int) -> None:
    kind, data = str(event["type"]), data_of(event)
    title = cast(dict[str, str], data["title"])["en"]
    colour = _COLOURS.get(kind, "cyan")
    lag_ms = lag_s(event, seen_at) * 1000
    timing = f"{lag_ms:3.0f} ms" if kind != "incident.classified" else ""
    console.print(f"{after_s:5.1f} s [{colour}]{kind:<19}[/{colour}] {title:<45} {timing}".rstrip())
