"""What Jira's webhooks become: an issue's story, changed fields, comments, hostile input (R1, R27)."""

from __future__ import annotations

import pytest
from intake_samples import JIRA, Json, decided, published, recorded, said


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
