"""Parked messages, and the operator who retries or discards them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from random import Random  # noqa: TID251 -- seeded

from aiokafka.structs import TopicPartition

from connect.notify.page_store_rows import Parked, discard_row, read_key, read_parked, retry_rows

from .broker import Broker
from .incidents import ROWS, Histories
from .partition_log import Record, Sent

MessageKey = tuple[str, str]
"""Destination, id."""


class Operator:
    """At `sla notify parked`."""

    def __init__(self, broker: Broker, histories: Histories, random: Random) -> None:
        self.handled: set[MessageKey] = set()
        """What was retried or discarded."""
        self._broker = broker
        self._histories = histories
        self._random = random

    def parked(self) -> Mapping[MessageKey, tuple[int, Parked]]:
        """Each with its partition."""
        rows: dict[bytes | None, Record] = {}
        for log in self._broker.logs_of(ROWS).values():
            rows |= {each.key: each for each in log.records}
        return {key: (record.partition, parked) for key, record, parked in _parked_in(rows.values())}

    def ever_parked(self) -> Mapping[MessageKey, float]:
        """When each message was parked last, by a process that had its partition."""
        written = [each for log in self._broker.logs_of(ROWS).values() for each in log.history if not each.late]
        at = {id(each.record): each.at for each in written}
        return {key: at[id(record)] for key, record, _ in _parked_in(each.record for each in written)}

    def retry_some(self, chance: float) -> None:
        for partition, parked in self.parked().values():
            if self._random.random() < chance:
                self._handle(partition, parked, discard=False)

    def handle_all(self) -> None:
        """Retry what still holds or ends a page, discard the rest."""
        for partition, parked in self.parked().values():
            found = self._histories.incident_of(parked.incident)
            over = parked.message.action == "trigger" and (found is None or parked.message.clock not in found.open)
            self._handle(partition, parked, discard=over)

    def _handle(self, partition: int, parked: Parked, *, discard: bool) -> None:
        self.handled.add((parked.destination, parked.message.id))
        rows = [discard_row(parked)] if discard else retry_rows(parked)
        self._broker.append(TopicPartition(ROWS, partition), [Sent(each.key, each.value) for each in rows], "operator")


def _parked_in(records: Iterable[Record]) -> Iterator[tuple[MessageKey, Record, Parked]]:
    for record in records:
        key = read_key(record.key)
        if key is not None and key.kind == "parked" and (parked := read_parked(record.key, record.value)) is not None:
            yield (parked.destination, parked.message.id), record, parked
