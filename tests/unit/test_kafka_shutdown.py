"""Clients are closed in bounded time, whatever their own `stop` does."""

from __future__ import annotations

import asyncio

import pytest

from streams.kafka.shutdown import end_consumer


class _Consumer:
    """Its `stop` does what the test says; its connection is `_client`."""

    def __init__(self, stop: BaseException | None) -> None:
        self._client = self
        self.failure = stop
        self.closed = False

    async def stop(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("failure", [asyncio.CancelledError(), OSError("away"), None], ids=repr)
def test_a_stop_that_fails_closes_the_connection_and_ends_no_caller(failure: BaseException | None) -> None:
    """aiokafka's `stop` raises CancelledError while Kafka is away, of a task of its own."""
    consumer = _Consumer(failure)
    asyncio.run(end_consumer(consumer))
    assert consumer.closed is (failure is not None)


def test_the_cancellation_of_the_caller_counts() -> None:
    class Slow(_Consumer):
        async def stop(self) -> None:
            await asyncio.sleep(60)

    async def scenario() -> None:
        closing = asyncio.create_task(end_consumer(Slow(None)))
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing

    asyncio.run(scenario())
