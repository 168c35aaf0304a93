"""What a Kafka broker keeps: logs with commit markers, transactions, epochs, group offsets. No time, no waiting.

A commit is decided first (nothing can undo it then) and seen later: its marker comes to each partition on its own, and
so do the group's offsets. Whoever initialises a transactional id waits until the former transaction is settled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from aiokafka import errors as kafka
from aiokafka.structs import TopicPartition

GROUPS = TopicPartition("__consumer_offsets", 0)


class Sent(NamedTuple):
    """A record as a producer hands it over."""

    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(eq=False, slots=True)
class Transaction:
    """`state` goes from open to committing or aborting; it is settled when `unmarked` is empty then."""

    name: str
    state: str = "open"
    unmarked: dict[TopicPartition, None] = field(default_factory=dict)
    offsets: dict[tuple[str, TopicPartition], int] = field(default_factory=dict)


@dataclass(slots=True)
class Entry:
    """One offset of a log: a record, or a marker (`marker`), or nothing any more (`key` and `value` None)."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    appended_us: int = 0
    readable_us: int = 0
    """When the last stable offset passed it."""
    transaction: Transaction | None = None
    marker: bool = False


@dataclass(slots=True)
class Log:
    """One partition. With `stamped`, the broker's clock gives the timestamps (LogAppendTime)."""

    stamped: bool = True
    entries: list[Entry] = field(default_factory=list)
    open: dict[Transaction, int] = field(default_factory=dict)
    readable: int = 0
    """The last stable offset when last looked at."""

    @property
    def end(self) -> int:
        return len(self.entries)

    @property
    def stable(self) -> int:
        """The last stable offset: no transaction below it is open."""
        return min(self.open.values(), default=len(self.entries))

    def read(self, start: int, most: int, *, committed: bool = True) -> tuple[list[Entry], int]:
        """Up to `most` records from `start` on, and the position after them."""
        found: list[Entry] = []
        end = self.stable if committed else self.end
        for entry in self.entries[start:end]:
            if entry.marker or (committed and entry.transaction is not None and entry.transaction.state == "aborting"):
                continue
            if len(found) == most:
                return found, found[-1].offset + 1
            found.append(entry)
        return found, max(start, end)


@dataclass(slots=True)
class Owner:
    """What the coordinator knows of a transactional id."""

    epoch: int = -1
    timeout_ms: int = 0
    transaction: Transaction | None = None


class Broker:
    """`now_us` is the broker's clock; `later` runs something after a while, by its own delays or after milliseconds."""

    def __init__(self, now_us: Callable[[], int], later: Callable[[Callable[[], None], int | None], None]) -> None:
        self.logs: dict[TopicPartition, Log] = {}
        self.owners: dict[str, Owner] = {}
        self.groups: dict[tuple[str, TopicPartition], int] = {}
        self.on_change: Callable[[TopicPartition], None] = lambda _: None
        self._now_us = now_us
        self._later = later

    def log(self, where: TopicPartition) -> Log:
        """Made when first named."""
        found = self.logs.get(where)
        if found is None:
            found = self.logs[where] = Log(stamped=not where.topic.endswith("-changelog"))
        return found

    def append(self, where: TopicPartition, records: Sequence[Sent], transaction: Transaction | None = None) -> None:
        """At the end of the log, in one piece."""
        log, now = self.log(where), self._now_us()
        if transaction is not None:
            log.open.setdefault(transaction, log.end)
            transaction.unmarked[where] = None
        for sent in records:
            timestamp = now // 1_000 if log.stamped else sent.timestamp
            log.entries.append(
                Entry(log.end, timestamp, sent.key, sent.value, sent.headers, now, transaction=transaction)
            )
        self._changed(where, log)

    # Transactions

    def initialise(self, name: str, timeout_ms: int) -> int:
        """InitProducerId: settle what the former owner left, and fence it."""
        owner = self.owners.setdefault(name, Owner())
        self._settle(owner, "aborting")
        owner.epoch += 1
        owner.timeout_ms = timeout_ms
        return owner.epoch

    def produce(self, name: str, epoch: int, where: TopicPartition, records: Sequence[Sent]) -> None:
        """Into the owner's transaction, which begins with the first record."""
        self.append(where, records, self._running(name, epoch))

    def add_offsets(self, name: str, epoch: int, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """They count once the transaction is committed."""
        transaction = self._running(name, epoch)
        transaction.offsets |= {(group, where): offset for where, offset in offsets.items()}
        transaction.unmarked[GROUPS] = None

    def end(self, name: str, epoch: int, *, commit: bool) -> None:
        """Decide it; the markers follow."""
        owner = self._owner(name, epoch)
        transaction = owner.transaction
        if transaction is None or transaction.state != "open":
            return
        transaction.state = "committing" if commit else "aborting"
        for where in list(transaction.unmarked):
            self._later(lambda where=where: self._mark(transaction, where), None)  # type: ignore[misc]

    def unsettled(self) -> list[str]:
        """Transactional ids whose last transaction is not over."""
        return [name for name, owner in self.owners.items() if owner.transaction and owner.transaction.unmarked]

    def _owner(self, name: str, epoch: int) -> Owner:
        owner = self.owners[name]
        if owner.epoch != epoch:
            raise kafka.ProducerFenced(f"epoch {epoch} of {name}, now {owner.epoch}")
        return owner

    def _running(self, name: str, epoch: int) -> Transaction:
        owner = self._owner(name, epoch)
        if owner.transaction is None or owner.transaction.state != "open":
            self._settle(owner, "aborting")  # a client would ask again until it is
            transaction = owner.transaction = Transaction(name)
            self._later(lambda: self._expire(owner, epoch, transaction), owner.timeout_ms)
        return owner.transaction

    def _expire(self, owner: Owner, epoch: int, transaction: Transaction) -> None:
        if owner.epoch == epoch and owner.transaction is transaction and transaction.state == "open":
            self._settle(owner, "aborting")
            owner.epoch += 1

    def _settle(self, owner: Owner, state: str) -> None:
        transaction = owner.transaction
        if transaction is not None:
            if transaction.state == "open":
                transaction.state = state
            for where in list(transaction.unmarked):
                self._mark(transaction, where)

    def _mark(self, transaction: Transaction, where: TopicPartition) -> None:
        if where not in transaction.unmarked:
            return
        del transaction.unmarked[where]
        if where == GROUPS:
            if transaction.state == "committing":
                self.groups |= transaction.offsets
            return
        log, now = self.log(where), self._now_us()
        del log.open[transaction]
        log.entries.append(Entry(log.end, now // 1_000, None, None, (), now, transaction=transaction, marker=True))
        self._changed(where, log)

    def _changed(self, where: TopicPartition, log: Log) -> None:
        now = self._now_us()
        for entry in log.entries[log.readable : log.stable]:
            entry.readable_us = now
        log.readable = log.stable
        self.on_change(where)
