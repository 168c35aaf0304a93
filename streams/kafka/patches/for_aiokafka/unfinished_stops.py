"""Closes what is left of a client whose `stop` did not end in time.

Without it, each such client leaves its connections open, and tasks that ask for the coordinator of its group for as
long as the process runs; records that were not acknowledged are waited for.
"""

from __future__ import annotations

from typing import Any, Final

from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import MessageAccumulator
from aiokafka.producer.sender import Sender

#: Methods to await, in this order, by their paths of attributes; `client` of a producer is public.
OF_PRODUCERS: Final = ("_sender.close", "client.close")
OF_CONSUMERS: Final = (
    "_coordinator._stop_heartbeat_task",
    "_coordinator._stop_commit_offsets_refresh_task",
    "_fetcher.close",
    "_client.close",
)
#: Where one of these is gone the import fails, and the patch is skipped.
_NEEDED: Final = (
    GroupCoordinator._stop_heartbeat_task,
    GroupCoordinator._stop_commit_offsets_refresh_task,
    Fetcher.close,
    Sender.close,
    MessageAccumulator.fail_all,
)


def fail_unacknowledged(producer: Any) -> None:
    """Have the deliveries fail that wait for an acknowledgement."""
    producer._message_accumulator.fail_all(KafkaError("given up"))


def regard_as_stopped(producer: Any) -> None:
    """Keep aiokafka from warning that the producer was not stopped."""
    producer._closed = True
