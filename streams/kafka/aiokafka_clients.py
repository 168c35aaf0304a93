"""Constructs aiokafka clients, with the patches for the installed version applied.

`brokers` are addresses (host:port); `security` are the options that all clients of a process share, as
ConnectionOptions has them: security_protocol, ssl_context and so on; they win over `options`, which are aiokafka's own.
No client is started.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient

from streams.kafka.patches import AIOKAFKA
from streams.kafka.properties import CONSUMERS_ONLY, PRODUCERS_ONLY


def consumer(brokers: Iterable[str], security: Mapping[str, object] | None = None, **options: object) -> Any:
    """A consumer that never commits by itself."""
    return _made(aiokafka.AIOKafkaConsumer, brokers, security, {"enable_auto_commit": False} | options)


def idempotent_producer(brokers: Iterable[str], security: Mapping[str, object] | None = None, **options: object) -> Any:
    """An idempotent producer that waits for all replicas."""
    return _made(aiokafka.AIOKafkaProducer, brokers, security, {"acks": "all", "enable_idempotence": True} | options)


def transactional_producer(
    brokers: Iterable[str],
    security: Mapping[str, object] | None = None,
    *,
    transactional_id: str,
    **options: object,
) -> Any:
    """A producer whose start fences the previous one with the same transactional id."""
    return _made(aiokafka.AIOKafkaProducer, brokers, security, {"transactional_id": transactional_id} | options)


def client(brokers: Iterable[str], security: Mapping[str, object] | None = None, **options: object) -> Any:
    """A client for metadata only."""
    return _made(aiokafka.AIOKafkaClient, brokers, security, options)


def admin(brokers: Iterable[str], security: Mapping[str, object] | None = None, **options: object) -> Any:
    """A client for administration."""
    return _made(AIOKafkaAdminClient, brokers, security, options)


def _made(
    kind: Any, brokers: Iterable[str], security: Mapping[str, object] | None, options: Mapping[str, object]
) -> Any:
    AIOKAFKA.apply_all()
    missing = (CONSUMERS_ONLY if kind is not aiokafka.AIOKafkaConsumer else frozenset()) | (
        PRODUCERS_ONLY if kind is not aiokafka.AIOKafkaProducer else frozenset()
    )
    shared = {name: value for name, value in (security or {}).items() if name not in missing}
    return kind(bootstrap_servers=list(brokers), **{**options, **shared})
