"""Stream time follows the broker's clock and agents alone (R11): nobody else can make timers fire early."""

from __future__ import annotations

from typing import Any, NamedTuple

from memory_clock import Stopped

from streams.internal_topics import COPY, TO_LEDGER, is_wrapped, wrap
from streams.kafka.records import Batch
from streams.runtime.processor import Record
from streams.runtime.timestamps import TimestampGuard, Undated

APPENDED, CREATED = 1, 0
NOW_MS = 1_000_000
SKEW_US = 300_000_000


class Raw(NamedTuple):
    offset: int
    timestamp: int
    timestamp_type: int = CREATED
    key: bytes | None = b"k"
    value: bytes | None = b"v"
    headers: Any = ()


AGENTS = wrap(Record("sla.impacts", 0, 0, 5, b"k", b"v", []), TO_LEDGER, COPY, "sla.shared", 0).headers


def guard() -> TimestampGuard:
    return TimestampGuard(Stopped(NOW_MS * 1_000), SKEW_US, ("ledger", "0"), {"sla.shared"}, is_wrapped)


def checked(of: TimestampGuard, topic: str, *records: Raw) -> list[int]:
    batch = of.check(Batch(topic, 0, 0, len(records), records, 7))
    assert [each.offset for each in batch.records] == [each.offset for each in records]
    assert (batch.start, batch.end, batch.size) == (0, len(records), 7)
    return [each.timestamp for each in batch.records]


def test_the_brokers_own_timestamps_count_whatever_this_machines_clock_says() -> None:
    assert checked(guard(), "sla.in", Raw(0, 5, APPENDED), Raw(1, NOW_MS * 9, APPENDED)) == [5, NOW_MS * 9]


def test_on_an_internal_topic_only_what_an_agent_wrote_counts() -> None:
    """An alien record a year ahead must not fire timers."""
    ours = Raw(0, 5, headers=AGENTS)
    assert checked(guard(), "sla.shared", ours, Raw(1, NOW_MS), ours._replace(offset=2)) == [5, 0, 5]
    assert checked(guard(), "sla.shared", Raw(0, NOW_MS, APPENDED)) == [0], "nor what the broker stamped"
    assert checked(guard(), "sla.shared", Raw(0, 9, headers=[*AGENTS[1:], AGENTS[0]])) == [0]


def test_what_is_ahead_by_more_than_the_skew_counts_nowhere() -> None:
    limit = NOW_MS + SKEW_US // 1_000
    for topic, headers in (("sla.shared", AGENTS), ("sla.in", [])):
        assert checked(guard(), topic, Raw(0, limit, headers=headers), Raw(1, limit + 1, headers=headers)) == [limit, 0]


def test_a_clock_that_is_behind_is_corrected_by_what_the_broker_stamped() -> None:
    of = guard()
    checked(of, "sla.in", Raw(0, NOW_MS * 2, APPENDED))
    assert checked(of, "sla.shared", Raw(0, NOW_MS * 2 + 1, headers=AGENTS)) == [NOW_MS * 2 + 1]


def test_the_record_itself_stays_as_it_is() -> None:
    batch = guard().check(Batch("sla.shared", 0, 3, 4, [Raw(3, NOW_MS, headers=[("h", b"1")])]))
    assert batch.records == [Undated(3, b"k", b"v", [("h", b"1")])]
