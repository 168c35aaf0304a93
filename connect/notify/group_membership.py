"""What a destination commits as a member of its consumer group, and the proof that it still is one.

Kafka refuses a commit of a member that was replaced, but no row of it. So claims on rows are in the texts of what it
commits (`row_claims.py`), and before it writes or sends it has committed not long ago.
"""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

import structlog
from aiokafka.errors import CommitFailedError, IllegalStateError, OffsetMetadataTooLargeError
from aiokafka.structs import TopicPartition

from connect.notify.read_positions import Offsets
from connect.notify.row_claims import OWNER, RowClaim, RowClaims, read_claims, with_claims
from streams.errors import SlaError

#: How long Kafka may take to commit: the coordinator of a group may hang, or have no replicas to write to.
_COMMIT_S = 30.0
_NO_CLAIMS = MappingProxyType[int, RowClaims]({})


def seconds_with_suspension() -> float:
    """Seconds that never go back, and go on while the machine is suspended, where its system tells them."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class GroupMembership:
    """Of one destination, for one connection. `consumer` gives its consumer, `alerts` is its topic of alerts. A commit
    proves the membership for `proved_for_s`."""

    def __init__(self, group: str, alerts: str, consumer: Callable[[], Any], proved_for_s: float) -> None:
        self._group = group
        self._alerts = alerts
        self._consumer = consumer
        self._proved_for_s = proved_for_s
        self._proved_at = -math.inf
        self._lock = asyncio.Lock()
        self._committed: dict[TopicPartition, tuple[int, str]] = {}
        self._former: Mapping[int, RowClaims] = _NO_CLAIMS
        self._claims: Mapping[int, RowClaims] = _NO_CLAIMS
        self.owner = ""
        """Of the rows that are written since the last load."""
        self._log = structlog.get_logger("connect.notify")

    # -- claims --------------------------------------------------------------------------------------------------------

    def load_begins(self, committed: Mapping[TopicPartition, tuple[int, str]], rows_id: bytes) -> None:
        """Partitions are assigned: the offsets and texts that are committed there, and the id of the topic of rows."""
        self._claims = _NO_CLAIMS
        self.owner = uuid.uuid4().hex[:16]
        self._committed = dict(committed)
        texts = {where.partition: text for where, (_, text) in committed.items() if where.topic == self._alerts}
        self._former = {partition: read_claims(text).of_topic(rows_id) for partition, text in texts.items()}

    @property
    def claims(self) -> Mapping[int, RowClaims]:
        """Those that hold, by partition: of owners before until `claim` has added the one of this load."""
        return {**self._former, **self._claims}

    async def claim(self, starts: Mapping[int, int], repaired: Collection[int]) -> Mapping[int, int]:
        """From here on the rows of these partitions are those of this owner. In those that have to be `repaired` the
        claims of before hold too until `repairs_written`. Returns the starts of those that are claimed: where another
        program has the alerts of a partition, another notifier may write its rows. Raises SlaError where another member
        may have them."""
        claims = dict[int, RowClaims]()
        for partition, start in starts.items():
            if TopicPartition(self._alerts, partition) in self._committed:
                before = self._former.get(partition, RowClaims())
                claimed = before.followed_by(RowClaim(start, self.owner))
                claims[partition] = claimed if partition in repaired else claimed.latest()
        await self._commit_claims(claims)
        return {partition: starts[partition] for partition in claims}

    async def repairs_written(self) -> None:
        """What came late is without effect now, also once Kafka has compacted the topic."""
        if repaired := {partition: each.latest() for partition, each in self._claims.items() if len(each.claims) > 1}:
            await self._commit_claims(repaired)

    async def _commit_claims(self, claims: Mapping[int, RowClaims]) -> None:
        offsets = {where: each for where, each in self._committed.items() if where.partition in claims}
        if not offsets:
            return
        async with self._lock:
            await self._commit_or_raise(offsets, {**self._claims, **claims})

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """Of the rows that are written. What is written before the claim has no effect if others own the partition."""
        return [(OWNER, self.owner.encode())] if self.owner else []

    # -- commits -------------------------------------------------------------------------------------------------------

    async def commit(self, offsets: Offsets) -> bool:
        """Whether they are committed; after a rebalance the new owner reads the latest records again. Raises SlaError
        where that takes long."""
        try:
            async with self._lock:
                await self._commit(offsets, self._claims)
        except (CommitFailedError, IllegalStateError):
            self._log.info("commit_skipped", reason="a rebalance: the new owner reads the latest records again")
            return False
        return True

    async def begin_at(self, offsets: Offsets) -> None:
        """Commit where new partitions begin. Raises SlaError where another member may have them, or where that takes
        long."""
        async with self._lock:
            await self._commit_or_raise(offsets, self._claims)

    async def prove(self) -> None:
        """Raises SlaError where another member may have the partitions, as after a suspension of this process, or Kafka
        does not tell. Without partitions there is nothing to prove."""
        if self._proved or not self._claims:
            return
        async with self._lock:
            if self._proved or not self._claims:
                return
            partition = next(iter(self._claims))
            offsets = {where: each for where, each in self._committed.items() if where.partition == partition}
            await self._commit_or_raise(offsets, self._claims)

    @property
    def _proved(self) -> bool:
        return seconds_with_suspension() - self._proved_at <= self._proved_for_s

    async def _commit_or_raise(self, offsets: Offsets, claims: Mapping[int, RowClaims]) -> None:
        try:
            await self._commit(offsets, claims)
        except (CommitFailedError, IllegalStateError):
            raise SlaError(f"another notifier may have the partitions of group {self._group} by now") from None

    async def _commit(self, offsets: Offsets, claims: Mapping[int, RowClaims]) -> None:
        """Alerts and closings of a partition are committed together: with a version of aiokafka that is not known, a
        member that was replaced by one that is gone too is not refused, and takes everything back to what it has in
        memory."""
        partitions = {where.partition for where in offsets}
        given = {where: each for where, each in self._committed.items() if where.partition in partitions}
        given |= {where: (each, "") if isinstance(each, int) else each for where, each in offsets.items()}
        texts = {where: self._text(where, text, claims) for where, (_, text) in given.items()}
        began, owner = seconds_with_suspension(), self.owner
        try:
            async with asyncio.timeout(_COMMIT_S):
                await self._send({where: (given[where][0], text) for where, text in texts.items()})
        except TimeoutError:  # Kafka's client would try for ever, and nobody would know
            raise SlaError(f"Kafka has not taken the offsets of group {self._group} for {_COMMIT_S:g} s") from None
        if owner == self.owner:  # else partitions were assigned meanwhile
            self._committed |= given
            self._claims = claims
            self._proved_at = began

    def _text(self, where: TopicPartition, text: str, claims: Mapping[int, RowClaims]) -> str:
        found = claims.get(where.partition)
        return text if found is None or where.topic != self._alerts else with_claims(text, found)

    async def _send(self, offsets: Mapping[TopicPartition, tuple[int, str]]) -> None:
        consumer = self._consumer()
        try:
            await consumer.commit({where: each if each[1] else each[0] for where, each in offsets.items()})
        except OffsetMetadataTooLargeError:  # by its configuration the broker takes no texts
            await consumer.commit({where: offset for where, (offset, _) in offsets.items()})
