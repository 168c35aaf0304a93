"""What each sender's payloads become, by table: identity, regrouping, disorder, hostile input (R1, R27, R28)."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from connect.intake import translate
from connect.intake.formats import cloudevents
from connect.intake.formats.rest import ROUTES
from connect.intake.mapping.rules import Classified, Source, Unmapped, classify
from connect.intake.mapping_file import load_mapping
from connect.intake.translate import Translation
from connect.intake.web.openapi_examples import EXAMPLES
from streams.replay.simulate import simulate
from streams.serde.cloudevents_json import to_json
from streams.serde.codec import decode
from streams.sla.events import Rejection

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "intake"
SOURCES = load_mapping(ROOT / "examples" / "intake.yaml")
PROMETHEUS, ZENDESK, JIRA = SOURCES["prometheus"], SOURCES["zendesk"], SOURCES["jira"]
SERVICES, BILLING = SOURCES["services"], SOURCES["billing"]

Json = dict[str, Any]


def recorded(name: str) -> Json:
    found: Json = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    return found


def decided(source: Source, payload: object) -> Translation:
    return translate.webhook(source, json.dumps(payload).encode())


def published(translation: Translation) -> list[Json]:
    events = []
    for ready in translation.events:
        found = decode(ready.record.value)
        assert not isinstance(found, Rejection)
        events.append(to_json(*found))
    return events


def said(translation: Translation) -> list[tuple[str, str]]:
    """Type and id of each event, without the subject in front of the id."""
    return [(each.event_type, each.event_id.removeprefix(each.subject)) for each in translation.events]


# -- Alertmanager ------------------------------------------------------------------------------------------------------


def test_each_firing_alert_is_an_incident_of_its_own() -> None:
    events = published(decided(PROMETHEUS, recorded("alertmanager-firing")))
    assert [event["subject"] for event in events] == [
        "prometheus-3b4b9ea4f3ae8b1a-20260410T075200.123456Z",
        "prometheus-0f6c2c8d51c3b9aa-20260410T075200.123456Z",
    ]
    assert events[0]["source"] == "/alertmanager/prod"
    assert events[0]["time"] == "2026-04-10T07:52:00.123456Z"
    assert events[0]["data"] == {
        "scope": "tenants",
        "tenant_ids": ["acme"],
        "component": "api",
        "impact": "complete_outage",
        "channel": "monitor",
        "summary": "GatewayDown on gateway",
    }
    assert events[1]["data"]["scope"] == "platform"
    assert events[1]["data"]["impact"] == "processing_delay"


def test_repeats_and_regrouping_say_the_same_byte_for_byte() -> None:
    """R1: the same id and the same content."""
    first = decided(PROMETHEUS, recorded("alertmanager-firing"))
    regrouped = recorded("alertmanager-firing")
    regrouped["alerts"].reverse()
    regrouped |= {
        "receiver": "other",
        "groupLabels": {"service": "gateway"},
        "groupKey": "{}/{a}:{}",
        "commonLabels": {},
    }
    regrouped["alerts"][0]["annotations"]["description"] = "value is 18.9"
    regrouped["alerts"][0]["generatorURL"] = "http://prometheus-2.example"
    again = decided(PROMETHEUS, regrouped)
    assert sorted(ready.record.value for ready in first.events) == sorted(ready.record.value for ready in again.events)


def test_a_group_stays_firing_while_one_of_its_alerts_is_resolved() -> None:
    found = decided(PROMETHEUS, recorded("alertmanager-resolved"))
    assert said(found) == [
        ("incident.opened", "-opened"),
        ("incident.reopened", "-reopened-as-of-20260410T091000.5Z"),
        ("incident.resolved", "-resolved-20260410T091000.5Z"),
        ("incident.opened", "-opened"),
    ]
    assert published(found)[2]["time"] == "2026-04-10T09:10:00.5Z"
    # The opening that goes with the resolution is the one that was said when it fired.
    fired = decided(PROMETHEUS, recorded("alertmanager-firing"))
    assert found.events[0].record.value == fired.events[0].record.value


def test_an_alert_that_fires_anew_is_another_incident() -> None:
    again = recorded("alertmanager-firing")
    again["alerts"][0]["startsAt"] = "2026-04-10T11:00:00Z"
    first, second = decided(PROMETHEUS, recorded("alertmanager-firing")), decided(PROMETHEUS, again)
    assert first.events[0].subject != second.events[0].subject
    assert second.events[0].subject.endswith("-20260410T110000Z")


def test_what_the_mapping_ignores_is_not_rejected_and_what_it_lacks_holds_nothing_back() -> None:
    watchdog = decided(PROMETHEUS, recorded("alertmanager-watchdog"))
    assert (watchdog.events, watchdog.rejected) == ([], [])
    assert watchdog.ignored[0].reason == "the mapping ignores it: labels.alertname is 'Watchdog'"
    mixed = decided(PROMETHEUS, recorded("alertmanager-unmapped"))
    assert len(mixed.events) == 1
    (refused,) = mixed.rejected
    assert (refused.item, refused.code) == ("alerts[0]", "invalid")
    assert "labels.severity is 'page', which line 18 of the mapping does not name" in refused.reason


def test_alerts_that_alertmanager_left_out_are_counted() -> None:
    assert decided(PROMETHEUS, recorded("alertmanager-firing") | {"truncatedAlerts": 3}).truncated == 3
    assert decided(PROMETHEUS, recorded("alertmanager-firing") | {"truncatedAlerts": "3"}).truncated == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"fingerprint": None}, "fingerprint: expected"),
        ({"fingerprint": "a\nb"}, "fingerprint: expected"),
        ({"fingerprint": "a" * 65}, "fingerprint: expected"),
        ({"status": "suppressed"}, "status: expected"),
        ({"startsAt": "yesterday"}, "startsAt: 'yesterday' is not"),
        ({"startsAt": "0001-01-01T00:00:00Z"}, "startsAt: is before 1970"),
        ({"startsAt": 17}, "startsAt: expected"),
        ({"status": "resolved"}, "endsAt: is before 1970"),
        ({"labels": {"severity": ["critical"]}}, "labels: expected an object of texts"),
        ({"labels": []}, "labels: expected an object of texts"),
        ({"annotations": "x"}, "annotations: expected an object of texts"),
        ({"labels": {"severity": "critical", "service": "api", "tenant": "x" * 129}}, "tenant_ids[0]: has 129"),
        ({"labels": {"severity": "critical", "service": "api", "tier": "9"}}, "tier: '9' is none of 1, 2, 3"),
        ({"labels": {"severity": "\ud800", "service": "api"}}, "labels.severity is '\\ud800', which line"),
        ({"labels": {}}, "component: labels.service is absent"),
    ],
)
def test_an_alert_that_makes_no_sense_is_refused_alone(change: Json, reason: str) -> None:
    payload = recorded("alertmanager-firing")
    payload["alerts"][0] |= change
    found = decided(PROMETHEUS, payload)
    assert len(found.events) == 1
    (refused,) = found.rejected
    assert refused.item == "alerts[0]"
    assert reason in refused.reason
    refused.reason.encode()  # it goes into a header


def test_other_versions_and_shapes_are_refused_as_a_whole() -> None:
    for payload, reason in (
        ({"version": "3", "alerts": []}, "version: expected '4'"),
        ({"version": 4, "alerts": []}, "version: expected '4'"),
        ({"version": "4", "alerts": {}}, "no list `alerts`"),
        ([], "no list `alerts`"),
        (None, "no list `alerts`"),
        ({"version": "4", "alerts": [{}] * 10_001}, "at most 10,000"),
        ({"version": "4", "alerts": ["x"]}, "expected an object"),
    ):
        found = decided(PROMETHEUS, payload)
        assert not found.events
        assert reason in found.rejected[0].reason


# -- Zendesk -----------------------------------------------------------------------------------------------------------

ZENDESK_STORY = ["created", "comment", "priority", "pending", "solved"]


def test_a_ticket_of_zendesk_from_opening_to_end() -> None:
    found = [decided(ZENDESK, recorded(f"zendesk-{name}")) for name in ZENDESK_STORY]
    assert [said(each)[0][0] for each in found] == [
        "incident.opened",
        "incident.updated",
        "incident.reclassified",
        "incident.waiting",
        "incident.resolved",
    ]
    assert {ready.subject for each in found for ready in each.events} == {"zendesk-5158"}
    opened, comment, reclassified = (published(each)[0] for each in found[:3])
    assert opened["time"] == "2026-04-10T08:00:00Z"
    assert opened["data"]["ticket_id"] == "5158"
    assert comment["data"]["who"] == {"kind": "support", "id": "8447388090494"}
    assert comment["data"]["visibility"] == "public"
    assert reclassified["data"] == {"impact": "material_aspect"}


def test_tickets_in_disorder_and_repeated_end_in_the_same_clocks() -> None:
    """R1, R2: what the sender says is a set of facts with times of their own."""

    def outcome(stories: list[str]) -> list[tuple[object, ...]]:
        lines = []
        for name in stories:
            for event in published(decided(ZENDESK, recorded(f"zendesk-{name}"))):
                lines.append(json.dumps(event | {"receivedtime": "2026-04-10T12:00:00Z"}))
        outputs = [json.loads(line) for line in simulated(lines)]
        last: dict[tuple[str, object], Json] = {}
        for each in outputs:
            last[each["type"], each["data"].get("metric")] = each
        closed = last["incident.closed", None]["data"]
        return [closed["severity"], *sorted(str(each) for each in closed["clocks"])]

    assert outcome(ZENDESK_STORY) == outcome([*reversed(ZENDESK_STORY), *ZENDESK_STORY])


def simulated(lines: list[str]) -> list[str]:
    from streams.policy.load import default_policies_dir, load_policies
    from streams.serde.cloudevents_json import format_line
    from streams.sla.policy import Policies

    policies = Policies.of(load_policies(default_policies_dir()), "scalr-emergency")
    return [format_line(each) for each in simulate(lines, policies)]


@pytest.mark.parametrize(
    ("previous", "current", "types"),
    [
        ("OPEN", "pending", ["waiting"]),
        ("Pending", "OPEN", ["waiting_ended"]),
        ("PENDING", "HOLD", ["waiting_ended", "waiting"]),
        ("HOLD", "SOLVED", ["resolved"]),
        ("SOLVED", "CLOSED", []),
        ("solved", "open", ["reopened"]),
        ("CLOSED", "PENDING", ["reopened", "waiting"]),
        ("NEW", "OPEN", []),
        (None, "SOLVED", ["resolved"]),
        ("OPEN", None, []),
        ("OPEN", 7, []),
    ],
)
def test_a_status_pauses_ends_and_reopens(previous: object, current: object, types: list[str]) -> None:
    payload = recorded("zendesk-pending")
    payload["event"] |= {"previous": previous, "current": current}
    found = decided(ZENDESK, payload)
    assert [each.event_type.partition(".")[2] for each in found.events] == types
    assert not found.rejected


def test_a_ticket_without_priority_opens_with_its_first_at_its_own_creation() -> None:
    strict = dataclasses.replace(ZENDESK, impact=ZENDESK.impact[:1])
    created = recorded("zendesk-created")
    created["detail"]["priority"] = None
    assert published(decided(ZENDESK, created))[0]["data"]["impact"] == "material_aspect"
    refused = decided(strict, created).rejected
    assert "ticket 5158: impact: detail.priority is absent" in refused[0].reason
    late = recorded("zendesk-priority")
    late["event"] |= {"previous": None, "current": "High"}
    opened, reclassified = published(decided(strict, late))
    assert (opened["type"], opened["time"], opened["id"]) == (
        "incident.opened",
        "2026-04-10T08:00:00Z",
        "zendesk-5158-opened",
    )
    assert opened["data"]["impact"] == reclassified["data"]["impact"] == "material_aspect"


@pytest.mark.parametrize(
    ("kind", "event", "change"),
    [
        ("priority_changed", {"previous": "urgent", "current": "URGENT"}, None),
        ("priority_changed", {"previous": "high", "current": "low"}, {"impact": "cosmetic"}),
        ("organization_changed", {"previous": "8447346622463", "current": "8447346622462"}, {"tenant_ids": ["acme"]}),
        ("tags_changed", {"tags_added": ["api"], "tags_removed": ["ui"]}, {"component": "api"}),
        ("tags_changed", {"tags_added": ["vip"], "tags_removed": []}, None),
        ("agent_assignment_changed", {"previous": "1", "current": "2"}, None),
    ],
)
def test_fields_reclassify_where_they_mean_something_else(kind: str, event: Json, change: Json | None) -> None:
    payload = recorded("zendesk-priority")
    payload |= {"type": f"zen:event-type:ticket.{kind}", "event": event}
    found = decided(ZENDESK, payload)
    assert not found.rejected
    if change is None:
        assert (len(found.events), len(found.ignored)) == (0, 1)
        return
    (made,) = published(found)
    assert made["type"] == "incident.reclassified"
    assert change.items() <= made["data"].items()


@pytest.mark.parametrize(
    ("author", "public", "who", "visibility"),
    [
        ({"id": 17, "is_staff": True}, True, {"kind": "support", "id": "17"}, "public"),
        ({"id": "9", "is_staff": False}, True, {"kind": "customer", "id": "9"}, "public"),
        ({"is_staff": "yes"}, "true", {"kind": "customer"}, "internal"),
        (None, False, {"kind": "system"}, "internal"),
    ],
)
def test_only_staffs_public_words_can_answer(author: object, public: object, who: Json, visibility: str) -> None:
    """R7: whoever is not known to be support, in public, is not taken for it."""
    payload = recorded("zendesk-comment")
    payload["event"]["comment"] |= {"author": author, "is_public": public}
    (made,) = published(decided(ZENDESK, payload))
    assert (made["data"]["who"], made["data"]["visibility"]) == (who, visibility)


@pytest.mark.parametrize("format_", ["zendesk", "jira"])
def test_long_texts_of_others_are_cut(format_: str) -> None:
    """R28: 4 KiB of UTF-8."""
    payload = recorded(f"{format_}-comment")
    text = "ü" * 3000
    if format_ == "zendesk":
        payload["event"]["comment"]["body"] = text
    else:
        payload["comment"]["body"] = text
    (made,) = published(decided(SOURCES[format_], payload))
    assert made["data"]["text"] == "ü" * 2048


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"type": None}, "no text `type`"),
        ({"detail": None}, "detail: expected an object"),
        ({"detail": {}}, "detail.id: is missing"),
        ({"id": ""}, "id: is missing"),
        ({"time": 5}, "time: is missing"),
        ({"time": "now"}, "time: 'now' is not"),
        ({"id": "x" * 120}, "event_id: has"),
    ],
)
def test_events_of_zendesk_that_make_no_sense_are_refused(change: Json, reason: str) -> None:
    found = decided(ZENDESK, recorded("zendesk-comment") | change)
    assert not found.events
    assert reason in found.rejected[0].reason


def test_questions_and_other_objects_are_no_incidents() -> None:
    for name in ZENDESK_STORY:
        payload = recorded(f"zendesk-{name}")
        payload["detail"]["type"] = "Question"
        found = decided(ZENDESK, payload)
        assert (found.events, found.rejected, len(found.ignored)) == ([], [], 1)
    user = recorded("zendesk-created") | {"type": "zen:event-type:user.created"}
    assert decided(ZENDESK, user).ignored


# -- Jira --------------------------------------------------------------------------------------------------------------


def test_an_issue_of_jira_from_opening_to_reopening() -> None:
    names = ["created", "comment", "priority", "waiting", "resolved", "reopened"]
    found = [decided(JIRA, recorded(f"jira-{name}")) for name in names]
    assert [said(each) for each in found] == [
        [("incident.opened", "-opened")],
        [("incident.updated", "-updated-comment-30001")],
        [("incident.reclassified", "-reclassified-20001")],
        [("incident.waiting", "-waiting-20002")],
        [("incident.resolved", "-resolved-20003")],
        [("incident.reopened", "-reopened-20004")],
    ]
    opened = published(found[0])[0]
    assert opened["time"] == "2026-04-10T08:00:00Z"
    assert opened["data"]["tenant_ids"] == ["acme"]
    assert opened["data"]["ticket_id"] == "OPS-42"
    assert {each.events[0].subject for each in found} == {"jira-10042"}


def test_a_done_category_ends_whatever_the_status_is_called_but_only_of_this_change() -> None:
    payload = recorded("jira-resolved")
    payload["changelog"]["items"][1]["toString"] = payload["issue"]["fields"]["status"]["name"] = "Sorted out"
    assert said(decided(JIRA, payload))[0][0] == "incident.resolved"
    # The issue has moved on meanwhile: its category belongs to another change.
    overtaken = recorded("jira-waiting")
    overtaken["issue"]["fields"]["status"] = {"name": "Completed", "statusCategory": {"key": "done"}}
    assert said(decided(JIRA, overtaken))[0][0] == "incident.waiting"


def test_comments_of_customers_and_internal_ones_are_told_apart() -> None:
    for change, who, visibility in (
        ({"author": {"accountId": "qm:1", "accountType": "customer"}}, "customer", "public"),
        ({"author": {"accountId": "a", "accountType": "app"}}, "system", "public"),
        ({"jsdPublic": False}, "support", "internal"),
        ({"author": None}, "system", "public"),
    ):
        payload = recorded("jira-comment")
        payload["comment"] |= change
        (made,) = published(decided(JIRA, payload))
        assert (made["data"]["who"]["kind"], made["data"]["visibility"]) == (who, visibility)


@pytest.mark.parametrize(
    ("item", "change"),
    [
        ({"field": "Component", "fieldId": "components", "fromString": None, "toString": "API"}, {"component": "api"}),
        ({"field": "assignee", "fieldId": "assignee", "fromString": "a", "toString": "b"}, None),
        ({"field": "labels", "fieldId": "labels", "fromString": "x y", "toString": "x"}, None),
        ({"field": "priority", "fieldId": "priority", "from": None, "fromString": None, "toString": "High"}, {}),
        (
            {
                "field": "Organizations",
                "fieldId": "customfield_10002",
                "fromString": "Tokyo Trading",
                "toString": "Acme Inc.",
            },
            {"scope": "tenants", "tenant_ids": ["acme"]},
        ),
        ({"field": "resolution", "from": None, "to": "1"}, None),
        ({}, None),
    ],
)
def test_what_changed_in_an_issue(item: Json, change: Json | None) -> None:
    payload = recorded("jira-priority")
    payload["changelog"]["items"] = [item]
    found = decided(JIRA, payload)
    assert not found.rejected
    if change is None:
        assert not found.events
        assert found.ignored
    else:
        made = published(found)
        assert made[-1]["type"] == "incident.reclassified"
        assert change.items() <= made[-1]["data"].items()


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("created", {"webhookEvent": 7}, "no text `webhookEvent`"),
        ("created", {"issue": None}, "issue.fields: expected"),
        ("created", {"issue": {"fields": {}}}, "issue: needs `id` and `key`"),
        ("created", {"timestamp": 10**18}, "timestamp: expected milliseconds"),
        ("created", {"timestamp": True}, "time"),
        ("comment", {"comment": {}}, "comment: needs `id`"),
        ("priority", {"changelog": {}}, "changelog: needs `id`"),
        ("priority", {"changelog": {"id": "1", "items": [1]}}, "changelog.items: expected"),
    ],
)
def test_webhooks_of_jira_that_make_no_sense_are_refused(name: str, change: Json, reason: str) -> None:
    found = decided(JIRA, recorded(f"jira-{name}") | change)
    if change.get("timestamp") is True:  # a truth value is a number to Python; the opening does not use it
        assert len(found.events) == 1
        return
    assert not found.events
    assert reason in found.rejected[0].reason


def test_an_update_without_changelog_and_other_webhooks_are_left_aside() -> None:
    update = recorded("jira-priority")
    del update["changelog"]
    assert decided(JIRA, update).ignored
    assert decided(JIRA, recorded("jira-created") | {"webhookEvent": "jira:worklog_updated"}).ignored


# -- CloudEvents and plain JSON ----------------------------------------------------------------------------------------

OPENED = {
    "specversion": "1.0",
    "id": "e1",
    "type": "incident.opened",
    "source": "/monitors/eu",
    "subject": "inc-1",
    "time": "2026-01-31T09:00:00Z",
    "data": {"scope": "platform", "component": "api", "impact": "cosmetic", "channel": "api"},
}


def test_the_three_modes_of_cloudevents_give_the_same_record() -> None:
    body = json.dumps(OPENED).encode()
    structured = translate.cloud_events(SERVICES, cloudevents.STRUCTURED, {}, body)
    batch = translate.cloud_events(SERVICES, cloudevents.BATCH, {}, b"[" + body + b"," + body + b"]")
    attributes = {f"ce-{name}": str(value) for name, value in OPENED.items() if name != "data"}
    binary = translate.cloud_events(SERVICES, cloudevents.BINARY, attributes, json.dumps(OPENED["data"]).encode())
    assert structured.events == binary.events
    assert batch.events == structured.events * 2


def test_binary_attributes_are_percent_decoded_and_extensions_pass() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {f"ce-{name}": str(value) for name, value in OPENED.items() if name != "data"}
    headers |= {"ce-subject": "Z%C3%BCrich%201", "ce-backfill": "true", "traceparent": trace, "ce-Bad Name": "x"}
    (made,) = published(
        translate.cloud_events(SERVICES, cloudevents.BINARY, headers, json.dumps(OPENED["data"]).encode())
    )
    assert (made["subject"], made["backfill"], made["traceparent"]) == ("Zürich 1", True, trace)
    refused = translate.cloud_events(SERVICES, cloudevents.BINARY, headers | {"ce-subject": "%FF"}, b"{}").rejected
    assert "percent-encoded" in refused[0].reason
    assert "no event" in translate.cloud_events(SERVICES, cloudevents.BINARY, {}, b"{}").rejected[0].reason


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        (b"", "undecodable", "not JSON"),
        (b"\xff{}", "undecodable", "byte 0 is not UTF-8"),
        (b'{"a": NaN}', "undecodable", "NaN"),
        (b'{"id": "1", "id": "2"}', "undecodable", "appears twice"),
        (b'{"a": ' + b"1" * 5000 + b"}", "undecodable", "not JSON"),
        (b"[" * 200_000, "undecodable", "nested too deeply"),
        (b'{"a":' * 200_000, "undecodable", "nested too deeply"),
        (b"17", "invalid", "expected a CloudEvents object"),
        (b"{}", "invalid", "specversion"),
        (json.dumps(OPENED | {"type": "sla.breached"}).encode(), "unknown_type", "is an output"),
        (json.dumps(OPENED | {"type": "incident.exploded"}).encode(), "unknown_type", "is not an event type"),
        (json.dumps(OPENED | {"time": "2026-01-31T09:00:00"}).encode(), "invalid", "time"),
        (json.dumps(OPENED | {"id": "\ud800"}).encode(), "invalid", "id"),
    ],
)
def test_events_that_are_none_are_refused_with_the_codes_of_the_product(body: bytes, code: str, reason: str) -> None:
    """R27."""
    (refused,) = translate.cloud_events(SERVICES, cloudevents.STRUCTURED, {}, body).rejected
    assert refused.code == code
    assert reason in refused.reason


def test_a_batch_names_its_bad_events_and_publishes_the_good_ones() -> None:
    bad = copy.deepcopy(OPENED)
    bad["data"]["impact"] = "huge"  # type: ignore[index]
    found = translate.cloud_events(SERVICES, cloudevents.BATCH, {}, json.dumps([OPENED, bad, 7]).encode())
    assert len(found.events) == 1
    assert [each.item for each in found.rejected] == ["[1]", "[2]"]
    assert not translate.cloud_events(SERVICES, cloudevents.BATCH, {}, b"{}").events


def test_a_source_publishes_only_what_it_may() -> None:
    body = json.dumps(OPENED).encode()
    (refused,) = translate.cloud_events(BILLING, cloudevents.STRUCTURED, {}, body).rejected
    assert refused.code == "forbidden"
    assert "billing may not publish incident.opened" in refused.reason


def route(path: str) -> Any:
    return next(each for each in ROUTES if each.path == path)


def plain(path: str, body: object, path_id: str | None = None, source: Source = SERVICES) -> Translation:
    return translate.plain_json(source, route(path), path_id, {}, json.dumps(body).encode())


OPENING = {"incident_id": "inc-9", "time": "2026-01-31T09:00:00Z", **OPENED["data"]}  # type: ignore[dict-item]


def test_plain_json_has_an_id_of_what_it_says() -> None:
    """R1: a retry is the same event, anything else another."""
    first, again = plain("/v1/incidents", OPENING), plain("/v1/incidents", dict(reversed(OPENING.items())))
    other = plain("/v1/incidents", OPENING | {"impact": "complete_outage"})
    assert first.events[0].event_id == again.events[0].event_id
    assert first.events[0].event_id != other.events[0].event_id
    assert plain("/v1/incidents", OPENING | {"id": "mine"}).events[0].event_id == "mine"
    assert published(first)[0]["source"] == "/intake/services"


def test_follow_ups_name_the_incident_in_the_path() -> None:
    body = {"time": "2026-01-31T09:10:00Z", "severity": None, "who": {"kind": "support", "id": "kim"}, "reason": "x"}
    (made,) = published(plain("/v1/incidents/{id}/severity_set", body, "inc-9"))
    assert (made["subject"], made["data"]["severity"]) == ("inc-9", None)


@pytest.mark.parametrize(
    ("path", "path_id", "body", "reason"),
    [
        (
            "/v1/incidents",
            None,
            {**OPENING, "tenat_ids": ["a"]},
            "tenat_ids: incident.opened has no such field; did you mean",
        ),
        ("/v1/incidents", None, {**OPENING, "time": None}, "time: is missing"),
        ("/v1/incidents", None, {**OPENING, "incident_id": 7}, "incident_id: is missing"),
        ("/v1/incidents", None, {**OPENING, "impact": "big"}, "data.impact: expected one of"),
        ("/v1/incidents", None, [], "expected an object"),
        ("/v1/incidents/{id}/merged", "inc-9", {"time": "2026-01-31T09:00:00Z", "into": "inc-9"}, "itself"),
        ("/v1/incidents/{id}/resolved", "x" * 129, {"time": "2026-01-31T09:00:00Z"}, "subject: has 129"),
        ("/v1/contracts", None, {"tenant_id": "a", "time": "2026-01-31T09:00:00Z"}, "data.valid_from: is missing"),
    ],
)
def test_plain_json_that_is_wrong_is_told_by_its_field(
    path: str, path_id: str | None, body: object, reason: str
) -> None:
    (refused,) = plain(path, body, path_id).rejected
    assert reason in refused.reason


# -- the mapping itself ------------------------------------------------------------------------------------------------


def test_a_mapping_decides_by_its_first_entry_that_has_a_value() -> None:
    found = classify(
        PROMETHEUS, {"labels": {"job": "Blackbox", "severity": "CRITICAL", "tier": "2"}, "annotations": {}}
    )
    assert isinstance(found, Classified)
    assert (found.component, found.impact, found.tier, found.scope) == ("api", "material_aspect", 2, "platform")
    lost = classify(PROMETHEUS, {"labels": {"severity": "x" * 500}})
    assert isinstance(lost, Unmapped)
    assert len(lost.reason) < 400


def test_a_tenant_that_the_table_lacks_is_neither_left_out_nor_everyone() -> None:
    payload = recorded("jira-created")
    fields = payload["issue"]["fields"]
    fields["labels"] = ["platform-wide"]
    fields["customfield_10002"].append({"name": "Tokyo Trading"})
    assert published(decided(JIRA, payload))[0]["data"]["tenant_ids"] == ["acme", "tokyo-trading"]
    fields["customfield_10002"].append({"name": "Acme Limited"})
    (refused,) = decided(JIRA, payload).rejected
    assert "tenants: issue.fields.customfield_10002.name is 'Acme Limited', which line" in refused.reason
    fields["customfield_10002"] = []
    assert published(decided(JIRA, payload))[0]["data"]["scope"] == "platform"
    fields["labels"] = []
    assert "tenants: issue.fields.customfield_10002.name is absent" in decided(JIRA, payload).rejected[0].reason


def test_from_an_alert_to_a_breach_and_from_a_word_of_staff_to_met() -> None:
    """R7, R8: what the senders said makes the clocks run."""

    def outputs(*names: str, until: str) -> list[tuple[str, str]]:
        contract = plain("/v1/contracts", EXAMPLES["contract.set"], source=BILLING)
        lines = [json.dumps(event) for event in published(contract)]
        for name in names:
            source = SOURCES[name.partition("-")[0].replace("alertmanager", "prometheus")]
            lines += [json.dumps(event) for event in published(decided(source, recorded(name)))]
        lines.append(json.dumps(OPENED | {"subject": "last", "time": until}))
        found = [json.loads(line) for line in simulated(lines)]
        return [(each["type"], each["time"]) for each in found if each["data"].get("metric") == "response"]

    assert ("sla.breached", "2026-04-10T09:52:00.123456Z") in outputs(
        "alertmanager-firing", until="2026-04-10T10:00:00Z"
    )
    told = outputs("zendesk-created", "zendesk-comment", until="2026-04-10T12:00:00Z")
    assert ("sla.met", "2026-04-10T08:25:00.25Z") in told
    assert not [each for each in told if each[0] == "sla.breached"]
