"""Clients are closed in bounded time, whatever their own `stop` does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from streams.kafka import patches
from streams.kafka.shutdown import abandon_transaction, end_consumer, end_producer


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


def test_a_stop_that_fails_leaves_no_task_of_its_group() -> None:
    """Those asked for the group's coordinator for ever, over a connection that was closed."""
    ended = list[str]()

    class Part:
        def __getattr__(self, name: str) -> Callable[[], Awaitable[None]]:
            async def end() -> None:
                ended.append(name)
                raise asyncio.CancelledError  # aiokafka awaits the tasks that it cancels

            return end

    class Member(_Consumer):
        _coordinator = Part()
        _fetcher = Part()

    consumer = Member(OSError("away"))
    asyncio.run(end_consumer(consumer))
    assert ended == ["_stop_heartbeat_task", "_stop_commit_offsets_refresh_task", "close"]
    assert consumer.closed


class _Any:
    """Notes every part of it that is used."""

    def __init__(self, used: list[str], path: str = "") -> None:
        self.__dict__["_noted"] = used, path

    def __getattr__(self, name: str) -> _Any:
        used, path = self.__dict__["_noted"]
        used.append(f"{path}{name}")
        return _Any(used, f"{path}{name}.")

    def __setattr__(self, name: str, value: object) -> None:
        self.__dict__["_noted"][0].append(name)

    async def __call__(self, *_: object) -> None:
        raise OSError("away")


@pytest.mark.parametrize("end", [end_consumer, end_producer, abandon_transaction])
@pytest.mark.filterwarnings("ignore:coroutine '_Any.__call__' was never awaited")
def test_private_parts_of_another_version_are_not_touched(
    end: Callable[[object], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be others by the same name."""

    def private() -> bool:
        used = list[str]()
        asyncio.run(_awaited(end(_Any(used))))
        assert used[0] == "stop"
        return any(part.startswith("_") for path in used for part in path.split("."))

    assert private()
    monkeypatch.setattr(patches, "version", lambda _: "0.15.0")
    monkeypatch.setattr(patches, "_applied", {})
    assert not private()


async def _awaited(ending: Awaitable[None]) -> None:
    await ending


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
