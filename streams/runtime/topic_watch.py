"""Watches the topics of a worker: whether they exist, have the right number of partitions, and are still the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import structlog

from streams.kafka.topic_descriptions import TopicDescription
from streams.kafka.topic_shape import cleanup_problem, denied_topics, timestamps_problem
from streams.runtime import metrics
from streams.runtime.agent_spec import AgentSpec
from streams.runtime.errors import TaskInterrupted, WorkerRefused
from streams.runtime.kafka_log import Offsets
from streams.runtime.missing_leaders import MissingLeaders
from streams.runtime.settings import RuntimeSettings


class TopicWatch:
    """What was found at the last `look`."""

    def __init__(self, settings: RuntimeSettings, agents: Iterable[AgentSpec], offsets: Offsets) -> None:
        agents = tuple(agents)
        self.problem: dict[str, object] | None = {"reason": "not connected to Kafka yet"}
        """Why the worker can't be ready; None while every topic is there."""
        self.refused: WorkerRefused | None = None
        self.ids: Mapping[str, bytes] = {}
        """Of input topics and changelogs, as far as the broker tells them."""
        self._settings = settings
        self._offsets = offsets
        self.existing: frozenset[str] = frozenset()
        """All topics of the worker that exist."""
        self._inputs = {topic for spec in agents for topic in spec.topics}
        self._stamped = {topic for spec in agents for topic in spec.topics if topic not in spec.internal}
        """Their timestamps are arrivals, and so must be the broker's (R32)."""
        self._legacy = {topic for spec in agents for topic in spec.legacy_topics}
        self._needed = self._inputs.union(*(spec.writes for spec in agents))
        self._states = {topic for spec in agents for topic in spec.compacted}
        self._events = self._needed - self._inputs - self._states
        self._changelogs = {settings.changelog(spec.name) for spec in agents}
        self._needed |= self._changelogs
        self._missing: list[str] = []
        self._leaders = MissingLeaders()
        self._logger = structlog.get_logger(__name__)

    async def look(self) -> bool:
        """Whether Kafka answers, and every topic is there in its shape."""
        try:
            found = await self._offsets.topics(sorted(self._needed | self._legacy), sorted(self._needed))
        except TaskInterrupted as error:
            if self.problem is None:
                self._logger.warning("kafka_unavailable", reason=str(error))
            self.problem = {"reason": str(error)}
            return False
        missing = sorted(self._needed - found.keys())
        denied = sorted(self._offsets.denied.intersection(missing))
        if missing != self._missing:
            self._missing = missing
            if denied:
                self._logger.warning("topics_denied", topics=denied)
            elif missing:
                self._logger.warning("topics_missing", topics=missing)
            else:
                self._logger.info("topics_found")
        self.existing = frozenset(found)
        self._leaders.observe(found)
        shape = None if missing else self._shape_problem(found)
        # What follows is told, and work goes on: arrivals that are not the broker's are right where clocks of senders
        # are, and outputs are there until Kafka cleans up.
        reported = shape
        if not missing and shape is None:
            reported = self._output_problem(found) or self._arrival_problem(found)
        if reported is not None and (self.problem is None or reported["reason"] != self.problem.get("reason")):
            self._logger.error("topics_misshapen", **reported)
        self.problem = reported if not missing else self._problem(missing) if not denied else _denied(denied)
        metrics.TOPICS_UNUSABLE.set(self.problem is not None)
        read = (self._inputs | self._legacy) & found.keys()
        known = read | (self._changelogs & found.keys())
        self.ids = {topic: found[topic].topic_id for topic in known if found[topic].topic_id}
        for topic in sorted(read):
            if found[topic].partitions != self._settings.partitions:
                self.reject_partition_count(topic, found[topic].partitions)
                return False
        return not missing and shape is None

    def problems(self) -> list[dict[str, object]]:
        """Why the worker is not ready although its topics are there."""
        return self._leaders.problems()

    def reject_partition_count(self, topic: str, found: int) -> None:
        """Refuse to work: with another partition count, keys would be routed to other partitions than before."""
        self.refused = WorkerRefused(
            f"{topic} has {found} partitions, SLA_PARTITIONS is {self._settings.partitions}: it must be the number "
            "that all topics were created with; topics that were enlarged since have to be created anew"
        )

    def _shape_problem(self, found: Mapping[str, TopicDescription]) -> dict[str, object] | None:
        """A topic that loses state or events, or is too small for what is written to it."""
        for topic in sorted(self._needed - self._inputs):
            if found[topic].partitions < self._settings.partitions:
                reason = (
                    f"{topic} has {found[topic].partitions} partitions, SLA_PARTITIONS is {self._settings.partitions}"
                )
                return {"reason": f"{reason}: create the topic anew with as many", "topic": topic}
        wrong = cleanup_problem(found, sorted(self._inputs), sorted(self._changelogs))
        return None if wrong is None else {"reason": wrong[1], "topic": wrong[0]}

    def _output_problem(self, found: Mapping[str, TopicDescription]) -> dict[str, object] | None:
        wrong = cleanup_problem(found, sorted(self._events), sorted(self._states))
        return None if wrong is None else {"reason": wrong[1], "topic": wrong[0]}

    def _arrival_problem(self, found: Mapping[str, TopicDescription]) -> dict[str, object] | None:
        wrong = timestamps_problem(found, sorted(self._stamped))
        return None if wrong is None else {"reason": wrong[1], "topic": wrong[0]}

    def _problem(self, missing: list[str]) -> dict[str, object]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        return {
            "reason": f"topics are missing: {missing[0]}{more}; create them with `sla topics apply`, or correct "
            f"SLA_TOPIC_PREFIX, which is {self._settings.prefix}",
            "missing": missing,
        }


def _denied(topics: list[str]) -> dict[str, object]:
    return {"reason": denied_topics(topics), "denied": topics}
