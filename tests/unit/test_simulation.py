"""R28, R30–R32: what simulate reads, when, what it refuses, and how history is loaded."""

from __future__ import annotations

import json

import pytest
from story import (
    Line,
    annulled,
    claimed,
    contract,
    linked,
    maintenance,
    opened,
    policies,
    requested,
    resolved,
    responded,
    run,
    severity_set,
    shipped,
    statements,
    tell,
    texts,
    updated,
    waiting,
)

from streams.replay.simulate import simulate
from streams.serde.cloudevents_json import format_line

FEBRUARY = "2026-02-20T00:00:00Z"


def test_r30_arrival_is_the_larger_of_the_previous_arrival_and_the_time() -> None:
    # The second line arrives at 12:30 too, though it is of 11:00: the breach of 12:00 is out by then.
    lines = [opened("10:00"), opened("12:30", of="x"), responded("11:00")]
    assert tell(run(*lines), "breached", "retracted") == [
        "breached response 1 12:00",
        "retracted response 1 12:00 late_evidence",
    ]


def test_r30_receivedtime_beats_both() -> None:
    opening, other, late = opened("10:00"), opened("12:30", of="x"), responded("11:59", received="12:01")
    told = tell(run(opening, late, other), "breached", "retracted")
    assert told == ["breached response 1 12:00", "retracted response 1 12:00 late_evidence"]
    # It may also take arrival back behind the line before; what was said by then is corrected.
    early = responded("11:59", received="11:59")
    assert tell(run(opening, other, early), "breached", "retracted") == told


def test_r30_until_reads_nothing_later_and_everything_due_by_it_acts() -> None:
    lines = [opened("10:00"), responded("12:00:01")]
    assert tell(run(*lines, until="12:00"), "breached", "met") == ["breached response 1 12:00"]
    assert tell(run(*lines, until="11:59:59"), "breached", "met") == []
    # The third line arrives when the second did, which is too late.
    behind = [opened("10:00"), opened("13:00", of="x"), responded("11:00")]
    assert tell(run(*behind, until="12:30"), "met", "breached", "classified") == [
        "classified P1 outage counts",
        "breached response 1 12:00",
    ]


def test_r30_it_ends_where_time_does() -> None:
    claim = claimed("9999-12-31T12:00:00Z", "9999-12")
    assert run(claim, until="9999-12-31T23:59:59.999999Z") == []  # no month follows in which to evict


def test_r30_without_until_the_clock_ends_at_the_last_arrival() -> None:
    assert tell(run(opened("10:00"), linked("12:00")), "breached") == []
    assert tell(run(opened("10:00"), linked("12:00:01")), "breached") == ["breached response 1 12:00"]


def test_r30_a_refused_line_arrives_too() -> None:
    alone = annulled("13:00")
    del alone["data"]["approver"]
    assert tell(run(opened("10:00"), alone), "breached", "rejected") == [
        "breached response 1 12:00",
        "rejected four_eyes line 2",
    ]
    assert tell(run(opened("10:00"), opened("14:00", of="x"), "nonsense", until="12:00"), "rejected") == []


def test_r31_refused_lines_are_told_and_their_neighbours_applied() -> None:
    unknown = opened("10:01") | {"type": "incident.vanished"}
    invalid = opened("10:02", of="y")
    invalid["data"]["scope"] = "galaxy"
    outputs = run(opened("10:00"), "{", unknown, invalid, responded("10:30"))
    assert tell(outputs, "rejected", "met") == [
        "rejected undecodable line 2",
        "rejected unknown_type line 3",
        "rejected invalid line 4",
        "met response 1 10:30",
    ]
    refused = [o["data"] for o in outputs if o["type"] == "sla.rejected"]
    assert [set(data) for data in refused] == [
        {"code", "line", "message"},
        {"code", "line", "id", "message"},
        {"code", "line", "id", "message"},
    ]


def test_r31_the_same_input_gives_the_same_bytes() -> None:
    lines = texts([contract(FEBRUARY), opened("10:00"), "{", responded("13:00"), resolved("14:00")])
    once, again = ([format_line(o) for o in simulate(lines, policies(), until=None)] for _ in range(2))
    assert once == again


def test_r31_blank_lines_keep_their_numbers() -> None:
    assert tell(run(opened("10:00"), "", "  ", "{"), "rejected") == ["rejected undecodable line 4"]


def test_r28_events_per_incident() -> None:
    bound = [opened("10:00"), *(updated("10:01", id=f"u{n:04d}") for n in range(2000))]
    outputs = run(
        *bound, requested("10:02"), waiting("10:02"), linked("10:02"), severity_set("10:03", "P2"), resolved("10:04")
    )
    assert tell(outputs, "rejected") == [f"rejected oversize line {n}" for n in (2001, 2002, 2003, 2004)]
    assert tell(outputs, "closed")[-1].startswith("closed resolved 10:04")


def test_r28_two_hundred_more_for_what_ends_an_incident() -> None:
    lines: list[Line | str] = [opened("10:00"), *(updated("10:01", id=f"u{n:04d}") for n in range(1999))]
    lines += [severity_set("10:02", "P2", id=f"s{n:03d}") for n in range(201)]
    assert tell(run(*lines), "rejected") == ["rejected oversize line 2201"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"id": "x" * 129}, "invalid"),
        ({"id": "a\u0007"}, "invalid"),
        ({"subject": "x" * 129}, "invalid"),
        ({"time": "1969-12-31T23:59:59Z"}, "invalid"),
        ({"time": "2026-03-02T10:00:00"}, "invalid"),
        ({"data": {"tenant_ids": [f"t{n}" for n in range(1001)], "scope": "tenants"}}, "oversize"),
        ({"data": {"summary": "x" * 4097}}, "oversize"),
    ],
)
def test_r28_limits_are_refused_by_line(change: Line, code: str) -> None:
    line = opened("10:00")
    line = line | change | {"data": line["data"] | change.get("data", {})}
    assert tell(run(line, opened("10:00", of="y"))) == [
        f"rejected {code} line 1",
        "classified P1 outage counts",
        "changed api:complete_outage:10:00–never",
    ]


def test_r32_loading_history_makes_no_false_breach() -> None:
    history = [
        contract("2024-01-01T00:00:00Z"),
        opened("2024-01-10T10:00:00Z"),
        opened("2024-02-10T10:00:00Z", of="b"),
        responded("2024-01-10T11:00:00Z"),
        resolved("2024-01-10T11:30:00Z"),
        responded("2024-02-10T13:00:00Z", of="b"),
        resolved("2024-02-10T13:30:00Z", of="b"),
    ]
    outputs = run(*history, backfill=True, until=FEBRUARY)
    assert sorted(tell(outputs, "breached", "met", "retracted")) == [
        "breached response 1 -751 12:00",
        "breached update 1 -751 13:00",
        "met response 1 -782 11:00",
    ]
    assert all(o.get("backfill") for o in outputs if o["type"].startswith(("sla.", "incident.")))
    found = statements(outputs)
    assert [found[m]["downtime_s"] for m in ("2024-01", "2024-02", "2024-03")] == [5400, 12600, 0]
    assert found["2024-01"]["revision"] == 1


def test_r32_a_live_fact_during_a_load_makes_no_false_breach() -> None:
    loaded = {"backfill": True}
    lines = [
        opened("20:00", "cosmetic", of="x"),
        opened("10:00") | loaded,
        linked("20:01"),
        responded("10:30") | loaded,
        resolved("11:00") | loaded,
    ]
    assert tell(run(*lines, until="23:00"), "breached", "retracted", "met") == ["met response 1 10:30"]


def test_r4_orphans_of_a_load_wait_on_their_own_clock() -> None:
    lines = [
        updated("10:00", visibility="internal"),
        responded("2025-12-01T10:00:00Z", backfill=True),
        updated("10:01", of="x"),
        opened("2025-12-01T09:00:00Z", backfill=True),
    ]
    assert tell(run(*lines, until="10:05"), "met", "rejected") == ["met response 1 -91 10:00"]


def test_r32_backfill_is_no_notice_of_a_maintenance_or_contract() -> None:
    window = maintenance("2026-03-01T00:00:00Z", "10:00", "10:30", backfill=True)
    outputs = run(contract(FEBRUARY, backfill=True), window, until="2026-04-04T00:00:00Z")
    assert statements(outputs)["2026-03"]["excluded_s"] == 1800


def test_every_alert_names_what_it_is_about() -> None:
    outputs = run(contract(FEBRUARY), opened("10:00", tenants=["acme"]), until="13:00")
    alerts = [o for o in outputs if o["type"].startswith("sla.")]
    assert len(alerts) == 6
    for alert in alerts:
        data = alert["data"]
        assert data["policy"] == {"name": shipped().name, "version": "1", "digest": shipped().digest}
        assert (data["incident_id"], data["scope"], data["tenant_ids"]) == ("inc", "tenants", ["acme"])
        assert (data["severity"], data["component"]) == ("P1", "api")
        assert data["title"]["en"].startswith("P1 API")
        assert data["title"]["ja"].startswith("P1 API")
    assert json.dumps(alerts[0]["data"]["title"], ensure_ascii=False).isascii() is False
