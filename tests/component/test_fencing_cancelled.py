"""A task that is stopped while it takes over its transactional id leaves no producer behind; one that is fenced says by
what."""

from __future__ import annotations

import asyncio
from unittest.mock import AsyncMock, Mock

import pytest
from aiokafka.errors import ProducerFenced

from streams.runtime.errors import TaskFenced
from streams.runtime.settings import RuntimeSettings
from streams.runtime.transactions import KafkaTransactions


def test_a_producer_whose_start_is_cancelled_is_closed() -> None:
    async def scenario() -> None:
        transactions = KafkaTransactions(RuntimeSettings("sla", ("127.0.0.1:1",)), "diary", 0)
        await transactions.discard()
        producer = transactions._producer = Mock(start=AsyncMock(side_effect=asyncio.Event().wait), stop=AsyncMock())
        fencing = asyncio.create_task(transactions.fence())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        producer.start.assert_awaited()
        fencing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fencing
        producer.stop.assert_awaited_once()

    asyncio.run(scenario())


def test_a_fenced_task_names_the_id_that_two_deployments_share() -> None:
    """With other prefixes nothing refuses the second one: each fences the other in turn."""

    async def scenario() -> None:
        transactions = KafkaTransactions(RuntimeSettings("desk", ("127.0.0.1:1",)), "diary", 3)
        await transactions.discard()
        transactions._producer = Mock(begin_transaction=AsyncMock(side_effect=ProducerFenced()), stop=AsyncMock())
        with pytest.raises(TaskFenced, match=r"write as desk-diary-3, .* deployment has the same SLA_APP_ID"):
            await transactions.put_row(b"k", b"v")

    asyncio.run(scenario())
