"""What Alertmanager's notifications become: identity, regrouping, hostile input (R1, R27, R28)."""

from __future__ import annotations

import pytest
from intake_samples import PROMETHEUS, Json, decided, published, recorded, said


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
        ({"startsAt": "9999-12-31T23:59:59-23:59"}, "startsAt: is after the year 9999"),
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
        ({"version": "3", "alerts": []}, "version: expected '4' (Alertmanager) or '1' (Grafana), got '3'"),
        ({"version": 4, "alerts": []}, "version: expected '4'"),
        ({"version": ["1"], "alerts": []}, "version: expected '4'"),
        ({"version": "4", "alerts": {}}, "no list `alerts`"),
        ([], "no list `alerts`"),
        (None, "no list `alerts`"),
        ({"version": "4", "alerts": [{}] * 10_001}, "at most 10,000"),
        ({"version": "4", "alerts": ["x"]}, "expected an object"),
    ):
        found = decided(PROMETHEUS, payload)
        assert not found.events
        assert reason in found.rejected[0].reason


def test_an_alert_that_ends_before_it_starts_is_taken_and_told() -> None:
    """It has no downtime (R21), and what the workers see of it is an outage of no length."""
    payload = recorded("alertmanager-resolved")
    payload["alerts"][0]["endsAt"] = "2026-04-10T07:00:00Z"
    found = decided(PROMETHEUS, payload)
    assert (found.rejected, len(found.events)) == ([], 3)
    (told,) = found.ignored
    assert (told.item, told.unapplied, told.subject) == (
        "alerts[0]",
        "ends_before_it_begins",
        "prometheus-3b4b9ea4f3ae8b1a-20260410T075200.123456Z",
    )
    assert "it ends at 2026-04-10T07:00:00Z, before it begins at 2026-04-10T07:52:00.123456Z" in told.reason
