"""What `sla publish` and `sla rejected retry --with` say of events that are accepted and rarely meant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cli.events.amended_times import AmendedTimes
from cli.events.doubtful_lines import DoubtfulLines
from cli.events.publish_lines import BadLine, prepare
from streams.sla.instants import parse_rfc3339

NOW = parse_rfc3339("2026-03-10T12:00:00Z")
START, END = "2026-03-10T10:00:00Z", "2026-03-10T11:00:00Z"
OPENED: dict[str, object] = {
    "scope": "tenants",
    "tenant_ids": ["acme"],
    "component": "api",
    "impact": "cosmetic",
    "channel": "ticket",
}
WINDOW = {"maintenance_id": "m-1", "scope": "platform", "components": ["api"]}


def line(kind: str, subject: str, time: str, data: dict[str, object], **more: object) -> str:
    event: dict[str, Any] = {"specversion": "1.0", "id": f"{kind}-{subject}-{time}", "type": kind, "source": "/desk"}
    return json.dumps({**event, "subject": subject, "time": time, "data": data, **more})


def told(*lines: str) -> list[tuple[str, str]]:
    doubts = DoubtfulLines()
    for number, text in enumerate(lines, 1):
        record = prepare(number, text)
        assert not isinstance(record, BadLine), record
        doubts.add(record.event, text, f"line {number}")
    return [(each.code, each.message) for each in doubts.warnings(None, {}, NOW)]


def test_an_incident_that_ends_before_it_begins_is_named_whatever_the_order() -> None:
    opened = line("incident.opened", "inc-1", END, OPENED)
    resolved = line("incident.resolved", "inc-1", END, {"restored_at": START})
    for lines in ((opened, resolved), (resolved, opened)):
        ((code, message),) = told(*lines)
        assert code == "ends_before_it_begins"
        assert message.startswith(f"line 2: inc-1: it ends at {START}, before it begins at {END}")
    assert told(opened, line("incident.resolved", "inc-1", END, {})) == []


def test_an_extension_that_contradicts_a_field_is_named() -> None:
    ((code, message),) = told(line("incident.opened", "inc-1", END, {**OPENED, "started_at": START}, startedat=END))
    assert code == "extension_differs"
    assert f"line 1: inc-1: startedat: is '{END}', and data.started_at is '{START}', which counts" in message
    assert told(line("incident.opened", "inc-1", END, {**OPENED, "started_at": START}, startedat=START)) == []


@pytest.mark.parametrize(
    ("start", "end", "announced", "codes"),
    [
        ("2026-03-11T10:00:00Z", "2026-03-11T11:00:00Z", END, []),
        ("2026-03-11T10:00:00Z", "2027-03-11T11:00:00Z", END, ["window_long"]),
        (START, END, START, ["window_over"]),
        (START, "2026-03-11T11:00:00Z", END, ["window_change_late"]),
    ],
)
def test_times_of_a_window_that_can_hardly_be_meant_are_named(
    start: str, end: str, announced: str, codes: list[str]
) -> None:
    window = line(
        "maintenance.scheduled", "m-1", END, {**WINDOW, "start": start, "end": end, "announced_at": announced}
    )
    assert [code for code, _ in told(window)] == codes
    history = json.dumps(json.loads(window) | {"backfill": True})
    assert [code for code, _ in told(history)] == [code for code in codes if code != "window_over"]


def test_what_is_told_is_bounded() -> None:
    lines = [
        line("incident.opened", f"inc-{n}", END, {**OPENED, "started_at": START}, startedat=END) for n in range(30)
    ]
    found = told(*lines)
    assert len(found) == 21
    assert found[-1] == ("more", "10 more of these")


def test_amendments_are_compared_with_states_that_do_not_have_them_yet() -> None:
    """Without --wait nobody knows whether the workers have applied them."""
    from test_amended_times import amended, decoded, state

    times = AmendedTimes()
    times.add(1, amended("late", started_at="2026-03-10T11:30:00Z"))
    times.add(2, amended("right", restored_at="2026-03-10T11:30:00Z"))
    states = [state("late", 0, START, END), state("right", 1, END, START)]
    (warning,) = times.in_records(states, decoded, applied=False)
    assert warning.startswith("line 1: late ends before it begins now")
