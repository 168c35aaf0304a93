"""Statuspage's webhooks: what is posted on the page, in any order, repeated, edited; maintenance; what has no place."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from intake_samples import Json, decided, published, recorded, said, simulated

from connect.intake import translate
from connect.intake.formats import statuspage
from connect.intake.formats.registry import detect
from connect.intake.formats.source_format import AuthenticationError, Credentials, Receipt
from connect.intake.mapping.explanation import explain
from connect.intake.mapping.mapping_rule import MappingRule
from connect.intake.mapping.paths import parse_path
from connect.intake.mapping_file import MappingError, load_mapping
from connect.intake.signatures import Secret

MAPPING = Path(__file__).resolve().parents[2] / "examples" / "intake" / "statuspage.yaml"
SOURCE = load_mapping(MAPPING)["status"]
SUBJECT = "status-lbkhbwn21v5q"
TOKEN = "t" * 20


def snapshot(name: str, /, **fields: Any) -> Json:
    payload = recorded(f"statuspage/{name}")
    payload["incident"] |= fields
    return payload


def events_of(*payloads: Json) -> list[Json]:
    return [event for payload in payloads for event in published(decided(SOURCE, payload))]


def lines_of(events: Iterable[Json]) -> list[str]:
    return [json.dumps(event) for event in events]


def test_the_first_post_opens_the_incident() -> None:
    (opened,) = events_of(snapshot("investigating"))
    assert (opened["type"], opened["subject"], opened["source"]) == ("incident.opened", SUBJECT, "/status/example")
    assert opened["time"] == "2026-04-10T08:00:00Z"
    data = {name: value for name, value in opened["data"].items() if value is not None}
    assert data == {
        "scope": "platform",
        "tenant_ids": [],
        "component": "api",
        "impact": "material_aspect",
        "channel": "monitor",
        "summary": "API requests fail",
        "started_at": "2026-04-10T08:00:00Z",
    }


def test_each_later_post_is_a_public_update_by_support_and_the_last_one_resolves() -> None:
    events = events_of(snapshot("resolved"))
    assert [(each["type"], each["time"]) for each in events] == [
        ("incident.opened", "2026-04-10T08:00:00Z"),
        ("incident.updated", "2026-04-10T08:40:00.5Z"),
        ("incident.updated", "2026-04-10T09:20:00Z"),
        ("incident.resolved", "2026-04-10T09:50:00Z"),
    ]
    assert events[1]["data"]["who"]["kind"] == "support"
    assert events[1]["data"]["visibility"] == "public"
    assert events[1]["data"]["text"] == "A storage node has failed."
    assert events[3]["data"]["restored_at"] == "2026-04-10T09:50:00Z"


def test_posts_meet_the_update_clock_of_the_incident() -> None:
    outputs = [
        json.loads(line) for line in simulated(lines_of(events_of(snapshot("identified"), snapshot("resolved"))))
    ]
    met = [(each["data"]["metric"], each["data"]["instance"]) for each in outputs if each["type"] == "sla.met"]
    assert met == [("response", 1), ("update", 1)]
    assert not [each for each in outputs if each["type"] == "sla.breached"]


def test_snapshots_in_any_order_and_repeated_end_in_the_same_state() -> None:
    payloads = [snapshot("investigating"), snapshot("identified"), snapshot("resolved")]
    states = set()
    for order in permutations([*payloads, payloads[1]]):
        lines = lines_of(events_of(*order))
        # Times differ from arrivals: what counts is which opening and which classification stands at the end.
        outputs = [json.loads(line) for line in simulated(sorted(set(lines), key=lines.index))]
        last = [each for each in outputs if each["type"] == "incident.classified"][-1]
        states.add((last["data"]["severity"], last["data"]["rule"]))
        assert not [each for each in outputs if each["type"] == "sla.rejected"]
    assert states == {("P1", "outage")}


def test_an_impact_that_rises_reclassifies_as_of_its_snapshot() -> None:
    events = events_of(snapshot("identified"))
    assert said(decided(SOURCE, snapshot("identified")))[-1] == (
        "incident.reclassified",
        "-reclassified-20260410T084000500000Z",
    )
    assert (events[-1]["time"], events[-1]["data"]["impact"]) == ("2026-04-10T08:40:00.5Z", "complete_outage")


def test_an_edited_post_is_another_update_at_the_same_instant() -> None:
    edited = snapshot("identified")
    edited["incident"]["incident_updates"][0] |= {"body": "Two storage nodes have failed.", "updated_at": "later"}
    before, after = (
        next(each for each in events_of(payload) if each["type"] == "incident.updated")
        for payload in (snapshot("identified"), edited)
    )
    assert before["id"] != after["id"]
    assert before["time"] == after["time"]
    outputs = [json.loads(line) for line in simulated(lines_of(events_of(snapshot("resolved"), edited)))]
    assert not [each for each in outputs if each["type"] in {"sla.rejected", "sla.breached"}]


def test_a_post_that_was_deleted_stays_and_nothing_conflicts() -> None:
    shorter = snapshot("resolved")
    del shorter["incident"]["incident_updates"][1]
    ids = {event["id"]: event for event in events_of(snapshot("resolved"))}
    for event in events_of(shorter):
        assert ids[event["id"]] == event


def test_a_backdated_end_is_when_the_service_was_restored() -> None:
    payload = snapshot("resolved")
    payload["incident"]["incident_updates"][0]["display_at"] = "2026-04-10T09:25:00Z"
    resolved = events_of(payload)[-1]
    assert (resolved["time"], resolved["data"]["restored_at"]) == ("2026-04-10T09:50:00Z", "2026-04-10T09:25:00Z")
    assert resolved["id"] != events_of(snapshot("resolved"))[-1]["id"]


@pytest.mark.parametrize("shown", ["2026-04-10T08:00:00Z", "2026-04-10T09:59:00Z"], ids=["too-early", "too-late"])
def test_an_end_that_is_shown_before_the_beginning_or_later_than_it_was_posted_is_when_it_was_posted(
    shown: str,
) -> None:
    payload = snapshot("resolved")
    payload["incident"]["incident_updates"][0]["display_at"] = shown
    assert events_of(payload)[-1] == events_of(snapshot("resolved"))[-1]


def test_a_second_end_that_is_shown_before_the_outage_came_back_is_when_it_was_posted() -> None:
    payload = snapshot("resolved", status="resolved")
    for number, status, at in ((5, "investigating", "10:00"), (6, "resolved", "10:30")):
        post = {"id": f"d000000000{number}", "status": status, "body": "x", "created_at": f"2026-04-10T{at}:00Z"}
        payload["incident"]["incident_updates"].insert(0, post | {"display_at": "2026-04-10T09:55:00Z"})
    resolved = events_of(payload)[-1]
    assert (resolved["type"], resolved["data"]["restored_at"]) == ("incident.resolved", "2026-04-10T10:30:00Z")


def test_a_page_that_reports_it_again_reopens_it_and_a_post_mortem_does_not() -> None:
    payload = snapshot("resolved", status="investigating")
    again = {
        "id": "d0000000005",
        "status": "investigating",
        "body": "It is back.",
        "created_at": "2026-04-10T10:00:00Z",
    }
    payload["incident"]["incident_updates"].insert(0, again)
    assert [each["type"] for each in events_of(payload)][-3:] == [
        "incident.updated",
        "incident.reopened",
        "incident.reclassified",
    ]
    payload["incident"] |= {"status": "postmortem"}
    again["status"] = "postmortem"
    assert [each["type"] for each in events_of(payload)][-2:] == ["incident.resolved", "incident.updated"]


def test_monitoring_can_mean_restored() -> None:
    states = replace(SOURCE.states, resolved=SOURCE.states.resolved | {"monitoring"})
    events = published(decided(replace(SOURCE, states=states), snapshot("resolved")))
    assert [each["type"] for each in events][-2:] == ["incident.resolved", "incident.updated"]
    assert events[-2]["time"] == "2026-04-10T09:20:00Z"


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "API requests fail [sla/inc-42]"},
        {"metadata": {"sla": {"incident_id": "inc-42"}}},
    ],
)
def test_posts_about_an_incident_of_another_source_are_its_updates(fields: Json) -> None:
    events = events_of(snapshot("resolved", **fields))
    assert {(each["type"], each["subject"]) for each in events} == {("incident.updated", "inc-42")}
    assert len(events) == 4
    assert len({each["id"] for each in events}) == 4


def test_a_link_in_the_first_post_counts_and_one_of_another_deployment_does_not() -> None:
    payload = snapshot("investigating")
    payload["incident"]["incident_updates"][0]["body"] += " [sla/inc%2042]"
    assert [each["subject"] for each in events_of(payload)] == ["inc 42"]
    assert events_of(snapshot("investigating", name="It fails [other/inc-42]"))[0]["subject"] == SUBJECT


def test_components_that_the_mapping_lacks_are_reported() -> None:
    one = snapshot("investigating")
    one["incident"]["components"].append({"id": "x", "name": "Billing", "status": "operational"})
    translation = decided(SOURCE, one)
    assert [each.event_type for each in translation.events] == ["incident.opened"]
    (left_out,) = translation.ignored
    assert (left_out.unapplied, left_out.subject) == ("unknown_component", SUBJECT)
    assert "'Billing'" in left_out.reason
    alone = snapshot("investigating", components=[{"id": "x", "name": "Billing", "status": "operational"}])
    (rejected,) = decided(SOURCE, alone).rejected
    assert rejected.code == "invalid"
    assert "incident lbkhbwn21v5q: component: incident.components.name is 'Billing'" in rejected.reason


def test_components_come_from_the_posts_where_the_incident_does_not_list_them() -> None:
    payload = snapshot("investigating")
    del payload["incident"]["components"]
    assert events_of(payload)[0]["data"]["component"] == "api"
    ((_, view),) = statuspage.FORMAT.views(payload, SOURCE, Receipt())
    assert any("gives 'api'" in line for line in explain(SOURCE, view))


def component(number: int, at: str, old: str, new: str, **fields: Any) -> Json:
    payload = recorded("statuspage/component")
    payload["component"]["status"] = new
    change = {"id": f"u{number}", "created_at": at, "old_status": old, "new_status": new}
    payload["component_update"] |= change | fields
    return payload


BY_COMPONENT = replace(SOURCE, component_incidents=True)


def test_a_component_alone_opens_nothing_unless_asked_and_says_so() -> None:
    translation = decided(SOURCE, recorded("statuspage/component"))
    assert not translation.events
    assert not translation.rejected
    assert "API is major_outage: a status without an incident" in translation.ignored[0].reason


def test_a_component_that_flaps_is_one_incident_with_each_outage_in_any_order() -> None:
    payloads = [
        component(1, "2026-04-10T08:00:00Z", "operational", "degraded_performance"),
        component(2, "2026-04-10T08:20:00Z", "degraded_performance", "major_outage"),
        component(3, "2026-04-10T08:30:00Z", "major_outage", "operational"),
        component(4, "2026-04-10T09:00:00Z", "operational", "partial_outage"),
        component(5, "2026-04-10T09:10:00Z", "partial_outage", "operational"),
    ]
    found = set()
    for order in list(permutations(payloads))[::5]:
        events = [each for payload in (*order, payloads[3]) for each in published(decided(BY_COMPONENT, payload))]
        assert {each["subject"] for each in events} == {"status-rb5wq1dczvbm-2026q2"}
        outputs = [json.loads(line) for line in simulated(lines_of(events))]
        assert not [each for each in outputs if each["type"] == "sla.rejected"]
        intervals = [each for each in outputs if each["type"] == "impact.changed"][-1]["data"]["intervals"]
        found.add(tuple((each["impact"], each["start"][11:16], each["end"][11:16]) for each in intervals))
    assert found == {
        (
            ("processing_delay", "08:00", "08:20"),
            ("complete_outage", "08:20", "08:30"),
            ("material_aspect", "09:00", "09:10"),
        )
    }


def test_the_mapping_is_explained_for_components_too() -> None:
    ((_, view),) = statuspage.FORMAT.views(recorded("statuspage/component"), BY_COMPONENT, Receipt())
    assert any("gives 'complete_outage'" in line for line in explain(BY_COMPONENT, view))
    assert not list(statuspage.FORMAT.views(recorded("statuspage/component"), SOURCE, Receipt()))


def test_a_recovery_after_the_turn_of_a_quarter_ends_what_began_before() -> None:
    recovered = published(decided(BY_COMPONENT, component(2, "2026-07-01T00:10:00Z", "major_outage", "operational")))
    assert [(each["subject"][-6:], each["type"]) for each in recovered] == [
        ("2026q3", "incident.opened"),
        ("2026q3", "incident.resolved"),
        ("2026q2", "incident.resolved"),
    ]
    assert {each["time"] for each in recovered} == {"2026-07-01T00:10:00Z"}
    later = published(decided(BY_COMPONENT, component(2, "2026-07-09T00:10:00Z", "major_outage", "operational")))
    assert {each["subject"] for each in later} == {"status-rb5wq1dczvbm-2026q3"}


def test_a_recovery_that_is_heard_of_first_does_not_end_the_next_outage() -> None:
    """It would wait for an opening, and count as at that of the next outage (R2, R4)."""
    payloads = [
        component(1, "2026-07-01T06:00:00Z", "major_outage", "operational"),  # what began in the last quarter
        component(2, "2026-07-01T13:00:00Z", "operational", "partial_outage"),
    ]
    for order in permutations(payloads):
        events = [each for payload in order for each in published(decided(BY_COMPONENT, payload))]
        outputs = [json.loads(line) for line in simulated(lines_of(events))]
        intervals = [each["data"] for each in outputs if each["type"] == "impact.changed"][-1]["intervals"]
        assert [(each["start"], each["end"]) for each in intervals] == [("2026-07-01T13:00:00Z", None)]


def test_an_opening_that_only_comes_with_a_recovery_is_left_out_where_its_source_may_not_publish_it() -> None:
    limited = replace(BY_COMPONENT, only_tenants=("elsewhere",))
    found = decided(limited, component(1, "2026-08-01T06:00:00Z", "major_outage", "operational"))
    assert ([each.event_type for each in found.events], found.rejected) == (["incident.resolved"], [])


@pytest.mark.parametrize("minor", ["ignored", "lacking"])
def test_an_outage_of_a_component_ends_where_the_mapping_has_nothing_for_its_last_status(
    minor: str, tmp_path: Path
) -> None:
    """Else it would last for ever, because the recovery is one from the status that the mapping ignores or lacks."""
    text = MAPPING.read_text(encoding="utf-8")
    if minor == "ignored":
        text = text.replace("    component:", "    ignore: [{incident.impact: minor}]\n    component:", 1)
    else:
        text = text.replace(" minor: processing_delay,", "")
    path = tmp_path / "intake.yaml"
    path.write_text(text)
    source = replace(load_mapping(path)["status"], component_incidents=True)
    story = [
        component(1, "2026-04-10T08:00:00Z", "operational", "major_outage"),
        component(2, "2026-04-10T08:20:00Z", "major_outage", "degraded_performance"),
        component(3, "2026-04-10T08:30:00Z", "degraded_performance", "operational"),
        component(4, "2026-04-10T09:00:00Z", "degraded_performance", "partial_outage"),
        component(5, "2026-04-10T09:10:00Z", "partial_outage", "under_maintenance"),
    ]
    end = "08:20" if minor == "ignored" else "08:30"
    for order in (story, story[::-1]):
        events = [each for payload in order for each in published(decided(source, payload))]
        outputs = [json.loads(line) for line in simulated(lines_of(events))]
        intervals = [each for each in outputs if each["type"] == "impact.changed"][-1]["data"]["intervals"]
        assert [(each["impact"], each["start"][11:16], each["end"][11:16]) for each in intervals] == [
            ("complete_outage", "08:00", end),
            ("material_aspect", "09:00", "09:10"),
        ]
    alone = decided(source, component(6, "2026-04-10T10:00:00Z", "operational", "degraded_performance"))
    assert not alone.events


def test_maintenance_of_a_component_is_no_outage() -> None:
    started = decided(BY_COMPONENT, component(1, "2026-04-10T08:00:00Z", "operational", "under_maintenance"))
    assert not started.events
    assert "no outage either" in started.ignored[0].reason
    ended = published(decided(BY_COMPONENT, component(2, "2026-04-10T08:00:00Z", "major_outage", "under_maintenance")))
    assert [each["type"] for each in ended] == ["incident.opened", "incident.resolved"]


def test_a_component_that_the_mapping_lacks_is_rejected() -> None:
    payload = recorded("statuspage/component")
    payload["component"]["name"] = "Billing"
    (rejected,) = decided(BY_COMPONENT, payload).rejected
    assert "component rb5wq1dczvbm: component: incident.components.name is 'Billing'" in rejected.reason
    for part, fields in (
        ("component", {"id": 7}),
        ("component_update", {"id": None}),
        ("component_update", {"created_at": 1}),
    ):
        broken = recorded("statuspage/component")
        broken[part] |= fields
        (rejected,) = decided(BY_COMPONENT, broken).rejected
        assert rejected.reason.startswith(f"{part}.")
    (rejected,) = decided(BY_COMPONENT, {"page": {}, "component_update": []}).rejected
    assert rejected.reason.startswith("component: expected an object")


def test_maintenance_becomes_a_window_with_all_its_components() -> None:
    (event,) = events_of(snapshot("maintenance"))
    assert (event["type"], event["subject"]) == ("maintenance.scheduled", "status-w1zdr745wmfy")
    data = event["data"]
    assert (data["start"], data["end"]) == ("2026-05-07T01:00:00Z", "2026-05-07T03:00:00Z")
    assert (data["scope"], data["components"], data["announced_at"]) == (
        "platform",
        ["api", "ui"],
        "2026-05-01T09:00:00Z",
    )


def test_a_change_of_maintenance_is_a_version_with_its_own_announcement() -> None:
    later = {"scheduled_until": "2026-05-07T05:00:00Z", "updated_at": "2026-05-06T12:00:00Z"}
    first, second = events_of(snapshot("maintenance"), snapshot("maintenance", **later))
    assert first["id"] < second["id"]
    assert (second["time"], second["data"]["announced_at"]) == ("2026-05-06T12:00:00Z", "2026-05-06T12:00:00Z")
    running = events_of(snapshot("maintenance-in-progress"))[0]
    assert running["data"]["announced_at"] == "2026-05-07T01:00:00Z"
    assert running["data"]["end"] == first["data"]["end"]


def test_maintenance_that_is_completed_before_it_begins_is_cancelled() -> None:
    payload = snapshot("maintenance", status="completed", updated_at="2026-05-06T00:00:00Z")
    done = {"id": "m9", "status": "completed", "body": "Cancelled.", "created_at": "2026-05-06T00:00:00Z"}
    payload["incident"]["incident_updates"].insert(0, done)
    (event,) = events_of(payload)
    assert (event["type"], event["time"]) == ("maintenance.cancelled", "2026-05-06T00:00:00Z")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"scheduled_until": None}, "scheduled_until: is missing"),
        ({"scheduled_until": "2026-05-07T01:00:00Z"}, "is not after scheduled_for"),
        ({"components": [{"name": "Billing"}]}, "component: incident.components.name is 'Billing'"),
    ],
)
def test_maintenance_that_can_not_be_a_window_is_rejected(fields: Json, problem: str) -> None:
    (rejected,) = decided(SOURCE, snapshot("maintenance", **fields)).rejected
    assert problem in rejected.reason
    assert rejected.reason.startswith("maintenance w1zdr745wmfy: ")


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ([], "neither `incident` nor"),
        ({"page": {}}, "neither `incident` nor"),
        ({"incident": []}, "incident: expected an object"),
        (snapshot("investigating", id=7), "incident.id"),
        (snapshot("investigating", status=None), "incident.status"),
        (snapshot("investigating", created_at=None), "incident.created_at: is missing"),
        (snapshot("investigating", created_at="yesterday"), "incident.created_at"),
        (snapshot("investigating", updated_at="9999-12-31T23:59:59-23:59"), "incident.updated_at: lies outside"),
        (snapshot("investigating", created_at="0001-01-01T00:00:00Z"), "incident.created_at: lies outside"),
        (snapshot("investigating", incident_updates={}), "incident.incident_updates: expected a list"),
        (snapshot("investigating", incident_updates=[3]), "incident_updates[0]: expected an object"),
        (snapshot("investigating", incident_updates=[{"id": "a"}]), "incident_updates[0].status"),
        (snapshot("investigating", incident_updates=[{}] * 1001), "lists 1,001"),
        (snapshot("investigating", components=[3]), "incident.components"),
        (snapshot("investigating", impact="red"), "impact: incident.impact is 'red'"),
    ],
)
def test_what_is_malformed_is_rejected_with_its_place(payload: Any, problem: str) -> None:
    translation = decided(SOURCE, payload)
    assert not translation.events
    assert problem in translation.rejected[0].reason


def test_the_mapping_can_ignore_incidents() -> None:
    condition = replace(SOURCE.component[0].when[0], path=parse_path("incident.impact"), values=frozenset(["major"]))
    translation = decided(replace(SOURCE, ignore=((condition,),)), snapshot("investigating"))
    assert not translation.events
    assert "the mapping ignores it" in translation.ignored[0].reason


@pytest.mark.parametrize(
    ("headers", "token", "fine"),
    [
        ({}, TOKEN, True),
        ({"Authorization": f"Bearer {TOKEN}"}, None, True),
        ({}, None, False),
        ({}, "", False),
        ({}, TOKEN + "x", False),
    ],
)
def test_the_address_or_a_header_proves_the_sender(headers: dict[str, str], token: str | None, fine: bool) -> None:
    credentials = Credentials(headers, b"", (Secret("another secret."), Secret(TOKEN)), 0, 0, token)
    if fine:
        statuspage.authenticate(credentials)
        return
    with pytest.raises(AuthenticationError, match="token=TOKEN") as caught:
        statuspage.authenticate(credentials)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("cut", [None, 90])
def test_what_is_kept_does_not_end_the_subscription(cut: int | None) -> None:
    body = json.dumps(recorded("statuspage/investigating")).encode()[:cut]
    assert b"j0vqr9kl3513" in body
    retained = statuspage.FORMAT.without_secrets(body)
    assert b"j0vqr9kl3513" not in retained
    assert len(retained) > len(body) // 2 or cut is not None


def test_the_format_is_recognised_and_feedback_is_not_mistaken() -> None:
    for name in ("investigating", "component", "maintenance"):
        found = detect(json.dumps(recorded(f"statuspage/{name}")).encode())
        assert found is not None
        assert found.name == "statuspage"


def test_a_source_may_publish_maintenance_and_no_contracts() -> None:
    assert SOURCE.allow == ("incident.*", "maintenance.*")
    limited = replace(SOURCE, only_tenants=("acme",), tenants=(MappingRule(1, value="acme"),))
    assert translate.webhook(limited, json.dumps(snapshot("maintenance")).encode()).rejected == []
    linked = json.dumps(snapshot("investigating", name="It fails [sla/inc-42]")).encode()
    assert translate.webhook(limited, linked).rejected[0].code == "forbidden"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("    ignore: [{incident.incident_updates.status: [resolved]}]", "posts come one after another"),
        ("    ignore: [{incident: [resolved]}]", "incident is not a text"),
        ("    ignore: [{component.name: [API]}]", "begins with no part of statuspage payloads"),
        ("    replay_window: PT1M", "has no use for it"),
        ("    allow: [contract.*]", "publishes incident.*, maintenance.* only"),
    ],
)
def test_mistakes_in_the_mapping_are_named(tmp_path: Path, line: str, problem: str) -> None:
    example = Path(__file__).resolve().parents[2] / "examples" / "intake" / "statuspage.yaml"
    file = tmp_path / "intake.yaml"
    file.write_text(f"{example.read_text(encoding='utf-8')}{line}\n", encoding="utf-8")
    with pytest.raises(MappingError, match=problem.replace("*", r"\*")):
        load_mapping(file)
