"""Copies of impact lists for the ledger partitions: of an incident of very many tenants each gets what is about its own
tenants, so that a change costs all of them together what the list is long once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, cast

from agents.context import AgentContext
from agents.egress import Egress
from streams.internal_topics import TO_LEDGER
from streams.kafka.partitioner import partition_of
from streams.runtime.processor import Effects, Record, Send
from streams.sla.events import Output

#: A list with more names of tenants is divided. Of others everybody gets the one encoding that is published.
WIDE: Final = 256


class ImpactCopies:
    """Sends the impact lists of one incident partition. `home` is the partition of an erased tenant's account."""

    def __init__(self, context: AgentContext, egress: Egress, home: Callable[[str], int | None]) -> None:
        self._context = context
        self._egress = egress
        self._home = home

    def send(
        self, output: Output, published: Send, arrival: int, concerned: Iterable[str] | None, effects: Effects
    ) -> None:
        """Send an impact list to the ledger partitions whose tenants it concerns, now or before (None: all)."""
        record = Record(
            published.topic, published.partition, 0, arrival, published.key, published.value, published.headers
        )
        partitions = self._partitions(concerned)
        intervals = cast(Sequence[dict[str, Any]], output.data["intervals"])
        divided = len(partitions) > 1 and sum(len(one["tenant_ids"]) for one in intervals) > WIDE
        parts = _Parts(self._partition_of) if divided else None
        for partition in partitions:
            copied = record if parts is None else self._part(output, record, parts, partition)
            self._egress.copy_to(copied, TO_LEDGER, partition, effects)

    def _part(self, output: Output, record: Record, parts: _Parts, partition: int) -> Record:
        """A list without the tenants of other partitions, and without the intervals that concern none of its own."""
        intervals = []
        for one in cast(Sequence[dict[str, Any]], output.data["intervals"]):
            own = parts.of(one["tenant_ids"], partition)
            if own or one["scope"] == "platform":
                intervals.append({**one, "tenant_ids": own})
        tenants = parts.of(cast(Sequence[str], output.data["tenant_ids"]), partition)
        narrowed = output._replace(data={**output.data, "tenant_ids": tenants, "intervals": intervals})
        value, headers = self._context.codec.encode_output(narrowed, self._context.source)
        return record._replace(value=value, headers=headers)

    def _partitions(self, concerned: Iterable[str] | None) -> Sequence[int]:
        if concerned is None:
            return range(self._context.topics.partitions)
        return sorted({self._partition_of(tenant) for tenant in concerned})

    def _partition_of(self, tenant: str) -> int:
        at = self._home(tenant)
        return partition_of(tenant, self._context.topics.partitions) if at is None else at


class _Parts:
    """Lists of tenants by partition; each list is divided once."""

    def __init__(self, partition_of: Callable[[str], int]) -> None:
        self._partition_of = partition_of
        self._partitions: dict[str, int] = {}
        self._divided: dict[tuple[str, ...], dict[int, list[str]]] = {}

    def of(self, tenants: Sequence[str], partition: int) -> list[str]:
        """Those of a partition, in their order."""
        key = tuple(tenants)
        divided = self._divided.get(key)
        if divided is None:
            divided = self._divided[key] = {}
            for tenant in key:
                at = self._partitions.get(tenant)
                if at is None:
                    at = self._partitions[tenant] = self._partition_of(tenant)
                divided.setdefault(at, []).append(tenant)
        return divided.get(partition, [])
