"""One destination's way from Kafka to it: a consumer group of its own, so that no other destination delays it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from aiokafka.errors import KafkaError

from connect.notify.alert_consumer import FAREWELL_S, Reader
from connect.notify.delivery_queue import Delivery, cancelled_by_us
from connect.notify.destinations.http_sender import Sender
from connect.notify.metrics import Metrics
from connect.notify.page_store import PageStore
from connect.notify.routing.rules import Routing
from streams.errors import SlaError
from streams.serde.codec import Codec
from streams.time_source import TimeSource

_AGAIN_S = 2.0


class DestinationWorker:
    """Delivers to one destination until it is cancelled; whatever goes wrong with Kafka, it begins anew."""

    def __init__(
        self,
        name: str,
        routing: Routing,
        sender: Sender,
        connect: Callable[[str], PageStore],
        clock: TimeSource,
        metrics: Metrics,
        codec: Codec,
        *,
        earliest: bool = False,
    ) -> None:
        self.name = name
        self._codec = codec
        self.trouble: str | None = "not connected to Kafka yet"
        self._routing = routing
        self._sender = sender
        self._connect = connect
        self._clock = clock
        self._metrics = metrics
        self._earliest = earliest
        self._disabled: str | None = None
        self._delivery: Delivery | None = None
        self._log = structlog.get_logger("connect.notify").bind(destination=name)
        metrics.pending.labels(name).set_function(lambda: self._delivery.pending if self._delivery else 0)
        metrics.open_pages.labels(name).set_function(lambda: self._delivery.open_pages if self._delivery else 0)
        metrics.up.labels(name).set_function(
            lambda: float(self.trouble is None and self._delivery is not None and self._delivery.works)
        )

    async def run(self) -> None:
        """Connects, delivers, and connects again."""
        try:
            while True:
                try:
                    await self._live()
                except (KafkaError, OSError, SlaError) as error:
                    trouble = str(error) if isinstance(error, SlaError) else f"Kafka: {error!r}"
                    if trouble != self.trouble:
                        self._log.warning("Kafka can't be used", reason=trouble)
                    self.trouble = trouble
                except asyncio.CancelledError:
                    if cancelled_by_us():
                        raise
                    self._log.warning("Kafka can't be used", reason="a client of Kafka gave up")
                    self.trouble = "a client of Kafka gave up"
                except Exception as error:
                    self._log.exception("a lane begins anew")
                    self.trouble = f"the code failed: {type(error).__name__}"
                await asyncio.sleep(_AGAIN_S)
        finally:
            await self._sender.close()

    async def _live(self) -> None:
        """One connection to Kafka, from joining the group to what breaks it. What was read but not committed then
        comes again."""
        kafka = self._connect(self.name)
        destination = self._routing.destinations[self.name]
        delivery = self._delivery = Delivery(destination, self._sender, kafka, self._clock, self._metrics)
        delivery.disabled = self._disabled
        reader = Reader(
            self.name, self._routing, kafka, delivery, self._metrics, self._well, self._codec, earliest=self._earliest
        )  # fmt: skip
        tasks: list[asyncio.Task[None]] = []
        try:
            await kafka.start(reader)
            tasks = [asyncio.create_task(delivery.run()), asyncio.create_task(reader.read())]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks[1:]:
                task.cancel()
            await delivery.forget(FAREWELL_S)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._disabled, self._delivery = delivery.disabled, None
            await kafka.stop()

    def _well(self) -> None:
        self.trouble = None
