"""The interface between what the intake publishes and Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from connect.intake.byte_budget import ByteBudget
from connect.intake.kafka_records import OutgoingRecord
from streams.errors import SlaError


class Unavailable(SlaError):  # noqa: N818 -- it names what happened
    """Kafka has not acknowledged; the sender must send the same request again later. `of_request`: because of the
    request or its sender, whatever the state of Kafka, so that they have to know the reason. `remedy`: what has to be
    done before it succeeds, where a repetition alone never does."""

    def __init__(self, reason: str, *, of_request: bool = False, remedy: str | None = None) -> None:
        super().__init__(reason)
        self.of_request = of_request
        self.remedy = remedy


class RecordPublisher(Protocol):
    """Publishes records of requests, and what the intake finds by itself."""

    in_flight: ByteBudget

    async def publish(self, records: Sequence[OutgoingRecord]) -> None:
        """Returns when all replicas have every record; all of them have one sender. Raises Unavailable; some of them
        may be there then."""
        ...

    def unready(self) -> str | None:
        """Why nothing can be published now, or None."""
        ...

    def kafka_time(self) -> int | None:
        """About the time by Kafka's clock, never later, in microseconds since 1970; None where no acknowledgement has
        told it lately."""
        ...

    def clock_ahead(self) -> int | None:
        """How far the clock of this machine was ahead of Kafka's at the last acknowledgement that told it, in
        microseconds; None where that is not known, or the machine's clock was set since."""
        ...
