"""Runs the notifier as a process: a worker for each destination, health pages, signals, a clean shutdown."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence

import structlog
from aiohttp import web

from connect.notify.destination_worker import DestinationWorker
from connect.notify.destinations.http_sender import HttpSender
from connect.notify.destinations.secrets import read_destination_secrets
from connect.notify.metrics import NotifyMetrics
from connect.notify.page_store import ALERTS, INCIDENTS, PageStore
from connect.notify.page_store_rows import TOPIC as NOTIFICATIONS
from connect.notify.routing.file import load_routing
from connect.notify.routing.rules import Routing
from connect.notify.settings import NotifySettings
from connect.notify.summaries import SummaryReader
from streams.errors import SettingsError
from streams.kafka.topic_shape import TopicShape
from streams.schema_registry.client import RegistryClient
from streams.schema_registry.schema_source import BackgroundSchemas
from streams.serde.codec import Codec
from streams.service_process import HttpServer, Reasons, health_app, stop_on_signals
from streams.settings import Settings
from streams.time_source import SystemTimeSource, TimeSource
from streams.tracing.exporting import start_traces


def group_of(prefix: str, destination: str) -> str:
    """The consumer group of a destination."""
    return f"{prefix}-notify-{destination}"


def read_routing(settings: NotifySettings) -> Routing:
    """The routing file. Raises RoutingError, SettingsError when there is none, OSError when it can't be read."""
    try:
        return load_routing(settings.routes)
    except FileNotFoundError as error:
        problem = f"there is no routing file {settings.routes}; set SLA_NOTIFY_ROUTES or write --routes"
        raise SettingsError(problem) from error


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
    routing = read_routing(settings)
    secrets = read_destination_secrets(routing.destinations.values(), os.environ)
    metrics, time = NotifyMetrics(), clock or SystemTimeSource()
    traces = start_traces("sla-notify", os.environ)
    access = kafka.schema_registry()
    schemas = None if access is None else BackgroundSchemas(RegistryClient(access), time)
    codec = Codec(schemas)
    summaries = SummaryReader(kafka, codec, time) if settings.summaries else None
    workers = [
        DestinationWorker(
            name,
            routing,
            HttpSender(destination, secrets[name], time, traces.tracer),
            lambda name: PageStore(kafka, group_of(kafka.topic_prefix, name)),
            time,
            metrics,
            codec,
            earliest=settings.start == "earliest",
            deployment=settings.deployment or kafka.topic_prefix,
            parked_retention=settings.parked_retention,
            summaries=summaries,
        )
        for name, destination in routing.destinations.items()
    ]
    shape = TopicShape(
        kafka.bootstrap(),
        kafka.client_security(),
        kafka.topic_prefix,
        events=(ALERTS, INCIDENTS),
        states=(NOTIFICATIONS,),
    )
    stop = stop_on_signals()
    running: list[asyncio.Task[None]] = []
    code = 0
    limits = kafka.connection_limits()
    app = pages(workers, metrics, shape)
    async with HttpServer(app, settings.host, settings.port, measured=metrics.http, limits=limits) as server:
        log.info("notifier_started", address=server.address, destinations=sorted(routing.destinations))
        listening(server.address)
        try:
            running = [asyncio.create_task(worker.run()) for worker in workers]
            running.append(asyncio.create_task(shape.run()))
            running += [] if summaries is None else [asyncio.create_task(summaries.run())]
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait([stopped, *running], return_when=asyncio.FIRST_COMPLETED)
            if not stopped.done():
                log.critical("destination_worker_ended", consequence="the notifier stops, to be restarted")
                code = 1
            stopped.cancel()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)  # requests in flight may end
            if schemas is not None:
                await schemas.stop()
            await traces.stop()
    log.info("notifier_stopped")
    return code


def pages(
    workers: Sequence[DestinationWorker], metrics: NotifyMetrics, shape: TopicShape | None = None
) -> web.Application:
    """The health pages; not ready while a worker has no connection to Kafka or the topics have a problem. A failing
    destination does not count."""

    def unready() -> list[dict[str, object]]:
        found: Reasons = [
            {"destination": each.name, "reason": each.failure} for each in workers if each.failure is not None
        ]
        return found if found or shape is None or shape.problem is None else [{"reason": shape.problem}]

    return health_app(metrics.registry, unready)
