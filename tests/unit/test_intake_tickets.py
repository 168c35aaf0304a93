"""Tickets and senders that are not what they seem: retyped, solved from the start, staff of nobody, another's name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from intake_samples import decided, published, simulated

from connect.contract_import.file import read_rows
from connect.intake import translate
from connect.intake.formats import alertmanager, cloudevents, json_body
from connect.intake.formats.rest import ROUTES
from connect.intake.mapping.rules import Source
from connect.intake.mapping_file import MappingError, load_mapping
from connect.intake.translate import Translation
from streams.serde.codec import decode
from streams.sla.events import Rejection
from streams.sla.instants import parse_rfc3339

ROOT = Path(__file__).resolve().parents[2]
SOURCES = load_mapping(ROOT / "examples" / "intake.yaml")
ZENDESK, JIRA, SERVICES = SOURCES["zendesk"], SOURCES["jira"], SOURCES["services"]
Json = dict[str, Any]


def recorded(name: str) -> Json:
    found: Json = json.loads((ROOT / "tests/data/intake" / f"{name}.json").read_text(encoding="utf-8"))
    return found


def types(translation: Translation) -> list[str]:
    return [each.event_type for each in translation.events]


def retyped(before: str, after: str) -> Translation:
    payload = recorded("zendesk-priority")
    payload["type"] = "zen:event-type:ticket.type_changed"
    payload["event"] = {"previous": before, "current": after}
    payload["detail"]["type"] = after
    return translate.webhook(ZENDESK, json.dumps(payload).encode())


def test_a_ticket_that_is_no_incident_any_more_ends_it() -> None:
    """Else its clocks would run for ever: what follows is left aside."""
    assert types(retyped("INCIDENT", "TASK")) == ["incident.resolved"]


def test_a_ticket_that_becomes_an_incident_is_one_from_then_on() -> None:
    opened, *without_effect = retyped("QUESTION", "INCIDENT").events
    changed = recorded("zendesk-priority")
    assert opened.event_type == "incident.opened"
    assert [each.event_type for each in without_effect] == ["incident.reopened", "incident.reclassified"]
    assert changed["detail"]["created_at"] < changed["time"]
    assert opened.time == translate.webhook(ZENDESK, json.dumps(changed).encode()).events[-1].time


def retyped_at(at: str, before: str, after: str, **detail: str) -> Json:
    payload = recorded("zendesk-created") | {"id": f"change-{at}", "time": f"2026-04-10T{at}:00Z"}
    payload |= {"type": "zen:event-type:ticket.type_changed", "event": {"previous": before, "current": after}}
    payload["detail"] |= {"type": after, "updated_at": payload["time"], **detail}
    return payload


def retyped_issue(at: str, before: str, after: str) -> Json:
    payload = recorded("jira-priority") | {"timestamp": parse_rfc3339(f"2026-04-10T{at}:00Z") // 1_000}
    item = {"field": "issuetype", "from": "1", "fromString": before, "to": "2", "toString": after}
    payload["changelog"] = {"id": f"1{at.replace(':', '')}", "items": [item]}
    payload["issue"]["fields"]["issuetype"] = {"id": "2", "name": after}
    payload["issue"]["fields"]["status"] = {"name": "Open"}
    return payload


def outages(source: Source, payloads: list[Json]) -> list[tuple[str, str | None]]:
    """Start and end of each outage that the agents make of these webhooks, which all arrive in the end."""
    lines = []
    for payload in payloads:
        for each in published(translate.webhook(source, json.dumps(payload).encode())):
            lines.append(json.dumps(each | {"receivedtime": "2026-04-10T12:00:00Z"}))
    outputs = [json.loads(line) for line in simulated(lines)]
    assert [each["data"] for each in outputs if each["type"] == "sla.rejected"] == []
    last = [each["data"]["intervals"] for each in outputs if each["type"] == "impact.changed"][-1]
    return [(each["start"][11:16], each["end"] and each["end"][11:16]) for each in last]


STORIES = [
    (ZENDESK, recorded("zendesk-created"), retyped_at, "INCIDENT", "TASK"),
    (JIRA, recorded("jira-created"), retyped_issue, "Incident", "Task"),
]


@pytest.mark.parametrize(("source", "created", "retype", "incident", "task"), STORIES)
def test_a_ticket_that_is_an_incident_again_counts_again(
    source: Source, created: Json, retype: Callable[[str, str, str], Json], incident: str, task: str
) -> None:
    """Its incident was resolved when the mapping began to ignore it."""
    story = [
        created,
        retype("09:00", incident, task),
        retype("10:00", task, incident),
        retype("10:30", incident, task),
        retype("11:00", task, incident),
    ]
    expected = [("08:00", "09:00"), ("10:00", "10:30"), ("11:00", None)]
    assert outages(source, story) == outages(source, [*reversed(story), *story]) == expected


def test_a_ticket_that_is_ignored_first_and_an_incident_twice() -> None:
    story = [retyped_at("09:00", "TASK", "INCIDENT"), retyped_at("09:30", "INCIDENT", "TASK")]
    story.append(retyped_at("11:00", "QUESTION", "INCIDENT"))
    assert outages(ZENDESK, story) == [("09:00", "09:30"), ("11:00", None)]


def test_a_ticket_that_is_an_incident_again_while_it_is_solved_is_reopened_as_what_it_is_then() -> None:
    """Its tags have changed while the mapping ignored it."""
    story = [
        recorded("zendesk-created"),
        retyped_at("09:00", "INCIDENT", "TASK"),
        retyped_at("10:00", "TASK", "INCIDENT", status="SOLVED", tags=["ui"]),
        retyped_at("11:00", "INCIDENT", "INCIDENT", status="OPEN", tags=["ui"])
        | {"type": "zen:event-type:ticket.status_changed", "event": {"previous": "SOLVED", "current": "OPEN"}},
    ]
    for order in (story, story[::-1]):
        lines = [json.dumps(each) for body in order for each in published(decided(ZENDESK, body))]
        outputs = [json.loads(line) for line in simulated(lines)]
        last = [each["data"]["intervals"] for each in outputs if each["type"] == "impact.changed"][-1]
        assert [(each["component"], each["start"][11:16]) for each in last] == [("api", "08:00"), ("ui", "11:00")]


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        ({"status": "SOLVED"}, ["incident.opened", "incident.reclassified", "incident.resolved"]),
        ({"status": "PENDING"}, ["incident.opened", "incident.reopened", "incident.reclassified", "incident.waiting"]),
        (
            {"status": "SOLVED", "updated_at": "2026-04-10T09:05:00Z"},
            ["incident.opened", "incident.reopened", "incident.reclassified"],
        ),
    ],
)
def test_a_ticket_that_becomes_an_incident_has_the_state_of_its_status(detail: Json, expected: list[str]) -> None:
    """Changes of its status were left aside while it was ignored; later ones have events of their own."""
    payload = retyped_at("09:00", "TASK", "INCIDENT", **detail)
    assert types(translate.webhook(ZENDESK, json.dumps(payload).encode())) == expected


@pytest.mark.parametrize(
    ("untouched", "expected"), [(True, ["incident.opened", "incident.resolved"]), (False, ["incident.opened"])]
)
def test_a_ticket_that_is_solved_from_the_start_is_resolved(untouched: bool, expected: list[str]) -> None:
    """Where it was touched since, the change of its status is told of by itself."""
    zendesk, jira = recorded("zendesk-created"), recorded("jira-created")
    detail, fields = zendesk["detail"], jira["issue"]["fields"]
    detail["status"] = "SOLVED"
    detail["updated_at"] = detail["created_at"] if untouched else "2026-12-01T00:00:00Z"
    fields["status"] = {"name": "Done", "statusCategory": {"key": "done"}}
    fields["updated"] = fields["created"] if untouched else "2026-12-01T00:00:00.000+0000"
    assert types(translate.webhook(ZENDESK, json.dumps(zendesk).encode())) == expected
    assert types(translate.webhook(JIRA, json.dumps(jira).encode())) == expected


def test_of_whom_nothing_is_said_nobody_takes_for_staff() -> None:
    payload = recorded("jira-comment")
    payload["comment"] = {key: value for key, value in payload["comment"].items() if key != "jsdPublic"}
    payload["comment"]["author"] = {"name": "kim"}
    translation = translate.webhook(JIRA, json.dumps(payload).encode())
    assert types(translation) == ["incident.updated"]
    found = decode(translation.events[0].record.value)
    assert not isinstance(found, Rejection)
    assert (found[1]["who"], found[1]["visibility"]) == ({"kind": "system", "id": "kim"}, "internal")


def test_nobody_speaks_for_another_source() -> None:
    event = {
        "specversion": "1.0",
        "id": "prometheus-1-opened",
        "source": "/alertmanager/prod",
        "type": "incident.opened",
        "subject": "prometheus-1",
        "time": "2026-04-10T08:00:00Z",
        "data": {"scope": "platform", "component": "api", "impact": "cosmetic", "channel": "monitor"},
    }
    spoofed = translate.cloud_events(SERVICES, cloudevents.STRUCTURED, {}, json.dumps(event).encode())
    assert [each.code for each in spoofed.rejected] == ["forbidden"]
    own = translate.cloud_events(
        SERVICES, cloudevents.STRUCTURED, {}, json.dumps({**event, "source": "/desk"}).encode()
    )
    assert types(own) == ["incident.opened"]


@pytest.mark.parametrize("name", [42, "", ["x"], None])
def test_an_id_that_is_none_is_refused_and_not_replaced(name: object) -> None:
    (route,) = [each for each in ROUTES if each.event_type == "incident.opened"]
    given = {"incident_id": "inc-1", "id": name, "time": "2026-04-10T08:00:00Z", "scope": "platform"}
    given |= {"component": "api", "impact": "cosmetic", "channel": "monitor"}
    translation = translate.plain_json(SERVICES, route, None, json.dumps(given).encode())
    assert [each.reason[:3] for each in translation.rejected] == ["id:"]


def test_many_keys_are_read_in_one_pass() -> None:
    keys = ",".join(f'"{number}":0' for number in range(100_000))
    found = json_body.parse(f'{{{keys},"99999":1}}'.encode())
    assert isinstance(found, Rejection)
    assert "'99999' appears twice" in found.message


def test_no_count_of_a_senders_is_too_large_to_be_counted() -> None:
    assert alertmanager.truncated({"truncatedAlerts": 10**400}) == 1_000_000


def test_a_byte_order_mark_before_quoted_names() -> None:
    """As some spreadsheets and shells write it."""
    names = '\ufeff"tenant_id","valid_from","plan","amount_minor","currency","emergency_member"\r\n'
    row = '"acme","2026-01-01T00:00:00Z","scalr-emergency","600000","USD","yes"\r\n'
    rows, bad = read_rows([names, row])
    assert (len(rows), bad) == (1, [])


@pytest.mark.parametrize("source", [ZENDESK, JIRA], ids=["zendesk", "jira"])
def test_a_ticket_whose_creation_was_lost_is_opened_by_its_updates(source: Source) -> None:
    """R4: its updates would be orphans. The opening of the creation stands if it comes, in any order."""
    source = replace(source, opening_with_updates=True, ignore=())
    names = ["created", "comment", "priority", "resolved" if source.name == "jira" else "solved"]
    created, *updates = [published(decided(source, recorded(f"{source.name}-{name}"))) for name in names]
    for update in updates[source.name == "jira" :]:  # a comment of Jira does not say when its issue was created
        assert update[0]["type"] == "incident.opened"
        assert (update[0]["time"], update[0]["subject"]) == (created[0]["time"], created[0]["subject"])
        assert update[0]["id"] > created[0]["id"]

    def closed(*stories: list[Json]) -> Json:
        lines = [json.dumps(each | {"receivedtime": "2026-04-10T12:00:00Z"}) for story in stories for each in story]
        outputs = [json.loads(line) for line in simulated(lines)]
        assert not [each for each in outputs if each["type"] == "sla.rejected"]
        return next(each["data"] for each in reversed(outputs) if each["type"] == "incident.closed")

    assert closed(created, *updates) == closed(*updates, created)
    assert closed(*updates)["reason"] == "resolved"


def test_a_ticket_that_was_over_is_opened_by_no_update() -> None:
    payload = recorded("zendesk-comment")
    payload["detail"]["status"] = "SOLVED"
    found = decided(replace(ZENDESK, opening_with_updates=True, ignore=()), payload)
    assert [each.event_type for each in found.events] == ["incident.updated"]


@pytest.mark.parametrize("source", [ZENDESK, JIRA], ids=["zendesk", "jira"])
def test_a_ticket_whose_creation_was_lost_is_opened_as_what_it_was_before_its_update(source: Source) -> None:
    """It was urgent until the update, so the time until then counts as a complete outage."""
    source = replace(source, opening_with_updates=True, ignore=())
    opened, changed = published(decided(source, recorded(f"{source.name}-priority")))
    assert (opened["data"]["impact"], changed["data"]["impact"]) == ("complete_outage", "material_aspect")
    created, update = (decided(source, recorded(f"{source.name}-{name}")) for name in ("created", "priority"))
    assert opened["data"] == published(created)[0]["data"]
    assert types(update) == ["incident.opened", "incident.reclassified"]


def test_an_issue_that_changes_in_several_ways_at_once_is_opened_as_what_it_was_before() -> None:
    payload = recorded("jira-resolved")
    payload["changelog"]["items"] += recorded("jira-priority")["changelog"]["items"]
    payload["issue"]["fields"]["priority"] = {"id": "2", "name": "High"}
    found = published(decided(replace(JIRA, opening_with_updates=True, ignore=()), payload))
    assert [each["type"] for each in found] == ["incident.opened", "incident.reclassified", "incident.resolved"]
    assert found[0]["data"]["impact"] == "complete_outage"


def test_a_solved_ticket_that_can_be_mapped_days_later_is_over(tmp_path: Path) -> None:
    """Its end was an orphan after a day, so its outage would last for ever."""
    text = (ROOT / "examples" / "intake.yaml").read_text(encoding="utf-8")
    path = tmp_path / "intake.yaml"
    path.write_text(
        text.replace("      - value: material_aspect  ", "      - {value: cosmetic, when: {detail.type: x}}")
    )
    source = load_mapping(path)["zendesk"]
    created, solved, mapped = (recorded(f"zendesk-{name}") for name in ("created", "solved", "priority"))
    created["detail"]["priority"] = solved["detail"]["priority"] = mapped["event"]["previous"] = None
    mapped["detail"] |= {"status": "SOLVED", "updated_at": "2026-04-13T08:00:00Z"}
    mapped["time"] = "2026-04-13T08:00:00Z"

    def end(*story: tuple[Json, str]) -> str:
        lines = [
            json.dumps(each | {"receivedtime": f"2026-04-{day}T12:00:00Z"})
            for payload, day in story
            for each in published(decided(source, payload))
        ]
        outputs = [json.loads(line) for line in simulated(lines)]
        (interval,) = [each["data"]["intervals"] for each in outputs if each["type"] == "impact.changed"][-1]
        return str(interval["end"])

    assert end((created, "10"), (solved, "10"), (mapped, "13")) == "2026-04-13T08:00:00Z"
    assert end((mapped, "13"), (solved, "13")) == "2026-04-10T10:00:00Z"


@pytest.mark.parametrize("kind", ["soft_deleted", "marked_as_spam", "permanently_deleted"])
def test_a_solved_ticket_that_is_deleted_is_opened_by_nothing(kind: str) -> None:
    """It would be an outage from its creation to its deletion."""
    source = replace(ZENDESK, opening_with_updates=True, ignore=())
    payload = recorded("zendesk-solved") | {"type": f"zen:event-type:ticket.{kind}"}
    assert types(decided(source, payload)) == ["incident.resolved"]
    payload["detail"]["status"] = "OPEN"
    first = ["incident.opened"] if kind != "permanently_deleted" else []  # that is weeks after it was deleted
    assert types(decided(source, payload)) == [*first, "incident.resolved"]


def test_a_done_issue_that_is_deleted_is_opened_by_nothing() -> None:
    source = replace(JIRA, opening_with_updates=True, ignore=())
    payload = recorded("jira-resolved") | {"webhookEvent": "jira:issue_deleted"}
    assert types(decided(source, payload)) == ["incident.resolved"]
    payload["issue"]["fields"]["status"] = {"name": "Open", "statusCategory": {"key": "new"}}
    assert types(decided(source, payload)) == ["incident.opened", "incident.resolved"]


@pytest.mark.parametrize("source", [ZENDESK, JIRA], ids=["zendesk", "jira"])
def test_an_opening_of_an_update_is_left_out_where_it_is_forbidden(source: Source) -> None:
    """The sender of an update did no wrong: a system that is refused often stops its webhooks."""
    source = replace(source, opening_with_updates=True, ignore=(), only_tenants=("tokyo-trading",))
    name = "jira-resolved" if source.name == "jira" else "zendesk-solved"
    found = decided(source, recorded(name))
    assert (types(found), found.rejected) == (["incident.resolved"], [])


def test_openings_with_updates_are_refused_beside_ignore(tmp_path: Path) -> None:
    text = (ROOT / "examples" / "intake.yaml").read_text(encoding="utf-8")
    assert "\n    ignore:" in text[text.index("  zendesk:") :]
    path = tmp_path / "intake.yaml"
    path.write_text(text.replace("    format: zendesk\n", "    format: zendesk\n    opening_with_updates: true\n"))
    with pytest.raises(MappingError, match="does not say since when"):
        load_mapping(path)
