"""Whether a member of a destination's group has the same partitions of all topics. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aiokafka.structs import TopicPartition


def absent_partitions(assigned: Iterable[TopicPartition], topics: Sequence[str]) -> str | None:
    """Members of the group get the same partitions of all topics, unless one of them is no notifier."""
    found: dict[str, set[int]] = {topic: set() for topic in topics}
    for each in assigned:
        found[each.topic].add(each.partition)
    every = set().union(*found.values())
    absent = {topic: sorted(every - partitions) for topic, partitions in found.items() if partitions != every}
    if not absent:
        return None
    named = "; ".join(f"{topic} {', '.join(map(str, partitions))}" for topic, partitions in absent.items())
    return (
        f"another program uses the consumer group of this destination, and has partitions that the notifier needs "
        f"({named}): their alerts are not delivered; stop that program, or give it a group of its own"
    )
