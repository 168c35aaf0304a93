"""Runs the intake as a process: signals, clean shutdown, exit codes."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable
from functools import partial

import structlog

from connect.intake.heartbeats.reader import KafkaHeartbeatReader
from connect.intake.heartbeats.rows import TOPIC as HEARTBEATS
from connect.intake.kafka_producer import KafkaPublisher, kafka_producer
from connect.intake.kafka_records import REJECTED_TOPIC
from connect.intake.loaded_mapping import LoadedMapping, MappingLoader
from connect.intake.settings import IntakeSettings
from connect.intake.web.app import Intake
from streams.background_tasks import until_one_ends
from streams.config_files.reload import ConfigReload, ask_on_hangup
from streams.kafka.topic_shape import TopicShape
from streams.schema_registry.schema_source import writing_frame
from streams.schema_registry.subjects import INPUT_TYPES
from streams.serde.input_records import CONTRACT_EVENTS, INCIDENT_EVENTS
from streams.service_process import HttpServer, stop_on_signals
from streams.settings import Settings, read_settings
from streams.sla.instants import SECOND
from streams.time_source import SystemTimeSource, TimeSource
from streams.tracing.exporting import start_traces

_KEEP_ALIVE_S = 75.0
#: What follows at a stop once open requests had their time: replies on their way, records in flight, connections to
#: Kafka. Each has a bound of its own; this is that of all of them.
_STOP_S = 3.5
#: The event loop waits this long at most for a thread that translates a large body, each time it has something to do.
#: With Python's 5 ms a small request would wait 30 ms meanwhile.
_SWITCH_S = 0.0005


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
    loader, time = MappingLoader(settings.mapping, os.environ), clock or SystemTimeSource()
    mapping = loader.load()
    timeout_s, access = settings.ack_timeout / SECOND, kafka.schema_registry()
    shape = TopicShape(
        kafka.bootstrap(),
        kafka.client_security(),
        kafka.topic_prefix,
        events=(INCIDENT_EVENTS, CONTRACT_EVENTS, REJECTED_TOPIC),
        states=_states_of(mapping),
    )
    publisher = KafkaPublisher(
        kafka_producer(kafka.bootstrap(), lambda: _read_again(kafka).aiokafka_security(), timeout_s),
        kafka.topic_prefix,
        settings.max_in_flight,
        timeout_s,
        lambda: writing_frame(access, kafka.topic_prefix, INPUT_TYPES, 0.0),
        shape,
        time,
    )
    traces = start_traces("sla-intake", os.environ)
    intake = Intake(
        mapping,
        settings,
        publisher,
        time,
        reader=lambda: KafkaHeartbeatReader(kafka, _read_again(kafka).aiokafka_security()),
        tracer=traces.tracer,
        limits=kafka.time_limits(),
    )

    def use(loaded: LoadedMapping) -> None:
        intake.use(loaded)
        shape.expect_states(_states_of(loaded))

    reload = ConfigReload("mapping", loader, use, intake.keep_mapping)
    stop, asked = stop_on_signals(settings.stop_within / SECOND + _STOP_S), ask_on_hangup()
    server = HttpServer(
        intake.app(),
        settings.host,
        settings.port,
        measured=intake.metrics.http,
        limits=kafka.connection_limits(),
        keepalive_timeout_s=_KEEP_ALIVE_S,
        shutdown_timeout_s=settings.stop_within / SECOND,
    )
    assert intake.heartbeats is not None
    background = (shape.run, partial(reload.run, asked), intake.heartbeats.run)
    running: list[asyncio.Task[object]] = []
    code = 0
    sys.setswitchinterval(_SWITCH_S)
    gc.collect()
    gc.freeze()  # a full collection of what is loaded by now would take 0.1 s each time
    publisher.start()
    try:
        async with server:
            running += [asyncio.create_task(work()) for work in background]
            log.info("intake_started", address=server.address, sources=sorted(mapping.sources))
            listening(server.address)
            error = await until_one_ends(stop, running)
            intake.stopping = True
            if error is not None:
                log.critical("background_task_ended", error=error, consequence="the intake stops, to be restarted")
                code = 1
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(publisher.stop(), *running, return_exceptions=True)
        await traces.stop()
    log.info("intake_stopped")
    return code


def _states_of(mapping: LoadedMapping) -> tuple[str, ...]:
    """The topics of states that a mapping needs."""
    return (HEARTBEATS,) if any(source.monitors for source in mapping.sources.values()) else ()


def _read_again(kafka: Settings) -> Settings:
    """The settings with the present content of the files that hold secrets. Raises SettingsError."""
    return read_settings(brokers=kafka.brokers, topic_prefix=kafka.topic_prefix)
