"""Kafka's answer that a record is invalid: aiokafka 0.14 has no class for it, and raises an error without a name."""

from __future__ import annotations

from aiokafka import errors


class InvalidRecordError(errors.BrokerResponseError):  # type: ignore[misc]
    """Such as one without a key in a compacted topic. The same record is refused each time."""

    errno = 87
    message = "INVALID_RECORD"
    description = "This record has failed the validation on the broker."


errors.kafka_errors.setdefault(InvalidRecordError.errno, InvalidRecordError)
