"""Partitions that no broker leads: what tasks say of them is only that Kafka does not answer in time."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from streams.kafka.topic_descriptions import TopicDescription, leaders_problem
from streams.runtime import metrics


class MissingLeaders:
    """What two looks in a row found: a change of leaders is over before the second."""

    def __init__(self) -> None:
        self._seen: frozenset[str] = frozenset()
        self._lasting: frozenset[str] = frozenset()
        self._logger = structlog.get_logger(__name__)

    def observe(self, topics: Mapping[str, TopicDescription]) -> None:
        """A look at the topics found these."""
        seen = frozenset(f"{topic}-{partition}" for topic, each in topics.items() for partition in each.leaderless)
        lasting = seen & self._seen
        if lasting != self._lasting:
            if lasting:
                self._logger.error("partitions_without_leader", partitions=sorted(lasting))
            else:
                self._logger.info("partitions_led_again")
        self._seen, self._lasting = seen, lasting
        metrics.WITHOUT_LEADER.set(len(lasting))

    def problems(self) -> list[dict[str, object]]:
        """Why the worker is not ready."""
        if not self._lasting:
            return []
        return [{"reason": leaders_problem(self._lasting), "without_leader": sorted(self._lasting)}]
