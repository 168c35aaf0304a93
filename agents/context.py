"""Shared context of one partition of an agent: names, topics, encoding and counters."""

from __future__ import annotations

from dataclasses import dataclass

from agents.metrics import REJECT_SHARES, AgentCounters
from agents.reject_share import RejectShare
from streams.internal_topics import internal_topic
from streams.runtime.processor import Record
from streams.serde.codec import Codec
from streams.serde.confluent_framing import Framing
from streams.sla.events import Position


@dataclass(frozen=True, slots=True)
class Topics:
    """Topic names of a deployment, and how many partitions each topic has."""

    prefix: str = "sla"
    partitions: int = 8

    def internal(self, agent: str) -> str:
        """The full name of the topic that only one agent reads."""
        return self.name(internal_topic(agent))

    def name(self, suffix: str) -> str:
        """The full name of a topic: the prefix and its suffix."""
        return f"{self.prefix}.{suffix}"


class AgentContext:
    """One partition of one agent."""

    def __init__(
        self,
        agent: str,
        partition: int,
        topics: Topics,
        codec: Codec | None = None,
        framing: Framing | None = None,
        reject_limit: float = 0.5,
    ) -> None:
        self.agent = agent
        self.partition = partition
        self.topics = topics
        self.codec = codec or Codec()
        self.framing = framing or Framing()
        self.count = AgentCounters(agent)
        self.reject_share = RejectShare(reject_limit)
        self._reject_gauge = REJECT_SHARES.labels(agent, str(partition))
        self.source = f"/sla/{agent}"
        """The CloudEvents source of this agent's outputs."""

    def problems(self) -> list[str]:
        """Why the worker is not ready, as far as inputs tell; also sets the gauge of the share of rejects."""
        self._reject_gauge.set(self.reject_share.share)
        problem = self.reject_share.problem()
        return [problem] if problem else []


def position_of(record: Record) -> Position:
    """The coordinates of a record."""
    return Position(record.topic, record.partition, record.offset)
