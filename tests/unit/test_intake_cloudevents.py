"""What CloudEvents and plain JSON become: three modes, permissions, errors by field (R1, R27)."""

from __future__ import annotations

import copy
import json
from typing import cast

import pytest
from intake_samples import BILLING, OPENED, SERVICES, plain, published

from connect.intake import translate
from connect.intake.formats import cloudevents


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
    headers |= {"ce-subject": "Z%C3%BCrich%201", "ce-backfill": "true", "ce-traceparent": trace, "ce-Bad Name": "x"}
    (made,) = published(
        translate.cloud_events(SERVICES, cloudevents.BINARY, headers, json.dumps(OPENED["data"]).encode())
    )
    assert (made["subject"], made["backfill"], made["traceparent"]) == ("Zürich 1", True, trace)
    refused = translate.cloud_events(SERVICES, cloudevents.BINARY, headers | {"ce-subject": "%FF"}, b"{}").rejected
    assert "percent-encoded" in refused[0].reason
    assert "no event" in translate.cloud_events(SERVICES, cloudevents.BINARY, {}, b"{}").rejected[0].reason


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ce-started_at", "started_at: belongs in data"),
        ("ce-tenant_ids", "tenant_ids: belongs in data"),
        ("ce-back_fill", "back_fill: is not an attribute of an event; did you mean backfill?"),
        ("ce-started*at", "started*at: is not an attribute of an event; allowed: "),
        ("ce-", ": is not an attribute of an event; allowed: "),
        ("ce-received-time", "received-time: is not an attribute of an event; did you mean receivedtime?"),
    ],
)
def test_a_binary_attribute_with_a_name_that_none_can_have_is_refused(name: str, reason: str) -> None:
    headers = {f"ce-{name}": str(value) for name, value in OPENED.items() if name != "data"} | {name: "x"}
    body = json.dumps(OPENED["data"]).encode()
    (refused,) = translate.cloud_events(SERVICES, cloudevents.BINARY, headers, body).rejected
    assert reason in refused.reason


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


@pytest.mark.parametrize("names", ["or", "ro"], ids=["opened-first", "resolved-first"])
@pytest.mark.parametrize(("restored_at", "told"), [("2026-01-31T08:00:00Z", 1), (None, 0)])
def test_a_batch_whose_incident_ends_before_it_begins_is_taken_and_told(
    names: str, restored_at: str | None, told: int
) -> None:
    data = {"who": {"kind": "monitor"}} | ({} if restored_at is None else {"restored_at": restored_at})
    resolved = {**OPENED, "id": "r", "type": "incident.resolved", "data": data}
    batch = json.dumps([{"o": OPENED, "r": resolved}[name] for name in names]).encode()
    found = translate.cloud_events(SERVICES, cloudevents.BATCH, {}, batch)
    assert (len(found.events), found.rejected) == (2, [])
    assert [(each.unapplied, each.subject) for each in found.ignored] == [("ends_before_it_begins", "inc-1")] * told


def test_a_batch_that_opens_an_incident_twice_contradicts_itself_by_its_earliest_beginning_alone() -> None:
    data = {"who": {"kind": "monitor"}, "restored_at": "2026-01-31T10:30:00Z"}
    again = {**OPENED, "id": "o2", "time": "2026-01-31T11:00:00Z"}
    batch = json.dumps([OPENED, {**OPENED, "id": "r", "type": "incident.resolved", "data": data}, again]).encode()
    found = translate.cloud_events(SERVICES, cloudevents.BATCH, {}, batch)
    assert (len(found.events), found.rejected, found.ignored) == (3, [], [])


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"incidentid": "inc-2"}, "incidentid: is 'inc-2', and subject is 'inc-1', which counts"),
        ({"incidentid": "inc-1"}, None),
        ({"incidentid": 1, "subject": "1"}, None),
        ({"ticketid": "T-2"}, "ticketid: is 'T-2', and data.ticket_id is 'T-1', which counts"),
        ({"ticketid": "T-1", "startedat": "2026-01-31T17:00:00+09:00"}, None),
        ({"startedat": "yesterday"}, "startedat: is 'yesterday', and data.started_at is '2026-01-31T08:00:00Z'"),
        ({"tenantids": "acme", "region": "eu"}, None),
    ],
)
def test_an_extension_that_contradicts_a_field_is_told_and_the_field_counts(
    attributes: dict[str, object], told: str | None
) -> None:
    fields = {"ticket_id": "T-1", "started_at": "2026-01-31T08:00:00Z", "tenant_ids": ["globex"], "scope": "tenants"}
    event = {**OPENED, "data": {**cast("dict[str, object]", OPENED["data"]), **fields}, **attributes}
    structured = translate.cloud_events(SERVICES, cloudevents.STRUCTURED, {}, json.dumps(event).encode())
    headers = {f"ce-{name}": str(value) for name, value in event.items() if name != "data"}
    binary = translate.cloud_events(SERVICES, cloudevents.BINARY, headers, json.dumps(event["data"]).encode())
    for found in (structured, binary):
        assert (len(found.events), found.rejected) == (1, [])
        assert [(each.unapplied, each.subject) for each in found.ignored] == (
            [] if told is None else [("extension_differs", event["subject"])]
        )
        assert all(str(told) in each.reason for each in found.ignored)
