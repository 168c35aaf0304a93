"""The present state of an incident: what it says of facts, clocks and what comes next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from story import (
    CUSTOMER,
    Line,
    amended,
    annulled,
    contract,
    erased,
    linked,
    merged,
    opened,
    policies,
    reclassified,
    reopened,
    resolved,
    responded,
    rfc,
    run,
    severity_set,
    shipped,
    told,
    updated,
    waiting,
    waiting_ended,
    with_severity,
)
from typer.testing import CliRunner

from cli.main import app
from streams.serde.cloudevents_json import format_line
from streams.sla.arrival import TimeLimits
from streams.sla.incidents.outputs import IMPACT_TITLES
from streams.sla.incidents.present_state import MAX_CLOCKS
from streams.sla.instants import HOUR
from streams.sla.limits import MAX_SUMMARY
from streams.sla.policy import Policies, Target

PAUSING = policies(
    replace(
        with_severity(shipped(), "P1", pause_on=frozenset(["customer"]), resolution=Target(within=8 * HOUR)), name="own"
    ),
    default="own",
)
TENANT = contract("2026-01-01T00:00:00Z", tier=3)


def state(*lines: Line, until: str = "10:00", using: Policies | None = None, of: str = "inc") -> dict[str, Any]:
    """The data of an incident's final state."""
    (found,) = [each for each in states(*lines, until=until, using=using) if each["subject"] == of]
    data: dict[str, Any] = found["data"]
    return data


def states(*lines: Line, until: str, using: Policies | None = None) -> list[Line]:
    limits = replace(TimeLimits(), pseudonym_key=b"a key")
    found = run(*lines, until=until, using=using, time_limits=limits, states=True)
    return [each for each in found if each["type"] == "incident.state"]


def clocks(data: dict[str, Any]) -> list[str]:
    return [f"{each['metric']} {each['instance']} {each['state']}" for each in data["clocks"]]


def next_of(data: dict[str, Any]) -> str | None:
    found = data.get("next")
    return found and f"{found['what']} {found['metric']} {found['instance']} {told(found['at'])}"


def test_a_new_incident_waits_for_its_response() -> None:
    opening = opened("10:00", tenants=["acme"], channel="ticket", started="09:50")
    opening["data"] |= {"summary": "API down", "ticket_id": "T-1"}
    data = state(TENANT, opening)
    assert (data["status"], data["severity"], data["rule"], data["coverage"]) == ("open", "P1", "outage", "covered")
    assert (data["scope"], data["tenant_ids"], data["tier"], data["channel"]) == ("tenants", ["acme"], 3, "ticket")
    assert data["title"] == {"en": "P1 API: complete outage", "ja": "P1 API: 全面停止"}
    assert (data["summary"], data["ticket_id"]) == ("API down", "T-1")
    assert (told(data["opened_at"]), told(data["started_at"])) == ("10:00", "09:50")
    assert clocks(data) == ["response 1 running"]
    assert [(each["threshold"], told(each["at"])) for each in data["clocks"][0]["warn_at"]] == [
        (0.5, "11:00"),
        (0.75, "11:30"),
        (0.9, "11:48"),
    ]
    assert next_of(data) == "warning response 1 11:00"
    assert told(data["next_deadline"]) == "12:00"
    assert not data.keys() & {"restored_at", "ended_at", "responded_at", "updated_at", "waiting", "merged_into"}


@pytest.mark.parametrize(
    ("until", "following"),
    [
        ("10:59", "warning response 1 11:00"),
        ("11:00", "warning response 1 11:30"),
        ("11:59", "deadline response 1 12:00"),
        ("12:00", "reminder update 1 12:50"),
        ("12:50", "deadline update 1 13:00"),
    ],
)
def test_what_comes_next_moves_on_with_time(until: str, following: str) -> None:
    assert next_of(state(opened("10:00"), until=until)) == following


def test_a_response_and_updates_are_told_late_ones_too() -> None:
    lines = [opened("10:00"), updated("10:10", visibility="internal"), responded("12:30"), updated("12:40")]
    data = state(*lines, updated("12:45", who=CUSTOMER), until="12:45")
    assert (told(data["responded_at"]), told(data["updated_at"])) == ("12:30", "12:40")
    assert clocks(data) == ["response 1 breached", "update 1 met", "update 2 running"]
    assert told(data["clocks"][0]["ended_at"]) == "12:00"
    assert [each["warn_at"] for each in data["clocks"]] == [[], [], []]
    assert ["remind_at" in each for each in data["clocks"]] == [False, False, True]


def test_waiting_pauses_where_the_policy_says_so() -> None:
    data = state(opened("10:00"), waiting("10:30"), until="11:00", using=PAUSING)
    assert data["waiting"] == "customer"
    assert clocks(data) == ["response 1 paused", "resolution 1 paused"]
    assert [told(each["paused_since"]) for each in data["clocks"]] == ["10:30", "10:30"]
    assert not any("deadline" in each for each in data["clocks"])
    assert "next" not in data
    assert "next_deadline" not in data
    data = state(opened("10:00"), waiting("10:30"), waiting_ended("10:45"), until="11:00", using=PAUSING)
    assert "waiting" not in data
    assert [told(each["deadline"]) for each in data["clocks"]] == ["12:15", "18:15"]


def test_both_waits_are_told_as_the_customers() -> None:
    lines = [opened("10:00"), waiting("10:30", on="third_party"), waiting("10:40"), waiting_ended("10:50")]
    assert state(*lines[:2], until="10:30")["waiting"] == "third_party"
    assert state(*lines[:3], until="10:40")["waiting"] == "customer"
    assert state(*lines, until="10:50")["waiting"] == "third_party"
    assert "waiting" not in state(*lines[:3], resolved("10:45"), until="10:45")


def test_the_end_of_an_incident() -> None:
    data = state(opened("10:00"), responded("10:05"), resolved("10:30", restored="10:20"), until="11:00")
    assert (data["status"], told(data["ended_at"]), told(data["restored_at"])) == ("resolved", "10:30", "10:20")
    assert clocks(data) == ["response 1 met", "update 1 cancelled"]
    assert "next" not in data
    lines = [opened("10:00"), opened("09:00", of="other")]
    data = state(*lines, merged("10:30", into="other"), until="11:00")
    assert (data["status"], data["merged_into"]) == ("merged", "other")
    data = state(*lines, merged("10:30", into="other"), annulled("10:40"), until="11:00")
    assert (data["status"], "merged_into" in data) == ("annulled", False)


def test_a_reopened_incident_is_in_its_current_episode() -> None:
    lines = [opened("10:00"), responded("10:05"), resolved("10:30"), reopened("11:00", started="10:55")]
    data = state(*lines, until="11:00")
    assert (data["status"], told(data["opened_at"]), told(data["started_at"])) == ("open", "10:00", "10:55")
    assert not data.keys() & {"restored_at", "ended_at", "responded_at"}
    assert clocks(data) == ["response 1 met", "update 1 cancelled", "response 2 running"]
    data = state(*lines, amended("11:10", started="10:50"), until="11:10")
    assert told(data["started_at"]) == "10:50"


def test_who_set_the_severity_and_what_it_was_decided_from() -> None:
    lines = [opened("10:00", tier=1), severity_set("10:10", "P3")]
    data = state(*lines, until="10:10")
    assert (data["severity"], data["severity_by_hand"], data["rule"], data["tier"]) == ("P3", True, "severity_set", 1)
    data = state(*lines, severity_set("10:20", None), until="10:20")
    assert (data["severity"], data["severity_by_hand"], data["rule"]) == ("P1", False, "outage")
    data = state(opened("10:00"), reclassified("10:05", impact="cosmetic", component="guest_agent"), until="10:05")
    assert (data["severity"], data["impact"], data["component"]) == ("P4", "cosmetic", "guest_agent")


def test_the_last_link_in_order_of_meaning_stands() -> None:
    opening = opened("10:00")
    opening["data"]["ticket_id"] = "T-0"
    late = linked("10:05", "T-1")
    data = state(opening, linked("10:10", "T-2"), {**late, "receivedtime": rfc("10:30")}, until="11:00")
    assert data["ticket_id"] == "T-2"
    call = linked("10:20")
    call["data"] = {"phone_call_id": "C-1"}
    data = state(opening, late, call, until="11:00")
    assert (data["ticket_id"], data["phone_call_id"]) == ("T-1", "C-1")


def test_every_impact_has_a_title() -> None:
    schema_impacts = {"complete_outage", "critical_performance", "material_aspect", "processing_delay", "cosmetic"}
    assert IMPACT_TITLES.keys() == schema_impacts | {"unknown"}


def test_a_silent_incident_lists_its_last_clocks_and_counts_the_others() -> None:
    data = state(opened("10:00"), until="5 10:30")
    assert len(data["clocks"]) == MAX_CLOCKS
    windows = [each["instance"] for each in data["clocks"]]
    assert windows == list(range(windows[0], windows[0] + MAX_CLOCKS))
    assert data["clocks"][-1]["state"] == "running"
    assert data["clocks_omitted"] == 1 + windows[0] - 1


def test_a_clock_that_has_not_ended_is_listed_however_old_it_is() -> None:
    own = replace(with_severity(shipped(), "P1", resolution=Target(within=400 * HOUR)), name="slow")
    data = state(opened("10:00"), until="5 10:30", using=policies(own, default="slow"))
    assert (len(data["clocks"]), clocks(data)[0]) == (MAX_CLOCKS, "resolution 1 running")
    assert told(data["next_deadline"]) == told(data["clocks"][-1]["deadline"])


def test_a_long_summary_is_shortened_by_whole_characters() -> None:
    opening = opened("10:00")
    opening["data"]["summary"] = "障" * (MAX_SUMMARY + 1)
    assert state(opening)["summary"] == "障" * MAX_SUMMARY


def test_r29_an_erased_tenant_leaves_neither_texts_nor_links_and_a_higher_revision() -> None:
    opening = opened("10:00", tenants=["acme"])
    opening["data"] |= {"summary": "the secret of acme", "ticket_id": "ACME-1"}
    lines = [TENANT, opening, linked("10:10", "ACME-2"), responded("10:20")]
    before = state(*lines, until="11:00")
    (after,) = states(*lines, erased("10:50", id="gone"), until="11:00")
    assert "acme" not in format_line(after).lower()
    assert "summary" not in after["data"]
    assert after["data"]["revision"] > before["revision"]
    assert after["data"]["clocks"] == before["clocks"]


def test_an_incident_that_waits_for_its_opening_has_no_state() -> None:
    assert states(responded("10:00"), opened("10:01", of="other"), until="11:00")[0]["subject"] == "other"


def test_ids_name_the_incident_and_the_revision() -> None:
    lines = [opened("10:00"), responded("10:20")]
    first, again = (states(*lines, until="10:30")[0] for _ in range(2))
    assert first == again
    later = states(*lines, until="11:15")[0]  # the update window's reminder came
    other = states(opened("10:00", of="other"), until="10:00")[0]
    assert later["data"]["revision"] > first["data"]["revision"]
    assert len({first["id"], later["id"], other["id"]}) == 3
    assert told(first["time"]) == "10:20"


def test_other_terms_lead_to_another_revision_even_without_an_output() -> None:
    opening = opened("10:00", "material_aspect", tenants=["acme"])
    late = contract("2026-02-20T00:00:00Z", tier=2, received="10:30")
    before = state(contract("2026-01-01T00:00:00Z", tier=3), opening, until="11:00")
    after = state(contract("2026-01-01T00:00:00Z", tier=3), opening, late, until="11:00")
    assert (before["tier"], after["tier"], after["severity"]) == (3, 2, before["severity"])
    assert after["revision"] > before["revision"]


def test_simulate_prints_states_only_if_asked(tmp_path: Any) -> None:
    events = tmp_path / "events.jsonl"
    lines = [{**opened("10:00"), "id": "a"}, {**opened("10:10", of="b"), "id": "b"}]
    events.write_text("".join(f"{format_line(line)}\n" for line in lines), encoding="utf-8")
    usual = CliRunner().invoke(app, ["simulate", str(events)])
    more = CliRunner().invoke(app, ["simulate", str(events), "--states"])
    assert (usual.exit_code, more.exit_code) == (0, 0)
    assert "incident.state" not in usual.stdout
    assert more.stdout.startswith(usual.stdout)
    added = more.stdout[len(usual.stdout) :].splitlines()
    assert ['"subject": "b"' in added[0], '"subject": "inc"' in added[1], len(added)] == [True, True, 2]
