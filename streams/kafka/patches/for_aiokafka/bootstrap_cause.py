"""Lets a client that can't connect say why (`raise … from`).

aiokafka logs what each address answered and raises `Unable to bootstrap`. Without the patch a wrong password, an
untrusted certificate and an address without a broker are all reported as an unreachable broker.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from aiokafka import client
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, KafkaError

from streams.kafka.causes import ClosedAtFirstRequest, ClosedInHandshake, most_telling

_failures: ContextVar[list[BaseException] | None] = ContextVar("failures", default=None)
_connect = client.create_conn
_ask_all_addresses = AIOKafkaClient.bootstrap


async def _connect_noting_failures(*args: Any, **options: Any) -> Any:
    try:
        return await _connect(*args, **options)
    except (OSError, KafkaError, TimeoutError) as error:
        noted = _failures.get()
        if noted is not None:
            without_tls = options.get("ssl_context") is not None and isinstance(error, ConnectionResetError)
            noted.append(ClosedInHandshake() if without_tls else error)
        raise


async def _bootstrap_with_cause(self: AIOKafkaClient) -> None:
    failures: list[BaseException] = []
    token = _failures.set(failures)
    try:
        await _ask_all_addresses(self)
    except KafkaConnectionError as error:
        raise error from (most_telling(failures) or ClosedAtFirstRequest())
    finally:
        _failures.reset(token)


def apply() -> None:
    """Make every aiokafka client of this process name the cause."""
    client.create_conn = _connect_noting_failures
    AIOKafkaClient.bootstrap = _bootstrap_with_cause
