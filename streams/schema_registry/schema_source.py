"""Schemas by Confluent id, asked for until the registry answers: blocking for commands and clients, and without holding
up the event loop for workers (R27: an unreachable registry is retried, not rejected)."""

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
from streams.schema_registry.subjects import registered
from streams.serde.codec import Codec, SchemaSource
from streams.serde.confluent_framing import Framing
from streams.sla.instants import SECOND
from streams.time_source import TimeSource

Found = TypeVar("Found")

_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
#: How long a command asks.
PATIENCE_S = 30.0
#: An id that there is none of may be registered later.
_ABSENT_FOR_S = 30
_MOST_ANSWERS = 1_000
#: Threads that wait for the registry, however many shards do: asyncio's own are Kafka's.
_THREADS = 2


def backoff() -> Iterator[float]:
    """Seconds to wait before each next try, for ever."""
    yield from _BACKOFF_S
    while True:
        yield _BACKOFF_S[-1]


def patiently(
    ask: Callable[[], Found],
    patience_s: float = PATIENCE_S,
    *,
    sleep: Callable[[float], None] = time.sleep,
    seconds: Callable[[], float] = time.monotonic,
) -> Found:
    """The answer, asked for again while there is none and time is left. Raises RegistryUnavailable, RegistryRefused."""
    until = seconds() + patience_s
    for wait_s in backoff():
        try:
            return ask()
        except RegistryUnavailable:
            if seconds() + wait_s > until:
                raise
            sleep(wait_s)
    raise AssertionError("the waiting never ends")


class PatientSchemas:
    """For what may block: raises RegistryUnavailable after `patience_s` without an answer."""

    def __init__(self, source: SchemaSource, patience_s: float = PATIENCE_S) -> None:
        self._source = source
        self._patience_s = patience_s

    def schema_for(self, schema_id: int) -> object | None:
        return patiently(lambda: self._source.schema_for(schema_id), self._patience_s)


@lru_cache(maxsize=8)
def reading_codec(access: SchemaRegistry | None, patience_s: float = PATIENCE_S) -> Codec:
    """A codec for commands and clients: it asks the registry for ids it has not met; without one it knows none."""
    return Codec() if access is None else Codec(PatientSchemas(RegistryClient(access), patience_s))


def writing_frame(
    access: SchemaRegistry | None, prefix: str, event_types: Iterable[str], patience_s: float = PATIENCE_S
) -> Framing:
    """How these events go to topics: registered first, where a registry is to be written for. Raises RegistryRefused,
    and RegistryUnavailable after `patience_s` without an answer."""
    if access is None or not access.write:
        return Framing()
    client, types = RegistryClient(access), tuple(event_types)
    return Framing(patiently(lambda: registered(client, access, prefix, types), patience_s))


class AwaitedSchemas:
    """For an event loop: an id that is not known yet raises NotYet, and the registry is asked in the background until
    it answers. Refused credentials are an outage too: nothing is wrong with the record."""

    def __init__(self, source: SchemaSource, clock: TimeSource) -> None:
        self._source = source
        self._clock = clock
        self._answers: OrderedDict[int, tuple[object | None, int]] = OrderedDict()
        self._asked: dict[int, asyncio.Task[None]] = {}
        self._threads = ThreadPoolExecutor(_THREADS, "schema-registry")
        self._logger = structlog.get_logger("streams.schema_registry.schema_source")

    def schema_for(self, schema_id: int) -> object | None:
        """The schema, or None when the registry lacks it. Raises NotYet."""
        answer = self._answers.get(schema_id)
        if answer is not None:
            schema, at = answer
            if schema is not None or self._clock.now() < at + _ABSENT_FOR_S * SECOND:
                return schema
        task = self._asked.get(schema_id)
        if task is None:
            task = self._asked[schema_id] = asyncio.create_task(self._ask(schema_id))
            SCHEMA_IDS_AWAITED.set(len(self._asked))
        raise RetryLater(f"schema id {schema_id} is not known yet: the schema registry is being asked", task)

    async def stop(self) -> None:
        """Ask no more; requests under way end with their timeout."""
        for task in self._asked.values():
            task.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, schema_id: int) -> None:
        try:
            schema = await asked(lambda: self._source.schema_for(schema_id), self._clock, self._threads)
            self._answers[schema_id] = schema, self._clock.now()
            if len(self._answers) > _MOST_ANSWERS:
                self._answers.popitem(last=False)
            self._logger.info("schema id looked up", schema_id=schema_id, known=schema is not None)
        finally:
            del self._asked[schema_id]
            SCHEMA_IDS_AWAITED.set(len(self._asked))


async def asked(
    ask: Callable[[], Found],
    clock: TimeSource,
    threads: ThreadPoolExecutor,
    *,
    fatal: type[Exception] | tuple[type[Exception], ...] = (),
    told: Callable[[str], None] = lambda _: None,
) -> Found:
    """The registry's answer, however long it takes to come. `told` hears why it is not there yet; what is `fatal` is
    raised instead of asked again."""
    logger = structlog.get_logger("streams.schema_registry.schema_source")
    loop, never = asyncio.get_running_loop(), asyncio.Event()
    for tries, wait_s in enumerate(backoff(), 1):
        try:
            found = await loop.run_in_executor(threads, ask)
        except fatal:
            SCHEMA_REGISTRY_REQUESTS.labels("refused").inc()
            raise
        except Exception as problem:  # whatever an answer makes stumble, it is none
            SCHEMA_REGISTRY_REQUESTS.labels("failed").inc()
            bug = not isinstance(problem, SlaError)
            logger.warning(
                "schema registry does not answer", reason=str(problem), tries=tries, again_in_s=wait_s, exc_info=bug
            )
            told(str(problem))
        else:
            SCHEMA_REGISTRY_REQUESTS.labels("answered").inc()
            return found
        until = clock.now() + int(wait_s * SECOND)
        while clock.now() < until:
            await clock.wait(never, until)
    raise AssertionError("the waiting never ends")
