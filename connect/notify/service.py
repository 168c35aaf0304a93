"""Runs the notifier as a process: a worker for each destination, health pages, signals, a clean shutdown."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping

import structlog
from aiohttp import web
from aiokafka.structs import TopicPartition

from connect.notify.destination_worker import DestinationWorker
from connect.notify.destination_workers import DestinationWorkers
from connect.notify.destinations.http_sender import HttpSender
from connect.notify.metrics import NotifyMetrics
from connect.notify.page_store import ALERTS, INCIDENTS, PageStore, new_consumer
from connect.notify.page_store_rows import TOPIC as NOTIFICATIONS
from connect.notify.read_records import ReadRecords
from connect.notify.routing.file import routing_in
from connect.notify.routing.loaded import LoadedRouting, RoutingInForce, RoutingLoader, routing_content
from connect.notify.routing.rules import Routing
from connect.notify.row_feed import RowFeed
from connect.notify.row_loading import RowLoading
from connect.notify.settings import NotifySettings
from connect.notify.summaries import SummaryReader
from connect.notify.topic_ids import TopicIds
from streams.background_tasks import end_within, until_one_ends
from streams.config_files.reload import ConfigReload, ask_on_hangup
from streams.kafka.topic_shape import TopicShape
from streams.open_files import raise_limit
from streams.schema_registry.client import RegistryClient
from streams.schema_registry.schema_source import BackgroundSchemas
from streams.serde.codec import Codec
from streams.service_process import HttpServer, Reasons, health_app, stop_on_signals
from streams.settings import Settings
from streams.time_source import SystemTimeSource, TimeSource
from streams.tracing.exporting import start_traces

#: A stop as a whole. What `_STOP_S` is too short for is given up; a loop that is too busy to notice is ended.
_STOP_S, _END_S = 7.5, 9.5

OF_ANOTHER = (
    "another notifier, which started or read its routing file later, has other routes: those are in force for all; "
    "give all notifiers one file, and SIGHUP to the one whose file is right"
)


def read_routing(settings: NotifySettings) -> Routing:
    """The routing file. Raises RoutingError, SettingsError when there is none, OSError when it can't be read."""
    return routing_in(routing_content(settings.routes), str(settings.routes))


async def serve(
    kafka: Settings,
    settings: NotifySettings,
    *,
    clock: TimeSource | None = None,
    listening: Callable[[str], None] = lambda _: None,
) -> int:
    """Deliver until SIGTERM or SIGINT; the exit code. `listening` is called with the address of the health pages.

    Raises RoutingError, SettingsError, OSError when it can't start.
    """
    log = structlog.get_logger("connect.notify")
    raise_limit()  # each destination has connections of its own
    loader = RoutingLoader(settings.routes, os.environ)
    loaded = loader.load()
    metrics, time = NotifyMetrics(), clock or SystemTimeSource()
    traces = start_traces("sla-notify", os.environ)
    access = kafka.schema_registry()
    schemas = None if access is None else BackgroundSchemas(RegistryClient(access), time)
    codec = Codec(schemas)
    summaries = SummaryReader(kafka, codec, time) if settings.summaries else None
    known = ReadRecords()
    loading = RowLoading()
    feed = RowFeed(
        kafka.topic_prefix,
        lambda: new_consumer(kafka.bootstrap(), kafka.aiokafka_security()),
        lambda key, value: destinations.routes_row(key, value),  # noqa: PLW0108
        lambda: destinations.routes_read(),  # noqa: PLW0108 -- it is made later
    )

    rows = f"{kafka.topic_prefix}.{NOTIFICATIONS}"

    async def rows_id() -> bytes:
        return await shape.topic_id(rows)

    async def topic_ids(names: Iterable[str]) -> Mapping[str, bytes]:
        return await shape.topic_ids(names)

    def made_anew(topic: str, topic_id: bytes) -> None:
        if topic == rows:
            feed.made_anew()
            destinations.rows_made_anew(topic_id)
            return
        destinations.read_anew(topic, topic_id)
        if topic.endswith(f".{ALERTS}"):
            destinations.alerts_made_anew()

    def make(name: str, found: LoadedRouting, routing: RoutingInForce) -> DestinationWorker:
        destination = found.routing.destinations[name]
        # Of this worker: Kafka deletes the offsets of a destination that was removed, and may come back, after days.
        begun, ids = set[TopicPartition](), TopicIds(topic_ids)
        return DestinationWorker(
            destination,
            routing,
            HttpSender(destination, found.secrets[name], time, traces.tracer),
            lambda name: PageStore(kafka, name, loading, begun, ids),
            time,
            metrics,
            codec,
            earliest=settings.start == "earliest",
            deployment=settings.deployment or kafka.topic_prefix,
            parked_retention=settings.parked_retention,
            summaries=summaries,
            known=known,
            feed=feed,
            rows_id=rows_id,
        )

    destinations = DestinationWorkers(loaded, make, metrics, time)
    reload = ConfigReload("routing", loader, destinations.use, lambda _: metrics.routing_refused())
    if (now := loader.load()) != loaded:  # a file has changed since, before `reload` had looked at it
        destinations.use(now)
    shape = TopicShape(
        kafka.bootstrap(),
        kafka.client_security(),
        kafka.topic_prefix,
        events=(ALERTS, INCIDENTS),
        states=(NOTIFICATIONS,),
        made_anew=made_anew,
        unchanged=destinations.same_topics,
        leaders=True,
    )
    stop, asked = stop_on_signals(_END_S), ask_on_hangup()
    running: list[asyncio.Task[None]] = []
    code = 0
    limits = kafka.connection_limits()
    app = pages(destinations, metrics, reload, shape, feed)
    server = HttpServer(app, settings.host, settings.port, measured=metrics.http, limits=limits, shutdown_timeout_s=0.5)
    async with server:
        log.info("notifier_started", address=server.address, destinations=sorted(loaded.routing.destinations))
        listening(server.address)
        try:
            running = [
                asyncio.create_task(destinations.run(), name="destinations"),
                asyncio.create_task(feed.run(), name="rows"),
                asyncio.create_task(shape.run(), name="topics"),
                asyncio.create_task(reload.run(asked), name="routing"),
            ]
            running += [] if summaries is None else [asyncio.create_task(summaries.run(), name="summaries")]
            if (error := await until_one_ends(stop, running)) is not None:
                log.critical("destination_worker_ended", error=error, consequence="the notifier stops, to be restarted")
                code = 1
        finally:
            await end_within(_STOP_S, running)  # requests in flight may end
            if schemas is not None:
                await schemas.stop()
            await traces.stop()
    log.info("notifier_stopped")
    return code


def pages(
    destinations: DestinationWorkers,
    metrics: NotifyMetrics,
    reload: ConfigReload[LoadedRouting],
    shape: TopicShape | None = None,
    feed: RowFeed | None = None,
) -> web.Application:
    """The health pages; not ready while a worker has no connection to Kafka, the topics have a problem, or rows are not
    read. A failing destination does not count, nor a routing file that is refused."""

    def unready() -> list[dict[str, object]]:
        found: Reasons = [
            {"destination": each.name, "reason": each.failure}
            for each in destinations.workers
            if each.failure is not None
        ]
        # A worker can't tell a topic that it may not see from one that is not there; the look at the topics can.
        others = (None if each is None else each.problem for each in (shape, feed))
        found += [{"reason": each} for each in others if each is not None]
        return found

    def details() -> dict[str, object]:
        refused = {} if reload.problem is None else {"refused": reload.problem}
        other = {} if destinations.of_another is None else {"own_not_in_force": OF_ANOTHER}
        waits = {"waits_for": sorted(destinations.waits_for)} if destinations.waits_for else {}
        return {"routing": {"digest": destinations.digest, **refused, **other, **waits}}

    return health_app(metrics.registry, unready, details=details)
