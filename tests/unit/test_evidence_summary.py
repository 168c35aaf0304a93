"""R28: evidence and spans beyond a stated size are summarised, fit the record's limit, and still verify."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
from story import Line, amended, contract, opened, policies, resolved, run, shipped, texts
from typer.testing import CliRunner

from agents.changelog.input_rows import DERIVED_LIMIT
from cli.main import app
from schemas import registry
from streams.serde.codec import Codec, decode, encode
from streams.sla.contracts import Contract, Span
from streams.sla.credits import intervals, statement
from streams.sla.credits.intervals import Interval, union
from streams.sla.credits.statement import MonthResult, Period, compute_month
from streams.sla.credits.statement_record import MAX_SPANS, statement_data, summarize_evidence
from streams.sla.credits.work_steps import finish
from streams.sla.events import Money, Output, Position, Rejection
from streams.sla.evidence import MAX_POSITIONS, OffsetRange, PositionsSummary, evidence_data
from streams.sla.impact import Impact, ImpactCopy, impact_copy
from streams.sla.instants import SECOND, Month, month_bounds

START, END = month_bounds(Month("2026-03"), "UTC")
TOPIC = "sla.incident-events"
TERMS = Contract(START, START, "c-1", "/billing", None, "p", Money(100_000, "EUR"), 1, None, True, Position("t", 0, 0))


def month(impacts: list[ImpactCopy]) -> MonthResult:
    period, spans = Period(START, END, "UTC"), [Span(START, END, TERMS)]
    return compute_month("acme", Month("2026-03"), period, spans, shipped(), impacts, [], END, "EUR")


def impacts(count: int, *, name: str = "inc-{:05}", topic: str = TOPIC, inputs: int = 1) -> list[ImpactCopy]:
    """Outages of one second, two seconds apart, in eight partitions."""
    found = []
    for number in range(count):
        start = START + number * 2 * SECOND
        one = Impact("api", "complete_outage", start, start + SECOND, None, "tenants", ("acme",))
        positions = tuple(Position(topic, number % 8, number * 10 + k) for k in range(inputs))
        found.append(ImpactCopy(name.format(number), 1, (one,), positions))
    return found


def record(result: MonthResult) -> dict[str, Any]:
    return finish(
        statement_data("acme", result, status="final", revision=1, delta=0, waived=0, claimable_until=END, flags=())
    )


def size(data: dict[str, Any]) -> int:
    value, headers = Codec().encode_output(Output("credit.statement", "x" * 36, "acme", END, data), "/sla/ledger")
    return len(value) + sum(len(name) + len(text) for name, text in headers)


def test_r28_evidence_of_the_stated_size_is_listed_and_one_more_is_summarised() -> None:
    listed, summarised = record(month(impacts(MAX_POSITIONS - 1))), record(month(impacts(MAX_POSITIONS)))
    assert len(listed["evidence"]) == MAX_POSITIONS
    assert (listed["evidence_summary"], listed["evidence_positions"]) == (None, None)
    assert summarised["evidence"] == []
    pairs = [{"id": "c-1", "kind": "contract"}] + [{"id": f"inc-{n:05}", "kind": "incident"} for n in range(1000)]
    text = json.dumps(pairs, separators=(",", ":"))
    expected = {"contracts": 1, "maintenance": 0, "incidents": 1000, "inputs": 1001}
    assert summarised["evidence_summary"] == {**expected, "ids_digest": sha256(text.encode()).hexdigest()}
    where = summarised["evidence_positions"]
    assert where["inputs"] == 1001
    assert where["ranges"][1] == OffsetRange(TOPIC, 1, 10, 9930, 125)._asdict()
    assert sum(one["inputs"] for one in where["ranges"]) == 1001


def test_r28_the_digest_of_a_summarised_statement_is_over_all_but_positions() -> None:
    elsewhere = [
        copy._replace(evidence=tuple(p._replace(offset=p.offset + 7) for p in copy.evidence))
        for copy in impacts(MAX_POSITIONS)
    ]
    first, second = record(month(impacts(MAX_POSITIONS))), record(month(elsewhere))
    assert first["evidence_positions"]["digest"] != second["evidence_positions"]["digest"]
    assert first["digest"] == second["digest"]
    renamed = impacts(MAX_POSITIONS, name="other-{:05}")
    assert record(month(renamed))["digest"] != first["digest"]


def test_r28_no_statement_is_larger_than_the_limit_of_derived_records() -> None:
    worst = "😀" * 122 + "{:06}"
    topic = "t" * 249
    listed = record(month(impacts(MAX_POSITIONS - 1, name=worst, topic=topic)))
    assert len(listed["evidence"]) == MAX_POSITIONS
    busy = record(month(impacts(40_000, name="x" * 34 + "{:06}")))
    assert busy["evidence_summary"]["incidents"] == 40_000
    spans = record(month(impacts(MAX_SPANS, name=worst, topic=topic)))
    assert len(spans["intervals"]) == MAX_SPANS
    assert size(busy) < 64 * 1024
    assert max(size(listed), size(spans)) < DERIVED_LIMIT


def test_r28_spans_beyond_the_stated_size_are_summarised() -> None:
    found = record(month(impacts(MAX_SPANS + 1)))
    assert (found["intervals"], found["exclusions"]) == ([], [])
    assert found["downtime_s"] == (MAX_SPANS + 1) * SECOND
    assert (found["spans_summary"]["intervals"], found["spans_summary"]["exclusions"]) == (MAX_SPANS + 1, 0)
    moved = impacts(MAX_SPANS + 1)
    moved[5] = moved[5]._replace(impacts=(moved[5].impacts[0]._replace(start=START + 10 * SECOND + 1),))
    assert record(month(moved))["spans_summary"]["intervals_digest"] != found["spans_summary"]["intervals_digest"]


def test_r28_an_incident_whose_own_positions_are_summarised_is_evidence_by_its_summary() -> None:
    positions = tuple(Position(TOPIC, 3, offset) for offset in range(500, 500 + MAX_POSITIONS + 1))
    (one,) = impacts(1)
    data = evidence_data(positions)
    assert data["evidence"] == []
    summary = PositionsSummary.of_data(data["evidence_summary"])  # type: ignore[arg-type]
    text = json.dumps([p._asdict() for p in positions], separators=(",", ":"), sort_keys=True)
    ranges = (OffsetRange(TOPIC, 3, 500, 1500, 1001),)
    assert summary == PositionsSummary(1001, sha256(text.encode()).hexdigest(), ranges)
    result = month([one._replace(evidence=(), summary=summary)])
    assert result.evidence_ids == [("contract", "c-1"), ("incident", "inc-00000")]
    assert finish(summarize_evidence(result)).inputs == 1002
    found = record(result)["evidence_positions"]
    assert OffsetRange(TOPIC, 3, 500, 1500, 1001)._asdict() in found["ranges"]


@pytest.mark.parametrize("count", [1, MAX_POSITIONS, MAX_POSITIONS + 1])
def test_impact_lists_read_back_with_their_evidence(count: int) -> None:
    positions = tuple(Position(TOPIC, 0, offset) for offset in range(count))
    listed = count <= MAX_POSITIONS
    (one,) = impacts(1)
    fields = {
        "incident_id": one.incident_id,
        "incident_revision": 1,
        "arrival": 0,
        "intervals": [{**one.impacts[0]._asdict(), "tenant_ids": ["acme"]}],
        **evidence_data(positions),
    }
    decoded = decode(encode("state.impacts", fields), DERIVED_LIMIT)
    assert not isinstance(decoded, Rejection)
    summary = PositionsSummary.of_data(fields["evidence_summary"])  # type: ignore[arg-type]
    expected = (positions, None) if listed else ((), summary)
    assert impact_copy(decoded[1]) == one._replace(evidence=expected[0], summary=expected[1])


def test_rows_of_the_version_before_are_read() -> None:
    (first,) = [s for s in registry.load().by_fingerprint.values() if (s.name, s.version) == ("state.impacts", 1)]
    (one,) = impacts(1)
    fields = {
        "incident_id": one.incident_id,
        "incident_revision": 1,
        "arrival": 0,
        "intervals": [{**one.impacts[0]._asdict(), "tenant_ids": ["acme"]}],
        "evidence": [one.evidence[0]._asdict()],
    }
    stream = BytesIO()
    fastavro.schemaless_writer(stream, first.parsed, fields)
    decoded = decode(b"\xc3\x01" + first.fingerprint + stream.getvalue())
    assert not isinstance(decoded, Rejection)
    assert impact_copy(decoded[1]) == one


def told(*lines: Line) -> list[Line]:
    return [line | {"id": f"e{number}"} for number, line in enumerate(lines)]


def test_r28_summarised_statements_are_verified_and_their_tampering_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLA_DEFAULT_POLICY", "SLA_POLICIES"):
        monkeypatch.delenv(name, raising=False)
    for module in ("streams.sla.evidence", "streams.sla.credits.statement_record"):
        monkeypatch.setattr(f"{module}.MAX_POSITIONS", 20)
    edits = [amended(f"2026-03-10T{2 + n // 60:02}:{n % 60:02}:00Z", counts=n % 2 == 0) for n in range(21)]
    lines = told(
        contract("2026-02-20T00:00:00Z"), opened("2026-03-10T00:00:00Z"), resolved("2026-03-10T01:00:00Z"), *edits
    )
    outputs = run(*lines, until="2026-04-10T00:00:00Z", using=policies())
    last = [output for output in outputs if output["type"] == "impact.changed"][-1]
    assert last["data"]["evidence"] == []
    assert last["data"]["evidence_summary"]["inputs"] == 23
    statement = [output for output in outputs if output["type"] == "credit.statement"][-1]
    assert statement["data"]["evidence_summary"]["inputs"] == 24

    def verify(changed: Line) -> tuple[int, str]:
        events, file = tmp_path / "events.jsonl", tmp_path / "statements.jsonl"
        events.write_text("\n".join(texts(lines)), encoding="utf-8")
        file.write_text(json.dumps(changed), encoding="utf-8")
        result = CliRunner().invoke(app, ["verify", str(file), "--events", str(events)])
        return result.exit_code, result.stdout

    code, text = verify(statement)
    assert (code, ": verified" in text) == (0, True)
    tampered = json.loads(json.dumps(statement))
    tampered["data"]["evidence_summary"]["incidents"] = 2
    code, text = verify(tampered)
    assert (code, "differs in evidence" in text) == (1, True)
    tampered = json.loads(json.dumps(statement))
    tampered["data"]["evidence"] = [{"kind": "incident", "id": "other", "topic": TOPIC, "partition": 0, "offset": 0}]
    code, text = verify(tampered)
    assert (code, "differs in evidence_summary" in text) == (1, True)


def test_a_policy_of_no_downtime_has_no_summary() -> None:
    none = replace(shipped(), downtime_impacts=frozenset())
    period, spans = Period(START, END, "UTC"), [Span(START, END, TERMS)]
    result = compute_month("acme", Month("2026-03"), period, spans, none, impacts(2_000), [], END, "EUR")
    assert record(result)["evidence_summary"] is None


def test_a_month_of_many_incidents_unites_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alerts of other tenants come between two steps."""
    at_once: list[int] = []

    def counted(spans: Iterable[tuple[int, int]]) -> list[Interval]:
        listed = list(spans)
        at_once.append(len(listed))
        return union(listed)

    for module in (statement, intervals):
        monkeypatch.setattr(module, "union", counted)
    assert len(month(impacts(12_000)).intervals) == 12_000
    assert max(at_once) <= 5_001
