"""Rejected input (R27): the original record untouched, with headers that say why and where it came from."""

from __future__ import annotations

from streams.runtime.processor import Record, Send

CODE = "sla_error_code"
MESSAGE = "sla_error_message"
TOPIC = "sla_original_topic"
PARTITION = "sla_original_partition"
OFFSET = "sla_original_offset"
TIMESTAMP = "sla_original_timestamp"
ATTEMPTS = "sla_attempts"


def rejected(record: Record, code: str, message: str, topic: str, partition: int, attempts: int = 1) -> Send:
    """The record for the rejected topic. `sla_original_timestamp` is the arrival in milliseconds. Headers of an
    earlier rejection, which a retry carries along, stay in front as its history."""
    headers = [
        *record.headers,
        (CODE, code.encode()),
        (MESSAGE, message.encode()[:4096]),
        (TOPIC, record.topic.encode()),
        (PARTITION, b"%d" % record.partition),
        (OFFSET, b"%d" % record.offset),
        (TIMESTAMP, b"%d" % (record.arrival // 1000)),
        (ATTEMPTS, b"%d" % attempts),
    ]
    return Send(topic, partition, record.key, record.value, headers)
