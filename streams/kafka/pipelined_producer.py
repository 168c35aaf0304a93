"""aiokafka's transactional producer with a round trip less in each transaction.

aiokafka talks to the coordinators step by step: add partitions, send records, add the group, write the offsets, end;
each sent when the one before has been answered. Here the group is asked for right behind the partitions, on the same
connection, while the records go. Nothing is promised less: records, offsets and the end keep their order.

The offsets could go beside the records as well, but a broker that verifies transactions, as it does by default, asks
the coordinator for both, lets a second question about the same transaction push out the first, and has that tried
again.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, TypeVar

import aiokafka
from aiokafka.client import CoordinationType
from aiokafka.producer import sender as base
from aiokafka.util import create_task

Producer = TypeVar("Producer")

KNOWN: Final = "0.14."
"""The aiokafka whose sender this is made for; with any other its own is used."""
BUSY_S: Final = 0.005
"""When to ask again while the transaction before is still being completed: its markers take the broker a moment."""


def pipelined(producer: Producer, group: str) -> Producer:
    """A producer that has not been started, with this sender; its transactions commit offsets of `group`."""
    if isinstance(producer, aiokafka.AIOKafkaProducer) and aiokafka.__version__.startswith(KNOWN):
        producer._sender.__class__ = Sender
        producer._sender.group = group
    return producer


class Sender(base.Sender):  # type: ignore[misc]
    """Asks for the group together with the partitions."""

    group: str
    busy = 0
    """How often in a row the answer was that the transaction before is still being completed."""

    def _maybe_do_transactional_request(self) -> asyncio.Task[Any] | None:
        manager = self._txn_manager
        partitions = manager.partitions_to_add()
        if partitions and not manager.txn_partitions and manager._txn_consumer_group is None and not self.busy:
            task: asyncio.Task[Any] | None = create_task(self._add_both(partitions))
        else:
            task = super()._maybe_do_transactional_request()
        return task

    async def _add_both(self, partitions: set[aiokafka.TopicPartition]) -> None:
        coordinator = await self._transaction_coordinator()
        first = create_task(AddPartitions(self, partitions).do(coordinator))
        second = create_task(AddOffsets(self, self.group).do(coordinator))
        first.add_done_callback(lambda _: self._look())
        await asyncio.wait((first, second))
        errors = [error for each in (first, second) if (error := each.exception()) is not None]
        if errors:
            raise errors[0]

    def _look(self) -> None:
        """Have the sender's loop see that the records of added partitions may go."""
        accumulator = self._message_accumulator
        accumulator._wakeup(accumulator.waiter())

    async def _do_add_partitions_to_txn(self, tps: set[aiokafka.TopicPartition]) -> bool:
        return bool(await AddPartitions(self, tps).do(await self._transaction_coordinator()))

    async def _transaction_coordinator(self) -> int:
        manager = self._txn_manager
        return int(await self._find_coordinator(CoordinationType.TRANSACTION, manager.transactional_id))


class AddPartitions(base.AddPartitionsToTxnHandler):  # type: ignore[misc]
    """Asks again soon, and then ever later."""

    _sender: Sender

    def handle_response(self, response: Any) -> float | None:
        backoff: float | None = super().handle_response(response)
        if backoff == base.BACKOFF_OVERRIDE:
            backoff = min(BUSY_S * 2**self._sender.busy, backoff)
            self._sender.busy += 1
        else:
            self._sender.busy = 0
        return backoff


class AddOffsets(base.AddOffsetsToTxnHandler):  # type: ignore[misc]
    """Asks again with the partitions; says nothing more about a transaction that has failed meanwhile."""

    _sender: Sender

    def handle_response(self, response: Any) -> float | None:
        if not self._sender._txn_manager.is_in_transaction():
            return None
        backoff: float | None = super().handle_response(response)
        if backoff is not None and self._sender.busy:
            backoff = BUSY_S
        return backoff
