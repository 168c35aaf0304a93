"""A transaction that ends between timers is not dated before what they said (R11), a time mark being due or not."""

from __future__ import annotations

from agents.context import Topics
from agents.incidents import IncidentsProcessor
from streams.policy.load import default_policies_dir, load_policies
from streams.runtime.processor import Effects, Record
from streams.runtime.record_queue import RecordQueue
from streams.runtime.transaction_builder import OpenTransaction, TransactionBuilder, TransactionLimits
from streams.serde.codec import decode, encode
from streams.sla.arrival import TimeLimits
from streams.sla.events import Rejection
from streams.sla.instants import HOUR, SECOND
from streams.sla.policy import Policies
from streams.time_source import SystemTimeSource

INPUT = "sla.incident-events"
BEGAN = 1_700_000_000 * SECOND


def test_a_mark_that_is_due_before_the_timers_does_not_date_what_they_say() -> None:
    policies = Policies.of(load_policies(default_policies_dir()), "demo-live")
    processor = IncidentsProcessor(
        0, Topics("sla", 1), policies, TimeLimits(), clock=SystemTimeSource(), mark_every=2 * SECOND
    )
    processor.fire(BEGAN, 1, Effects())  # a first mark: the next is due two seconds later
    opened = {"event_id": "o", "source": "/m", "subject": "a", "occurred_at": BEGAN, "backfill": False}
    opened |= {"scope": "platform", "component": "git_operations", "impact": "complete_outage", "channel": "monitor"}
    value = encode("incident.opened", opened)
    processor.apply(Record(INPUT, 0, 0, BEGAN, b"a", value, []), Effects())
    queue = RecordQueue((INPUT,), 10)
    queue.begin({INPUT: 1})
    builder = TransactionBuilder(
        "incidents",
        0,
        processor,
        queue,
        TransactionLimits(records=1, timers=1, seconds=9),
        time=BEGAN,
        failed={},
        failed_subjects={},
        backlog={},
        stopwatch=lambda: 0.0,
    )
    said = 0
    for _ in range(20):
        transaction = OpenTransaction()
        builder.fire_due(BEGAN + HOUR, transaction)
        for send in transaction.effects.sends:
            decoded = decode(send.value)
            assert not isinstance(decoded, Rejection)
            kind, fields = decoded
            instant = fields["deadline"] if kind == "sla.breached" else fields.get("due_at")
            if isinstance(instant, int):
                said += 1
                assert instant <= builder.time, (kind, instant - BEGAN, builder.time - BEGAN)
    assert said
    assert builder.time < BEGAN + HOUR
