"""Connects to Kafka: the partitions of topics, and its errors as messages."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from connect.kafka_io.slow_answers import first_answer
from streams.errors import SlaError
from streams.kafka import aiokafka_clients
from streams.kafka.cancellation import CLIENT_ENDED, cancelled_by_us
from streams.kafka.causes import TokenRefused, explained_error

REQUEST_TIMEOUT_MS = 10_000
_LOOK_AGAIN_S = 0.05


class BrokerProblem(SlaError):  # noqa: N818 -- it names what happened
    """Kafka can't be reached, lacks a topic or refuses a request; the message is one line."""


class _Silence:
    """Keeps the log of aiokafka silent while anybody is inside: threads and coroutines may overlap."""

    def __init__(self) -> None:
        self._logger = logging.getLogger("aiokafka")
        self._lock = threading.Lock()
        self._inside = 0
        self._level = logging.NOTSET

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._level = self._logger.level
                self._logger.setLevel(logging.CRITICAL)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._logger.setLevel(self._level)


_silence = _Silence()


@contextmanager
def explained(bootstrap: Iterable[str]) -> Iterator[None]:
    """Kafka's errors and the network's as BrokerProblem; the client's own log lines about them are suppressed."""
    where = ", ".join(bootstrap)
    try:
        with _silence:
            yield
    except (KafkaError, OSError, TokenRefused) as error:
        raise BrokerProblem(explained_error(error, where)) from error
    except ValueError as error:
        raise BrokerProblem(f"{where}: not the address of a broker; write host:port ({error})") from error
    except asyncio.CancelledError as error:
        if _cancelled_by_us():
            raise
        raise BrokerProblem(f"Kafka at {where}: {CLIENT_ENDED}") from error


def _cancelled_by_us() -> bool:
    try:
        return cancelled_by_us()
    except RuntimeError:  # no loop runs any more: the client cancelled what this one ran
        return False


async def partitions_of(
    bootstrap: Iterable[str], topics: Iterable[str], security: Mapping[str, object] | None = None
) -> dict[str, list[int]]:
    """The partitions of each topic, from the broker's metadata. Raises BrokerProblem for a topic that does not
    exist."""
    addresses = list(bootstrap)
    client = aiokafka_clients.client(addresses, security, client_id="sla", request_timeout_ms=REQUEST_TIMEOUT_MS)
    with explained(addresses), first_answer(", ".join(addresses)):
        try:
            await client.bootstrap()
            metadata = await client.fetch_all_metadata()
        finally:
            await client.close()
    found = {topic: sorted(metadata.partitions_for_topic(topic) or ()) for topic in topics}
    if absent := [topic for topic, partitions in found.items() if not partitions]:
        names = f"there is no topic {absent[0]}" if len(absent) == 1 else f"there are no topics {', '.join(absent)}"
        raise BrokerProblem(f"{names} at {', '.join(addresses)}; `sla topics apply` creates the product's topics")
    return found


def check_reachable(bootstrap: Iterable[str], security: Mapping[str, object] | None = None) -> None:
    """Raises BrokerProblem where no broker answers: at once where nothing listens. Clients of kafka-python try again
    for seconds then, which services want and people wait for. What a broker refuses later is told by those clients:
    aiokafka takes a token that was not accepted for one that was, and then has no cause."""
    asyncio.run(_first_answer(list(bootstrap), security))


async def _first_answer(addresses: list[str], security: Mapping[str, object] | None) -> None:
    client = aiokafka_clients.client(addresses, security, client_id="sla", request_timeout_ms=REQUEST_TIMEOUT_MS)
    with explained(addresses), first_answer(", ".join(addresses)):
        try:
            await client.bootstrap()
        finally:
            await client.close()


async def all_partitions(consumer: Any, topic: str, within_s: float) -> list[TopicPartition]:
    """Subscribe a consumer without a group, which then gets all partitions of the topic, and wait until it has them.
    Raises TimeoutError."""
    consumer.subscribe([topic])
    async with asyncio.timeout(within_s):
        while not consumer.assignment():
            await asyncio.sleep(_LOOK_AGAIN_S)
    return list(consumer.assignment())
