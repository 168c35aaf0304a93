"""The client's typed methods: each sends exactly what the contract says, and refuses what the product would reject."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from kafka.future import Future

from connect.client import ContractPublisher, IncidentPublisher, InvalidEvent, Money, Who
from connect.client.publisher import Publisher
from streams.serde.cloudevents_json import from_json, to_json
from streams.serde.codec import decode
from streams.sla.events import CONTRACT_TYPES, INCIDENT_RANK, Rejection
from streams.sla.facts import to_event

GOLDEN = Path(__file__).parents[2] / "schemas" / "golden"
NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
KIM, PAT = Who("support", "kim"), Who("customer", "pat")


class Clock:
    def now(self) -> int:
        return int(NOW.timestamp()) * 1_000_000

    async def wait(self, event: Any, until: int | None) -> None:
        raise NotImplementedError


class Recorder:
    """A producer that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def partitions_for(self, topic: str) -> set[int]:
        return set(range(8))

    def send(self, topic: str, **record: Any) -> Any:
        self.sent.append({"topic": topic, **record})
        return Future()

    def flush(self, timeout: float | None = None) -> None:
        pass

    def close(self, timeout: float | None = None) -> None:
        pass


def sent(call: Callable[[Any], object], kind: type[Publisher] = IncidentPublisher, source: str = "/desk") -> Any:
    """The JSON form of what a call sends; it is what the product decodes and takes."""
    recorder = Recorder()
    # Golden events name instants up to two hours after their time, which needs a wider limit than the default.
    call(kind("kafka:9092", source, producer=recorder, clock=Clock(), max_future_skew=timedelta(hours=2)))
    (record,) = recorder.sent
    decoded = decode(record["value"])
    assert not isinstance(decoded, Rejection)
    assert not isinstance(to_event(*decoded), Rejection)
    event = to_json(*decoded)
    assert record["topic"] == ("sla.incident-events" if decoded[0] in INCIDENT_RANK else "sla.contract-events")
    assert record["key"] == str(event["subject"]).encode()
    headers = dict(record["headers"])
    assert headers["ce_id"] == str(event["id"]).encode()
    assert headers["ce_type"] == decoded[0].encode()
    return event


#: Event type → the call that gives the golden event, but for its envelope.
CALLS: dict[str, Callable[[Any], object]] = {
    "incident.opened": lambda p: p.opened(
        "inc-1",
        scope="tenants",
        tenant_ids=("acme", "tokyo-trading"),
        component="api",
        impact="complete_outage",
        tier=1,
        channel="phone",
        summary="API が応答しない",
        started_at=datetime(2026, 1, 31, 8, 55, 0, 250_000, UTC),
        ticket_id="T-100",
        language="ja",
        event_id="evt-incident.opened",
        backfill=True,
        received_time="2026-01-31T09:00:01.5Z",
        traceparent=TRACE,
    ),
    "incident.responded": lambda p: p.responded("inc-1", who=golden_who("incident.responded")),
    "incident.updated": lambda p: p.updated("inc-1", **golden_data("incident.updated")),
    "incident.update_requested": lambda p: p.update_requested("inc-1", who=golden_who("incident.update_requested")),
    "incident.reclassified": lambda p: p.reclassified("inc-1", **golden_data("incident.reclassified")),
    "incident.severity_set": lambda p: p.severity_set("inc-1", **golden_data("incident.severity_set")),
    "incident.waiting": lambda p: p.waiting("inc-1", **golden_data("incident.waiting")),
    "incident.waiting_ended": lambda p: p.waiting_ended("inc-1", **golden_data("incident.waiting_ended")),
    "incident.resolved": lambda p: p.resolved("inc-1", **golden_data("incident.resolved")),
    "incident.reopened": lambda p: p.reopened("inc-1", **golden_data("incident.reopened")),
    "incident.linked": lambda p: p.linked("inc-1", **golden_data("incident.linked")),
    "incident.merged": lambda p: p.merged("inc-1", **golden_data("incident.merged")),
    "incident.amended": lambda p: p.amended("inc-1", **golden_data("incident.amended")),
    "incident.policy_applied": lambda p: p.policy_applied("inc-1", **golden_data("incident.policy_applied")),
    "incident.annulled": lambda p: p.annulled("inc-1", **golden_data("incident.annulled")),
    "contract.set": lambda p: p.contract_set(
        "acme",
        valid_from=datetime(2026, 1, 1, 9, tzinfo=timezone(timedelta(hours=9))),
        valid_to="2027-01-01T00:00:00Z",
        plan="scalr-emergency",
        monthly_charge=Money(500_000, "USD"),
        tier=1,
        time_zone="Asia/Tokyo",
        emergency_member=True,
    ),
    "credit.claimed": lambda p: p.credit_claimed("acme", **without(golden_data("credit.claimed"), "tenant_id")),
    "maintenance.scheduled": lambda p: p.maintenance_scheduled(
        golden("maintenance.scheduled")["subject"], **without(golden_data("maintenance.scheduled"), "maintenance_id")
    ),
    "maintenance.cancelled": lambda p: p.maintenance_cancelled(golden("maintenance.cancelled")["subject"]),
    "tenant.erased": lambda p: p.tenant_erased("acme", **without(golden_data("tenant.erased"), "tenant_id")),
}


def golden(event_type: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{event_type}.json").read_text(encoding="utf-8"))
    return found


def golden_data(event_type: str) -> dict[str, Any]:
    """The golden data as arguments: people are Who."""
    return {
        name: Who(value["kind"], value.get("id")) if name in {"who", "approver"} else value
        for name, value in golden(event_type)["data"].items()
    }


def golden_who(event_type: str) -> Who:
    who: Who = golden_data(event_type)["who"]
    return who


def without(data: dict[str, Any], name: str) -> dict[str, Any]:
    return {field: value for field, value in data.items() if field != name}


def test_every_input_type_has_its_method() -> None:
    assert set(CALLS) == set(INCIDENT_RANK) | CONTRACT_TYPES


@pytest.mark.parametrize("event_type", sorted(CALLS))
def test_a_method_sends_what_the_contract_says(event_type: str) -> None:
    expected = golden(event_type)
    kind = ContractPublisher if event_type in CONTRACT_TYPES else IncidentPublisher
    event = sent(CALLS[event_type], kind, expected["source"])
    assert event["data"] == expected["data"]
    if event_type == "incident.opened":
        assert event == expected
    else:
        assert event["time"] == "2026-01-31T09:00:00Z"
        assert without(event, "id").keys() == {"specversion", "type", "source", "subject", "time", "data"}
    assert event["subject"] == expected["subject"]
    assert event["type"] == event_type


def test_a_severity_of_none_gives_it_back_to_the_rules() -> None:
    event = sent(lambda p: p.severity_set("inc-1", severity=None, who=KIM, reason="by mistake"))
    parsed = from_json(event)
    assert not isinstance(parsed, Rejection)
    assert parsed[1]["severity"] is None


def test_ids_are_fresh_unless_given() -> None:
    first, second = (sent(lambda p: p.responded("inc-1", who=KIM)) for _ in range(2))
    assert first["id"] != second["id"]
    assert sent(lambda p: p.responded("inc-1", who=KIM, event_id="e1"))["id"] == "e1"


OPEN: dict[str, Any] = {"scope": "platform", "component": "api", "impact": "cosmetic", "channel": "api"}
AMEND: dict[str, Any] = {"who": KIM, "approver": Who("support", "lee"), "reason": "logs", "counts_as_downtime": False}
TERMS: dict[str, Any] = {
    "valid_from": "2026-01-01T00:00:00Z",
    "plan": "gold",
    "monthly_charge": Money(1, "USD"),
    "emergency_member": False,
}
WINDOW: dict[str, Any] = {
    "scope": "platform",
    "components": ["api"],
    "start": "2026-06-07T01:00:00Z",
    "end": "2026-06-07T03:00:00Z",
    "announced_at": "2026-06-01T00:00:00Z",
}


def opened(**given: Any) -> Callable[[Any], object]:
    return lambda p: p.opened("inc-1", **{**OPEN, **given})


def amended(**given: Any) -> Callable[[Any], object]:
    return lambda p: p.amended("inc-1", **{**AMEND, **given})


def terms(**given: Any) -> Callable[[Any], object]:
    return lambda p: p.contract_set("acme", **{**TERMS, **given})


def window(**given: Any) -> Callable[[Any], object]:
    return lambda p: p.maintenance_scheduled("m-1", **{**WINDOW, **given})


@pytest.mark.parametrize(
    ("call", "code", "field", "told"),
    [
        (lambda p: p.opened("", **OPEN), "invalid", "subject", "is empty"),
        (lambda p: p.opened("x" * 129, **OPEN), "invalid", "subject", "129 characters; at most 128"),
        (lambda p: p.opened("a\nb", **OPEN), "invalid", "subject", "a control character"),
        (opened(event_id=""), "invalid", "id", "is empty"),
        (opened(started_att="2026-01-01T00:00:00Z"), "invalid", "started_att", "did you mean started_at?"),
        (opened(id="mine"), "invalid", "id", "no such argument; allowed: scope"),
        (opened(backfil=True), "invalid", "backfil", "did you mean backfill?"),
        (lambda p: p.resolved("x", restored="2026-01-01T00:00:00Z"), "invalid", "restored", "mean restored_at?"),
        (
            lambda p: p.resolved("x", occurred_at="2026-01-01T00:00:00Z"),
            "invalid",
            "occurred_at",
            "allowed: restored_at",
        ),
        (opened(event_id="x" * 129), "invalid", "event_id", "at most 128"),
        (opened(time="yesterday"), "invalid", "time", "not an RFC 3339 date-time"),
        (opened(time=datetime(2026, 1, 1)), "invalid", "time", "has no time zone"),
        (opened(time="0001-01-01T00:00:00Z"), "invalid", "time", "1970 to 9999"),
        (
            opened(time=datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))),
            "invalid",
            "time",
            "before the year 1",
        ),
        (opened(started_at=datetime(2026, 1, 1)), "invalid", "started_at", "has no time zone"),
        (opened(started_at="2026-01-01T00:00:00.0"), "invalid", "started_at", "no UTC offset"),
        (opened(received_time=datetime(2026, 1, 1)), "invalid", "received_time", "has no time zone"),
        (opened(scope="all"), "invalid", "scope", "expected one of tenants, platform"),
        (opened(scope="tenants"), "invalid", "tenant_ids", "needs at least one"),
        (opened(scope="tenants", tenant_ids="acme"), "invalid", "tenant_ids", "expected an array"),
        (opened(scope="tenants", tenant_ids=7), "invalid", "tenant_ids", "expected an array"),
        (opened(scope="tenants", tenant_ids=["a", ""]), "invalid", "tenant_ids[1]", "is empty"),
        (opened(scope="tenants", tenant_ids=["a"] * 1001), "oversize", "tenant_ids", "at most 1,000"),
        (opened(component=""), "invalid", "component", "is empty"),
        (opened(impact="huge"), "invalid", "impact", "expected one of complete_outage"),
        (opened(channel="fax"), "invalid", "channel", "expected one of monitor, phone, ticket, api"),
        (opened(tier=4), "invalid", "tier", "expected 1, 2 or 3, got 4"),
        (opened(summary="é" * 2049), "oversize", "summary", "at most 4,096"),
        (opened(ticket_id="x" * 129), "invalid", "ticket_id", "at most 128"),
        (lambda p: p.responded("inc-1", who=Who("boss")), "invalid", "who.kind", "support"),  # type: ignore[arg-type]
        (lambda p: p.responded("inc-1", who=Who("support", "")), "invalid", "who.id", "is empty"),
        (lambda p: p.responded("inc-1", who="kim"), "invalid", "who", "expected an object with kind, id"),
        (lambda p: p.updated("inc-1", who=KIM, visibility="all"), "invalid", "visibility", "public, internal"),
        (lambda p: p.updated("inc-1", who=KIM, visibility="public", text="x" * 4097), "oversize", "text", "4,096"),
        (lambda p: p.reclassified("inc-1"), "invalid", "data", "at least one of component, impact, tier"),
        (lambda p: p.reclassified("inc-1", tenant_ids=["a"]), "invalid", "tenant_ids", "needs scope tenants"),
        (lambda p: p.severity_set("inc-1", severity="P5", who=KIM, reason=""), "invalid", "severity", "P1"),
        (lambda p: p.waiting("inc-1", on="weather"), "invalid", "on", "expected one of customer, third_party"),
        (lambda p: p.linked("inc-1"), "invalid", "data", "at least one of ticket_id, phone_call_id"),
        (lambda p: p.merged("inc-1", into="inc-1"), "cycle", "into", "is the incident itself"),
        (amended(approver=KIM), "four_eyes", "approver.id", "two different people"),
        (amended(who=Who("support")), "four_eyes", "who.id", "is missing; two people"),
        (amended(counts_as_downtime=None), "invalid", "data", "at least one of started_at"),
        (lambda p: p.annulled("inc-1", who=KIM, approver=KIM, reason="-"), "four_eyes", "approver.id", "different"),
    ],
)
def test_what_would_be_rejected_is_refused_before_anything_is_sent(
    call: Callable[[Any], object], code: str, field: str, told: str
) -> None:
    refused(call, IncidentPublisher, code, field, told)


@pytest.mark.parametrize(
    ("call", "field", "told"),
    [
        (terms(valid_to="2025-01-01T00:00:00Z"), "valid_to", "is not after valid_from"),
        (terms(monthly_charge=Money(-1, "USD")), "monthly_charge.amount_minor", "is negative"),
        (terms(monthly_charge=Money(1, "usd")), "monthly_charge.currency", "ISO 4217"),
        (terms(tier=0), "tier", "expected 1, 2 or 3"),
        (terms(time_zone="Mars/Base"), "time_zone", "IANA"),
        (terms(plan=""), "plan", "is empty"),
        (terms(emergency_member="yes"), "emergency_member", "expected true or false"),
        (lambda p: p.credit_claimed("acme", month="2026-13", who=PAT), "month", "such as 2026-01"),
        (window(end="2026-06-07T01:00:00Z"), "end", "is not after start"),
        (window(components=[]), "components", "needs at least one"),
        (window(components="api"), "components", "expected an array"),
        (window(scope="tenants"), "tenant_ids", "needs at least one"),
        (lambda p: p.maintenance_cancelled(""), "subject", "is empty"),
    ],
)
def test_contract_facts_are_refused_alike(call: Callable[[Any], object], field: str, told: str) -> None:
    refused(call, ContractPublisher, "invalid", field, told)


def refused(call: Callable[[Any], object], kind: type[Publisher], code: str, field: str, told: str) -> None:
    recorder = Recorder()
    publisher = kind("kafka:9092", "/desk", producer=recorder, clock=Clock())
    with pytest.raises(InvalidEvent) as error:
        call(publisher)
    assert (error.value.code, error.value.field) == (code, field)
    assert told in str(error.value)
    assert recorder.sent == []


def test_a_record_that_is_too_heavy_is_refused() -> None:
    names = [f"{number:04}-{'時' * 123}" for number in range(1000)]
    with pytest.raises(InvalidEvent, match="at most 262,144 are allowed") as error:
        sent(opened(scope="tenants", tenant_ids=names, summary="x" * 4096, language="x"))
    assert (error.value.code, error.value.field) == ("oversize", None)


def test_what_only_the_product_writes_is_refused() -> None:
    event = {**golden("sla.met"), "id": "x"}
    with pytest.raises(InvalidEvent, match="is an output") as error:
        sent(lambda p: p.publish(event))
    assert error.value.code == "unknown_type"


def test_a_refusal_can_be_printed_whatever_it_is_about() -> None:
    with pytest.raises(InvalidEvent, match="lone surrogate") as caught:
        sent(lambda desk: desk.responded("inc-\ud800", who=KIM))
    assert str(caught.value).encode().startswith(b"incident.responded inc-\\ud800: subject: ")
