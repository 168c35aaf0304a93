"""Describes topics, and deletes records that all readers have applied: what aiokafka 0.14 lacks, on kafka-python.

kafka-python blocks, so it runs in a thread, one request at a time. The thread is a daemon: a request that a silent
broker never answers keeps no process from ending.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError as KafkaPythonError

from streams.kafka import kafka_python_clients

__all__ = ["KafkaPythonError", "TopicDescription", "TopicDescriptions"]

_T = TypeVar("_T")
_CLEANUP, _STAMPED_BY = "cleanup.policy", "message.timestamp.type"
_DENIED = 29
#: A broker that does not answer for so long is reported; the caller asks again.
_CONNECT_MS = 5_000
_CLOSE_S = 2.0


class TopicDescription(NamedTuple):
    """An existing topic: its number of partitions, its id (empty if the broker tells none), its cleanup policy and the
    type of its timestamps (empty if they were not asked for, or this user may not see them), and the partitions that no
    broker leads."""

    partitions: int
    topic_id: bytes
    cleanup: str = ""
    timestamps: str = ""
    leaderless: tuple[int, ...] = ()


class TopicDescriptions:
    """One connection for administration, opened when first used. Raises KafkaPythonError or OSError.

    Requests that come while one is under way share the next one, so that each is sent after its caller asked.
    """

    def __init__(self, brokers: Iterable[str], security: Mapping[str, object], timeout_ms: int) -> None:
        self._config: dict[str, object] = {
            "bootstrap_servers": list(brokers),
            "client_id": "sla-topics",
            "request_timeout_ms": timeout_ms,
            "bootstrap_timeout_ms": min(timeout_ms, _CONNECT_MS),
            **security,
        }
        self.denied: frozenset[str] = frozenset()
        """Of the topics that were asked for last, those that this user may not see; whether they exist is not known."""
        self._admin: Any = None
        self._names: set[str] = set()
        self._with_settings: set[str] = set()
        self._lock = asyncio.Lock()
        self._next: asyncio.Task[dict[str, TopicDescription]] | None = None

    async def describe(self, names: Iterable[str], settings_of: Iterable[str] = ()) -> dict[str, TopicDescription]:
        """Those of the topics that exist. The settings of `settings_of` are asked for, too."""
        wanted = set(names)
        self._names |= wanted
        self._with_settings |= set(settings_of)
        if self._next is None:
            self._next = asyncio.create_task(self._describe())
            self._next.add_done_callback(_failure_is_known)
        found = await asyncio.shield(self._next)
        return {name: each for name, each in found.items() if name in wanted}

    async def delete_before(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Delete the records below an offset, by (topic, partition)."""
        wanted = {TopicPartition(*where): offset for where, offset in offsets.items()}
        async with self._lock:
            await self._run(lambda admin: admin.delete_records(wanted))

    async def close(self) -> None:
        """Close the connection; a request under way is left to end by itself."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S), self._lock:
                admin, self._admin = self._admin, None
                if admin is not None:
                    await _in_daemon(admin.close)

    async def _describe(self) -> dict[str, TopicDescription]:
        async with self._lock:
            self._next, names = None, sorted(self._names)
            return await self._run(lambda admin: self._found(admin, names))

    def _found(self, admin: Any, names: list[str]) -> dict[str, TopicDescription]:
        described = admin.describe_topics(names)
        self.denied = frozenset(each["name"] for each in described if each["error_code"] == _DENIED)
        found = {
            each["name"]: TopicDescription(
                len(each["partitions"]), _topic_id(each.get("topic_id")), leaderless=_leaderless(each["partitions"])
            )
            for each in described
            if not each["error_code"]
        }
        asked = [
            ConfigResource(ConfigResourceType.TOPIC, name, [_CLEANUP, _STAMPED_BY])
            for name in sorted(self._with_settings & found.keys())
        ]
        if not asked:
            return found
        configs = admin.describe_configs(asked, config_filter="all").get("topic", {})
        for name, config in configs.items():
            cleanup, timestamps = (
                str(config[each]["value"]) if each in config else "" for each in (_CLEANUP, _STAMPED_BY)
            )
            found[name] = found[name]._replace(cleanup=cleanup, timestamps=timestamps)
        return found

    async def _run(self, work: Callable[[Any], _T]) -> _T:
        def run() -> _T:
            if self._admin is None:
                self._admin = kafka_python_clients.admin(**self._config)
            return work(self._admin)

        return await _in_daemon(run)


def _failure_is_known(request: asyncio.Task[dict[str, TopicDescription]]) -> None:
    """Who waits for the request gets its failure; where nobody waits any more, as at a stop, it is no error."""
    if not request.cancelled():
        request.exception()


async def _in_daemon(work: Callable[[], _T]) -> _T:
    """As asyncio.to_thread, in a thread that the end of the process does not wait for."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[_T] = loop.create_future()

    def settle(set_answer: Callable[[Any], None], value: object) -> None:
        if not answer.done():
            set_answer(value)

    def run() -> None:
        try:
            settled: tuple[Callable[[Any], None], object] = (answer.set_result, work())
        except BaseException as error:
            settled = (answer.set_exception, error)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, *settled)

    threading.Thread(target=run, daemon=True, name="sla-topics").start()
    return await answer


def leaders_problem(partitions: Collection[str]) -> str:
    """Why partitions that no broker leads are a problem; at least one."""
    names = sorted(partitions)
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return (
        f"no broker leads {names[0]}{more}, so nobody can read or write there: start the brokers that have the "
        "replicas; kafka-topics.sh --describe --unavailable-partitions lists them"
    )


def _leaderless(partitions: Iterable[Mapping[str, int]]) -> tuple[int, ...]:
    return tuple(sorted(each["partition_index"] for each in partitions if each["leader_id"] < 0))


def _topic_id(value: object) -> bytes:
    """Brokers before 2.8 tell none; an id of zeros is none."""
    try:
        data = UUID(str(value)).bytes
    except ValueError:
        return b""
    return data if any(data) else b""
