"""`sla contracts import` without a broker: files to rows, bad lines, the difference, ids that follow from content."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connect.client.outgoing import checked_record
from connect.contract_import.current_terms import ContractLog, ContractRecord
from connect.contract_import.diff import ContractDifference, difference
from connect.contract_import.file import BadContractRow, ContractRow, read_rows
from connect.contract_import.problems import RowProblem
from streams.sla.arrival import TimeLimits
from streams.sla.events import Money, Position
from streams.sla.instants import DAY, format_rfc3339, parse_rfc3339

NOW = parse_rfc3339("2026-05-01T00:00:00Z")
HEAD = "tenant_id,valid_from,valid_to,plan,amount_minor,currency,tier,time_zone,emergency_member"
ACME = "acme,2026-01-01T00:00:00Z,,gold,500000,USD,1,Asia/Tokyo,yes"
PRESS = "press,2026-02-01T00:00:00Z,2027-02-01T00:00:00Z,basic,199999,EUR,,,no"
ACME_DATA: dict[str, Any] = {
    "tenant_id": "acme",
    "valid_from": "2026-01-01T00:00:00Z",
    "plan": "gold",
    "monthly_charge": {"amount_minor": 500_000, "currency": "USD"},
    "tier": 1,
    "time_zone": "Asia/Tokyo",
    "emergency_member": True,
}


def good(*lines: str) -> list[ContractRow]:
    rows, bad = read_rows(lines)
    assert bad == []
    return rows


def bad(*lines: str) -> list[BadContractRow]:
    return read_rows(lines)[1]


def log_of(*events: dict[str, object], arrival: int = NOW) -> ContractLog:
    """The log after these events, in this order."""
    lying = (
        ContractRecord(checked_record(event).value, arrival, Position("sla.contract-events", 0, offset))
        for offset, event in enumerate(events)
    )
    return ContractLog(lying, TimeLimits())


def events(found: ContractDifference) -> list[dict[str, object]]:
    return [dict(change.event) for change in found.changes]


def imported(*lines: str, log: ContractLog | None = None, now: int = NOW) -> ContractDifference:
    return difference(good(*lines), log or log_of(), "/billing", now)


def test_csv_and_json_lines_say_the_same() -> None:
    from_csv = good(HEAD, ACME)
    from_json = good(json.dumps(ACME_DATA))
    assert from_csv[0].terms == from_json[0].terms
    assert from_csv[0].data == ACME_DATA
    assert (from_csv[0].line, from_json[0].line) == (2, 1)
    terms = good(HEAD, PRESS)[0].terms
    assert (terms.valid_to, terms.tier, terms.time_zone, terms.emergency_member) == (
        parse_rfc3339("2027-02-01T00:00:00Z"),
        None,
        None,
        False,
    )
    assert terms.monthly_charge == Money(199_999, "EUR")


def test_columns_may_come_in_any_order_and_optional_ones_may_be_absent() -> None:
    head = "currency,amount_minor,emergency_member,plan,valid_from,tenant_id"
    (row,) = good("\ufeff" + head + "\r", "", 'USD, 1 ,TRUE,"gold, with comma",2026-01-01T00:00:00+09:00, acme\r')
    assert (row.tenant, row.terms.plan, row.terms.monthly_charge) == ("acme", "gold, with comma", Money(1, "USD"))
    assert row.line == 3


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (ACME.replace("acme", ""), "tenant_id: is missing"),
        (ACME.replace("acme", "x" * 129), "tenant_id: has 129 characters"),
        (ACME.replace("2026-01-01T00:00:00Z", "2026-01-01"), "valid_from: '2026-01-01' is not an RFC 3339"),
        (ACME.replace("2026-01-01T00:00:00Z", ""), "valid_from: is missing"),
        (ACME.replace(",,gold", ",2025-01-01T00:00:00Z,gold"), "valid_to: is not after valid_from"),
        (ACME.replace("gold", ""), "plan: is missing"),
        (ACME.replace("500000", "5000.00"), 'monthly_charge.amount_minor: expected a whole number, got "5000.00"'),
        (ACME.replace("500000", ""), 'monthly_charge.amount_minor: expected a whole number, got ""'),
        (ACME.replace("500000", "-1"), "monthly_charge.amount_minor: is negative"),
        (ACME.replace("500000", "9" * 19), "monthly_charge.amount_minor: expected a whole number of at most 64 bits"),
        (ACME.replace("500000", "٥"), "monthly_charge.amount_minor: expected a whole number"),
        (ACME.replace("USD", "dollars"), "monthly_charge.currency: expected an ISO 4217 code"),
        (ACME.replace(",1,", ",4,"), "tier: expected 1, 2 or 3, got 4"),
        (ACME.replace(",1,", ",one,"), 'tier: expected a whole number, got "one"'),
        (ACME.replace("Asia/Tokyo", "Tokyo"), "time_zone: expected an IANA time zone"),
        (ACME.replace("yes", "maybe"), 'emergency_member: expected true or false, got "maybe"'),
        (ACME.replace("yes", ""), "emergency_member: is missing"),
        (ACME.replace("acme", "=1+1"), "tenant_id: is a formula of a spreadsheet"),
        (ACME.replace("500000", "=A1*2"), "amount_minor: is a formula of a spreadsheet"),
        (ACME + ",more", "has 10 values; the file has 9 columns"),
        ("acme", "has 1 values; the file has 9 columns"),
    ],
)
def test_a_bad_csv_line_is_named_with_field_and_limit(line: str, told: str) -> None:
    (found,) = bad(HEAD, PRESS, line)
    assert found.line == 3
    assert found.problem.startswith(told)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "not JSON: "),
        ("[]", "expected an object"),
        (json.dumps({**ACME_DATA, "valid_two": None}), "valid_two: there is no such field; there are: tenant_id, "),
        (json.dumps({**ACME_DATA, "monthly_charge": 5000}), "monthly_charge: expected an object"),
        (json.dumps({**ACME_DATA, "tenant_id": 7}), "tenant_id: expected a text"),
        (json.dumps({"specversion": "1.0", "data": ACME_DATA}), "this is a whole event: `sla publish` sends those"),
        ('{"tenant_id": "a", "tenant_id": "b"}', "not JSON: the key 'tenant_id' appears twice"),
    ],
)
def test_a_bad_json_line_is_named(line: str, told: str) -> None:
    (found,) = bad(json.dumps(ACME_DATA), "", line)
    assert found.line == 3
    assert found.problem.startswith(told)


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (HEAD + ",colour", "there is no column 'colour'; the columns are tenant_id, "),
        (HEAD.replace(",plan", ""), "the column plan is missing"),
        (HEAD + ",plan", "the column plan appears twice"),
        (HEAD.replace(",", ";"), "there is no column 'tenant_id;valid_from"),
    ],
)
def test_wrong_columns_are_told_once(head: str, told: str) -> None:
    (found,) = bad(head, ACME, PRESS)
    assert found.line == 1
    assert found.problem.startswith(told)


def test_every_bad_line_is_named_and_quotes_may_span_lines() -> None:
    lines = [HEAD, "x", ACME.replace("gold", '"go', 1), 'ld"' + ACME.partition("gold")[2], PRESS, "y"]
    rows, found = read_rows(lines)
    assert [row.tenant for row in rows] == ["press"]
    assert [(each.line, each.problem) for each in found] == [
        (2, "has 1 values; the file has 9 columns"),
        (3, "plan: has a control character"),
        (6, "has 1 values; the file has 9 columns"),
    ]
    assert bad(HEAD, '"open')[0].problem.startswith("not CSV: ")


def test_terms_of_one_tenant_from_one_instant_may_come_once() -> None:
    (found,) = bad(HEAD, ACME, PRESS, ACME.replace("gold", "basic"))
    assert found == BadContractRow(4, RowProblem("same_instant", {"line": "2", "tenant": "acme"}))
    assert found.problem == "valid_from: line 2 has terms of acme from the same instant on"


def test_an_empty_file_is_bad() -> None:
    assert bad() == bad("", " ") == [BadContractRow(1, RowProblem("empty"))]


def test_new_tenants_are_facts_that_the_product_takes() -> None:
    found = imported(HEAD, PRESS, ACME)
    assert [(change.row.tenant, change.kind, change.before) for change in found.changes] == [
        ("acme", "new tenant", None),
        ("press", "new tenant", None),
    ]
    (event, _) = events(found)
    assert event["data"] == ACME_DATA
    assert (event["source"], event["subject"], event["time"]) == ("/billing", "acme", format_rfc3339(NOW))
    assert log_of(*events(found)).contracts.keys() == {"acme", "press"}


def test_the_same_import_again_publishes_nothing_and_has_the_same_ids() -> None:
    first = imported(HEAD, ACME, PRESS)
    later = imported(HEAD, ACME, PRESS, now=NOW + DAY)
    assert [event["id"] for event in events(first)] == [event["id"] for event in events(later)]
    again = imported(HEAD, ACME, PRESS, log=log_of(*events(first)))
    assert (again.changes, again.unchanged) == ([], 2)
    half = imported(HEAD, ACME, PRESS, log=log_of(events(first)[0]))
    assert events(half) == events(first)[1:]


def test_a_correction_takes_the_place_of_the_fact_from_the_same_instant() -> None:
    first = imported(HEAD, ACME)
    log = log_of(*events(first))
    found = imported(HEAD, ACME.replace("500000", "600000"), log=log)
    (change,) = found.changes
    assert change.kind == "corrected"
    assert change.before is not None
    assert change.before.charge == Money(500_000, "USD")
    after = log_of(*events(first), *events(found))
    terms = after.contracts["acme"].at(NOW)
    assert terms is not None
    assert terms.charge == Money(600_000, "USD")


def test_a_correction_that_is_undone_is_a_third_fact() -> None:
    """An id from the content alone would be that of the first fact, and be ignored (R1)."""
    first = imported(HEAD, ACME)
    second = imported(HEAD, ACME.replace("gold", "basic"), log=log_of(*events(first)))
    log = log_of(*events(first), *events(second))
    third = imported(HEAD, ACME, log=log)
    assert events(third)[0]["id"] not in {events(first)[0]["id"], events(second)[0]["id"]}
    end = log_of(*events(first), *events(second), *events(third))
    terms = end.contracts["acme"].at(NOW)
    assert terms is not None
    assert terms.plan == "gold"
    assert imported(HEAD, ACME, log=end).changes == []


def test_new_terms_are_compared_with_those_in_force_then_also_within_the_file() -> None:
    log = log_of(*events(imported(HEAD, ACME)))
    june, july = (
        ACME.replace("2026-01-01", f"2026-{month}-01").replace("gold", plan)
        for month, plan in (("06", "basic"), ("07", "best"))
    )
    found = imported(HEAD, july, ACME, june, log=log)
    assert found.unchanged == 1
    assert [(change.kind, change.before and change.before.plan, change.row.terms.plan) for change in found.changes] == [
        ("new terms", "gold", "basic"),
        ("new terms", "basic", "best"),
    ]
    fresh = imported(HEAD, ACME, june)
    assert [(change.kind, change.before and change.before.plan) for change in fresh.changes] == [
        ("new tenant", None),
        ("new terms", "gold"),
    ]


def test_tenants_that_the_file_does_not_name_stay() -> None:
    log = log_of(*events(imported(HEAD, ACME, PRESS)))
    found = imported(HEAD, ACME, log=log)
    assert (found.changes, found.unchanged, found.not_in_file) == ([], 1, 1)


def test_zone_and_currency_that_will_be_ignored_are_told() -> None:
    log = log_of(*events(imported(HEAD, ACME)))
    (change,) = imported(HEAD, ACME.replace("USD", "EUR").replace("Asia/Tokyo", "UTC"), log=log).changes
    assert [note.text for note in change.notes] == [
        "the time zone stays Asia/Tokyo, that of the tenant's first contract",
        "the currency stays USD, that of the tenant's first contract",
    ]


def test_a_currency_that_does_not_exist_is_told_while_it_can_be_corrected() -> None:
    (change,) = imported(HEAD, ACME.replace("USD", "USB")).changes
    assert [(note.code, note.value) for note in change.notes] == [("currency_unknown", "USB")]


def test_an_erased_tenant_is_told() -> None:
    data = {"tenant_id": "acme", "who": {"kind": "support"}, "reason": "asked for"}
    event: dict[str, object] = {
        "specversion": "1.0",
        "id": "e",
        "type": "tenant.erased",
        "source": "/privacy",
        "subject": "acme",
        "time": format_rfc3339(NOW),
        "data": data,
    }
    (change,) = imported(HEAD, ACME, log=log_of(event)).changes
    assert change.notes[0].text.startswith("this tenant was erased")


def test_facts_that_the_ledger_rejected_are_not_taken_for_terms() -> None:
    """Too late, in the future, undecodable, and a second use of an id (R1, R5)."""
    (event,) = events(imported(HEAD, ACME))
    assert log_of(event, arrival=NOW + 40 * DAY).contracts == {}
    assert log_of(event, arrival=NOW - DAY).contracts == {}
    assert log_of(event, arrival=NOW - DAY).rejected == 1
    old = {**event, "backfill": True}
    assert log_of(old, arrival=NOW + 40 * DAY).contracts.keys() == {"acme"}
    other = {**event, "data": {**ACME_DATA, "plan": "other"}}
    terms = log_of(event, other).contracts["acme"].at(NOW)
    assert terms is not None
    assert terms.plan == "gold"
    log = ContractLog(
        [ContractRecord(b"\xff", NOW, Position("t", 0, 0)), ContractRecord(None, NOW, Position("t", 0, 1))],
        TimeLimits(),
    )
    assert (log.contracts, log.rejected) == ({}, 2)


def test_what_it_corrects_is_always_earlier() -> None:
    """A fact from a clock that is ahead is still outdone (R24: the later time counts)."""
    ahead = imported(HEAD, ACME, now=NOW + 1_000_000)
    (change,) = imported(HEAD, ACME.replace("gold", "basic"), log=log_of(*events(ahead))).changes
    assert parse_rfc3339(str(change.event["time"])) == NOW + 1_000_001


def test_rows_of_a_new_tenant_happen_in_the_order_of_their_terms() -> None:
    """R24: zone and currency are those of the earliest fact, which is to be that of the earliest terms."""
    later = ACME.replace("2026-01-01", "2026-06-01").replace("Asia/Tokyo", "").replace("USD", "EUR")
    for lines in ((ACME, later), (later, ACME)):
        found = imported(HEAD, *lines)
        assert [[note.text for note in change.notes] for change in found.changes] == [
            [],
            ["the currency stays USD, that of the tenant's first contract"],
        ]
        history = log_of(*reversed(events(found))).contracts["acme"]
        assert (history.zone, history.currency) == ("Asia/Tokyo", "USD")
