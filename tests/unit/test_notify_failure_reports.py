"""Which failures of Kafka the log has, and in which words."""

from __future__ import annotations

import asyncio

from aiokafka.errors import ClusterAuthorizationFailedError, InvalidTimestampError

from connect.notify.failure_reports import ReportedReason, reason_of
from streams.errors import SlaError
from streams.kafka.cancellation import CLIENT_ENDED


def test_a_reason_is_logged_once_and_again_where_it_comes_back_later() -> None:
    at = 0.0
    reported = ReportedReason(lambda: at)
    assert [reported.is_new(each) for each in ("a", "a", "b", "b", "a")] == [True, False, True, False, True]
    for _ in range(8):  # it connects, and may not read
        at += 2.0
        reported.over()
        assert not reported.is_new("a")
    at += 60.0
    assert reported.is_new("a"), "what was left out has lasted since"
    assert not reported.is_new("a")
    reported.over()
    assert not reported.is_new("a")
    at += 60.0
    assert reported.is_new("a")


def test_what_a_producer_that_is_refused_is_told_says_what_to_do() -> None:
    assert "needs Write on its topic `notifications`" in reason_of(ClusterAuthorizationFailedError())
    assert "the clock of this machine is ahead of Kafka's" in reason_of(InvalidTimestampError())
    assert reason_of(SlaError("there is no topic x")) == "there is no topic x"
    assert reason_of(asyncio.CancelledError()) == CLIENT_ENDED
