"""R1, R27, R28: each limit at its edge and one beyond it, with a code of the closed list and a message that helps."""

from __future__ import annotations

from typing import Any

import pytest
from story import (
    Line,
    annulled,
    contract,
    linked,
    maintenance,
    micros,
    opened,
    reclassified,
    reopened,
    resolved,
    responded,
    run,
    severity_set,
    tell,
    updated,
    waiting,
)

from streams.serde import codec
from streams.serde.codec import MAX_RECORD_BYTES
from streams.sla.events import REJECT_CODES, Rejection
from streams.sla.incidents import stored_incident
from streams.sla.incidents.stored_incident import MAX_EVENTS, RESERVED_ENDS, RESERVED_EVENTS
from streams.sla.instants import SECOND, format_rfc3339


def refused(*lines: Line) -> list[tuple[str, str]]:
    return [(o["data"]["code"], o["data"]["message"]) for o in run(*lines) if o["type"] == "sla.rejected"]


def with_data(line: Line, **data: Any) -> Line:
    return line | {"data": line["data"] | data}


@pytest.mark.parametrize(
    ("fine", "beyond", "code", "words"),
    [
        (opened("10:00", of="x" * 128), opened("10:00", of="x" * 129), "invalid", ["subject", "129", "128"]),
        (opened("10:00", id="x" * 128), opened("10:00", id="x" * 129), "invalid", ["id", "129", "128"]),
        (opened("10:00", source="x" * 128), opened("10:00", source="x" * 129), "invalid", ["source", "129", "128"]),
        (opened("10:00", of="受" * 128), opened("10:00", of="受" * 129), "invalid", ["subject", "129", "128"]),
        (opened("10:00", id="a b"), opened("10:00", id="a\tb"), "invalid", ["id", "control"]),
        (opened("10:00", id="a\xa0b"), opened("10:00", id="a\x9fb"), "invalid", ["id", "control"]),
        (
            with_data(opened("10:00"), summary="x" * 4096),
            with_data(opened("10:00"), summary="x" * 4097),
            "oversize",
            ["summary", "4,097", "4,096"],
        ),
        (
            with_data(opened("10:00"), summary="é" * 2048),
            with_data(opened("10:00"), summary="é" * 2048 + "x"),
            "oversize",
            ["summary", "4,097", "4,096"],
        ),
        (
            opened("10:00", tenants=[f"t{n}" for n in range(1000)]),
            opened("10:00", tenants=[f"t{n}" for n in range(1001)]),
            "oversize",
            ["tenant_ids", "1,001", "1,000"],
        ),
        (
            contract("10:00", end="9999-12-31T23:59:59.999999Z"),
            opened("10:00") | {"time": "10000-01-01T00:00:00Z"},
            "invalid",
            ["time"],
        ),
        (
            opened("1970-01-01T00:00:00Z"),
            opened("1969-12-31T23:59:59.999999Z"),
            "invalid",
            ["time"],
        ),
        (
            contract("2026-02-20T00:00:00Z", end="9999-12-31T23:59:59Z"),
            with_data(contract("2026-02-20T00:00:00Z"), valid_to="1969-01-01T00:00:00Z"),
            "invalid",
            ["valid_to"],
        ),
        (
            maintenance("10:00", "11:00", "12:00"),
            with_data(maintenance("10:00", "11:00", "12:00"), components=["x" * 129]),
            "invalid",
            ["components"],
        ),
    ],
    ids=lambda value: None,
)
def test_r28_at_a_limit_it_is_taken_and_beyond_it_clearly_refused(
    fine: Line, beyond: Line, code: str, words: list[str]
) -> None:
    assert refused(fine) == []
    ((found, message),) = refused(beyond)
    assert found == code
    assert [word for word in words if word not in message] == []


def test_r28_a_record_of_256_kib_is_taken_and_one_byte_more_is_not() -> None:
    """Nothing of what is too large is even looked at."""
    assert MAX_RECORD_BYTES == 256 * 1024
    within, beyond = (
        codec.decode(b"\xc3\x01" + b"\0" * (size - 2)) for size in (MAX_RECORD_BYTES, MAX_RECORD_BYTES + 1)
    )
    assert isinstance(within, Rejection)
    assert within.code == "unknown_schema"
    assert isinstance(beyond, Rejection)
    assert beyond.code == "oversize"
    assert "262,145" in beyond.message or "262145" in beyond.message


def test_r28_tenants_added_by_reclassification_are_limited_too() -> None:
    many = reclassified("10:10", tenants=[f"t{n}" for n in range(1001)])
    assert [code for code, _ in refused(opened("10:00"), many)] == ["oversize"]
    repeated = reclassified("10:10", tenants=["a"] * 1000)
    assert refused(opened("10:00"), repeated) == []


def test_r28_a_full_incident_still_waits_for_nobody_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 events: updates, requests, waiting and links are refused from there on; what ends it is not."""
    assert stored_incident.MAX_EVENTS == 2_000
    monkeypatch.setattr(stored_incident, "MAX_EVENTS", 200)
    bound: list[Line] = [opened("10:00"), *(linked("10:01", f"T-{n}") for n in range(199))]
    beyond = [waiting("10:02"), updated("10:02"), severity_set("10:03", "P2"), responded("10:04"), resolved("10:05")]
    outputs = run(*bound, *beyond)
    assert tell(outputs, "rejected") == ["rejected oversize line 201", "rejected oversize line 202"]
    assert tell(outputs, "met", "closed") == [
        "met response 1 10:04",
        "closed resolved 10:05 response1=met update1=cancelled",
    ]
    assert all("200 events" in o["data"]["message"] for o in outputs if o["type"] == "sla.rejected")


def test_r1_an_id_may_be_used_again_by_another_source_and_for_another_incident() -> None:
    lines = [
        opened("10:00", id="x"),
        responded("10:10", id="x", source="/other"),
        opened("10:00", id="x", of="b"),
    ]
    assert refused(*lines) == []
    assert [code for code, _ in refused(*lines, responded("10:20", id="x"))] == ["conflict"]


def test_r1_content_is_compared_as_decoded() -> None:
    """The same instant written otherwise, and keys in another order, are the same content."""
    line = opened("10:00", id="x", started="09:00")
    again = line | {"data": dict(reversed(line["data"].items())) | {"started_at": "2026-03-02T10:00:00+01:00"}}
    other = line | {"data": line["data"] | {"started_at": "2026-03-02T10:00:00Z"}}
    assert refused(line, again) == []
    assert [code for code, _ in refused(line, other)] == ["conflict"]


def test_r27_every_refusal_has_a_code_of_the_closed_list() -> None:
    """What is refused stops nothing: the incident between goes on."""
    lines = [
        "{",
        opened("10:00") | {"type": "incident.vanished"},
        opened("10:00"),
        opened("10:00", id="e3", started="09:00"),
        updated("10:00", visibility="nowhere"),
        opened("12:00", received="10:00"),
        responded("10:30"),
    ]
    told = tell(run(*lines), "rejected", "met")
    assert told == [
        "rejected undecodable line 1",
        "rejected unknown_type line 2",
        "rejected conflict line 4",
        "rejected invalid line 5",
        "rejected future line 6",
        "met response 1 10:30",
    ]
    assert {line.split()[1] for line in told[:-1]} <= {*REJECT_CODES}


def test_r27_the_list_of_codes_is_closed() -> None:
    rule = "undecodable unknown_schema unknown_type invalid conflict orphan future too_late four_eyes oversize cycle"
    assert {*REJECT_CODES} == {*rule.split(), "forbidden", "internal"}


def test_r28_an_incident_that_was_reopened_without_end_can_still_end() -> None:
    """A program closes it again and again, and another one opens it when it takes no more of that."""
    fill = MAX_EVENTS + RESERVED_EVENTS - 1
    storm = [resolved(format_rfc3339(micros("10:01") + n * SECOND)) for n in range(fill - 1)]
    storm.append(reopened("11:00"))
    beyond = [reopened("12:00"), severity_set("12:10", "P4"), resolved("13:00"), reopened("13:10"), annulled("14:00")]
    outputs = run(opened("10:00"), *storm, *beyond, until="15:00")
    assert [told[9:] for told in tell(outputs, "rejected")] == [f"oversize line {fill + n}" for n in (2, 3, 5)]
    assert tell(outputs, "closed")[-2][:21] == "closed resolved 13:00"
    assert tell(outputs, "closed")[-1][:21] == "closed annulled 14:00"


def test_r28_ends_that_come_without_end_leave_room_to_annul() -> None:
    most = MAX_EVENTS + RESERVED_EVENTS + RESERVED_ENDS
    ends = [resolved(format_rfc3339(micros("10:01") + n * SECOND)) for n in range(most)]
    outputs = run(opened("10:00"), *ends, annulled("14:00"), until="15:00")
    assert tell(outputs, "rejected") == [f"rejected oversize line {most + 1}"]
    assert tell(outputs, "closed")[-1][:21] == "closed annulled 14:00"
