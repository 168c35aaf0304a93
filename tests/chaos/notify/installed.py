"""Puts the fakes in the place of aiokafka's clients, of clocks and of random names, and collects the log."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import partial
from random import Random  # noqa: TID251 -- seeded
from types import SimpleNamespace
from typing import Any, NoReturn
from unittest import mock

import structlog

from connect.notify import group_membership
from streams.kafka import aiokafka_clients
from streams.kafka.patches import AIOKAFKA

from .broker import Broker
from .consumer import Consumer
from .producer import Producer


@contextmanager
def installed(broker: Broker, random: Random, logged: Callable[[str, Mapping[str, Any]], None]) -> Iterator[None]:
    """`logged` is called with the level and the fields of each event of the log."""
    AIOKAFKA.apply_all()

    def collect(_: object, level: str, event: MutableMapping[str, Any]) -> NoReturn:
        logged(level, event)
        raise structlog.DropEvent

    clients = SimpleNamespace(AIOKafkaConsumer=partial(Consumer, broker), AIOKafkaProducer=partial(Producer, broker))
    names = SimpleNamespace(uuid4=lambda: uuid.UUID(int=random.getrandbits(128)))
    structlog.configure(processors=[collect], cache_logger_on_first_use=False)
    try:
        with (
            mock.patch.object(aiokafka_clients, "aiokafka", clients),
            mock.patch.object(group_membership, "seconds_with_suspension", broker.loop.time),
            mock.patch.object(group_membership, "uuid", names),
        ):
            yield
    finally:
        structlog.reset_defaults()
