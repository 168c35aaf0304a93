"""R12, R17, R26: statements of restless months, what undoes them, and claims on the last instant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from story import (
    Line,
    amended,
    annulled,
    claimed,
    contract,
    merged,
    opened,
    policies,
    reclassified,
    resolved,
    responded,
    rfc,
    run,
    severity_set,
    shipped,
    statements,
    tell,
    with_credit,
)

FEBRUARY = "2026-02-20T00:00:00Z"
FINAL = "2026-04-04T00:00:00Z"
CLAIMABLE = "2026-06-03T00:00:00Z"
#: Two percent and a bit of March: one completed point under 99, so 10 %.
OUTAGE = [opened("10:00"), resolved("1 01:00")]
AUTOMATIC = policies(replace(with_credit(shipped(), claim="automatic"), name="own"), default="own")


def said(*lines: Line, until: str, terms: Line | None = None, **more: Any) -> list[str]:
    """Statements and credits of March, as `03-04 provisional 2 credit 10000` and `issued 10000 claimed`."""
    told = []
    for output in run(terms or contract(FEBRUARY), *lines, until=until, **more):
        data = output["data"]
        if output["type"] == "credit.statement" and data["month"] == "2026-03":
            amounts = {key: data[key]["amount_minor"] for key in ("credit", "delta", "waived")}
            shown = " ".join(f"{key} {amount}" for key, amount in amounts.items() if amount or key == "credit")
            told.append(f"{output['time'][5:10]} {data['status']} {data['revision']} {shown}")
        elif output["type"] == "credit.issued":
            told.append(f"issued {data['amount']['amount_minor']} {data['cause']}")
        elif output["type"] == "sla.rejected":
            told.append(f"rejected {data['code']}")
    return told


def test_r26_an_outage_that_flaps_hundreds_of_times_a_day_is_stated_once_a_day() -> None:
    """360 outages a day of two minutes each, for three days."""
    lines = []
    for n in range(3 * 360):
        day, minute = divmod(n * 4, 24 * 60)
        lines.append(opened(f"{day} {minute // 60}:{minute % 60:02d}", of=f"i{n}"))
        lines.append(resolved(f"{day} {(minute + 2) // 60}:{(minute + 2) % 60:02d}", of=f"i{n}"))
    outputs = run(contract(FEBRUARY), *lines, until=FINAL)
    mine = [o for o in outputs if o["type"] == "credit.statement" and o["data"]["month"] == "2026-03"]
    assert [(o["time"][5:], o["data"]["status"], o["data"]["downtime_s"] // 3600) for o in mine] == [
        ("03-03T00:00:00Z", "provisional", 12),
        ("03-04T00:00:00Z", "provisional", 24),
        ("03-05T00:00:00Z", "provisional", 36),
        ("04-04T00:00:00Z", "final", 36),
    ]


def test_r26_a_provisional_statement_comes_only_when_guarantee_or_credit_differ() -> None:
    """More downtime under the same credit is no news; the first second under the guarantee is."""
    short = [opened("10:00"), resolved("10:44")]
    assert said(*short, until=FINAL) == ["04-04 final 1 credit 0"]
    longer = [opened("1 10:00", of="b"), resolved("1 11:00", of="b")]
    more = [opened("2 10:00", of="c"), resolved("2 11:00", of="c")]
    assert said(*short, *longer, *more, until=FINAL) == ["03-04 provisional 1 credit 0", "04-04 final 2 credit 0"]


def test_r26_provisional_instants_count_from_the_months_start_in_its_zone() -> None:
    outputs = run(contract(FEBRUARY, zone="America/New_York"), *OUTAGE, until="2026-03-10T00:00:00Z")
    assert [o["time"] for o in outputs if o["type"] == "credit.statement"] == [
        "2026-03-03T05:00:00Z",
        "2026-03-04T05:00:00Z",
    ]


def test_r26_what_is_undone_before_the_final_goes_back_to_met_and_nothing() -> None:
    assert said(*OUTAGE, annulled("4 10:00"), until=FINAL) == [
        "03-03 provisional 1 credit 0",
        "03-04 provisional 2 credit 10000",
        "03-07 provisional 3 credit 0",
        "04-04 final 4 credit 0",
    ]


def test_r26_r17_annulled_after_the_final_the_credit_is_undone() -> None:
    """Not claimed: adjusted to nothing. Issued: it stays issued, and the statement waives it."""
    undone = annulled("2026-04-10T00:00:00Z")
    later = "2026-04-11T00:00:00Z"
    assert said(*OUTAGE, undone, until=later)[-1] == "04-10 adjusted 4 credit 0 delta -10000"
    claim = claimed("2026-04-05T00:00:00Z", "2026-03")
    assert said(*OUTAGE, claim, undone, until=later)[-3:] == [
        "04-04 final 3 credit 10000",
        "issued 10000 claimed",
        "04-10 adjusted 4 credit 0 delta -10000 waived 10000",
    ]
    # A claim after that finds nothing to issue.
    assert said(*OUTAGE, undone, claimed("2026-04-12T00:00:00Z", "2026-03"), until=CLAIMABLE)[-1].startswith("04-10")


def test_r26_what_was_waived_is_issued_no_second_time() -> None:
    """10 % issued, annulled; then another outage of 2 % and one of 5 % become known: only what exceeds 10 % is new."""
    lines = [
        *OUTAGE,
        claimed("2026-04-05T00:00:00Z", "2026-03"),
        annulled("2026-04-06T00:00:00Z"),
        opened("3 10:00", of="b", received="2026-04-06T12:00:00Z"),
        resolved("4 01:00", of="b", received="2026-04-06T12:00:00Z"),
        amended("2026-04-08T00:00:00Z", restored="5 13:00", of="b"),
    ]
    assert said(*lines, until="2026-04-10T00:00:00Z")[2:] == [
        "04-04 final 3 credit 10000",
        "issued 10000 claimed",
        "04-06 adjusted 4 credit 0 delta -10000 waived 10000",
        "04-06 adjusted 5 credit 10000 delta 10000",
        "04-08 adjusted 6 credit 50000 delta 40000",
        "issued 40000 adjusted",
    ]


def test_r26_partly_undone_the_difference_is_waived() -> None:
    long = [opened("10:00"), resolved("2 13:00")]
    lines = [*long, claimed("12:00", "2026-03"), amended("2026-04-06T00:00:00Z", restored="1 01:00")]
    ordered = sorted(lines, key=lambda line: str(line["time"]))
    assert said(*ordered, until="2026-04-07T00:00:00Z")[-3:] == [
        "04-04 final 4 credit 50000",
        "issued 50000 claimed",
        "04-06 adjusted 5 credit 10000 delta -40000 waived 40000",
    ]


def test_r26_many_late_changes_settle_once_an_hour_after_the_first() -> None:
    changes = [amended(f"2026-04-05T00:{n:02d}:00Z", restored=f"{n // 10 + 1} 02:{n:02d}") for n in range(0, 60, 2)]
    told = said(*OUTAGE, *changes, until="2026-04-07T00:00:00Z")
    assert told[3:] == ["04-05 adjusted 4 credit 100000 delta 90000"]
    outputs = run(contract(FEBRUARY), *OUTAGE, *changes, until="2026-04-07T00:00:00Z")
    adjusted = [o["time"] for o in outputs if o["type"] == "credit.statement" and o["data"]["status"] == "adjusted"]
    assert adjusted == ["2026-04-05T01:00:00Z"]


def test_r26_a_change_at_the_settling_instant_belongs_to_it_and_one_after_it_to_the_next() -> None:
    first = amended("2026-04-05T00:00:00Z", restored="1 13:00")
    at, after = (amended(time, restored="2 13:00") for time in ("2026-04-05T01:00:00Z", "2026-04-05T01:00:01Z"))
    until = "2026-04-06T00:00:00Z"
    assert said(*OUTAGE, first, at, until=until)[3:] == ["04-05 adjusted 4 credit 50000 delta 40000"]
    assert said(*OUTAGE, first, after, until=until)[3:] == [
        "04-05 adjusted 4 credit 20000 delta 10000",
        "04-05 adjusted 5 credit 50000 delta 30000",
    ]


def test_r26_a_new_charge_after_the_final_is_adjusted() -> None:
    dearer = contract("2026-03-31T00:00:00Z", "2026-03-31T00:00:00Z", charge=200_000, received="2026-04-10T00:00:00Z")
    assert said(*OUTAGE, dearer, until="2026-04-11T00:00:00Z")[-1] == "04-10 adjusted 4 credit 20000 delta 10000"


def test_r12_facts_that_move_no_downtime_adjust_nothing() -> None:
    """A response and a severity by hand that come after the final take breaches back, but no amount changes."""
    late = [
        responded("10:30", received="2026-04-05T00:00:00Z"),
        severity_set("11:00", "P4", received="2026-04-05T00:00:00Z"),
    ]
    outputs = run(contract(FEBRUARY), *OUTAGE, *late, until="2026-04-06T00:00:00Z")
    assert len(tell(outputs, "retracted")) == 13
    assert statements(outputs)["2026-03"]["status"] == "final"


@pytest.mark.parametrize(
    ("fact", "credit"),
    [
        (resolved("11:00", received="2026-04-05T00:00:00Z"), 0),
        (merged("11:00", received="2026-04-05T00:00:00Z"), 0),
        (reclassified("11:00", impact="cosmetic", received="2026-04-05T00:00:00Z"), 0),
        (reclassified("11:00", component="guest_agent", received="2026-04-05T00:00:00Z"), 0),
        (reclassified("11:00", tenants=["b"], received="2026-04-05T00:00:00Z"), 0),
        (amended("2026-04-05T00:00:00Z", started="2026-03-01T10:00:00Z"), 40_000),
    ],
    ids=["resolved", "merged", "impact", "component", "tenants", "amended"],
)
def test_r12_r26_late_evidence_after_the_final_is_adjusted(fact: Line, credit: int) -> None:
    lines = [*OUTAGE, fact]
    march = statements(run(contract(FEBRUARY), *lines, until="2026-04-06T00:00:00Z"))["2026-03"]
    assert (march["status"], march["credit"]["amount_minor"]) == ("adjusted", credit)


@pytest.mark.parametrize(
    ("time", "received", "told"),
    [
        ("2026-03-02T12:00:00Z", None, ["issued 10000 claimed"]),
        (FINAL, None, ["issued 10000 claimed"]),
        (CLAIMABLE, None, ["issued 10000 claimed"]),
        (CLAIMABLE, "2026-06-20T00:00:00Z", ["issued 10000 claimed"]),
        ("2026-06-03T00:00:00.000001Z", None, ["rejected too_late"]),
        ("2026-01-31T00:00:00Z", "2026-02-20T00:00:01Z", ["issued 10000 claimed"]),
    ],
    ids=["in the month", "at the final", "on the last instant", "told later", "a microsecond late", "before the month"],
)
def test_r26_a_claim_counts_by_its_time(time: str, received: str | None, told: list[str]) -> None:
    lines = [*OUTAGE, claimed(time, "2026-03", **({"received": received} if received else {}))]
    ordered = sorted(lines, key=lambda line: received if "credit" in line["type"] and received else str(line["time"]))
    found = said(*ordered, until="2026-07-01T00:00:00Z")
    assert [line for line in found if line.startswith(("issued", "rejected"))] == told


def test_r26_a_claim_is_for_its_tenant_and_month_alone() -> None:
    others = [claimed("12:00", "2026-02"), claimed("12:00", "2026-03", of="b")]
    assert said(contract(FEBRUARY, of="b", plan="own"), OUTAGE[0], others[0], OUTAGE[1], until=FINAL)[-1] == (
        "04-04 final 3 credit 10000"
    )
    told = tell(
        run(contract(FEBRUARY), contract(FEBRUARY, of="b"), OUTAGE[0], *others, OUTAGE[1], until=FINAL), "issued"
    )
    assert told == ["issued b 2026-03 10000 claimed"]


def test_r26_claimable_until_stays_what_the_final_said() -> None:
    """An adjustment opens no new time to claim in."""
    change = amended("2026-06-01T00:00:00Z", restored="2 13:00")
    late = claimed("2026-06-03T00:00:01Z", "2026-03")
    assert said(*OUTAGE, change, late, until="2026-06-10T00:00:00Z")[-2:] == [
        "06-01 adjusted 4 credit 50000 delta 40000",
        "rejected too_late",
    ]


def test_r26_automatic_credit_needs_no_claim_and_a_claim_adds_none() -> None:
    lines = [OUTAGE[0], claimed("12:00", "2026-03"), OUTAGE[1], amended("2026-04-06T00:00:00Z", restored="2 13:00")]
    undone = annulled("2026-04-08T00:00:00Z")
    again = claimed("2026-04-09T00:00:00Z", "2026-03")
    terms = contract(FEBRUARY, plan="own")
    assert said(*lines, undone, again, until="2026-04-10T00:00:00Z", terms=terms, using=AUTOMATIC)[2:] == [
        "04-04 final 3 credit 10000",
        "issued 10000 automatic",
        "04-06 adjusted 4 credit 50000 delta 40000",
        "issued 40000 adjusted",
        "04-08 adjusted 5 credit 0 delta -50000 waived 50000",
    ]


def test_r26_a_quiet_month_that_turns_out_not_to_be_is_adjusted_from_nothing() -> None:
    late = [line | {"receivedtime": rfc("2026-04-04T12:00:00Z")} for line in OUTAGE]
    assert said(*late, until="2026-04-06T00:00:00Z") == [
        "04-04 final 1 credit 0",
        "04-04 adjusted 2 credit 10000 delta 10000",
    ]


def test_r26_a_claim_that_is_too_late_by_every_policy_is_rejected_when_it_arrives_also_in_a_backfill() -> None:
    """Its sender gets it back whole, and at once."""
    late = claimed("2026-06-03T00:00:01Z", "2026-03", id="late")
    outputs = run(contract(FEBRUARY), late, *OUTAGE, backfill=True, until="2026-07-01T00:00:00Z")
    kinds = [each["type"] for each in outputs]
    assert kinds.index("sla.rejected") < kinds.index("credit.statement")
    assert outputs[kinds.index("sla.rejected")]["data"]["code"] == "too_late"
