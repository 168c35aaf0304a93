"""Errors of a client that neither Kafka nor the network explains: what is known of them is their traceback."""

from __future__ import annotations

import asyncio

from aiokafka.errors import KafkaError
from kafka.errors import KafkaError as KafkaPythonError

from streams.errors import SlaError
from streams.kafka.cancellation import CLIENT_ENDED
from streams.kafka.causes import CauseKind, cause_of

_EXPLAINED = (KafkaError, KafkaPythonError, OSError, SlaError, MemoryError, asyncio.CancelledError)


def unexplained(error: BaseException | None) -> bool:
    """Whether it looks like a defect, of a client or of this process."""
    if isinstance(error, BaseExceptionGroup):
        return any(map(unexplained, error.exceptions))
    return error is not None and not isinstance(error, _EXPLAINED) and cause_of(error).kind is CauseKind.OTHER


def message_of(error: BaseException) -> str:
    """What a reader of a message needs: the cause, or of an unexplained error its class as well. The text of a KeyError
    is a key."""
    if isinstance(error, asyncio.CancelledError):
        return CLIENT_ENDED
    return repr(error) if unexplained(error) else cause_of(error).text
