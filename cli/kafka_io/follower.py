"""Follows output topics as a consumer of the product would: read_committed, decoded to the JSON form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from kafka import TopicPartition

from streams.kafka import kafka_python_clients
from streams.serde.cloudevents_json import to_json
from streams.serde.codec import Codec
from streams.sla.events import Rejection

_LIMIT = 8 * 1024 * 1024


class Follower:
    """Reads topics from their beginning. `rejected` counts records of the rejected topic."""

    def __init__(self, bootstrap: str, topics: Sequence[str]) -> None:
        self.rejected = 0
        self._codec = Codec()
        self._consumer = kafka_python_clients.consumer(
            bootstrap_servers=bootstrap,
            isolation_level="read_committed",
            enable_auto_commit=False,
            fetch_max_wait_ms=50,
        )
        try:
            found = [(topic, self._consumer.partitions_for_topic(topic) or set()) for topic in topics]
            self._consumer.assign([TopicPartition(topic, number) for topic, those in found for number in sorted(those)])
            self._consumer.seek_to_beginning()
        except BaseException:
            self._consumer.close()
            raise

    def poll(self, seconds: float) -> list[dict[str, object]]:
        """The events that arrive within some seconds, at the latest when the first ones are here."""
        events = []
        for partition, records in self._consumer.poll(timeout_ms=int(seconds * 1000)).items():
            for record in records:
                if partition.topic.endswith(".rejected"):
                    self.rejected += 1
                    continue
                decoded = self._codec.decode(record.value, _LIMIT)
                if isinstance(decoded, Rejection):
                    place = f"{record.topic}/{record.partition}/{record.offset}"
                    raise ValueError(f"{place} can't be read: {decoded.message}")
                events.append(to_json(*decoded))
        return events

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()
