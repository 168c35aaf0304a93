"""R29: an erased tenant goes by a pseudonym; amounts, intervals and evidence stay, and stay verifiable."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
from story import (
    SUPPORT,
    Line,
    claimed,
    contract,
    erased,
    event,
    linked,
    maintenance,
    merged,
    opened,
    policies,
    reclassified,
    resolved,
    responded,
    run,
    statements,
    tell,
    texts,
    updated,
)

from streams.replay.simulate import simulate
from streams.replay.verify import ReplayedMonths, check_with_events
from streams.replay.what_if import PolicyComparer
from streams.replay.what_if_result import credits_of
from streams.serde.cloudevents_json import from_json
from streams.serde.codec import decode
from streams.sla.arrival import TimeLimits
from streams.sla.credits.submitted import submitted_statement
from streams.sla.erasure import Erasures
from streams.sla.events import CONTRACT_TYPES, INCIDENT_RANK, Event, Opened, Rejection, Who
from streams.sla.facts import to_event
from streams.sla.instants import Month, parse_rfc3339
from streams.sla.redaction import redacted_record

GOLDEN = Path(__file__).parents[2] / "schemas" / "golden"
KEY = b"a key"
NAME = Erasures(KEY).pseudonym("acme")
END = "2026-04-10T00:00:00Z"
STORY: list[Line] = [
    contract("2026-02-20T00:00:00Z", zone="Asia/Tokyo"),
    contract("2026-02-20T00:00:00Z", of="other"),
    maintenance("2026-02-20T00:00:00Z", "1 09:00", "1 12:00", tenants=["acme"]),
    opened("10:00", tenants=["acme", "other"]),
    linked("10:01", "ACME-77"),
    responded("10:05"),
    resolved("2 12:00"),
]


def told(lines: list[Line], key: bytes = KEY) -> list[Line]:
    return list(
        simulate(
            texts(lines), policies(), until=parse_rfc3339(END), time_limits=replace(TimeLimits(), pseudonym_key=key)
        )
    )


def amounts(statement: Line) -> dict[str, object]:
    names = ("period", "eligible_s", "downtime_s", "excluded_s", "credit", "intervals", "exclusions", "guarantee_met")
    return {name: statement[name] for name in names} | {
        "evidence": [(one["kind"], one["id"]) for one in statement["evidence"]]
    }


def test_r29_later_outputs_know_the_pseudonym_alone() -> None:
    before = told(STORY[:6])
    after = told([*STORY[:6], erased("2 00:00"), *STORY[6:]])
    since = next(number for number, output in enumerate(after) if NAME in json.dumps(output))
    assert not any("acme" in json.dumps(output) for output in after[since:])
    assert "acme" in json.dumps(before)
    march = statements(after, NAME)["2026-03"]
    assert amounts(march) == amounts(statements(told(STORY))["2026-03"])
    assert amounts(statements(after, "other")["2026-03"]) == amounts(statements(told(STORY), "other")["2026-03"])


@pytest.mark.parametrize("place", range(7))
def test_r29_amounts_do_not_depend_on_when_the_erasure_arrives(place: int) -> None:
    late = [{"id": f"s{n}", **line, "receivedtime": "2026-03-05T00:00:00Z"} for n, line in enumerate(STORY)]
    late.insert(place, erased("2 00:00", id="gone", received="2026-03-05T00:00:00Z"))
    march = statements(told(late), NAME)["2026-03"]
    plain = [{"id": f"s{n}", **line} for n, line in enumerate(STORY)]
    assert amounts(march) == amounts(statements(told(plain))["2026-03"])
    assert "acme" not in json.dumps(march)


def test_r29_what_names_the_tenant_later_goes_to_the_pseudonym() -> None:
    late = [
        erased("3 00:00"),
        contract("2026-02-20T00:00:00Z", id="z", charge=77_700, received="4 00:00"),
        opened("5 10:00", of="second", tenants=["acme"]),
        reclassified("5 10:10", of="second", tenants=["acme", "new"]),
        resolved("5 11:00", of="second"),
        claimed("6 00:00", "2026-03"),
        claimed("7 00:00", "2026-03"),
    ]
    found = told([*STORY, *late])
    since = next(number for number, output in enumerate(found) if NAME in json.dumps(output))
    assert not any("acme" in json.dumps(output) for output in found[since:])
    march = statements(found, NAME)["2026-03"]
    assert march["monthly_charge"]["amount_minor"] == 77_700
    assert march["downtime_s"] == 3600 * (50 - 3 + 1)
    assert [line.split()[:2] for line in tell(found, "issued")] == [["issued", NAME]]


def test_r29_months_already_final_are_adjusted_under_the_pseudonym() -> None:
    lines = [
        *STORY,
        erased("34 00:00"),
        contract("30 00:00", "2026-02-20T00:00:00Z", id="z", charge=1, received="35 00:00"),
    ]
    found = told(lines)
    assert statements(found)["2026-03"]["status"] == "final"
    march = statements(found, NAME)["2026-03"]
    assert (march["status"], march["monthly_charge"]["amount_minor"]) == ("adjusted", 1)
    assert march["revision"] > statements(found)["2026-03"]["revision"]


def test_r1_r29_repetitions_are_known_after_the_erasure_too() -> None:
    first, gone = contract("2026-02-20T00:00:00Z", id="c"), erased("1 00:00", id="gone")
    found = told([first, gone, first, gone])
    assert tell(found, "rejected") == []
    other = contract("2026-02-20T00:00:00Z", id="c", charge=5)
    codes = [line["data"]["code"] for line in told([first, gone, other]) if line["type"] == "sla.rejected"]
    assert codes == ["conflict"]
    twice = told([first, gone, erased("2 00:00", id="gone-again")])
    assert tell(twice, "rejected") == []


def test_r29_a_pseudonym_is_a_keyed_hash() -> None:
    assert Erasures(b"one").pseudonym("acme") != Erasures(b"two").pseudonym("acme")
    assert Erasures(b"one").pseudonym("acme") != Erasures(b"one").pseudonym("acm")
    assert Erasures(b"one").key_check != Erasures(b"two").key_check
    assert len(NAME) < 128
    assert not Erasures(KEY)
    assert Erasures(KEY).name("acme") == "acme"


def test_r29_who_is_not_erased_keeps_its_name() -> None:
    found = told([*STORY, erased("3 00:00", of="stranger")])
    assert statements(found)["2026-03"]["tenant_id"] == "acme"
    assert tell(found) == tell(told(STORY))


def test_r29_statements_are_verified_under_either_name() -> None:
    lines = [
        *STORY,
        erased("34 00:00"),
        contract("30 00:00", "2026-02-20T00:00:00Z", id="z", charge=1, received="35 00:00"),
    ]
    given = []
    for output in told(lines):
        if output["type"] == "credit.statement":
            parsed = from_json(output)
            assert not isinstance(parsed, Rejection)
            given.append(submitted_statement(parsed[1], output["data"]))
    assert {one.tenant for one in given} == {"acme", "other", NAME}
    log = ReplayedMonths(policies(), replace(TimeLimits(), pseudonym_key=KEY))
    assert set(check_with_events(given, texts(lines), log).values()) == {None}


GOLDENS = sorted(
    path.stem for path in GOLDEN.glob("*.hex") if path.stem.partition(".v")[0] in CONTRACT_TYPES | INCIDENT_RANK.keys()
)


@pytest.mark.parametrize("stem", GOLDENS)
def test_r29_a_bare_record_reads_back_without_texts_and_persons(stem: str) -> None:
    decoded = decode(bytes.fromhex((GOLDEN / f"{stem}.hex").read_text(encoding="utf-8")))
    assert not isinstance(decoded, Rejection)
    first = to_event(*decoded)
    assert isinstance(first, Event)
    record = redacted_record(first)
    again = to_event(first.type, record)
    assert isinstance(again, Event)
    assert _nameless(again.payload) == _nameless(first.payload)
    assert (again.id, again.source, again.time, again.subject) == (first.id, first.source, first.time, first.subject)
    for name in ("summary", "text", "reason", "ticket_id" if first.type == "incident.opened" else "text"):
        assert not record.get(name)
    assert redacted_record(again) == record


def _nameless(payload: tuple[object, ...]) -> list[object]:
    if isinstance(payload, Opened):
        payload = payload._replace(summary=None, ticket_id=None)
    return [Who(value.kind, None) if isinstance(value, Who) else value for value in payload]


def test_r16_a_merge_links_both_incidents_and_a_reopening_takes_the_link_back() -> None:
    lines = [opened("10:00"), opened("10:05", of="other"), merged("10:10"), event_reopened("10:20")]
    found = [
        (o["subject"], o["data"]["relation"], o["data"]["other"], o["data"]["standing"], o["data"]["link_revision"])
        for o in run(*lines)
        if o["type"] == "incident.link_changed"
    ]
    assert found == [
        ("inc", "merged_into", "other", True, 1),
        ("other", "merged_from", "inc", True, 1),
        ("inc", "merged_into", "other", False, 2),
        ("other", "merged_from", "inc", False, 2),
    ]


def event_reopened(time: str) -> Line:
    return event("incident.reopened", time, "inc", {})


def test_r16_a_merge_found_to_be_of_a_resolved_incident_is_taken_back() -> None:
    lines = [opened("10:00"), merged("10:10"), resolved("10:05", received="10:30")]
    standing = [o["data"]["standing"] for o in run(*lines) if o["type"] == "incident.link_changed"]
    assert standing == [True, True, False, False]


def test_r16_the_later_of_two_targets_has_no_effect_and_the_earlier_gets_the_link() -> None:
    lines = [opened("10:00"), merged("10:10", into="b"), merged("10:05", into="a", received="10:30")]
    links = {}
    for one in run(*lines):
        if one["type"] == "incident.link_changed" and one["subject"] == "inc":
            links[one["data"]["other"]] = one["data"]["standing"]
    assert links == {"b": False, "a": True}


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_r2_r16_the_link_does_not_depend_on_arrival(order: tuple[int, ...]) -> None:
    rest = [merged("10:10", into="b"), merged("10:05", into="a"), updated("10:20", SUPPORT)]
    lines = [opened("10:00"), *({**rest[n], "receivedtime": "2026-03-02T11:00:00Z"} for n in order)]
    standing = {
        (o["subject"], o["data"]["other"]): o["data"]["standing"]
        for o in run(*lines)
        if o["type"] == "incident.link_changed"
    }
    assert {pair for pair, stands in standing.items() if stands} == {("inc", "a"), ("a", "inc")}


def test_r29_what_if_knows_pseudonyms_too() -> None:
    keyed = replace(TimeLimits(), pseudonym_key=KEY)
    comparer = PolicyComparer(policies(), policies(), keyed, until=parse_rfc3339(END))
    for number, line in enumerate(texts([*STORY, erased("3 00:00")]), 1):
        comparer.read(number, line)
    part = comparer.end()
    months = credits_of([part], policies(), keyed)
    assert {tenant for tenant, _ in months} == {NAME, "other"}
    assert set(part.standing[0]) == {NAME, "other"}
    assert months[NAME, Month("2026-03")][0] == 50_000


def test_r29_a_pseudonym_that_somebody_goes_by_is_not_given_to_another() -> None:
    found = told([*STORY, contract("2026-02-20T00:00:00Z", of=NAME), erased("3 00:00")])
    assert [line["data"]["code"] for line in found if line["type"] == "sla.rejected"] == ["conflict"]
    assert statements(found)["2026-03"]["tenant_id"] == "acme"
