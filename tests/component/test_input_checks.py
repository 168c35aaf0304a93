"""What is refused before it is sent, though the agents would not see it: misspellings, contradictions, wrong times."""

from __future__ import annotations

import copy
import json
from datetime import timedelta
from typing import Any

import pytest
from test_client_publishing import FakeProducer

from cli.events.publish_lines import BadLine, prepare
from connect.client import ContractPublisher, IncidentPublisher, InvalidEvent, Money, Who
from streams.serde.codec import decode
from streams.serde.input_checks import unknown_field, untimely
from streams.serde.input_records import InputRecord, input_record_from_json
from streams.sla.arrival import TimeLimits
from streams.sla.events import Rejection
from streams.sla.instants import DAY, HOUR, MINUTE, SECOND, format_rfc3339, parse_rfc3339

OPENED: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e1",
    "type": "incident.opened",
    "source": "/test",
    "subject": "inc-1",
    "time": "2026-01-31T09:00:00Z",
    "data": {
        "scope": "tenants",
        "tenant_ids": ["acme"],
        "component": "api",
        "impact": "cosmetic",
        "channel": "api",
        "started_at": "2026-01-31T08:59:00Z",
    },
}
CONTRACT: dict[str, Any] = {
    **OPENED,
    "type": "contract.set",
    "subject": "acme",
    "data": {
        "tenant_id": "acme",
        "valid_from": "2026-01-01T00:00:00Z",
        "plan": "scalr-emergency",
        "monthly_charge": {"amount_minor": 1, "currency": "USD"},
        "emergency_member": True,
    },
}
RESPONDED = {**OPENED, "type": "incident.responded", "data": {"who": {"kind": "support", "id": "kim"}}}
NOW = parse_rfc3339(OPENED["time"])


def changed(event: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    result = copy.deepcopy(event)
    *parents, last = path.split(".")
    target = result
    for name in parents:
        target = target[name]
    target[last] = value
    return result


@pytest.mark.parametrize(
    ("event", "path", "problem"),
    [
        (OPENED, "data.started_att", "data.started_att: incident.opened has no such field; did you mean started_at?"),
        (CONTRACT, "data.timezone", "data.timezone: contract.set has no such field; did you mean time_zone?"),
        (CONTRACT, "data.mood", "data.mood: contract.set has no such field; allowed: tenant_id, valid_from,"),
        (CONTRACT, "data.monthly_charge.amount", "data.monthly_charge.amount: monthly_charge has no such field; did"),
        (RESPONDED, "data.who.name", "data.who.name: who has no such field; allowed: kind, id"),
        (OPENED, "started_at", "started_at: belongs in data"),
        (OPENED, "ticketid", "ticketid: belongs in data, as ticket_id"),
        (OPENED, "received_time", "received_time: is not an attribute of an event; did you mean receivedtime?"),
        (OPENED, "backfil", "backfil: is not an attribute of an event; did you mean backfill?"),
        (OPENED, "Time Zone", "Time Zone: is not an attribute of an event; allowed: specversion, id,"),
        (OPENED, "\ud800", "\\ud800: is not an attribute of an event"),
    ],
)
def test_a_field_that_an_event_does_not_have_is_refused(event: dict[str, Any], path: str, problem: str) -> None:
    given = changed(event, path, "x")
    found = input_record_from_json(given)
    assert isinstance(found, Rejection)
    assert (found.code, found.event_id) == ("invalid", "e1")
    assert found.message.startswith(problem)
    line = prepare(3, json.dumps(given))
    assert str(line).startswith(f"3: invalid: {problem}")
    with pytest.raises(InvalidEvent, match=r"is not an attribute|no such field|belongs in data"):
        IncidentPublisher("x", "/test", producer=FakeProducer()).publish(given)


def test_attributes_of_cloudevents_and_extensions_of_others_are_no_misspellings() -> None:
    more = {**OPENED, "datacontenttype": "application/json", "partitionkey": "x", "tracestate": "a=b", "myshard": 3}
    assert input_record_from_json(more) == input_record_from_json(OPENED)


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (changed(OPENED, "data.scope", "platform"), "tenant_ids: scope platform concerns every tenant"),
        (changed(OPENED, "data.tenant_ids", ["acme", "*"]), "tenant_ids[1]: '*' is no tenant"),
        (changed({**CONTRACT, "subject": "*"}, "data.tenant_id", "*"), "tenant_id: '*' is no tenant"),
    ],
)
def test_contradictions_are_refused(event: dict[str, Any], problem: str) -> None:
    found = input_record_from_json(event)
    assert isinstance(found, Rejection)
    assert found.message.startswith(problem)


def test_control_characters_in_texts_are_replaced_and_show_where_they_were() -> None:
    found = input_record_from_json(changed(OPENED, "data.summary", "a\x00b\x1b[31mc\td\r\ne\x7f"))
    assert isinstance(found, InputRecord)
    decoded = decode(found.value)
    assert not isinstance(decoded, Rejection)
    assert decoded[1]["summary"] == "a\ufffdb\ufffd[31mc\td\r\ne\ufffd"


@pytest.mark.parametrize(
    ("offset", "backfill", "code"),
    [
        (0, False, None),
        (5 * MINUTE, False, None),
        (5 * MINUTE + 1, False, "future"),
        (HOUR, True, "future"),
        (-35 * DAY, False, None),
        (-35 * DAY - 1, False, "too_late"),
        (-400 * DAY, True, None),
    ],
)
def test_a_time_that_would_be_rejected_is_refused(offset: int, backfill: bool, code: str | None) -> None:
    data = {name: value for name, value in OPENED["data"].items() if name != "started_at"}
    given = {**OPENED, "time": format_rfc3339(NOW + offset), "backfill": backfill, "data": data}
    record = input_record_from_json(given)
    assert isinstance(record, InputRecord)
    refused = untimely(record.event, NOW, TimeLimits())
    assert (refused and refused.code) == code
    line = prepare(1, json.dumps(given), check=lambda event: untimely(event, NOW, TimeLimits()))
    assert isinstance(line, BadLine) is (code is not None)


class Clock:
    def now(self) -> int:
        return NOW


def test_the_client_refuses_such_events_and_sends_nothing() -> None:
    producer = FakeProducer()
    publisher = IncidentPublisher("x", "/test", producer=producer, clock=Clock())  # type: ignore[arg-type]
    kim = Who("support", "kim")
    with pytest.raises(InvalidEvent, match="PT5M ahead of this machine's clock, 2026-01-31T09:00") as caught:
        publisher.responded("inc-1", who=kim, time="2026-01-31T10:00:00Z")
    assert (caught.value.code, caught.value.field) == ("future", "time")
    with pytest.raises(InvalidEvent, match="more than P35D ago; history is loaded with backfill only"):
        publisher.responded("inc-1", who=kim, time="2025-12-01T10:00:00Z")
    contracts = ContractPublisher("x", "/test", producer=producer, clock=Clock())  # type: ignore[arg-type]
    terms: dict[str, Any] = {
        "valid_from": "2027-01-01T00:00:00Z",
        "plan": "scalr-emergency",
        "monthly_charge": Money(1, "USD"),
        "emergency_member": True,
    }
    with pytest.raises(InvalidEvent, match="ahead of this machine's clock"):
        contracts.contract_set("acme", time="2026-01-31T10:00:00Z", **terms)
    assert producer.sent == []
    contracts.contract_set("acme", **terms)  # terms may begin later; the event may not
    publisher.responded("inc-1", who=kim, time="2025-12-01T10:00:00Z", backfill=True)
    assert len(producer.sent) == 2


@pytest.mark.parametrize(
    ("started_at", "code"),
    [("2026-01-31T09:05:01Z", "future"), ("2025-12-27T08:00:00Z", "too_late"), ("2026-01-31T08:00:00Z", None)],
)
def test_instants_in_the_payload_are_checked_too(started_at: str, code: str | None) -> None:
    record = input_record_from_json(changed(OPENED, "data.started_at", started_at))
    assert isinstance(record, InputRecord)
    refused = untimely(record.event, NOW, TimeLimits())
    assert (refused and refused.code) == code
    assert refused is None or refused.message.startswith("started_at: 202")


@pytest.mark.parametrize(
    ("received", "backfill", "code"),
    [
        (5 * MINUTE, True, None),
        (5 * MINUTE + 1, True, "future"),
        (365 * DAY, True, "future"),
        (-400 * DAY, True, None),
        (365 * DAY, False, None),  # without effect on a live event
    ],
)
def test_history_can_not_become_known_after_it_is_loaded(received: int, backfill: bool, code: str | None) -> None:
    given = {**OPENED, "receivedtime": format_rfc3339(NOW + received), "backfill": backfill}
    record = input_record_from_json(given)
    assert isinstance(record, InputRecord)
    refused = untimely(record.event, NOW, TimeLimits())
    assert (refused and refused.code) == code
    assert refused is None or refused.message.startswith(f"receivedtime: {given['receivedtime']} is after its arrival")


def test_the_deployments_own_limits_can_be_given() -> None:
    publisher = IncidentPublisher(
        "x",
        "/test",
        producer=FakeProducer(),
        clock=Clock(),  # type: ignore[arg-type]
        max_future_skew=timedelta(seconds=1),
        lateness_horizon=timedelta(days=1),
    )
    for offset in (2 * SECOND, -2 * DAY):
        with pytest.raises(InvalidEvent):
            publisher.responded("inc-1", who=Who("support", "kim"), time=format_rfc3339(NOW + offset))


@pytest.mark.parametrize(("restored_at", "code"), [("2026-01-31T07:59:59Z", "invalid"), ("2026-01-31T08:00:00Z", None)])
def test_an_amendment_can_not_end_before_it_begins(restored_at: str, code: str | None) -> None:
    data = {
        "started_at": "2026-01-31T08:00:00Z",
        "restored_at": restored_at,
        "who": {"kind": "support", "id": "kim"},
        "approver": {"kind": "support", "id": "lee"},
        "reason": "by the monitor",
    }
    record = input_record_from_json({**OPENED, "type": "incident.amended", "data": data})
    assert isinstance(record, InputRecord), record
    refused = untimely(record.event, NOW, TimeLimits())
    assert (refused and refused.code) == code


def test_an_extension_beside_the_field_that_it_repeats_is_taken() -> None:
    assert unknown_field({**OPENED, "startedat": "as data says"}) is None
