"""Amendments that with what the incident had end it before it begins: `sla publish --wait` reads them back."""

from __future__ import annotations

import json
from typing import Any

from cli.events.amended_times import AmendedTimes
from connect.client.outgoing import checked_record
from connect.kafka_io.reader import TopicRecord
from streams.serde.codec import Fields
from streams.sla.events import Event, Rejection
from streams.sla.instants import parse_rfc3339

TIME = "2026-03-10T12:00:00Z"
START, END = "2026-03-10T10:00:00Z", "2026-03-10T11:00:00Z"


def amended(incident: str = "inc-1", **fields: object) -> Event:
    four_eyes = {"who": {"kind": "support", "id": "kim"}, "approver": {"kind": "support", "id": "lee"}, "reason": "r"}
    event: dict[str, Any] = {"specversion": "1.0", "id": "a-1", "type": "incident.amended", "source": "/desk"}
    return checked_record({**event, "subject": incident, "time": TIME, "data": {**fields, **four_eyes}}).event


def state(incident: str, offset: int, started: str, restored: str | None, status: str = "resolved") -> TopicRecord:
    times = {"started_at": parse_rfc3339(started), "restored_at": restored and parse_rfc3339(restored)}
    value = json.dumps({**times, "status": status}).encode()
    return TopicRecord("sla.incident-state", 0, offset, 0, incident.encode(), value, [])


def decoded(value: bytes | None, _: int) -> tuple[str, Fields] | Rejection:
    return "incident.state", json.loads(value or b"")


def test_the_newest_state_of_what_was_amended_is_read_back() -> None:
    """Each alone is right; together with what the incident had they are wrong."""
    times = AmendedTimes()
    for number, name in enumerate(("late", "mended", "open", "annulled", "evicted", "absent"), 1):
        times.add(number, amended(name, started_at=END))
    times.add(9, amended("counted", counts_as_downtime=True))
    records = [
        state("late", 0, START, START),
        state("mended", 1, END, START),
        state("other", 2, END, START),
        state("counted", 3, END, START),
        state("late", 4, END, START),
        state("mended", 5, END, END),
        state("open", 6, END, None),
        state("annulled", 7, END, START, "annulled"),
        state("evicted", 8, END, START),
        state("evicted", 9, END, START)._replace(value=None),
    ]
    (warning,) = times.in_records(records, decoded)
    assert warning.startswith(f"line 1: late ends before it begins now: restored_at {START} is before started_at {END}")


def test_a_state_that_cannot_be_read_warns_of_nothing() -> None:
    times = AmendedTimes()
    times.add(1, amended(started_at=END))
    assert list(times.in_records([state("inc-1", 0, END, START)], lambda *_: Rejection("undecodable", "no"))) == []
