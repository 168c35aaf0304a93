"""`sla verify`: every tampered term is named, with and without the events, as known when it was made (R21–R26)."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from story import (
    Line,
    amended,
    claimed,
    contract,
    erased,
    maintenance,
    maintenance_cancelled,
    opened,
    policies,
    resolved,
    run,
    shipped,
    texts,
)
from typer.testing import CliRunner

from cli.main import app
from streams.replay.verify import ReplayedMonths, check_with_events
from streams.serde.cloudevents_json import from_json
from streams.sla.arrival import TimeLimits
from streams.sla.canonical_json import canonical_json
from streams.sla.credits.month_close import OUT_OF_ORDER
from streams.sla.credits.recompute import Recomputation
from streams.sla.credits.submitted import submitted_statement
from streams.sla.erasure import Erasures
from streams.sla.events import Rejection

Tamper = Callable[[dict[str, Any]], None]

#: A contract, a maintenance window, an outage of 25 hours that it cuts, an amendment after the final statement.
STORY = [
    contract("2026-02-01T00:00:00Z", id="c-1"),
    maintenance("2026-03-08T00:00:00Z", "2026-03-10T01:00:00Z", "2026-03-10T03:00:00Z", id="m-1e"),
    opened("2026-03-10T00:00:00Z", id="o-1"),
    resolved("2026-03-11T03:00:00Z", id="z-1"),
    opened("2026-03-20T00:00:00Z", of="inc-2", id="o-2"),
    resolved("2026-03-20T06:00:00Z", of="inc-2", id="z-2"),
    amended("2026-04-06T00:00:00Z", of="inc-2", restored="2026-03-20T00:30:00Z", id="a-2"),
]


def statements(*lines: Line, until: str = "2026-04-20T00:00:00Z") -> list[Line]:
    found: list[Line] = json.loads(_statements(json.dumps(lines), until))
    return found


@cache
def _statements(lines: str, until: str) -> str:
    outputs = run(*json.loads(lines), until=until)
    return json.dumps([output for output in outputs if output["type"] == "credit.statement"])


def final(*lines: Line) -> Line:
    return next(
        one for one in statements(*(lines or STORY)) if one["data"]["status"] == "final" and one["data"]["downtime_s"]
    )


def digest_anew(data: dict[str, Any]) -> None:
    """Hide the tampering from the digest."""
    body = {key: value for key, value in data.items() if key != "digest"}
    pairs = sorted({(item["kind"], item["id"]) for item in data["evidence"]})
    body["evidence"] = [{"kind": kind, "id": name} for kind, name in pairs]
    data["digest"] = sha256(canonical_json(body).encode()).hexdigest()


class Verify:
    """Runs `sla verify` on lines, and says the first line and the exit code."""

    def __init__(self, tmp_path: Path) -> None:
        self._file, self._events = tmp_path / "statements.jsonl", tmp_path / "events.jsonl"

    def run(self, given: list[Line], events: list[Line] | None = None, *words: str) -> Result:
        self._file.write_text("".join(f"{json.dumps(line)}\n" for line in given), encoding="utf-8")
        more: list[str] = []
        if events is not None:
            self._events.write_text("\n".join(texts(events)), encoding="utf-8")
            more = ["--events", str(self._events)]
        result: Result = CliRunner().invoke(app, ["verify", str(self._file), *more, *words])
        return result

    def term(self, given: list[Line], events: list[Line] | None = None) -> str | None:
        """The term that differs of the last statement."""
        result = self.run(given, events, "--json")
        told = json.loads(result.stdout)
        assert result.exit_code == (1 if told["differ"] else 0)
        difference = told["statements"][-1]["difference"]
        return None if difference is None else difference["term"]


@pytest.fixture
def verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Verify:
    for name in ("SLA_DEFAULT_POLICY", "SLA_POLICIES"):
        monkeypatch.delenv(name, raising=False)
    return Verify(tmp_path)


def test_what_was_published_is_verified_with_and_without_its_events(verify: Verify) -> None:
    given = statements(*STORY)
    assert {one["data"]["status"] for one in given} == {"provisional", "final", "adjusted"}
    for result in (verify.run(given), verify.run(given, STORY)):
        assert result.exit_code == 0, result.stdout
        assert result.stdout.count(": verified") == len(given)


def put(*path: str | int, value: object) -> Tamper:
    def tamper(data: dict[str, Any]) -> None:
        holder: Any = data
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = value(holder[path[-1]]) if callable(value) else value

    return tamper


ALONE: dict[str, tuple[str, Tamper]] = {
    "period": ("period", put("period", "end", value="2026-04-01T01:00:00Z")),
    "zone": ("period", put("period", "time_zone", value="Asia/Tokyo")),
    "no zone": ("period", put("period", "time_zone", value="Mars/Base")),
    "eligible longer than the month": ("eligible_s", put("eligible_s", value=9_999_999)),
    "eligible": ("availability", put("eligible_s", value=lambda old: old - 3600)),
    "an interval moved": ("downtime_s", put("intervals", 0, "end", value="2026-03-10T00:59:00Z")),
    "intervals out of order": ("intervals", put("intervals", value=lambda old: old[::-1])),
    "an interval out of the month": ("intervals", put("intervals", 0, "start", value="2026-02-10T00:00:00Z")),
    "downtime": ("downtime_s", put("downtime_s", value=lambda old: old + 1)),
    "exclusions that count": ("exclusions", put("exclusions", 0, "start", value="2026-03-10T00:30:00Z")),
    "excluded": ("excluded_s", put("excluded_s", value=0)),
    "numerator": ("availability", put("availability", "numerator", value=lambda old: old + 1)),
    "percent": ("availability", put("availability", "percent", value="99.000000")),
    "policy version": ("policy", put("policy", "version", value="7")),
    "policy content": ("policy", put("policy", "digest", value="0" * 64)),
    "guarantee": ("guarantee_met", put("guarantee_met", value=True)),
    "charge": ("credit", put("monthly_charge", "amount_minor", value=200_000)),
    "credit percent": ("credit_percent", put("credit_percent", value="40")),
    "credit": ("credit", put("credit", "amount_minor", value=99)),
    "currency": ("credit", put("credit", "currency", value="EUR")),
    "delta": ("delta", put("delta", "amount_minor", value=5)),
    "waived": ("waived", put("waived", "amount_minor", value=5)),
    "evidence": ("digest", put("evidence", 0, "id", value="other")),
    "flags": ("digest", put("flags", value=["unknown_plan"])),
    "digest": ("digest", put("digest", value="0" * 64)),
}


@pytest.mark.parametrize("case", ALONE)
def test_a_tampered_term_is_named_without_events(case: str, verify: Verify) -> None:
    term, tamper = ALONE[case]
    given = final()
    tamper(given["data"])
    assert verify.term([given]) == term


def consistent(data: dict[str, Any], downtime: int, credit_percent: str, credit: int) -> None:
    """Make sums, availability and credit fit some downtime."""
    share = 1 - Fraction(downtime, data["eligible_s"] - data["excluded_s"])
    scaled = int(share * 100 * 10**6)
    percent = f"{scaled // 10**6}.{scaled % 10**6:06d}"
    data["downtime_s"] = downtime
    data["availability"] = {"numerator": share.numerator, "denominator": share.denominator, "percent": percent}
    data |= {"credit_percent": credit_percent, "credit": {"amount_minor": credit, "currency": "USD"}}


def test_a_forged_statement_that_fits_itself_does_not_fit_the_events(verify: Verify) -> None:
    given = final()
    data = given["data"]
    removed = data["intervals"].pop()
    assert removed["start"] == "2026-03-20T00:00:00Z"
    consistent(data, data["downtime_s"] - 6 * 3600, "20", 20_000)
    data["evidence"] = [item for item in data["evidence"] if item["id"] != "inc-2"]
    digest_anew(data)
    assert verify.term([given]) is None
    result = json.loads(verify.run([given], STORY, "--json").stdout)
    assert result["statements"][0]["difference"] == {
        "term": "intervals",
        "stated": "nothing",
        "recomputed": "2026-03-20T00:00:00Z to 2026-03-20T06:00:00Z",
        "incidents": ["inc-2"],
    }


WITH_EVENTS: dict[str, tuple[str, Tamper]] = {
    "zone of another month": ("period", put("period", "time_zone", value="Europe/Lisbon")),
    "eligible": ("eligible_s", put("eligible_s", value=lambda old: old - 3600)),
    "interval": ("intervals", put("intervals", 1, "end", value="2026-03-11T02:00:00Z")),
    "downtime": ("downtime_s", put("downtime_s", value=1)),
    "exclusions": ("exclusions", put("exclusions", value=[])),
    "excluded": ("excluded_s", put("excluded_s", value=1)),
    "availability": ("availability", put("availability", "denominator", value=7)),
    "policy": ("policy", put("policy", "digest", value="0" * 64)),
    "guarantee": ("guarantee_met", put("guarantee_met", value=True)),
    "charge": ("monthly_charge", put("monthly_charge", "amount_minor", value=200_000)),
    "credit percent": ("credit_percent", put("credit_percent", value="40")),
    "credit": ("credit", put("credit", "amount_minor", value=99)),
    "claimable until": ("claimable_until", put("claimable_until", value="2026-12-01T00:00:00Z")),
    "evidence": ("evidence", put("evidence", 0, "id", value="other")),
    "flags": ("flags", put("flags", value=["unknown_plan"])),
    "digest": ("digest", put("digest", value="0" * 64)),
    "tenant": ("period", put("tenant_id", value="nobody")),
}


@pytest.mark.parametrize("case", WITH_EVENTS)
def test_the_first_term_that_the_events_say_otherwise_is_named(case: str, verify: Verify) -> None:
    term, tamper = WITH_EVENTS[case]
    given = final()
    tamper(given["data"])
    assert verify.term([given], STORY) == term


def test_events_that_are_missing_name_their_incident(verify: Verify) -> None:
    without = [line for line in STORY if line["subject"] != "inc-2"]
    result = verify.run([final()], without)
    assert result.exit_code == 1
    assert "differs in intervals: " in result.stdout
    assert "(incidents inc-2)" in result.stdout


def test_a_history_that_is_not_whole_is_told_beside_the_difference(verify: Verify, tmp_path: Path) -> None:
    """As one that was cut short: the statement may well be right."""
    file = tmp_path / "cut.jsonl"
    whole = "\n".join(texts(STORY))
    file.write_text(whole, encoding="utf-8")
    assert "could not be applied" not in verify.run([final()], None, "--events", str(file)).stderr
    cut = [text[:-40] if line["subject"] == "inc-2" else text for line, text in zip(STORY, texts(STORY), strict=True)]
    file.write_text("\n".join(cut), encoding="utf-8")
    result = verify.run([final()], None, "--events", str(file))
    assert result.exit_code == 1
    assert f"note: of {len(STORY)} lines of events 3 could not be applied" in result.stderr


def test_a_flag_says_why_a_statement_may_count_what_arrived_after_it(verify: Verify) -> None:
    """The flag itself is no difference: it does not follow from the events."""
    given = final()
    given["data"]["flags"] = [OUT_OF_ORDER]
    digest_anew(given["data"])
    assert verify.run([given], STORY).exit_code == 0
    result = verify.run([given], [line for line in STORY if line["subject"] != "inc-2"])
    assert result.exit_code == 1
    assert f"  flag {OUT_OF_ORDER}: the ledger had applied inputs before their turn" in result.stdout


@pytest.mark.parametrize("text", ["", "no event\n", "\n{}\n"], ids=["empty", "no JSON", "no event"])
def test_a_file_without_events_is_no_reason_to_doubt_a_statement(text: str, verify: Verify, tmp_path: Path) -> None:
    file = tmp_path / "inputs.jsonl"
    file.write_text(text, encoding="utf-8")
    result = verify.run([final()], None, "--events", str(file))
    assert result.exit_code == 2
    assert f"{file}: no event to verify with" in result.stderr
    assert result.stdout == ""


def test_a_file_of_statements_has_no_events(verify: Verify, tmp_path: Path) -> None:
    file = tmp_path / "statements.jsonl"
    result = verify.run([final()], None, "--events", str(file))
    assert (result.exit_code, result.stdout) == (2, "")


def test_r26_only_what_was_known_then_counts(verify: Verify) -> None:
    """A late amendment makes an adjusted statement; the final one before it is right as it was."""
    final_one, adjusted = (
        one
        for one in statements(*STORY)
        if one["data"]["month"] == "2026-03" and one["data"]["status"] != "provisional"
    )
    assert final_one["data"]["downtime_s"] != adjusted["data"]["downtime_s"]
    assert verify.term([final_one, adjusted], STORY) is None
    early = copy.deepcopy(adjusted)
    early["time"] = final_one["time"]
    assert verify.term([early], STORY) == "intervals"


def test_r26_delta_is_against_the_revision_before(verify: Verify) -> None:
    given = [one for one in statements(*STORY) if one["data"]["month"] == "2026-03"]
    tampered = copy.deepcopy(given)
    tampered[-1]["data"]["delta"]["amount_minor"] += 1
    digest_anew(tampered[-1]["data"])
    assert verify.term(given) is None
    assert verify.term(tampered) == "delta"
    assert verify.term(tampered[-1:]) is None  # alone it could be right


def test_r26_two_statements_of_one_revision_contradict_each_other(verify: Verify) -> None:
    given = final()
    other = copy.deepcopy(given)
    other["data"]["flags"] = ["unknown_plan"]
    digest_anew(other["data"])
    assert verify.term([given, other]) == "revision"
    assert json.loads(verify.run([given, given], None, "--json").stdout)["ignored"] == 1


def test_r32_months_past_when_their_contract_was_loaded_know_the_whole_load(verify: Verify) -> None:
    loaded = [{**line, "backfill": True} for line in STORY]
    live = opened("2026-09-01T00:00:00Z", of="later", id="live")
    given = statements(*loaded, live, until="2026-09-02T00:00:00Z")
    assert {one["data"]["status"] for one in given} >= {"final"}
    result = verify.run(given, [*loaded, live])
    assert result.exit_code == 0, result.stdout


def test_r23_a_cancelled_window_and_a_claim_change_nothing_that_is_verified(verify: Verify) -> None:
    story = [
        *STORY[:4],
        maintenance_cancelled("2026-03-12T00:00:00Z", id="m-2e"),
        claimed("2026-04-05T00:00:00Z", "2026-03", id="claim"),
    ]
    assert verify.run(statements(*story), story).exit_code == 0


@pytest.mark.parametrize(
    "taken",
    [
        claimed("2026-03-02T00:00:00Z", "2026-03"),
        maintenance("2026-03-02T00:00:00Z", "2026-03-21T00:00:00Z", "2026-03-21T01:00:00Z", of="acme"),
    ],
    ids=["claim", "maintenance"],
)
def test_r1_a_contract_that_has_the_identity_of_another_input_does_not_count(taken: Line, verify: Verify) -> None:
    first = taken | {"id": "2", "source": "/operations"}
    contradicting = contract("2026-03-03T00:00:00Z", charge=1) | {"id": "2", "source": "/operations"}
    events = [STORY[0], first, contradicting, *STORY[2:]]
    assert [o["data"]["code"] for o in run(*events) if o["type"] == "sla.rejected"] == ["conflict"]
    assert verify.term(statements(*events), events) is None


def test_wrong_use_ends_with_2(verify: Verify, tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["verify", str(tmp_path / "absent")]).exit_code == 2
    none = verify.run([opened("10:00", id="1")])
    assert none.exit_code == 2
    assert "has no credit.statement event" in none.stderr
    broken = final()
    del broken["data"]["period"]
    result = verify.run([STORY[0], broken])
    assert (result.exit_code, "line 2: data.period: is missing" in result.stderr) == (2, True)


ODD: dict[str, tuple[str, object]] = {
    "a month that is none": ("month", "next"),
    "a thirteenth month": ("month", "2026-13"),
    "a month of year 0": ("month", "0000-01"),
    "a short month": ("month", "2026-3"),
    "an empty month": ("month", ""),
    "other digits": ("month", "२०२६-03"),
    "a zone with a null character": ("period", {**final()["data"]["period"], "time_zone": "U\x00TC"}),
    "a zone that is a path": ("period", {**final()["data"]["period"], "time_zone": "../../etc/passwd"}),
    "a period that ends before it begins": ("period", {**final()["data"]["period"], "end": "1970-01-01T00:00:00Z"}),
    "no time": ("eligible_s", -1),
    "too much time": ("eligible_s", 9_000_000_000_000),
    "a denominator of nothing": ("availability", {"numerator": 1, "denominator": 0, "percent": "x"}),
    "a charge of the smallest number": ("monthly_charge", {"amount_minor": -(2**63), "currency": ""}),
    "a revision below zero": ("revision", -(2**31)),
    "no tenant": ("tenant_id", ""),
    "an unknown policy": ("policy", {"name": "", "version": "", "digest": ""}),
    "an interval turned over": (
        "intervals",
        [{"start": "2026-03-11T00:00:00Z", "end": "2026-03-10T00:00:00Z"}],
    ),
}


@pytest.mark.parametrize("case", ODD)
@pytest.mark.parametrize("anew", [False, True])
def test_a_line_that_can_be_no_statement_is_named_and_ends_nothing(case: str, anew: bool, verify: Verify) -> None:
    field, value = ODD[case]
    good, odd = final(), final()
    odd["data"][field] = value
    if anew:
        digest_anew(odd["data"])
    for events in (None, STORY):
        result = verify.run([good, odd], events)
        assert result.exit_code in (1, 2), result.output
        assert isinstance(result.exception, SystemExit)
        assert ("differs in" in result.stdout) if result.exit_code == 1 else ("line 2: " in result.stderr)
    odd["type"] = "credit.issued"
    assert isinstance(verify.run([good, odd], STORY).exception, SystemExit)


def test_a_credit_is_checked_against_its_statement(verify: Verify) -> None:
    lines = [*STORY, claimed("2026-04-01T00:00:00Z", "2026-03", id="k")]
    told = run(*lines, until="2026-04-20T00:00:00Z")
    given = [one for one in told if one["type"] in ("credit.statement", "credit.issued")]
    assert verify.run(given, lines).exit_code == 0
    credit = next(one for one in given if one["type"] == "credit.issued")
    alone = verify.run([final(), credit], lines)
    assert (alone.exit_code, "0 differ" in alone.stdout) == (0, True)
    credit["data"]["amount"]["amount_minor"] -= 1
    result = verify.run(given, lines)
    assert result.exit_code == 1
    assert "acme 2026-03 credit of revision" in result.stdout
    assert "differs in amount: the credit has" in result.stdout
    told_json = json.loads(verify.run(given, lines, "--json").stdout)
    assert [one["difference"]["term"] for one in told_json["credits"]] == ["amount"]
    assert told_json["differ"] == 1


def test_a_credit_without_its_statement_is_not_checked(verify: Verify) -> None:
    lines = [*STORY, claimed("2026-04-01T00:00:00Z", "2026-03", id="k")]
    told = run(*lines, until="2026-04-20T00:00:00Z")
    credit = next(one for one in told if one["type"] == "credit.issued")
    other = next(one for one in told if one["type"] == "credit.statement" and one["data"]["month"] == "2026-02")
    result = verify.run([other, credit], lines)
    assert result.exit_code == 0
    assert "not checked: the file has no revision" in result.stdout
    assert "1 verified, 0 differ" in result.stdout


@pytest.mark.parametrize("without", ["the later ones", "its own"])
def test_a_credit_of_a_revision_that_the_file_lacks_is_not_checked(verify: Verify, without: str) -> None:
    lines = [
        *STORY,
        claimed("2026-04-01T00:00:00Z", "2026-03", id="k"),
        amended("2026-04-10T00:00:00Z", of="inc", restored="2026-03-13T00:00:00Z", id="late"),
        amended("2026-04-12T00:00:00Z", of="inc", restored="2026-03-14T00:00:00Z", id="later"),
    ]
    told = [one for one in run(*lines, until="2026-04-20T00:00:00Z") if one["data"].get("month") == "2026-03"]
    credit = [one for one in told if one["type"] == "credit.issued"][1]
    revision = credit["data"]["statement_revision"]
    lacking = {revision} if without == "its own" else set(range(revision, 99))
    given = [one for one in told if one["type"] == "credit.statement" and one["data"]["revision"] not in lacking]
    assert max(one["data"]["revision"] for one in given) > revision or without != "its own"
    for result in (verify.run([*given, credit], lines), verify.run([*given, credit])):
        assert result.exit_code == 0, result.stdout
        assert f"not checked: the file has no revision {revision} of that month" in result.stdout


def test_the_summary_counts_other_lines(verify: Verify) -> None:
    result = verify.run(run(*STORY, until="2026-04-20T00:00:00Z"))
    assert result.exit_code == 0
    last = result.stdout.splitlines()[-1]
    assert "0 differ, " in last
    assert "other lines ignored" in last


@pytest.mark.parametrize("live", [[], [opened("2026-12-20T00:00:00Z", of="later", id="live")]])
def test_r24_months_that_an_earlier_contract_fact_adds_are_verified_by_it(live: list[Line], verify: Verify) -> None:
    """The earliest fact, which fixes the zone, arrives last, as backfill: months before it are stated in its zone, the
    one that was stated already keeps the zone that was known then."""
    first = contract("2026-11-26T11:24:13Z", "2026-01-01T00:00:00Z", id="c2", zone="Asia/Tokyo")
    incident = opened("2026-11-26T11:25:41Z", of="k", id="k")
    earlier = {**contract("2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", id="c1"), "backfill": True}
    earlier["receivedtime"] = "2026-11-26T11:30:00Z"
    lines = [first, incident, earlier, *live]
    given = statements(*lines, until="2026-12-20T00:00:00Z")
    zones = {one["data"]["month"]: one["data"]["period"]["time_zone"] for one in reversed(given)}  # the first of each
    assert (zones["2026-10"], zones["2026-03"]) == ("Asia/Tokyo", "UTC")
    result = verify.run(given, lines)
    assert result.exit_code == 0, result.stdout


def test_the_work_is_linear_in_statements_and_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements that wait for their tenant's contract, or for the end of a backfill, are not looked at per line."""
    count = 60
    history = [contract("2026-02-01T00:00:00Z", of=f"t-{index:02}", id=f"c-{index}") for index in range(count)]
    given = []
    for output in statements(*history, until="2026-03-05T00:00:00Z"):
        parsed = from_json(output)
        assert not isinstance(parsed, Rejection)
        given.append(submitted_statement(parsed[1], output["data"]))
    assert len({one.tenant for one in given}) == count
    # The same contracts a month later, one after the other: every statement waits for its own.
    late = [
        contract("2026-03-06T00:00:00Z", of=f"t-{index:02}", id=f"c-{index}", received=f"2026-03-06T00:{index:02}:00Z")
        for index in range(count)
    ]
    looks = 0
    known_at = Recomputation.known_at

    def counted(self: Recomputation, tenant: str) -> int | None:
        nonlocal looks
        looks += 1
        return known_at(self, tenant)

    monkeypatch.setattr(Recomputation, "known_at", counted)
    found = check_with_events(given, texts(late), ReplayedMonths(policies(), TimeLimits()))
    assert set(found) == set(range(len(given)))
    checks = 2 * len(given)  # computing a month asks once, and a check may compute it twice
    assert looks <= 2 * len(given) + checks + count


def test_a_statement_of_before_an_erasure_that_was_made_after_it_agrees() -> None:
    """It waits for other partitions, so it has the pseudonym, and the facts of its own instant (R26, R29)."""
    lines = [
        contract("2026-02-01T00:00:00Z", id="c-1"),
        opened("2026-03-10T00:00:00Z", id="o-1"),
        resolved("2026-03-11T03:00:00Z", id="z-1"),
        contract("2026-03-20T00:00:00Z", "2026-03-05T00:00:00Z", charge=5, id="c-2"),
        erased("2026-03-25T00:00:00Z", id="e-1"),
    ]
    before = next(
        one for one in statements(*lines) if one["data"]["status"] == "provisional" and one["data"]["downtime_s"]
    )
    assert before["time"] < "2026-03-20"
    limits = TimeLimits()
    given = submitted_statement(from_json(before)[1], before["data"])
    late = replace(given, tenant=Erasures(limits.pseudonym_key).pseudonym("acme"))
    assert check_with_events([late], texts(lines), ReplayedMonths(policies(), limits)) == {0: None}
    wrong = replace(late, downtime=late.downtime + 1)
    found = check_with_events([wrong], texts(lines), ReplayedMonths(policies(), limits))[0]
    assert found is not None
    assert found.term == "downtime_s"


def test_r26_a_final_statement_that_a_later_plan_dates_back_agrees() -> None:
    """While the month is over but not closed, a contract fact arrives whose plan closes months at their end."""
    prompt = replace(shipped(), name="prompt", statements=replace(shipped().statements, grace=0))
    using = policies(prompt)
    moved = contract("2026-03-02T00:00:00Z", "2026-02-01T00:00:00Z", plan="prompt", id="c-2")
    lines = [contract("2026-02-01T00:00:00Z", id="c-1"), moved, opened("2026-03-10T00:00:00Z", id="o-1")]
    outputs = run(*lines, until="2026-03-20T00:00:00Z", using=using)
    final = next(one for one in outputs if one["type"] == "credit.statement" and one["data"]["status"] == "final")
    assert (final["time"], final["data"]["policy"]["name"]) == ("2026-03-01T00:00:00Z", "prompt")
    given = submitted_statement(from_json(final)[1], final["data"])
    assert check_with_events([given], texts(lines), ReplayedMonths(using, TimeLimits())) == {0: None}
    for wrong in (replace(given, charge=given.charge + 1), replace(given, policy=("scalr-emergency", "1", "x"))):
        assert check_with_events([wrong], texts(lines), ReplayedMonths(using, TimeLimits()))[0] is not None
    # Without that fact the month is closed by the plan that it has.
    found = check_with_events([given], texts([lines[0], lines[2]]), ReplayedMonths(using, TimeLimits()))[0]
    assert found is not None
    assert found.term == "policy"
