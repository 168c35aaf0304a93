"""Jira: values come from the issue, not from the texts of its change log; deleted issues, cleared resolutions, Data
Center's comments; and what Zendesk has alike."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from connect.intake import translate
from connect.intake.formats.jira_changes import fields_before
from connect.intake.mapping.paths import FieldPath
from connect.intake.mapping_file import load_mapping
from streams.serde.cloudevents_json import to_json
from streams.serde.codec import decode
from streams.sla.events import Rejection

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "intake"
ZENDESK = load_mapping(ROOT / "examples" / "intake.yaml")["zendesk"]
MAPPING = """\
version: 1
sources:
  jira:
    format: jira
    secrets: [{env: TOKEN}]
    component:
      - from: issue.fields.components.name
        values: {Web: ui, API: api}
      - value: other
    impact:
      - from: issue.fields.priority.name
        values: {Highest: complete_outage, High: material_aspect, Medium: processing_delay}
    tenants:
      - from: issue.fields.FIELD
        values: {Acme: acme, "Tokyo, Inc.": tokyo-trading, "Alpha, Beta": alpha, Beta: beta}
    states:
      resolved: [Resolved, Closed, Done]
"""
ACME, BETA = {"value": "Acme", "id": "100"}, {"value": "Beta", "id": "101"}
TOKYO, ALPHA = {"value": "Tokyo, Inc.", "id": "102"}, {"value": "Alpha, Beta", "id": "103"}
BESIDE_A_TIER: list[list[Json]] = [[], [{"field": "Component", "toString": "Web", "to": "1"}]]


def webhook(tmp_path: Path, payload: Json, field: str = "customfield_10922.value") -> translate.Translation:
    file = tmp_path / "intake.yaml"
    file.write_text(MAPPING.replace("FIELD", field), encoding="utf-8")
    return translate.webhook(load_mapping(file)["jira"], json.dumps(payload).encode())


def recorded(name: str) -> Json:
    found: Json = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    return found


def published(translation: translate.Translation) -> list[Json]:
    assert not translation.rejected
    found = []
    for event in translation.events:
        decoded = decode(event.record.value)
        assert not isinstance(decoded, Rejection)
        found.append(to_json(*decoded))
    return found


def changed(now: list[Json], *items: Json) -> Json:
    payload = recorded("jira/multi-add")
    payload["issue"]["fields"]["customfield_10922"] = now
    payload["changelog"]["items"] = list(items)
    return payload


def listed(before: list[Json], after: list[Json]) -> Json:
    """The log of a field with several values."""
    ids = [f"[{', '.join(each['id'] for each in values)}]" if values else None for values in (before, after)]
    texts = [",".join(each["value"] for each in values) for values in (before, after)]
    item = {"field": "Affected", "fieldtype": "custom", "fieldId": "customfield_10922"}
    return {**item, "from": ids[0], "fromString": texts[0], "to": ids[1], "toString": texts[1]}


def test_a_tenant_that_is_added_to_an_issue_is_added_to_its_incident(tmp_path: Path) -> None:
    (event,) = published(webhook(tmp_path, recorded("jira/multi-add")))
    assert event["type"] == "incident.reclassified"
    assert event["data"] == {"scope": "tenants", "tenant_ids": ["acme", "beta"]}


@pytest.mark.parametrize(
    ("before", "after", "tenants"),
    [
        ([ACME, BETA], [ACME], ["acme"]),
        ([ACME], [BETA], ["beta"]),
        ([ACME], [ACME, TOKYO], ["acme", "tokyo-trading"]),
        ([ACME, TOKYO], [ACME], ["acme"]),
        ([TOKYO], [ACME], ["acme"]),
        ([TOKYO, ALPHA], [BETA], ["beta"]),  # which texts there were can't be told: the issue says what there is
        ([TOKYO, ACME, ALPHA], [ACME], ["acme"]),
        ([ACME, TOKYO, BETA], [ACME, BETA], ["acme", "beta"]),
        ([TOKYO, BETA], [BETA], ["beta"]),
    ],
)
def test_values_come_from_the_issue(tmp_path: Path, before: list[Json], after: list[Json], tenants: list[str]) -> None:
    *openings, event = published(webhook(tmp_path, changed(after, listed(before, after))))
    ambiguous = ALPHA in before and TOKYO in before  # it may not have been mapped before
    assert [each["type"] for each in openings] == ["incident.opened"] * ambiguous
    assert event["type"] == "incident.reclassified"
    assert event["data"] == {"scope": "tenants", "tenant_ids": tenants}


def test_a_change_of_the_order_or_to_the_same_tenants_is_no_change(tmp_path: Path) -> None:
    found = webhook(tmp_path, changed([ACME, BETA], listed([ACME, BETA], [ACME, BETA])))
    assert not found.events
    assert found.ignored


def test_a_priority_that_changes_with_the_tenants_is_reclassified_with_them(tmp_path: Path) -> None:
    priority = {"field": "priority", "fieldId": "priority", "from": "2", "fromString": "High", "toString": "Highest"}
    for before in ([ACME], [TOKYO, ALPHA]):
        payload = changed([ACME, BETA], listed(before, [ACME, BETA]), priority)
        *_, event = published(webhook(tmp_path, payload))
        assert event["data"] == {
            "scope": "tenants",
            "tenant_ids": ["acme", "beta"],
            "impact": "complete_outage",
        }


@pytest.mark.parametrize(
    ("now", "change", "component"),
    [
        (["Printer"], [("Web", None), (None, "Printer")], "other"),  # replaced by one that the mapping does not name
        (["Printer"], [(None, "Printer"), ("Web", None)], "other"),
        (["Web"], [("API", None)], "ui"),  # the one that is gone stood before it
        (["API"], [("Web", None)], "api"),  # or behind it
        (["Printer"], [(None, "Printer")], None),
    ],
)
def test_components_that_come_and_go(
    tmp_path: Path, now: list[str], change: list[tuple[str | None, str | None]], component: str | None
) -> None:
    """Their log has an item for each; it does not say in which order they stood."""
    ids = {"Web": "1", "API": "2", "Printer": "3", None: None}
    payload = changed([ACME])
    payload["issue"]["fields"]["components"] = [{"id": ids[name], "name": name} for name in now]
    payload["changelog"]["items"] = [
        {"field": "Component", "fieldId": "components", "from": ids[old], "fromString": old}
        | {"to": ids[new], "toString": new}
        for old, new in change
    ]
    events = published(webhook(tmp_path, payload))
    assert [each["data"] for each in events] == ([] if component is None else [{"component": component}])


@pytest.mark.parametrize(
    ("after", "tenants"),
    [
        ({"from": "[100]", "fromString": "Acme", "to": "[101]", "toString": "Beta"}, ["beta"]),
        ({"from": "", "fromString": "", "to": "", "toString": "Ranked higher"}, None),  # another field
        ({"from": None, "fromString": None, "to": "3", "toString": "Sprint 3"}, None),
    ],
)
def test_data_center_names_a_custom_field_by_its_title_alone(
    tmp_path: Path, after: Json, tenants: list[str] | None
) -> None:
    payload = changed([BETA], {"field": "Customers", "fieldtype": "custom", **after})
    found = published(webhook(tmp_path, payload))
    changes = [each["data"] for each in found if each["type"] == "incident.reclassified"]
    assert changes == ([] if tenants is None else [{"scope": "tenants", "tenant_ids": tenants}])


def test_a_status_that_leaving_will_not_be_noticed_is_told(tmp_path: Path) -> None:
    """It is done by its category, and neither its name nor a resolution that is cleared will tell that it was left."""

    def moved(before: str, after: str, category: str, resolution: str | None) -> list[tuple[str | None, str | None]]:
        payload = changed([ACME], {"field": "status", "fromString": before, "toString": after})
        payload["issue"]["fields"]["status"] = {"name": after, "statusCategory": {"key": category}}
        payload["issue"]["fields"]["resolution"] = resolution and {"name": resolution}
        return [each[2:4] for each in webhook(tmp_path, payload).ignored if each.unapplied is not None]

    told = [("unnamed_status", "jira-17334")]
    assert moved("Open", "Erledigt", "done", None) == told
    assert moved("Open", "Erledigt", "done", "Fixed") == []
    assert moved("Open", "Done", "done", None) == []
    assert moved("Erledigt", "Open", "new", "Fixed") == told
    assert moved("Done", "Open", "new", "Fixed") == moved("Erledigt", "Open", "new", None) == []


def test_organizations_are_values_of_the_issue_too(tmp_path: Path) -> None:
    payload = changed([ACME])
    payload["issue"]["fields"]["customfield_10002"] = [{"id": "7", "name": "Acme"}, {"id": "8", "name": "Tokyo, Inc."}]
    item = {"field": "Organizations", "fieldId": "customfield_10002", "fromString": "Acme", "toString": "Acme, Tokyo"}
    for ids in ({"from": "[7]", "to": "[7, 8]"}, {"from": "7", "to": "7, 8"}, {}):
        payload["changelog"]["items"] = [item | ids]
        (event,) = published(webhook(tmp_path, payload, "customfield_10002.name"))
        assert event["data"]["tenant_ids"] == ["acme", "tokyo-trading"]


def test_a_field_whose_value_before_is_no_text_of_the_log_is_published_as_it_is(tmp_path: Path) -> None:
    payload = changed([ACME])
    payload["issue"]["fields"]["customfield_7"] = {"id": "5", "value": "Europe", "child": {"id": "6", "value": "Beta"}}
    texts = {"fromString": "Parent values: Europe(5)Level 1 values: Acme(4)", "from": "[5, 4]", "toString": "…"}
    payload["changelog"]["items"] = [{"field": "Region", "fieldId": "customfield_7", **texts}]
    opened, event = published(webhook(tmp_path, payload, "customfield_7.child.value"))
    assert event["data"] == {"scope": "tenants", "tenant_ids": ["beta"]}
    # It may be the first value that the mapping knows; another opening before it stands (R2).
    assert (opened["type"], opened["time"]) == ("incident.opened", "2026-11-26T02:30:00Z")
    assert opened["id"] > f"{opened['subject']}-opened"


def test_an_update_with_very_many_changes_is_refused_and_very_many_values_are_taken_as_they_are(tmp_path: Path) -> None:
    """Undoing 8,000 changes of 10,000 values took a minute, in which the intake answered nobody."""
    payload = changed([ACME])
    payload["issue"]["fields"]["components"] = [{"id": str(number), "name": "Web"} for number in range(10_000)]
    item = {"field": "Component", "fieldId": "components", "fromString": "API", "from": "7"}
    payload["changelog"]["items"] = [item] * 1_001
    (refused,) = webhook(tmp_path, payload).rejected
    assert (refused.code, refused.reason) == ("oversize", "changelog.items: lists 1,001; at most 1,000 are allowed")
    payload["changelog"]["items"] = [item] * 1_000
    *_, event = published(webhook(tmp_path, payload))
    assert event["data"] == {"component": "ui"}


def test_no_pattern_is_made_of_the_names_of_an_issue(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand long names with commas took 13 seconds to compile, a body of 16 MiB 45."""
    many = [{"id": f"m{number}", "value": f"{number}, {'x' * 200}"} for number in range(900)]
    payload = changed([*many, ACME], listed([*many[:450], BETA, *many[450:], ACME], [*many, ACME]))
    fields, log = payload["issue"]["fields"], payload["changelog"]["items"]
    path = FieldPath("", ("issue", "fields", "customfield_10922", "value"))
    with monkeypatch.context() as without:
        for name in ("match", "search", "compile"):
            without.delattr(re, name)
        before = fields_before(fields, log, [path])
    found = [each["value"] for each in before.fields["customfield_10922"]]
    assert found == [each["value"] for each in (*many[:450], BETA, *many[450:], ACME)]


def test_a_first_tenant_opens_the_incident(tmp_path: Path) -> None:
    payload = changed([ACME], listed([], [ACME]))
    found = published(webhook(tmp_path, payload))
    assert [event["type"] for event in found] == ["incident.opened", "incident.reclassified"]
    emptied = webhook(tmp_path, changed([], listed([ACME], [])))
    assert "tenants: issue.fields.customfield_10922.value is absent" in emptied.rejected[0].reason


def test_clearing_the_resolution_reopens_whatever_the_status_was_called(tmp_path: Path) -> None:
    """The status has gone back from a done status of the site's own before, which says nothing to the mapping."""
    assert not webhook(tmp_path, recorded("jira/status-back")).events
    (event,) = published(webhook(tmp_path, recorded("jira/resolution-cleared")))
    assert event["type"] == "incident.reopened"
    done = recorded("jira/resolution-cleared")
    done["issue"]["fields"]["status"] = {"name": "Released", "statusCategory": {"key": "done"}}
    assert not webhook(tmp_path, done).events


@pytest.mark.parametrize(
    ("updated", "done", "ends"),
    [
        ("09:10:00.000", None, True),
        ("09:10:00.001", None, False),
        ("09:20:00.000", "09:10:00.001", False),
        ("09:20:00.000", "08:00:00.000", True),  # another field has changed since
    ],
)
def test_a_field_change_ends_nothing_where_the_issue_shows_a_later_status(
    tmp_path: Path, updated: str, done: str | None, ends: bool
) -> None:
    """The change of the status has a webhook of its own, with the time of the end."""
    payload = changed([ACME], listed([], [ACME]))
    payload["issue"]["fields"]["status"] = {"name": "Released", "statusCategory": {"key": "done"}}
    payload["issue"]["fields"]["updated"] = f"2026-11-26T{updated}+0530"
    if done is not None:
        payload["issue"]["fields"]["statuscategorychangedate"] = f"2026-11-26T{done}+0530"
    expected = ["incident.opened", "incident.reclassified", *(["incident.resolved"] if ends else [])]
    assert [event["type"] for event in published(webhook(tmp_path, payload))] == expected


def test_a_cleared_resolution_reopens_where_the_issue_is_done_again_by_now(tmp_path: Path) -> None:
    done = recorded("jira/resolution-cleared")
    done["issue"]["fields"]["status"] = {"name": "Released", "statusCategory": {"key": "done"}}
    done["issue"]["fields"]["updated"] = "2026-11-26T09:20:00.000+0530"
    assert [event["type"] for event in published(webhook(tmp_path, done))] == ["incident.reopened"]


def test_a_change_of_data_center_ends_nothing_again(tmp_path: Path) -> None:
    """The ticket may have been mapped all the time, and an operator may have reopened its incident."""
    payload = changed([ACME], {"field": "Customers", "fieldtype": "custom", "to": "[100]", "toString": "Acme"})
    payload["issue"]["fields"]["status"] = {"name": "Released", "statusCategory": {"key": "done"}}
    found = [event["type"] for event in published(webhook(tmp_path, payload))]
    assert found == ["incident.opened", "incident.reclassified"]


def test_comments_of_data_center_are_no_rejects(tmp_path: Path) -> None:
    for name in ("jira/dc-comment", "jira/dc-commented"):
        found = webhook(tmp_path, recorded(name))
        assert (found.events, found.rejected, len(found.ignored)) == ([], [], 1)


def test_a_deleted_issue_ends_its_incident(tmp_path: Path) -> None:
    deleted = recorded("jira/created") | {"webhookEvent": "jira:issue_deleted"}
    del deleted["issue"]["fields"]["created"]
    (event,) = published(webhook(tmp_path, deleted))
    assert (event["type"], event["id"]) == ("incident.resolved", "jira-17334-resolved-deleted")
    assert event["data"]["who"] == {"kind": "support", "id": "557:abc"}


@pytest.mark.parametrize("kind", ["soft_deleted", "permanently_deleted", "marked_as_spam"])
def test_a_deleted_ticket_of_zendesk_ends_its_incident_and_one_that_is_back_reopens_it(kind: str) -> None:
    payload = recorded("zendesk-priority") | {"event": {}}
    for name, types in ((kind, ["incident.resolved"]), ("undeleted", ["incident.reopened"])):
        payload["type"] = f"zen:event-type:ticket.{name}"
        found = published(translate.webhook(ZENDESK, json.dumps(payload).encode()))
        assert [event["type"] for event in found] == types
    payload["detail"]["status"] = "SOLVED"
    assert not translate.webhook(ZENDESK, json.dumps(payload).encode()).events


def test_a_comment_that_is_made_private_later_stays_an_answer(tmp_path: Path) -> None:
    """No event takes an answer back: the change is named, with its incident, for somebody to look at."""
    private = recorded("zendesk-comment") | {"type": "zen:event-type:ticket.comment_made_private"}
    found = translate.webhook(ZENDESK, json.dumps(private).encode())
    assert (found.events, found.rejected) == ([], [])
    assert "stays an answer" in found.ignored[0].reason
    assert found.ignored[0][2:4] == ("comment_made_private", "zendesk-5158")
    edited = recorded("jira-comment") | {"webhookEvent": "comment_updated"}
    found = webhook(tmp_path, edited)
    assert (found.events, found.rejected) == ([], [])
    assert "its first version was published" in found.ignored[0].reason
    assert found.ignored[0].unapplied is None
    for kind, change in (("comment_updated", "comment_made_private"), ("comment_deleted", "comment_deleted")):
        later = recorded("jira-comment") | {"webhookEvent": kind}
        later["comment"]["jsdPublic"] = False
        (ignored,) = webhook(tmp_path, later).ignored
        assert "stays an answer" in ignored.reason
        assert ignored[2:4] == (change, "jira-10042")


def without_tier(folder: Path, part: str, before: Json, others: list[Json]) -> translate.Translation:
    """A webhook that removes the tier from an issue, besides other changes; `part` of the field names the tier."""
    mapping = folder / "tiers.yaml"
    tier = f"    tier: [{{from: issue.fields.customfield_1.{part}}}]\n    tenants:\n"
    mapping.write_text(MAPPING.replace("    tenants:\n", tier).replace("FIELD", "customfield_2.value"))
    payload = changed([], {"field": "Tier", "fieldId": "customfield_1", **before, "to": None}, *others)
    payload["issue"]["fields"] |= {
        "customfield_1": None,
        "customfield_2": ACME,
        "components": [{"id": "1", "name": "Web"}],
    }
    return translate.webhook(load_mapping(mapping)["jira"], json.dumps(payload).encode())


@pytest.mark.parametrize("others", BESIDE_A_TIER, ids=["alone", "beside"])
def test_a_tier_that_is_removed_is_told_because_no_event_takes_it_back(tmp_path: Path, others: list[Json]) -> None:
    found = without_tier(tmp_path, "value", {"from": "7", "fromString": "1"}, others)
    assert [each[2:4] for each in found.ignored] == [("tier_removed", "jira-17334")]
    assert [each.event_type for each in found.events] == ["incident.reclassified" for _ in others]


@pytest.mark.parametrize("others", BESIDE_A_TIER, ids=["alone", "beside"])
def test_a_tier_that_is_removed_is_told_where_its_value_before_is_unknown(tmp_path: Path, others: list[Json]) -> None:
    found = without_tier(tmp_path, "key", {"from": "[Tier 7]", "fromString": "[Tier 7]"}, others)
    assert [each[2:4] for each in found.ignored] == [("tier_removed", "jira-17334")]
