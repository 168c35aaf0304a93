"""R24, R26: contract facts that arrive late, about months that have statements or that time has passed already."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
from story import Line, contract, opened, policies, run, shipped, statements, texts

from streams.replay.verify import ReplayedMonths, check_with_events
from streams.serde.cloudevents_json import from_json
from streams.sla.arrival import TimeLimits
from streams.sla.credits import month_close
from streams.sla.credits.account import StatementState
from streams.sla.credits.ledger import Ledger
from streams.sla.credits.month_close import MonthRow
from streams.sla.credits.submitted import SubmittedStatement, submitted_statement
from streams.sla.events import ContractSet, Event, Money, Position, Rejection
from streams.sla.incidents import contract_facts
from streams.sla.instants import Month, parse_rfc3339

END = "2026-06-20T00:00:00Z"


def verified(*lines: Line, until: str = END) -> list[Line]:
    """The statements of a history in order, each of which `sla verify` accepts."""
    outputs = [output for output in run(*lines, until=until) if output["type"] == "credit.statement"]
    given: list[SubmittedStatement] = []
    for output in outputs:
        parsed = from_json(output)
        assert not isinstance(parsed, Rejection)
        given.append(submitted_statement(parsed[1], output["data"]))
    found = check_with_events(given, texts(lines), ReplayedMonths(policies(), TimeLimits()))
    assert {given[index].month: one for index, one in found.items() if one is not None} == {}
    return outputs


def told(outputs: list[Line], month: str) -> list[tuple[str, str, int, int]]:
    """Instant, status, downtime and credit of each statement of a month."""
    return [
        (output["time"][:16], data["status"], data["downtime_s"], data["credit"]["amount_minor"])
        for output in outputs
        if (data := output["data"])["month"] == month
    ]


EARLIEST = contract("2025-12-15T00:00:00Z", "2026-02-18T22:34:00Z", zone="America/New_York", id="c-1")
OUTAGE = opened("2026-01-28T00:00:00Z", component="backups", tenants=["acme"], id="o-1")
BEFORE_IT = contract("2026-02-11T13:37:00Z", "2025-12-16T00:00:00Z", id="c-2")


def test_r26_a_belated_final_brings_no_provisional_of_an_instant_before_the_facts_it_rests_on() -> None:
    outputs = verified(EARLIEST, OUTAGE, BEFORE_IT)
    assert told(outputs, "2026-01") == [("2026-02-04T05:00", "final", 363_600, 100_000)]
    assert told(outputs, "2026-02") == [
        ("2026-02-12T05:00", "provisional", 950_400, 100_000),
        ("2026-03-04T05:00", "final", 2_419_200, 100_000),
    ]


def test_r26_the_same_facts_in_another_order_end_in_the_same_amounts() -> None:
    in_time = {**BEFORE_IT, "time": "2025-12-16T00:00:00Z"}
    late = {**in_time, "receivedtime": "2026-01-15T13:37:00Z"}
    both = [statements(verified(EARLIEST, in_time, OUTAGE)), statements(verified(EARLIEST, late, OUTAGE))]
    amounts = [{month: (one["downtime_s"], one["credit"]) for month, one in each.items()} for each in both]
    assert amounts[0] == amounts[1]
    assert amounts[0]["2026-02"][0] == 2_419_200


# -- a late fact ends the contract before a month that has a provisional statement -------------------------------------

UNTIL_JANUARY = "2026-01-18T00:00:00Z"
TERMS = contract("2026-02-04T00:00:00Z", "2025-11-30T00:00:00Z", zone="Asia/Tokyo", id="c-1")
OPEN = opened("2026-02-19T00:00:00Z", component="backups", started="2026-02-18T00:00:00Z", id="o-1")


def test_r26_a_provisional_statement_of_a_month_without_contract_is_withdrawn_by_the_next_one() -> None:
    ending = contract("2026-02-27T00:00:00Z", "2025-12-11T00:00:00Z", end=UNTIL_JANUARY, id="c-2")
    outputs = verified(TERMS, OPEN, ending)
    february = told(outputs, "2026-02")
    assert february[-3:] == [
        ("2026-02-21T15:00", "provisional", 313_200, 100_000),
        ("2026-02-27T15:00", "provisional", 0, 0),
        ("2026-03-03T15:00", "final", 0, 0),
    ]
    last = statements(outputs)["2026-02"]
    assert (last["guarantee_met"], last["eligible_s"], last["monthly_charge"]["amount_minor"]) == (True, 0, 0)
    assert (last["revision"], last["intervals"]) == (5, [])
    assert told(outputs, "2026-03") == []


def test_r26_it_is_withdrawn_by_its_final_statement_where_no_provisional_instant_is_left() -> None:
    ending = contract("2026-03-03T14:00:00Z", "2025-12-11T00:00:00Z", end=UNTIL_JANUARY, id="c-2")
    outputs = verified(TERMS, OPEN, ending)
    assert told(outputs, "2026-02")[-1] == ("2026-03-03T15:00", "final", 0, 0)


def test_r26_a_month_under_contract_again_has_its_statements_as_if_it_had_never_been_without() -> None:
    ending = contract("2026-02-27T00:00:00Z", "2025-12-11T00:00:00Z", end=UNTIL_JANUARY, id="c-2")
    again = contract("2026-03-01T00:00:00Z", "2026-02-01T00:00:00Z", id="c-3")
    whole = statements(verified(TERMS, OPEN, ending, again))["2026-02"]
    assert (whole["status"], whole["credit"]["amount_minor"], whole["downtime_s"]) == ("final", 100_000, 918_000)


def test_r26_a_provisional_month_that_was_restored_is_withdrawn_too() -> None:
    ledger = Ledger(policies(), TimeLimits())
    plan, charge = shipped().name, Money(100_000, "USD")
    place, month = Position("t", 0, 0), Month("2026-02")
    for name, start, end in (("c-1", "2025-11-30T00:00:00Z", None), ("c-2", "2025-12-11T00:00:00Z", UNTIL_JANUARY)):
        since, until = parse_rfc3339(start), None if end is None else parse_rfc3339(end)
        terms = ContractSet(since, until, plan, charge, None, None, True)
        event = Event(name, "/t", "contract.set", "acme", since, terms, False, None, None, name.encode())
        ledger.restore_fact(event, since, place)
    ledger.restore_month(MonthRow("acme", month, StatementState(3, guarantee_met=False, credit=100_000)))
    ledger.restored(parse_rfc3339("2026-05-01T00:00:00Z"), 0)
    found = []
    while (posted := ledger.fire(parse_rfc3339(END))) is not None:
        found += [one.data for one in posted.outputs if one.data["month"] == month]
    assert [(one["status"], one["revision"], one["eligible_s"]) for one in found] == [("final", 4, 0)]


# -- flags -------------------------------------------------------------------------------------------------------------

EURO = contract("2026-02-01T00:00:00Z", currency="EUR", id="c-1")
DOLLAR = contract("2026-03-01T00:00:00Z", currency="USD", id="c-2")


def flags(*lines: Line) -> dict[str, tuple[str, list[str]]]:
    found = statements(verified(*lines))
    return {month: (one["credit"]["currency"], one["flags"]) for month, one in found.items()}


def test_r24_flags_of_settled_statements_are_the_same_in_any_order_of_arrival() -> None:
    early, late = flags(EURO, DOLLAR), flags(EURO, {**DOLLAR, "receivedtime": "2026-03-20T00:00:00Z"})
    assert early == late
    assert late["2026-02"] == ("EUR", ["currency_change_ignored"])


def test_r26_a_flag_alone_is_adjusted_once() -> None:
    outputs = verified(EURO, {**DOLLAR, "receivedtime": "2026-03-20T00:00:00Z"})
    assert [one["data"]["flags"] for one in outputs if one["data"]["month"] == "2026-02"] == [
        [],
        ["currency_change_ignored"],
    ]
    adjusted = next(one for one in outputs if one["data"]["status"] == "adjusted")
    assert (adjusted["time"], adjusted["data"]["delta"]["amount_minor"]) == ("2026-03-20T01:00:00Z", 0)


def test_r27_want_of_memory_while_incidents_are_evaluated_anew_leaves_nothing_half_done() -> None:
    def scarce(*_: object) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        contract_facts._at_once(Mock(), ["inc"], scarce)
    with pytest.raises(MemoryError):
        month_close._has_terms(Mock(terms=scarce), Month("2026-01"))
