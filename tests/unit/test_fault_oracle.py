"""What the oracle of the fault scenarios expects of input that simulation alone would take."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.replay.outcome import Outcome
from connect.kafka_io.reader import TopicRecord
from streams.serde.codec import Codec, encode
from streams.sla.events import Rejection
from streams.sla.instants import DAY, MINUTE
from streams.time_source import SystemTimeSource
from tests.faults.evidence import Evidence, take_state
from tests.faults.oracle import _lines, forget_taken_back, state_differences


@pytest.mark.parametrize(
    ("backfill", "ahead", "refused"),
    [(True, 6 * MINUTE, ["future"]), (True, 4 * MINUTE, []), (True, -90 * DAY, []), (False, 6 * MINUTE, [])],
)
def test_a_backfilled_fact_may_not_lie_ahead_of_its_arrival_on_kafka(
    backfill: bool, ahead: int, refused: list[str]
) -> None:
    """Found by flipped bits in a run of all faults: simulation lets it arrive at its own time (R32), a worker refuses
    it (R5). What is not backfilled simulation refuses by itself."""
    arrival = SystemTimeSource().now()
    record = {"event_id": "e", "source": "/s", "subject": "inc", "occurred_at": arrival + ahead, "backfill": backfill}
    value = encode("incident.resolved", record)
    lines, unreadable, crashing = _lines([TopicRecord("sla.incident-events", 0, 7, arrival, b"inc", value, ())])
    assert list(unreadable.values()) == refused
    assert len(lines) == 1 - len(refused)
    assert not crashing


def test_a_state_that_is_lost_made_up_or_different_is_a_problem() -> None:
    expected = {"a": {"status": "open", "revision": 3}, "b": {"status": "open", "revision": 1}}
    found = {"a": {"status": "resolved", "revision": 9, "summary": "s"}, "c": {"status": "open", "revision": 1}}
    assert list(state_differences(expected, found)) == [
        "a: status is resolved, not open",
        "a: summary is s, not None",
        "b: lost",
        "c: made up",
    ]
    assert list(state_differences(expected, {**expected, "a": {"status": "open", "revision": 8}})) == []


def test_states_may_not_go_back_but_for_an_incident_that_was_deleted() -> None:
    evidence = Evidence()
    golden = (Path(__file__).parents[2] / "schemas/golden/incident.state.hex").read_text(encoding="utf-8")
    decoded = Codec().decode(bytes.fromhex(golden))
    assert not isinstance(decoded, Rejection)
    for offset, revision in enumerate([1, 2, None, 1, 1]):
        value = None if revision is None else encode("incident.state", {**decoded[1], "revision": revision})
        take_state(evidence, TopicRecord("sla.incident-state", 0, offset, 0, b"inc-1", value, ()), Codec())
    assert evidence.outdated_states == ["inc-1: revision 1 after 1"]
    assert evidence.states["inc-1"]["revision"] == 1


@pytest.mark.parametrize(
    ("change", "forgotten"),
    [
        ({}, True),
        ({"status": "final"}, False),
        ({"guarantee_met": False}, False),
        ({"credit": {"amount_minor": 1, "currency": "USD"}}, False),
    ],
)
def test_a_provisional_statement_that_says_what_none_says_is_no_difference(
    change: dict[str, object], forgotten: bool
) -> None:
    """Found by a run of the faults: history was loaded across a provisional instant."""
    data = {"status": "provisional", "guarantee_met": True, "credit": {"amount_minor": 0, "currency": "USD"}}
    month = ("acme", "2026-11")
    published = Outcome(statements={month: {"data": data | change}})
    forget_taken_back(published, Outcome())
    assert (month not in published.statements) == forgotten
    published, expected = Outcome(statements={month: {"data": data}}), Outcome(statements={month: {"data": {}}})
    forget_taken_back(published, expected)
    assert published.statements
