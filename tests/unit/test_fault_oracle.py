"""What the oracle of the fault scenarios expects of input that simulation alone would take."""

from __future__ import annotations

import pytest

from cli.kafka_io.reader import TopicRecord
from streams.serde.codec import encode
from streams.sla.instants import DAY, MINUTE
from streams.time_source import SystemTimeSource
from tests.faults.oracle import _lines


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
