"""Runs the intake as a process: signals, clean shutdown, exit codes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import structlog

from connect.intake.kafka_producer import KafkaPublisher, kafka_producer
from connect.intake.kafka_records import REJECTED_TOPIC
from connect.intake.mapping_file import load_mapping
from connect.intake.settings import IntakeSettings
from connect.intake.web.app import Intake
from connect.intake.web.signatures import read_secrets
from streams.errors import SettingsError
from streams.kafka.topic_shape import TopicShape
from streams.schema_registry.schema_source import writing_frame
from streams.schema_registry.subjects import INPUT_TYPES
from streams.serde.input_records import CONTRACT_EVENTS, INCIDENT_EVENTS
from streams.service_process import HttpServer, stop_on_signals
from streams.settings import Settings
from streams.sla.instants import SECOND
from streams.time_source import SystemTimeSource, TimeSource

_KEEP_ALIVE_S = 75.0


async def serve(
    kafka: Settings,
    settings: IntakeSettings,
    *,
    clock: TimeSource | None = None,
    listening: Callable[[str], None] = lambda _: None,
) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. `listening` is called with the address.

    Raises MappingError, SettingsError, OSError when it can't start.
    """
    log = structlog.get_logger("connect.intake")
    try:
        sources = load_mapping(settings.mapping)
    except FileNotFoundError as error:
        message = f"there is no mapping file {settings.mapping}; set SLA_INTAKE_MAPPING or write --mapping"
        raise SettingsError(message) from error
    secrets = read_secrets(sources.values(), os.environ)
    timeout_s, access = settings.ack_timeout / SECOND, kafka.schema_registry()
    shape = TopicShape(
        kafka.bootstrap(),
        kafka.client_security(),
        kafka.topic_prefix,
        events=(INCIDENT_EVENTS, CONTRACT_EVENTS, REJECTED_TOPIC),
    )
    publisher = KafkaPublisher(
        kafka_producer(kafka.bootstrap(), kafka.aiokafka_security(), timeout_s),
        kafka.topic_prefix,
        settings.max_in_flight,
        timeout_s,
        lambda: writing_frame(access, kafka.topic_prefix, INPUT_TYPES, 0.0),
        shape,
    )
    intake = Intake(sources, secrets, settings, publisher, clock or SystemTimeSource())
    stop = stop_on_signals()
    server = HttpServer(
        intake.app(),
        settings.host,
        settings.port,
        measured=intake.metrics.http,
        limits=kafka.connection_limits(),
        keepalive_timeout_s=_KEEP_ALIVE_S,
        shutdown_timeout_s=settings.stop_within / SECOND,
    )
    publisher.start()
    watching = asyncio.create_task(shape.run())
    try:
        async with server:
            log.info("intake_started", address=server.address, sources=sorted(sources))
            listening(server.address)
            await stop.wait()
            intake.stopping = True
    finally:
        watching.cancel()
        await asyncio.gather(publisher.stop(), watching, return_exceptions=True)
    log.info("intake_stopped")
    return 0
