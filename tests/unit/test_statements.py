"""R24, R26: which months have statements, when each kind comes, and what claims and adjustments issue."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from story import (
    Line,
    amended,
    claimed,
    contract,
    opened,
    policies,
    resolved,
    run,
    shipped,
    statements,
    tell,
    with_credit,
)

FEBRUARY = "2026-02-20T00:00:00Z"
FINAL = "2026-04-04T00:00:00Z"
#: Two percent and a bit of March: one completed point under 99, so 10 %.
OUTAGE = [opened("10:00"), resolved("1 01:00")]


def march(*lines: Line, until: str = FINAL, terms: Line | None = None, **more: Any) -> list[str]:
    outputs = run(terms or contract(FEBRUARY), *lines, until=until, **more)
    told = tell(outputs, "statement", "issued", "rejected")
    return [line.removeprefix("statement acme 2026-03 ") for line in told if " 2026-02 " not in line]


def test_r26_provisional_when_something_changed_then_final() -> None:
    outputs = run(contract(FEBRUARY), *OUTAGE, until=FINAL)
    mine = [o for o in outputs if o["type"] == "credit.statement" and o["data"]["month"] == "2026-03"]
    assert [(o["data"]["status"], o["time"], o["data"]["downtime_s"] // 3600) for o in mine] == [
        ("provisional", "2026-03-03T00:00:00Z", 14),
        ("provisional", "2026-03-04T00:00:00Z", 15),
        ("final", FINAL, 15),
    ]
    assert [o["data"]["credit"]["amount_minor"] for o in mine] == [0, 10_000, 10_000]
    assert [o["data"]["revision"] for o in mine] == [1, 2, 3]
    assert mine[-1]["data"]["claimable_until"] == "2026-06-03T00:00:00Z"
    assert mine[-1]["data"]["delta"]["amount_minor"] == 0


def test_r26_quiet_months_have_one_final() -> None:
    assert march() == ["final 1 down 0 credit 0"]
    assert march(until="2026-04-03T23:59:59Z") == []


def test_r26_an_outage_that_goes_on_is_evaluated_in_every_month_it_touches() -> None:
    outputs = run(contract(FEBRUARY), opened("2026-02-27T00:00:00Z"), until="1 12:00")
    provisional = [(o["data"]["month"], o["time"][:10]) for o in outputs if o["type"] == "credit.statement"]
    assert provisional[:2] == [("2026-02", "2026-02-28"), ("2026-03", "2026-03-02")]


def test_r26_a_contract_that_begins_in_an_outage_is_evaluated_too() -> None:
    outputs = run(contract(FEBRUARY, "2026-03-01T00:00:00Z"), opened("2026-02-27T00:00:00Z"), until="12:00")
    assert tell(outputs, "statement") == ["statement acme 2026-03 provisional 1 down 86400 credit 20000"]


def test_r26_an_end_that_was_announced_ahead_is_weighed_as_time_reaches_it() -> None:
    """By midnight 2,640 s count, fewer than the 2,678 s of 0.1 %; two minutes later more."""
    lines = [opened("2026-03-02T23:16:00Z"), resolved("2026-03-02T23:58:00Z", restored="2026-03-03T00:02:00Z")]
    assert march(*lines, until="3 00:00") == ["provisional 1 down 2760 credit 0"]


@pytest.mark.parametrize(
    ("time", "told"),
    [
        ("12:00", ["issued acme 2026-03 10000 claimed"]),
        ("2026-06-03T00:00:00Z", ["issued acme 2026-03 10000 claimed"]),
        ("2026-06-03T00:00:01Z", ["rejected too_late line 4"]),
    ],
)
def test_r26_a_claim_by_claimable_until_is_paid(time: str, told: list[str]) -> None:
    lines = sorted([*OUTAGE, claimed(time, "2026-03")], key=lambda line: str(line["time"]))
    found = march(*lines, until="2026-06-10T00:00:00Z")
    assert [line for line in found if line.startswith(("issued", "rejected"))] == told


def test_r26_a_repeated_claim_is_ignored() -> None:
    again = [claimed("2026-05-01T00:00:00Z", "2026-03"), claimed("2026-05-02T00:00:00Z", "2026-03")]
    assert march(*OUTAGE, *again, until="2026-05-03T00:00:00Z").count("issued acme 2026-03 10000 claimed") == 1


def test_r26_a_claim_for_a_quiet_month_issues_nothing() -> None:
    assert march(claimed("12:00", "2026-03")) == ["final 1 down 0 credit 0"]


def test_r26_a_claim_too_late_that_came_before_its_contract_does_not_hide_a_good_one() -> None:
    late = claimed("2026-06-20T00:00:00Z", "2026-03")
    late_contract = contract("2026-02-20T00:00:00Z", received="2026-06-20T00:00:01Z", backfill=True)
    good = claimed("2026-06-01T00:00:00Z", "2026-03", received="2026-06-20T01:00:00Z")
    other = opened("2026-06-20T00:30:00Z", of="x", component="ui", impact="cosmetic")
    outputs = run(*OUTAGE, late, late_contract, other, good, until="2026-06-21T00:00:00Z")
    assert tell(outputs, "issued") == ["issued acme 2026-03 10000 claimed"]


def test_r26_a_claim_too_late_that_came_before_its_contract_is_rejected_at_the_final_statement() -> None:
    late = [claimed(f"2026-06-20T00:00:0{n}Z", "2026-03", id=f"late-{n}") for n in (0, 1)]
    late_contract = contract("2026-02-20T00:00:00Z", received="2026-06-20T00:00:02Z", backfill=True)
    outputs = run(*OUTAGE, *late, late_contract, until="2026-06-22T00:00:00Z")
    rejected = [each["data"] for each in outputs if each["type"] == "sla.rejected"]
    assert [(each["code"], each["line"], each["id"]) for each in rejected] == [
        ("too_late", 3, "late-0"),
        ("too_late", 4, "late-1"),
    ]
    assert rejected[0]["message"] == "claim late-0: 2026-03 could be claimed until 2026-06-03T00:00:00Z"
    assert tell(outputs, "issued") == []


def test_r26_automatic_credit_is_issued_at_the_final() -> None:
    own = replace(with_credit(shipped(), claim="automatic"), name="own")
    found = march(*OUTAGE, terms=contract(FEBRUARY, plan="own"), using=policies(own, default="own"))
    assert found[-2:] == ["final 3 down 54000 credit 10000", "issued acme 2026-03 10000 automatic"]


def test_r26_an_adjustment_settles_for_an_hour_and_comes_once() -> None:
    claim = claimed("12:00", "2026-03")
    first = amended("2026-04-05T00:00:00Z", restored="1 13:00")
    second = amended("2026-04-05T00:30:00Z", restored="2 13:00")
    outputs = run(contract(FEBRUARY), OUTAGE[0], claim, OUTAGE[1], first, second, until="2026-04-06T00:00:00Z")
    adjusted = [o for o in outputs if o["type"] == "credit.statement" and o["data"]["status"] == "adjusted"]
    assert [(o["time"], o["data"]["revision"], o["data"]["downtime_s"] // 3600) for o in adjusted] == [
        ("2026-04-05T01:00:00Z", 4, 51)
    ]
    data = adjusted[0]["data"]
    assert (data["credit"]["amount_minor"], data["delta"]["amount_minor"]) == (50_000, 40_000)
    assert tell(outputs, "issued") == ["issued acme 2026-03 10000 claimed", "issued acme 2026-03 40000 adjusted"]


def test_r26_what_would_be_negative_is_waived() -> None:
    lines = [
        OUTAGE[0],
        claimed("12:00", "2026-03"),
        OUTAGE[1],
        amended("2026-04-05T00:00:00Z", counts=False),
        amended("2026-04-06T00:00:00Z", counts=True),
    ]
    outputs = run(contract(FEBRUARY), *lines, until="2026-04-07T00:00:00Z")
    mine = [o["data"] for o in outputs if o["type"] == "credit.statement" and o["data"]["status"] == "adjusted"]
    amounts = [tuple(data[key]["amount_minor"] for key in ("credit", "delta", "waived")) for data in mine]
    assert amounts == [(0, -10_000, 10_000), (10_000, 10_000, 0)]
    assert tell(outputs, "issued") == ["issued acme 2026-03 10000 claimed"]


def test_r26_without_a_claim_adjustments_issue_nothing_until_one_comes() -> None:
    lines = [*OUTAGE, amended("2026-04-05T00:00:00Z", restored="2 13:00")]
    outputs = run(contract(FEBRUARY), *lines, claimed("2026-05-01T00:00:00Z", "2026-03"), until="2026-05-02T00:00:00Z")
    assert tell(outputs, "issued") == ["issued acme 2026-03 50000 claimed"]


def test_r26_a_change_that_is_taken_back_while_it_settles_adjusts_nothing() -> None:
    lines = [*OUTAGE, amended("2026-04-05T00:00:00Z", counts=False), amended("2026-04-05T00:30:00Z", counts=True)]
    assert march(*lines, until="2026-04-06T00:00:00Z")[-1] == "final 3 down 54000 credit 10000"


def test_r24_months_before_the_horizon_of_the_first_contract_fact_have_no_statement() -> None:
    outputs = run(contract(FEBRUARY, "2020-01-01T00:00:00Z"), until=FINAL)
    assert list(statements(outputs)) == ["2026-01", "2026-02", "2026-03"]


@pytest.mark.parametrize(("time", "first"), [("2026-03-08T00:00:00Z", "2026-01"), ("2026-03-08T00:00:01Z", "2026-02")])
def test_r24_a_month_that_ends_at_the_horizon_still_has_one(time: str, first: str) -> None:
    # 35 days before 2026-03-08 is 2026-02-01, where January ends.
    outputs = run(contract(time, "2020-01-01T00:00:00Z"), until=FINAL)
    assert next(iter(statements(outputs))) == first


def test_r24_only_months_with_time_under_contract() -> None:
    terms = [
        contract(FEBRUARY, end="2026-03-01T00:00:00Z"),
        contract("2026-03-20T00:00:00Z", "2026-04-30T23:59:59Z"),
    ]
    outputs = run(*terms, until="2026-06-04T00:00:00Z")
    found = statements(outputs)
    assert list(found) == ["2026-02", "2026-04", "2026-05"]
    assert found["2026-04"]["eligible_s"] == 1


def test_r24_the_greatest_valid_from_rules_and_r25_the_last_instant_decides_the_charge() -> None:
    changed = contract("2026-03-10T00:00:00Z", "2026-03-20T00:00:00Z", charge=200_000)
    outputs = run(contract(FEBRUARY), *OUTAGE, changed, until=FINAL)
    assert statements(outputs)["2026-03"]["credit"]["amount_minor"] == 20_000
    ended = contract("2026-03-10T00:00:00Z", "2026-03-20T00:00:00Z", charge=200_000, end="2026-03-21T00:00:00Z")
    statement = statements(run(contract(FEBRUARY), *OUTAGE, ended, until=FINAL))["2026-03"]
    assert statement["eligible_s"] == 20 * 24 * 3600
    assert statement["monthly_charge"]["amount_minor"] == 200_000


def test_r24_ties_go_to_the_later_time_then_the_id() -> None:
    same = [contract(FEBRUARY, charge=1, id="c1"), contract("2026-02-21T00:00:00Z", FEBRUARY, charge=2, id="c0")]
    assert statements(run(*same, until=FINAL))["2026-03"]["monthly_charge"]["amount_minor"] == 2
    ids = [contract(FEBRUARY, charge=1, id="c2"), contract(FEBRUARY, charge=2, id="c1")]
    assert statements(run(*ids, until=FINAL))["2026-03"]["monthly_charge"]["amount_minor"] == 1


def test_r24_zone_and_currency_are_those_of_the_earliest_fact() -> None:
    later = contract("2026-02-25T00:00:00Z", zone="America/New_York", currency="EUR", charge=5)
    outputs = run(contract(FEBRUARY, zone="Asia/Tokyo"), later, until=FINAL)
    statement = statements(outputs)["2026-03"]
    assert statement["period"]["time_zone"] == "Asia/Tokyo"
    assert statement["monthly_charge"] == {"amount_minor": 5, "currency": "USD"}
    assert sorted(statement["flags"]) == ["currency_change_ignored", "zone_change_ignored"]
    earlier = contract("2026-02-19T00:00:00Z", FEBRUARY, zone="Asia/Tokyo", received="2026-02-25T00:00:00Z")
    outputs = run(contract(FEBRUARY, zone="America/New_York"), earlier, until=FINAL)
    assert statements(outputs)["2026-03"]["period"]["time_zone"] == "Asia/Tokyo"


def test_r24_an_earlier_fact_that_arrives_after_the_final_moves_the_month() -> None:
    edge = [opened("2026-03-31T15:00:00Z"), resolved("2026-04-01T06:00:00Z")]
    later = "2026-04-06T00:00:00Z"
    earlier = contract("2026-02-19T00:00:00Z", "2026-04-20T00:00:00Z", zone="Asia/Tokyo", received=later, backfill=True)
    live = opened("2026-04-05T00:00:00Z", "cosmetic", of="x")
    outputs = run(contract(FEBRUARY), *edge, live, earlier, until="2026-05-20T00:00:00Z")
    found = statements(outputs)
    assert (found["2026-03"]["status"], found["2026-03"]["downtime_s"]) == ("adjusted", 0)
    assert found["2026-04"]["downtime_s"] == 15 * 3600


def test_r26_a_contract_that_turns_out_to_have_ended_takes_the_credit_back() -> None:
    ended = contract("2026-04-10T00:00:00Z", FEBRUARY, end="2026-02-21T00:00:00Z")
    statement = statements(run(contract(FEBRUARY), *OUTAGE, ended, until="2026-04-11T00:00:00Z"))["2026-03"]
    assert (statement["status"], statement["credit"]["amount_minor"], statement["eligible_s"]) == ("adjusted", 0, 0)
    assert (statement["guarantee_met"], statement["delta"]["amount_minor"]) == (True, -10_000)


def test_r28_contracts_may_last_until_the_end_of_time() -> None:
    terms = contract(FEBRUARY, end="9999-12-31T23:59:59Z", zone="Asia/Tokyo")
    never = contract(FEBRUARY, "9999-12-31T23:59:58Z", of="b", zone="Asia/Tokyo")
    odd = opened("10:00", tenants=["acme"], started="9999-12-31T23:00:00Z")
    outputs = run(terms, never, odd, until=FINAL)
    assert statements(outputs)["2026-03"]["downtime_s"] == 0
    end = opened("9999-12-31T12:00:00Z", "cosmetic")
    assert tell(run(contract("9999-11-30T00:00:00Z"), end), "classified") == ["classified P4 cosmetic"]


def test_r1_r24_contracts_of_two_sources_with_one_id_rule_in_any_order() -> None:
    """An event is (source, id): which of two rules may not depend on which arrived first."""
    cheap = contract("2026-04-01T00:00:00Z", charge=100_000, id="c", source="/a")
    dear = contract("2026-04-01T00:00:00Z", charge=900_000, id="c", source="/b")
    charges = [
        [event["data"]["monthly_charge"]["amount_minor"] for event in run(*lines, until="2026-05-10T00:00:00Z")]
        for lines in ((cheap, dear), (dear, cheap))
    ]
    assert charges == [[900_000], [900_000]]


def test_r26_r32_a_final_that_is_wrong_about_when_it_was_down_is_adjusted_with_no_delta() -> None:
    """The outage is found to have been an hour later: as long as before, and no credit differs."""
    late = amended("3 00:00", started="11:00", restored="13:00", received="34 00:00")
    lines = [contract("2026-02-20T00:00:00Z"), opened("10:00", tenants=["acme"]), resolved("12:00"), late]
    march = statements(run(*lines, until="40 00:00"))["2026-03"]
    assert (march["status"], march["delta"]["amount_minor"], march["downtime_s"]) == ("adjusted", 0, 7200)
    assert march["intervals"] == [{"start": "2026-03-02T11:00:00Z", "end": "2026-03-02T13:00:00Z"}]


def test_r24_r26_a_final_in_the_wrong_zone_or_currency_is_adjusted() -> None:
    first = contract("10 00:00", "2026-01-01T00:00:00Z")
    for changes in ({"zone": "Asia/Tokyo"}, {"currency": "EUR"}):
        earlier = contract("8 00:00", "2026-01-01T00:00:00Z", id="a", received="34 00:00", **changes)
        march = statements(run(first, earlier, until="40 00:00"))["2026-03"]
        assert march["status"] == "adjusted"
        assert march["credit"]["currency"] == changes.get("currency", "USD")
        assert march["period"]["time_zone"] == changes.get("zone", "UTC")
