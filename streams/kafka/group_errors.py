"""Why a consumer is kept out of its consumer group, for those that take what it fetched without its `getmany`."""

from __future__ import annotations

from typing import Any

from streams.kafka.patches import AIOKAFKA


class GroupLeft(Exception):  # noqa: N818 -- it names what happened
    """The consumer takes part in no rebalance any more: only a new one can join the group. The text says why."""


def group_error(consumer: Any) -> BaseException | None:
    """The error of Kafka or of aiokafka at which a started consumer stopped to take part in its group; it tries again.
    None while there is none. Call it in the consumer's event loop, every few seconds. Raises GroupLeft."""
    if not AIOKAFKA.applied("group_errors"):
        return None
    from streams.kafka.patches.for_aiokafka import group_errors  # its imports need the known version

    if (reason := group_errors.end(consumer)) is not None:
        raise GroupLeft(repr(reason)) from reason
    return group_errors.go_on(consumer)
