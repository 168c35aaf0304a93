"""A write that Kafka refuses halts its task with a reason that names the topic; input that it refuses is told, too."""

from __future__ import annotations

import asyncio
from unittest.mock import AsyncMock, Mock

import pytest
from aiokafka import errors
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    LeaderNotAvailableError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)
from structlog.testing import capture_logs

from streams.runtime.errors import TaskInterrupted, TimestampsRefused, WriteRefused
from streams.runtime.interfaces import Write
from streams.runtime.lasting_failures import LastingFailures
from streams.runtime.processor import Effects, Send
from streams.runtime.settings import RuntimeSettings
from streams.runtime.transactions import KafkaTransactions


@pytest.mark.parametrize("cause", [MessageSizeTooLargeError, TopicAuthorizationFailedError])
def test_the_reason_names_the_topic(cause: type[Exception]) -> None:
    async def scenario() -> None:
        transactions = KafkaTransactions(RuntimeSettings("sla", ("127.0.0.1:1",)), "diary", 0)
        await transactions.discard()

        async def send_batch(_: object, topic: str, *, partition: int) -> asyncio.Future[None]:
            answer = asyncio.get_running_loop().create_future()
            if (topic, partition) == ("sla.out", 3):
                answer.set_exception(cause())
            else:
                answer.set_result(None)
            return answer

        transactions._producer = Mock(begin_transaction=AsyncMock(), send_batch=send_batch)
        effects = Effects()
        effects.send(Send("sla.out", 3, b"k", b"v", []))
        with pytest.raises(WriteRefused, match=r"sla\.out, partition 3"):
            await transactions.commit(Write(effects, b"", {}, 0))

    asyncio.run(scenario())


def test_a_record_that_kafka_calls_invalid_is_refused() -> None:
    """It takes none without a key in a compacted topic, now or later; aiokafka knows no name for this answer."""

    async def scenario() -> None:
        transactions = KafkaTransactions(RuntimeSettings("sla", ("127.0.0.1:1",)), "diary", 0)
        await transactions.discard()
        answer = asyncio.get_running_loop().create_future()
        answer.set_exception(errors.for_code(87)())
        transactions._producer = Mock(begin_transaction=AsyncMock(), send_batch=AsyncMock(return_value=answer))
        effects = Effects()
        effects.send(Send("sla.out", 3, None, b"v", []))
        with pytest.raises(
            WriteRefused, match=r"takes no record without a key.*cleanup\.policy.*sla\.out, partition 3"
        ):
            await transactions.commit(Write(effects, b"", {}, 0))

    asyncio.run(scenario())


def test_the_refusal_counts_where_other_partitions_only_say_that_the_transaction_failed() -> None:
    """Else the task would count as recovering, for which nobody is woken."""

    async def scenario() -> None:
        transactions = KafkaTransactions(RuntimeSettings("sla", ("127.0.0.1:1",)), "diary", 0)
        await transactions.discard()

        async def send_batch(_: object, topic: str, *, partition: int) -> asyncio.Future[None]:
            answer = asyncio.get_running_loop().create_future()
            answer.set_exception(TopicAuthorizationFailedError() if topic == "sla.out" else KafkaError("failed"))
            return answer

        transactions._producer = Mock(begin_transaction=AsyncMock(), send_batch=send_batch)
        effects = Effects()
        effects.send(Send("sla.other", 1, b"k", b"v", []))
        effects.send(Send("sla.out", 3, b"k", b"v", []))
        with pytest.raises(WriteRefused, match=r"sla\.out, partition 3"):
            await transactions.commit(Write(effects, b"", {}, 0))

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("cause", "told"),
    [(KafkaError("failed"), r"^KafkaError: failed$"), (KeyError("sla.out"), r"KeyError\('sla.out'\)")],
)
def test_a_failed_send_is_told_by_its_cause_and_a_defect_with_its_class(cause: Exception, told: str) -> None:
    async def scenario() -> None:
        transactions = KafkaTransactions(RuntimeSettings("sla", ("127.0.0.1:1",)), "diary", 0)
        await transactions.discard()
        answer = asyncio.get_running_loop().create_future()
        answer.set_exception(cause)
        transactions._producer = Mock(begin_transaction=AsyncMock(), send_batch=AsyncMock(return_value=answer))
        with pytest.raises(TaskInterrupted, match=told):
            await transactions.commit(Write(Effects(), b"", {}, 0))

    asyncio.run(scenario())


def test_a_refused_timestamp_is_no_refusal_of_the_write() -> None:
    """Kafka refuses one that is too far behind in the same way as one that is too far ahead."""

    async def scenario() -> None:
        transactions = KafkaTransactions(RuntimeSettings("sla", ("127.0.0.1:1",)), "diary", 0)
        await transactions.discard()
        answer = asyncio.get_running_loop().create_future()
        answer.set_exception(InvalidTimestampError())
        transactions._producer = Mock(begin_transaction=AsyncMock(), send_batch=AsyncMock(return_value=answer))
        with pytest.raises(TimestampsRefused, match=r"further from the broker's clock .*timestamp\.\*\.max\.ms"):
            await transactions.commit(Write(Effects(), b"", {}, 0))

    asyncio.run(scenario())


def test_offsets_that_are_refused_name_their_topics() -> None:
    """Who may read a topic no more may not commit its offsets."""

    async def scenario() -> None:
        transactions = KafkaTransactions(RuntimeSettings("sla", ("127.0.0.1:1",)), "diary", 0)
        await transactions.discard()
        answer = asyncio.get_running_loop().create_future()
        answer.set_result(None)
        transactions._producer = Mock(
            begin_transaction=AsyncMock(),
            send_batch=AsyncMock(return_value=answer),
            send_offsets_to_transaction=AsyncMock(side_effect=TopicAuthorizationFailedError()),
        )
        with pytest.raises(WriteRefused, match=r"offsets of sla\.in, sla\.internal"):
            await transactions.commit(Write(Effects(), b"", {"sla.internal": 1, "sla.in": 2}, 0))

    asyncio.run(scenario())


def test_input_that_may_not_be_read_is_a_problem_until_it_is_read_again() -> None:
    """Its offsets can be seen without that permission, and a worker without input has nothing to commit."""
    now = [100.0]
    failures = LastingFailures("input can't be read", "fetch_failed", seconds=lambda: now[0])
    seen = []
    for second in range(8):
        now[0] = 100.0 + second
        failures.failed(TopicAuthorizationFailedError("sla.in"))
        if second == 3:
            failures.failed(LeaderNotAvailableError())
        seen.append(len(failures.problems()))
    assert seen == [0, 0, 0, 0, 0, 1, 1, 1]
    (problem,) = failures.problems()
    assert "input can't be read: this user is not allowed this operation on the topic" in str(problem["reason"])
    assert "sla.in" in str(problem["reason"])
    now[0] += 10
    assert failures.problems() == []
    failures.failed(TopicAuthorizationFailedError("sla.in"))
    assert failures.problems() == [], "it begins anew"


def test_input_that_may_not_be_read_is_logged_once_a_minute_for_each_topic() -> None:
    """Each fetch is refused, twice a second."""
    now = [100.0]
    failures = LastingFailures("input can't be read", "fetch_failed", seconds=lambda: now[0])
    with capture_logs() as logs:
        for half in range(240):
            now[0] = 100.0 + half / 2
            failures.failed(TopicAuthorizationFailedError("sla.other" if half == 60 else "sla.in"))
    told = [(log["event"], "sla.in" in log["error"], log["left_out"]) for log in logs]
    assert told == [("fetch_failed", True, 0), ("fetch_failed", False, 0), ("fetch_failed", True, 118)]
