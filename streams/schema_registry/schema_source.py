"""Schemas by Confluent id, requested until the registry answers: blocking for commands and clients, in the background
for workers (R27: an unreachable registry is retried, not rejected)."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import structlog

from streams.errors import RegistryUnavailable, SlaError
from streams.metrics import SCHEMA_IDS_AWAITED, SCHEMA_REGISTRY_REQUESTS
from streams.runtime.processor import RetryLater
from streams.schema_registry.client import RegistryClient, SchemaRegistry
from streams.schema_registry.subjects import register_subjects
from streams.serde.codec import Codec, SchemaSource
from streams.serde.confluent_framing import Framing
from streams.sla.instants import SECOND
from streams.time_source import TimeSource, pause

Found = TypeVar("Found")

_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
#: How long a command waits for an answer.
ANSWER_TIMEOUT_S = 30.0
#: How long the answer "no such id" is cached: the id may be registered later.
_ABSENT_TTL_S = 30
_MOST_ANSWERS = 1_000
#: Threads that wait for the registry, for any number of tasks: asyncio's own threads are used by Kafka.
_THREADS = 2


def backoff() -> Iterator[float]:
    """Seconds to wait before each next try, for ever."""
    yield from _BACKOFF_S
    while True:
        yield _BACKOFF_S[-1]


def retry_until_answered(
    ask: Callable[[], Found],
    timeout_s: float = ANSWER_TIMEOUT_S,
    *,
    sleep: Callable[[float], None] = time.sleep,
    seconds: Callable[[], float] = time.monotonic,
) -> Found:
    """The answer, requested again until there is one or the time is over. Raises RegistryUnavailable,
    RegistryRefused."""
    until = seconds() + timeout_s
    for wait_s in backoff():
        try:
            return ask()
        except RegistryUnavailable:
            if seconds() + wait_s > until:
                raise
            sleep(wait_s)
    raise AssertionError("backoff() never ends")


class BlockingSchemas:
    """For callers that may block. Raises RegistryUnavailable after `timeout_s` without an answer."""

    def __init__(self, source: SchemaSource, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self._source = source
        self._timeout_s = timeout_s

    def schema_for(self, schema_id: int) -> object | None:
        return retry_until_answered(lambda: self._source.schema_for(schema_id), self._timeout_s)


@lru_cache(maxsize=8)
def reading_codec(access: SchemaRegistry | None, timeout_s: float = ANSWER_TIMEOUT_S) -> Codec:
    """A codec for commands and clients. It asks the registry for unknown ids; without a registry it refuses them."""
    return Codec() if access is None else Codec(BlockingSchemas(RegistryClient(access), timeout_s))


def writing_frame(
    access: SchemaRegistry | None, prefix: str, event_types: Iterable[str], timeout_s: float = ANSWER_TIMEOUT_S
) -> Framing:
    """How values of these events are framed. Where the registry is used for writing, they are registered first.
    Raises RegistryRefused, and RegistryUnavailable after `timeout_s` without an answer."""
    if access is None or not access.write:
        return Framing()
    client, types = RegistryClient(access), tuple(event_types)
    return Framing(retry_until_answered(lambda: register_subjects(client, access, prefix, types), timeout_s))


class BackgroundSchemas:
    """For an event loop: an unknown id raises RetryLater, and the registry is asked in the background until it answers.
    Refused credentials count as an outage too, because the record is not at fault."""

    def __init__(self, source: SchemaSource, clock: TimeSource) -> None:
        self._source = source
        self._clock = clock
        self._answers: OrderedDict[int, tuple[object | None, int]] = OrderedDict()
        self._requests: dict[int, asyncio.Task[None]] = {}
        self._threads = ThreadPoolExecutor(_THREADS, "schema-registry")
        self._logger = structlog.get_logger("streams.schema_registry.schema_source")

    def schema_for(self, schema_id: int) -> object | None:
        """The schema, or None when the registry lacks it. Raises RetryLater."""
        answer = self._answers.get(schema_id)
        if answer is not None:
            schema, at = answer
            if schema is not None or at <= self._clock.now() < at + _ABSENT_TTL_S * SECOND:
                return schema
        task = self._requests.get(schema_id)
        if task is None:
            task = self._requests[schema_id] = asyncio.create_task(self._request(schema_id))
            SCHEMA_IDS_AWAITED.set(len(self._requests))
        raise RetryLater(f"schema id {schema_id} is not known yet: the schema registry is being asked", task)

    async def stop(self) -> None:
        """Stop asking; requests under way end with their timeout."""
        for task in self._requests.values():
            task.cancel()
        await asyncio.gather(*self._requests.values(), return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _request(self, schema_id: int) -> None:
        try:
            schema = await ask_until_answered(lambda: self._source.schema_for(schema_id), self._clock, self._threads)
            self._answers[schema_id] = schema, self._clock.now()
            if len(self._answers) > _MOST_ANSWERS:
                self._answers.popitem(last=False)
            self._logger.info("schema_id_resolved", schema_id=schema_id, known=schema is not None)
        finally:
            del self._requests[schema_id]
            SCHEMA_IDS_AWAITED.set(len(self._requests))


async def ask_until_answered(
    ask: Callable[[], Found],
    clock: TimeSource,
    threads: ThreadPoolExecutor,
    *,
    fatal: type[Exception] | tuple[type[Exception], ...] = (),
    on_failure: Callable[[str], None] = lambda _: None,
) -> Found:
    """The registry's answer, however long it takes. `on_failure` is called with the reason of each failed request;
    `fatal` errors are raised instead of retried."""
    logger = structlog.get_logger("streams.schema_registry.schema_source")
    loop, never = asyncio.get_running_loop(), asyncio.Event()
    for tries, wait_s in enumerate(backoff(), 1):
        try:
            found = await loop.run_in_executor(threads, ask)
        except fatal:
            SCHEMA_REGISTRY_REQUESTS.labels("refused").inc()
            raise
        except Exception as problem:  # an unreadable answer counts as no answer
            SCHEMA_REGISTRY_REQUESTS.labels("failed").inc()
            bug = not isinstance(problem, SlaError)
            logger.warning(
                "schema_registry_unavailable", reason=str(problem), tries=tries, retry_in_s=wait_s, exc_info=bug
            )
            on_failure(str(problem))
        else:
            SCHEMA_REGISTRY_REQUESTS.labels("answered").inc()
            return found
        await pause(clock, never, wait_s)
    raise AssertionError("backoff() never ends")
