"""Watches alerts become visible to a reader of committed records, by the clock of the one who waits for them."""

from __future__ import annotations

import threading
from typing import NamedTuple

from kafka import KafkaConsumer, TopicPartition

from streams.serde.codec import Codec
from streams.sla.events import Rejection
from streams.time_source import SystemTimeSource

from .deployment import PARTITIONS, PREFIX

_TIMED = {"sla.warning": "due_at", "sla.update_due": "due_at", "sla.breached": "deadline"}


class Seen(NamedTuple):
    """An alert that comes with time: what it is about, and when it was to come and came (microseconds)."""

    type: str
    subject: str
    due: int
    at: int


class Watch:
    """Use as a context manager: reads what is written to the alerts from its start on, in a thread of its own."""

    def __init__(self, bootstrap: str, subjects: str) -> None:
        self.seen: list[Seen] = []
        self._subjects = subjects.encode()
        self._bootstrap = bootstrap
        self._stop = threading.Event()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._read, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        self._begun.wait(120)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def of(self, kind: str) -> list[Seen]:
        """The alerts of a type so far."""
        return [each for each in list(self.seen) if each.type == kind]

    def early(self) -> list[str]:
        """What could be read before the instant that it is about."""
        return [f"{each.type} {each.subject} {each.due - each.at} µs early" for each in self.seen if each.at < each.due]

    def _read(self) -> None:
        clock, codec = SystemTimeSource(), Codec()
        consumer = KafkaConsumer(
            bootstrap_servers=self._bootstrap,
            isolation_level="read_committed",
            enable_auto_commit=False,
            fetch_max_wait_ms=20,
            max_poll_records=20_000,
        )
        wanted = [TopicPartition(f"{PREFIX}.alerts", number) for number in range(PARTITIONS)]
        consumer.assign(wanted)
        consumer.seek_to_end(*wanted)
        for each in wanted:
            consumer.position(each)
        self._begun.set()
        while not self._stop.is_set():
            polled = consumer.poll(timeout_ms=50)
            at = clock.now()
            for records in polled.values():
                for record in records:
                    if record.key.startswith(self._subjects):
                        self._keep(codec, record.value, at)
        consumer.close()

    def _keep(self, codec: Codec, value: bytes, at: int) -> None:
        decoded = codec.decode(value)
        assert not isinstance(decoded, Rejection), decoded
        kind, fields = decoded
        due = fields.get(_TIMED.get(kind, ""))
        if isinstance(due, int) and fields.get("cause", "elapsed") == "elapsed":
            self.seen.append(Seen(kind, str(fields["subject"]), due, at))
