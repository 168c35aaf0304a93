"""A write that Kafka refuses halts its task with a reason that names the topic."""

from __future__ import annotations

import asyncio
from unittest.mock import AsyncMock, Mock

import pytest
from aiokafka.errors import MessageSizeTooLargeError, TopicAuthorizationFailedError

from streams.runtime.errors import WriteRefused
from streams.runtime.interfaces import Write
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
