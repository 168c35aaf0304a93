"""What Zendesk's events become: a ticket's story, disorder, authors, hostile input (R1, R2, R27)."""

from __future__ import annotations

import dataclasses
import json
from itertools import pairwise, permutations
from pathlib import Path

import pytest
from intake_samples import SOURCES, ZENDESK, Json, decided, published, recorded, said, simulated

from connect.intake import translate
from connect.intake.formats import zendesk
from connect.intake.formats.source_format import Receipt
from connect.intake.mapping_file import load_mapping
from connect.intake.sortable_ids import sortable
from streams.serde.cloudevents_json import format_line
from streams.sla.instants import parse_rfc3339

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


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("requester_changed", "requester_id"),
        ("submitter_changed", "submitter_id"),
        ("agent_assignment_changed", "assignee_id"),
        ("external_id_changed", "external_id"),
        ("custom_status_changed", "custom_status"),
        ("subject_changed", "subject"),
        ("description_changed", "description"),
    ],
)
def test_whatever_field_the_mapping_reads_its_change_reclassifies(kind: str, field: str, tmp_path: Path) -> None:
    file = tmp_path / "intake.yaml"
    file.write_text(
        "version: 1\nsources:\n  zendesk:\n    format: zendesk\n    secrets: [{env: TOKEN}]\n"
        "    component: [{value: api}]\n    impact: [{value: cosmetic}]\n"
        f"    tenants: [{{from: detail.{field}, values: {{old: acme, new: tokyo-trading}}}}]\n",
        encoding="utf-8",
    )
    payload = recorded("zendesk-priority") | {"type": f"zen:event-type:ticket.{kind}"}
    payload["event"] = {"previous": "old", "current": "new"}
    payload["detail"][field] = "new"
    (event,) = published(decided(load_mapping(file)["zendesk"], payload))
    assert (event["type"], event["data"]) == (
        "incident.reclassified",
        {"scope": "tenants", "tenant_ids": ["tokyo-trading"]},
    )


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
        f"zendesk-5158-opened-{sortable(parse_rfc3339(late['time']))}-{late['id']}",
    )
    assert opened["data"]["impact"] == reclassified["data"]["impact"] == "material_aspect"


def test_a_time_that_no_event_can_have_is_refused_not_an_error() -> None:
    strict = dataclasses.replace(ZENDESK, impact=ZENDESK.impact[:1])
    late = recorded("zendesk-priority") | {"time": "9999-12-31T23:59:59-23:59"}
    late["event"] |= {"previous": None, "current": "High"}
    assert "lies outside the years 1970 to 9999" in decided(strict, late).rejected[0].reason


def priorities(*story: str | None) -> list[Json]:
    """The events of a ticket whose priority goes from one of these to the next, one a minute."""
    strict = dataclasses.replace(ZENDESK, impact=ZENDESK.impact[:1])
    created = recorded("zendesk-created")
    created["detail"]["priority"] = story[0]
    found = [decided(strict, created)]
    for minute, (before, now) in enumerate(pairwise(story), 10):
        changed = recorded("zendesk-priority")
        changed |= {"id": f"change-{99 - minute}", "time": f"2026-04-10T08:{minute}:00Z"}
        changed["event"] |= {"previous": before, "current": now}
        changed["detail"] |= {"priority": now, "subject": f"{now} at {minute}"}
        found.append(decided(strict, changed))
    return [event for each in found for event in published(each)]


@pytest.mark.parametrize(
    ("story", "impacts"),
    [
        (["HIGH", None, "LOW"], ["material_aspect 08:00", "cosmetic 08:11"]),
        ([None, "HIGH", None, "LOW"], ["material_aspect 08:00", "cosmetic 08:12"]),
        (
            ["HIGH", None, "LOW", None, "URGENT"],
            ["material_aspect 08:00", "cosmetic 08:11", "complete_outage 08:13"],
        ),
    ],
)
def test_a_ticket_that_is_mapped_again_is_no_conflict_in_any_order(story: list[str | None], impacts: list[str]) -> None:
    events = priorities(*story)
    for order in permutations(events):
        lines = [format_line(event | {"receivedtime": "2026-04-10T09:00:00Z"}) for event in order]
        told = [json.loads(line) for line in simulated(lines)]
        assert [each["data"] for each in told if each["type"] == "sla.rejected"] == []
        found = [each["data"]["intervals"] for each in told if each["type"] == "impact.changed"][-1]
        assert [f"{each['impact']} {each['start'][11:16]}" for each in found] == impacts


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


def test_very_many_tags_are_not_compared_each_with_each() -> None:
    """40,000 of them took a minute, in which the intake answered nobody."""
    compared = 0

    class Tag(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    payload = recorded("zendesk-priority")
    gone = [Tag(f"old-{number}") for number in range(500)]
    payload["detail"]["tags"] = ["ui", *(Tag(f"tag-{number}") for number in range(500)), *gone]
    payload |= {
        "type": "zen:event-type:ticket.tags_changed",
        "event": {"tags_added": ["ui"], "tags_removed": [*gone, "api"]},
    }
    (made,) = published(
        translate.translated(translate.Outcomes(zendesk.translate(payload, ZENDESK, Receipt())), ZENDESK)
    )
    assert made["data"]["component"] == "ui"
    assert compared < 10_000


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
