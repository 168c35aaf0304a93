"""How far a destination has read alerts and closings, and where it goes on when their topics were made anew. Pure.

Consumers ask for records by offset. Where a topic was deleted, made anew and filled beyond an offset before its reader
asked again, as when the process was stopped meanwhile, Kafka answers from the middle of the new topic. Only the id of
the topic tells, and it is looked at every few seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aiokafka.structs import TopicPartition


class ReadPositions:
    """Of one destination, over its connections."""

    def __init__(self) -> None:
        self._from_start: set[TopicPartition] = set()
        """Partitions whose first record was read since the topics were last found to be the same."""
        self._applied: dict[TopicPartition, int] = {}
        self._at_look: dict[TopicPartition, int] = {}
        """The offsets up to which records were applied when the topics were last found to be the same."""
        self._at_look_before: dict[TopicPartition, int] = {}
        """At the look before that: what was applied while Kafka answered is no matter of chance."""
        self._anew: set[str] = set()
        """Topics that were made anew since."""
        self.same_at: int | None = None
        """When the topics were last found to be the same."""

    def read(self, where: TopicPartition, first: int) -> None:
        """Records from an offset on were read, and are about to be applied."""
        if first == 0 and where in self._at_look:  # else nobody knows which topic the first record is of
            self._from_start.add(where)
        self._at_look.setdefault(where, first)
        self._at_look_before.setdefault(where, first)

    def applied(self, positions: Mapping[TopicPartition, int]) -> None:
        """Records before these offsets are applied, and what follows from them is written."""
        self._applied.update(positions)

    def same_topics(self, at: int) -> None:
        """Kafka says that the topics are those of the last look."""
        if not self._anew:
            self.same_at = at
            self._at_look_before, self._at_look = self._at_look, {**self._at_look, **self._applied}
            self._from_start.clear()

    def made_anew(self, topic: str) -> None:
        """A topic has another id than at the last look."""
        self._anew.add(topic)

    @property
    def begins_anew(self) -> bool:
        """Whether a topic was made anew, so that `places` tells where to go on."""
        return bool(self._anew)

    def is_anew(self, topic: str) -> bool:
        return topic in self._anew

    def places(self, assigned: Iterable[TopicPartition], alerts: str, closings: str) -> Mapping[TopicPartition, int]:
        """Where to go on reading. A topic that was made anew is read from its beginning, unless that was read already.
        The closings since the last looks are read again with alerts: otherwise nothing would end the pages of those
        whose closing was read before them."""
        found: dict[TopicPartition, int] = {}
        for where in assigned:
            if where.topic in self._anew and where not in self._from_start:
                found[where] = 0
        for where in [each for each in found if each.topic == alerts]:
            closing = TopicPartition(closings, where.partition)
            before = 0 if closings in self._anew else self._at_look_before.get(closing)
            if before is not None:
                found[closing] = before
        return found

    def went_on(self) -> None:
        """Reading goes on at the places."""
        self._anew.clear()
