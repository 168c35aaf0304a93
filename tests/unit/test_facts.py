"""One row per check that an input can be given alone (R16, R17, R28), and the digest (R1)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streams.serde.cloudevents_json import from_json, parse_line
from streams.serde.codec import decode, encode
from streams.sla import events
from streams.sla.events import Event, Rejection
from streams.sla.facts import digest, stored_event, to_event
from streams.sla.instants import LATEST

ROOT = Path(__file__).parents[2]
INPUTS = (*events.INCIDENT_RANK, *sorted(events.CONTRACT_TYPES))
TRANSPORT = {"event_id", "source", "subject", "occurred_at", "received_time", "backfill", "traceparent"}
SUPPORT = {"kind": "support", "id": "a"}


def sample(event_type: str) -> dict[str, Any]:
    text = (ROOT / f"schemas/golden/{event_type}.json").read_text(encoding="utf-8")
    result = from_json(json.loads(text))
    assert not isinstance(result, Rejection)
    return result[1]


def event(event_type: str, **change: object) -> Event | Rejection:
    return to_event(event_type, {**sample(event_type), **change})


def stored(event_type: str, **change: object) -> Event | Rejection:
    return stored_event(event_type, {**sample(event_type), **change})


@pytest.mark.parametrize(
    ("event_type", "change", "words"),
    [
        ("incident.opened", {"scope": "platform", "tenant_ids": ["a"]}, ["tenant_ids", "platform"]),
        ("incident.reclassified", {"scope": "platform", "tenant_ids": ["a"]}, ["tenant_ids", "platform"]),
        ("maintenance.scheduled", {"scope": "platform", "tenant_ids": ["a"]}, ["tenant_ids", "platform"]),
        ("incident.opened", {"scope": "tenants", "tenant_ids": ["a", "*"]}, ["tenant_ids[1]", "'*'", "platform"]),
        ("contract.set", {"tenant_id": "*", "subject": "*"}, ["tenant_id", "'*'"]),
        ("incident.opened", {"summary": "a\x00b"}, ["summary", "U+0000"]),
        ("incident.updated", {"text": "a\x1b[31mb"}, ["text", "U+001B"]),
        ("incident.annulled", {"reason": "a\x85b"}, ["reason", "U+0085"]),
    ],
)
def test_r28_what_a_new_input_may_not_say_is_invalid_and_still_read_of_the_state(
    event_type: str, change: dict[str, object], words: list[str]
) -> None:
    rejected = event(event_type, **change)
    assert isinstance(rejected, Rejection)
    assert rejected.code == "invalid"
    assert [word for word in words if word not in rejected.message] == []
    assert isinstance(stored(event_type, **change), Event)


@pytest.mark.parametrize("event_type", ["incident.amended", "incident.policy_applied", "incident.annulled"])
@pytest.mark.parametrize("approver", ["Alex@example.com", " alex@example.com ", "ａｌｅｘ@example.com"])
def test_r17_another_spelling_of_an_id_is_no_second_person(event_type: str, approver: str) -> None:
    two: dict[str, object] = {
        "who": {"kind": "support", "id": "alex@example.com"},
        "approver": {"kind": "support", "id": approver},
    }
    rejected = event(event_type, **two)
    assert isinstance(rejected, Rejection)
    assert rejected.code == "four_eyes"
    assert isinstance(stored(event_type, **two), Event), "an earlier release accepted it"


@pytest.mark.parametrize("text", ["one\ntwo", "one\r\ntwo", "a\tb", "障害\u3000復旧", "\N{PARTY POPPER}"])
def test_r28_texts_may_have_lines_and_tabs(text: str) -> None:
    assert isinstance(event("incident.opened", summary=text), Event)


@pytest.mark.parametrize("event_type", INPUTS)
def test_every_input_type_becomes_an_event_with_its_payload(event_type: str) -> None:
    made = event(event_type)
    assert isinstance(made, Event)
    name = "".join(part.capitalize() for part in event_type.replace(".", "_").split("_"))
    payload_name = name.removeprefix("Incident")
    assert type(made.payload).__name__ == payload_name
    assert (made.type, made.id, made.subject) == (
        event_type,
        sample(event_type)["event_id"],
        sample(event_type)["subject"],
    )


def test_the_envelope_is_carried() -> None:
    made = event("incident.opened")
    assert isinstance(made, Event)
    assert (made.backfill, made.received, made.source) == (True, 1_769_850_001_500_000, "/desk")
    assert made.traceparent == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert made.payload == events.Opened(
        "tenants",
        ("acme", "tokyo-trading"),
        "api",
        "complete_outage",
        1,
        "phone",
        1_769_849_700_250_000,
        "API が応答しない",
        "T-100",
    )


LONG_ID, LONG_TEXT = "x" * 129, "障" * 1366  # 4,098 bytes
BAD_IDS = ["", LONG_ID, "a\nb", "a\x00", "\x85"]

REFUSED: list[tuple[str, dict[str, object], str, str]] = [
    *[("incident.responded", {"event_id": bad}, "invalid", "event_id") for bad in BAD_IDS],
    *[("incident.responded", {"source": bad}, "invalid", "source") for bad in BAD_IDS],
    *[("incident.responded", {"subject": bad}, "invalid", "subject") for bad in BAD_IDS],
    ("incident.responded", {"occurred_at": -1}, "invalid", "time"),
    ("incident.responded", {"occurred_at": LATEST + 1}, "invalid", "time"),
    ("incident.responded", {"received_time": LATEST + 1}, "invalid", "receivedtime"),
    ("incident.responded", {"who": {"kind": "unknown", "id": None}}, "invalid", "who.kind"),
    ("incident.responded", {"who": {"kind": "support", "id": LONG_ID}}, "invalid", "who.id"),
    ("incident.responded", {"who": {"kind": "support", "id": ""}}, "invalid", "who.id"),
    ("incident.opened", {"scope": "unknown"}, "invalid", "scope"),
    ("incident.opened", {"tenant_ids": []}, "invalid", "tenant_ids"),
    ("incident.opened", {"tenant_ids": ["a", LONG_ID]}, "invalid", "tenant_ids[1]"),
    ("incident.opened", {"tenant_ids": [f"t{n}" for n in range(1001)]}, "oversize", "1,001"),
    ("incident.opened", {"component": ""}, "invalid", "component"),
    ("incident.opened", {"tier": 0}, "invalid", "tier"),
    ("incident.opened", {"tier": 4}, "invalid", "tier"),
    ("incident.opened", {"summary": LONG_TEXT}, "oversize", "summary"),
    ("incident.opened", {"started_at": -1}, "invalid", "started_at"),
    ("incident.opened", {"ticket_id": LONG_ID}, "invalid", "ticket_id"),
    ("incident.opened", {"language": LONG_ID}, "invalid", "language"),
    ("incident.updated", {"visibility": "unknown"}, "invalid", "visibility"),
    ("incident.updated", {"text": "x" * 4097}, "oversize", "text"),
    ("incident.update_requested", {"who": {"kind": "unknown", "id": None}}, "invalid", "who.kind"),
    (
        "incident.reclassified",
        dict.fromkeys(["component", "impact", "tier", "scope", "tenant_ids"]),
        "invalid",
        "at least one",
    ),
    ("incident.reclassified", {"scope": None}, "invalid", "tenant_ids"),
    ("incident.reclassified", {"tenant_ids": None}, "invalid", "tenant_ids"),
    ("incident.reclassified", {"scope": "unknown"}, "invalid", "scope"),
    ("incident.reclassified", {"tier": 9}, "invalid", "tier"),
    ("incident.severity_set", {"severity": "unknown"}, "invalid", "severity"),
    ("incident.severity_set", {"reason": LONG_TEXT}, "oversize", "reason"),
    ("incident.waiting", {"on": "unknown"}, "invalid", "on"),
    ("incident.waiting", {"who": {"kind": "unknown", "id": None}}, "invalid", "who.kind"),
    ("incident.waiting_ended", {"on": "unknown"}, "invalid", "on"),
    ("incident.resolved", {"restored_at": LATEST + 1}, "invalid", "restored_at"),
    ("incident.resolved", {"who": {"kind": "unknown", "id": None}}, "invalid", "who.kind"),
    ("incident.reopened", {"started_at": -5}, "invalid", "started_at"),
    ("incident.reopened", {"reason": LONG_TEXT}, "oversize", "reason"),
    ("incident.linked", {"ticket_id": None, "phone_call_id": None}, "invalid", "at least one"),
    ("incident.linked", {"phone_call_id": LONG_ID}, "invalid", "phone_call_id"),
    ("incident.merged", {"into": "inc-1"}, "cycle", "into"),
    ("incident.merged", {"into": ""}, "invalid", "into"),
    (
        "incident.amended",
        dict.fromkeys(["started_at", "restored_at", "counts_as_downtime"]),
        "invalid",
        "at least one",
    ),
    ("incident.amended", {"started_at": -1}, "invalid", "started_at"),
    ("incident.policy_applied", {"policy": ""}, "invalid", "policy"),
    ("incident.policy_applied", {"version": LONG_ID}, "invalid", "version"),
    *[
        (event_type, change, "four_eyes", word)
        for event_type in ("incident.amended", "incident.policy_applied", "incident.annulled")
        for change, word in [
            ({"who": None}, "who.id"),
            ({"approver": None}, "approver.id"),
            ({"who": {"kind": "support", "id": None}}, "who.id"),
            ({"who": {"kind": "support", "id": ""}}, "who.id"),
            ({"approver": {"kind": "support", "id": ""}}, "approver.id"),
            ({"who": SUPPORT, "approver": {"kind": "customer", "id": "a"}}, "different"),
        ]
    ],
    ("incident.annulled", {"approver": {"kind": "unknown", "id": "b"}}, "invalid", "approver.kind"),
    ("incident.annulled", {"reason": LONG_TEXT}, "oversize", "reason"),
    ("maintenance.scheduled", {"maintenance_id": "other"}, "invalid", "maintenance_id"),
    ("maintenance.scheduled", {"scope": "tenants"}, "invalid", "tenant_ids"),
    ("maintenance.scheduled", {"components": []}, "invalid", "components"),
    ("maintenance.scheduled", {"start": 5, "end": 5}, "invalid", "end"),
    ("maintenance.scheduled", {"announced_at": -1}, "invalid", "announced_at"),
    ("maintenance.cancelled", {"maintenance_id": "other"}, "invalid", "maintenance_id"),
    ("contract.set", {"tenant_id": "other"}, "invalid", "tenant_id"),
    ("contract.set", {"valid_from": 5, "valid_to": 5}, "invalid", "valid_to"),
    ("contract.set", {"plan": ""}, "invalid", "plan"),
    ("contract.set", {"monthly_charge": {"amount_minor": -1, "currency": "USD"}}, "invalid", "amount_minor"),
    *[
        ("contract.set", {"monthly_charge": {"amount_minor": 1, "currency": bad}}, "invalid", "currency")
        for bad in ["usd", "US", "USDT", "", "ＵＳＤ"]
    ],
    ("contract.set", {"tier": 0}, "invalid", "tier"),
    *[
        ("contract.set", {"time_zone": bad}, "invalid", "time_zone")
        for bad in ["Mars/Olympus", "", "../UTC", "localtime", "right/UTC", "asia/tokyo"]
    ],
    ("credit.claimed", {"tenant_id": "other"}, "invalid", "tenant_id"),
    *[
        ("credit.claimed", {"month": bad}, "invalid", "month")
        for bad in ["2026-13", "2026-00", "2026-1", "1969-12", "２０２６-01", "2026-01\n"]
    ],
    ("credit.claimed", {"who": {"kind": "unknown", "id": None}}, "invalid", "who.kind"),
    ("tenant.erased", {"tenant_id": "other"}, "invalid", "tenant_id"),
    ("tenant.erased", {"reason": LONG_TEXT}, "oversize", "reason"),
]


@pytest.mark.parametrize(("event_type", "change", "code", "word"), REFUSED)
def test_refused(event_type: str, change: dict[str, object], code: str, word: str) -> None:
    result = event(event_type, **change)
    assert isinstance(result, Rejection), result
    assert (result.code, word in result.message) == (code, True), result
    assert result.event_id == change.get("event_id", sample(event_type)["event_id"])
    assert code in events.REJECT_CODES


@pytest.mark.parametrize(
    ("event_type", "change"),
    [
        ("incident.responded", {"event_id": "障" * 128}),
        ("incident.responded", {"subject": "a\u3000b\u200d"}),
        ("incident.responded", {"occurred_at": 0}),
        ("incident.responded", {"occurred_at": LATEST}),
        ("incident.opened", {"impact": "unknown", "channel": "unknown"}),
        ("incident.opened", {"tenant_ids": [f"t{n}" for n in range(1000)]}),
        ("incident.opened", {"summary": "障" * 1365}),
        ("incident.opened", {"summary": ""}),
        ("incident.updated", {"text": "x" * 4096 + ""}),
        ("incident.severity_set", {"severity": None}),
        ("incident.reclassified", {"impact": None, "scope": None, "tenant_ids": None, "tier": None}),
        ("incident.merged", {"into": "inc-10"}),
        ("contract.set", {"time_zone": None, "valid_to": None, "tier": None}),
        ("contract.set", {"monthly_charge": {"amount_minor": 0, "currency": "JPY"}}),
        ("credit.claimed", {"month": "9999-12"}),
    ],
)
def test_accepted_at_the_edge(event_type: str, change: dict[str, object]) -> None:
    assert isinstance(event(event_type, **change), Event)


def test_r28_stored_tenants_beside_platform_are_ignored_and_repeated_ones_count_once() -> None:
    """Scope platform with tenants was accepted once; records of that time are still read."""
    platform = stored("incident.opened", scope="platform", tenant_ids=["a"])
    assert isinstance(platform, Event)
    assert isinstance(platform.payload, events.Opened)
    assert platform.payload.tenant_ids == ()
    moved = stored("incident.reclassified", scope="platform", tenant_ids=["a"])
    assert isinstance(moved, Event)
    assert isinstance(moved.payload, events.Reclassified)
    assert (moved.payload.scope, moved.payload.tenant_ids) == ("platform", ())
    twice = event("incident.opened", tenant_ids=["a", "b", "a"])
    assert isinstance(twice, Event)
    assert isinstance(twice.payload, events.Opened)
    assert twice.payload.tenant_ids == ("a", "b")


@pytest.mark.parametrize("event_type", ["incident.classified", "time.mark", "state.incident", "nonsense"])
def test_what_is_no_input_is_refused(event_type: str) -> None:
    result = to_event(event_type, {"event_id": "e-1"})
    assert isinstance(result, Rejection)
    assert (result.code, result.event_id) == ("unknown_type", "e-1")


def test_a_malformed_trace_context_is_as_none() -> None:
    made = event("incident.responded", traceparent="not a trace")
    assert isinstance(made, Event)
    assert made.traceparent is None


@pytest.mark.parametrize("event_type", INPUTS)
def test_the_digest_covers_every_data_field_and_no_transport(event_type: str) -> None:
    record = sample(event_type)
    base = digest(event_type, record)
    assert len(base) == 8
    for name in record.keys() - TRANSPORT | {"subject", "occurred_at"}:
        other = ["x"] if record[name] is None or record[name] == [] else None
        assert digest(event_type, {**record, name: other}) != base, name
    assert digest(event_type, {**record, "backfill": True, "received_time": 5, "traceparent": "t"}) == base


@pytest.mark.parametrize("event_type", INPUTS)
def test_the_digest_is_the_same_in_both_framings_and_in_any_key_order(event_type: str) -> None:
    text = (ROOT / f"schemas/golden/{event_type}.json").read_text(encoding="utf-8")
    turned = json.dumps(_turned(json.loads(text)))
    from_text, from_bytes = parse_line(turned), decode(encode(event_type, sample(event_type)))
    assert not isinstance(from_text, Rejection)
    assert not isinstance(from_bytes, Rejection)
    assert to_event(*from_text) == to_event(*from_bytes)
    record = sample(event_type)
    assert digest(event_type, _turned(record)) == digest(event_type, record)


def test_digests_differ_between_types_and_values_that_look_alike() -> None:
    waiting = sample("incident.waiting")
    assert digest("incident.waiting", waiting) != digest("incident.waiting_ended", waiting)
    linked = sample("incident.linked")
    one = digest("incident.linked", {**linked, "ticket_id": "a", "phone_call_id": None})
    other = digest("incident.linked", {**linked, "ticket_id": None, "phone_call_id": "a"})
    assert one != other


def test_digests_are_stable_over_releases() -> None:
    assert digest("incident.opened", sample("incident.opened")).hex() == "1557ef81ecb7d551"
    assert digest("contract.set", sample("contract.set")).hex() == "1bd67768d31cb938"


def _turned(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _turned(item) for name, item in reversed(value.items())}
    return value
