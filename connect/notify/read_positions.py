"""How far a destination has read alerts and closings, and where it goes on when their topics were made anew. Pure.

Consumers ask for records by offset. Where a topic was deleted, made anew and filled beyond an offset before its reader
asked again, as when the process was stopped meanwhile, Kafka answers from the middle of the new topic. Only the id of
the topic tells, and it is looked at every few seconds. A process that is killed before that has committed an offset of
the new topic with the id of the old one: whoever reads on compares them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from aiokafka.structs import TopicPartition

from connect.notify.commit_texts import CommitText, commit_text, read_commit_text
from connect.notify.expired_records import ExpiredRecords

#: What is committed: an offset, or one and a text.
Offsets = Mapping[TopicPartition, int | tuple[int, str]]


class Committed(NamedTuple):
    """The texts of what a group has committed, the ids that the topics have, and the offsets that are committed."""

    texts: Mapping[TopicPartition, str]
    ids: Mapping[str, bytes]
    offsets: Mapping[TopicPartition, int] = MappingProxyType({})


class _Before(NamedTuple):
    """What is known of the topic that a partition was of: when it was last found to be that one, and where closings are
    to be read again from if alerts are."""

    at: int | None
    closings: int | None


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
        self._anew: dict[str, bytes] = {}
        """Topics that were made anew since, and their ids."""
        self._ids: dict[str, bytes] = {}
        """The ids of the topics that records are read from, as far as is known."""
        self._of_other: dict[TopicPartition, _Before] = {}
        """Partitions whose offsets are of a topic with another id than theirs."""
        self._resumed_in: dict[TopicPartition, bytes] = {}
        """The ids of the topics that the offsets are of from which reading has begun, as far as is known."""
        self.left = frozenset[int]()
        """Those of alerts and closings that are not read until `places` is asked for them again."""
        self.same_at: int | None = None
        """When the topics were last found to be the same."""
        self.expired = ExpiredRecords()

    def resumed(self, found: Committed) -> None:
        """Reading begins at what was committed, in these partitions and no others."""
        self.left = frozenset()
        self.expired.resumed(found.offsets)
        self._ids.update(found.ids)
        texts = {where: read_commit_text(text) for where, text in found.texts.items()}
        self._resumed_in = {where: text.topic_id for where, text in texts.items() if text is not None}
        before, self._of_other = self._of_other, {}
        for where, text in texts.items():
            if text is None and where in before:  # nobody has gone on with it
                self._of_other[where] = before[where]
            elif text is not None and found.ids.get(where.topic, text.topic_id) != text.topic_id:
                self._of_other[where] = _Before(text.at, text.closings)

    def with_texts(
        self, offsets: Mapping[TopicPartition, int], alerts: str, closings: str, now: int, *, anew: bool = False
    ) -> Offsets:
        """What to commit; with `anew` of the topics that were made anew, which other records may not be of."""
        found: dict[TopicPartition, int | tuple[int, str]] = dict(offsets)
        ids = {**self._ids, **self._anew} if anew else self._ids
        for where, offset in offsets.items():
            if topic_id := ids.get(where.topic):
                closing = self._at_look_before.get(TopicPartition(closings, where.partition))
                text = CommitText(topic_id, now, closing if where.topic == alerts else None)
                found[where] = offset, commit_text(text)
        return found

    def read(self, where: TopicPartition, first: int, last: int) -> None:
        """The next records that there were, by their first and last offset, were read and are about to be applied."""
        self.expired.read(where, first, last)
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

    def made_anew(self, topic: str, topic_id: bytes = b"") -> None:
        """A topic has another id than at the last look."""
        self._anew[topic] = topic_id

    @property
    def begins_anew(self) -> bool:
        """Whether a topic was made anew, so that `places` tells where to go on."""
        return bool(self._anew or self._of_other)

    def same_until(self, where: TopicPartition) -> int | None:
        """When the topic of a partition that was made anew was last known to be the one of before, as far as is known;
        None for others."""
        if (before := self._of_other.get(where)) is not None:
            return before.at
        return self.same_at if where.topic in self._anew else None

    def places(self, assigned: Iterable[TopicPartition], alerts: str, closings: str) -> Mapping[TopicPartition, int]:
        """Where to go on reading. A topic that was made anew is read from its beginning, unless that was read already,
        as by another notifier, whose offset names the new topic. The closings since the last looks are read again with
        alerts: otherwise nothing would end the pages of those whose closing was read before them."""
        found: dict[TopicPartition, int] = {}
        for where in assigned:
            if self._is_of_other(where) and where not in self._from_start:
                found[where] = 0
        for where in [each for each in found if each.topic == alerts]:
            closing, other = TopicPartition(closings, where.partition), self._of_other.get(where)
            known = [found.get(closing), self._at_look_before.get(closing), None if other is None else other.closings]
            before = 0 if closings in self._anew else min((each for each in known if each is not None), default=None)
            if before is not None:
                found[closing] = before
        return found

    def _is_of_other(self, where: TopicPartition) -> bool:
        """Whether the offset of a partition is of a topic of before."""
        topic_id = self._anew.get(where.topic)
        known = bool(topic_id) and self._resumed_in.get(where) == topic_id
        return where in self._of_other or (topic_id is not None and not known)

    def went_on(self, left: Mapping[TopicPartition, int]) -> None:
        """Reading goes on at the places, except for those that are left."""
        for where in [each for each in self._at_look if each.topic in self._anew or each in self._of_other]:
            self._at_look[where] = self._at_look_before[where] = 0  # what was applied before is of another topic
            self._applied.pop(where, None)
        self._of_other = {
            where: _Before(
                self.same_until(where),
                next((at for each, at in left.items() if each != where and each.partition == where.partition), None),
            )
            for where in left
            if where.topic in self._anew or where in self._of_other
        }
        self.left = frozenset(where.partition for where in left)
        self._ids.update((topic, each) for topic, each in self._anew.items() if each)
        self._anew.clear()
