"""The errors of the client.

SlaError
├── RegistryRefused        the schema registry, where one is used, refuses what this client needs
├── RegistryUnavailable    the schema registry gives no usable answer
└── ClientError
    ├── InvalidEvent       the product would reject the event; nothing was sent
    ├── DeliveryFailed     the broker did not acknowledge one event or several
    ├── BrokerUnavailable  Kafka doesn't answer, lacks a topic or refuses the client
    └── UndecodableRecord  a record that was read is no event of this release
"""

# ruff: noqa: N818 -- these name what happened
from __future__ import annotations

from collections.abc import Mapping, Sequence

from streams.errors import SlaError
from streams.sla.events import Position, Rejection


class ClientError(SlaError):
    """Base of all. The message says what is wrong and what to do."""


class InvalidEvent(ClientError):
    """An event that the product would reject. `code` is the code of the reject (`invalid`, `oversize`,
    `four_eyes`, `cycle`, `unknown_type`), `field` the field that is wrong, such as `tier` or `who.id`, if it is one."""

    def __init__(self, refusal: Rejection, what: str = "") -> None:
        text = f"{what}: {refusal.message}" if what else refusal.message
        super().__init__(text.encode(errors="backslashreplace").decode())  # a lone surrogate could not be printed
        self.code = refusal.code
        self.event_id = refusal.event_id
        name, colon, _ = refusal.message.partition(":")
        self.field = name.removeprefix("data.") if colon and " " not in name else None


class DeliveryFailed(ClientError):
    """Events that the broker did not acknowledge: `events`, as they were sent. With `retriable` they may or may not be
    in Kafka: send the same events (same ids, same times) again, they count once. `count` is how many there are: beyond
    1,000 in one flush the others are in their deliveries only."""

    def __init__(
        self, message: str, events: Sequence[Mapping[str, object]], *, retriable: bool, count: int | None = None
    ) -> None:
        super().__init__(message)
        self.events = tuple(events)
        self.retriable = retriable
        self.count = len(self.events) if count is None else count


class BrokerUnavailable(ClientError):
    """Kafka doesn't answer, lacks a topic or refuses this client."""


class UndecodableRecord(ClientError):
    """A record that this release can't read: its `position`, `code` and `reason`, and its `value`."""

    def __init__(self, position: Position, refusal: Rejection, value: bytes | None) -> None:
        super().__init__(f"{position}: {refusal.code}: {refusal.message}")
        self.position = position
        self.code = refusal.code
        self.reason = refusal.message
        self.value = value
