"""Runs the board as a process: the web server, the threads beside it, signals, a clean shutdown."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from typing import NamedTuple

import structlog
from fastapi import FastAPI
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from board.access.audit_sender import AuditSender
from board.app import create_app
from board.background.repeated import RepeatedWork
from board.bounded_close import close_within
from board.changes import Change, Changes
from board.ingest.apply import AppliedChanges
from board.ingest.records import COMPACTED, TOPICS
from board.ingest.thread import Ingest
from board.metrics import BoardMetrics
from board.proposals.proposal import SOURCE
from board.proposals.publishing import ApprovedPublisher
from board.proposals.starting import EffectStarter
from board.queries.system import read_position
from board.settings import BoardSettings
from board.store.engine import open_engine
from board.store.schema import upgrade
from board.web_server import FINISH_S, listening_socket, make_server, url_of
from board.workers import WorkerWatch
from connect.actions.publish import ActionPublisher
from connect.kafka_io.progress_reader import ProgressReader
from streams.background_tasks import BackgroundTasks, in_loop, in_thread
from streams.errors import SettingsError
from streams.kafka.topic_shape import TopicShape
from streams.service_process import stop_on_signals
from streams.settings import Settings
from streams.sla.instants import SECOND
from streams.sla.policy import Policies
from streams.time_source import SystemTimeSource

#: The connection of approved events may take this long to close, once everything else has ended.
_CLOSE_S = 3
#: A thread that computes lets others run after this long. They ask at almost every row that they read, so with Python's
#: 5 ms a request would take twice as long while records are applied.
_SWITCH_S = 0.0005
#: Requests and records leave almost nothing that only a collection frees; each one stops all threads.
_GC_THRESHOLDS = (5_000, 10, 20)


class Board(NamedTuple):
    """What the process runs: the web application, and what goes on beside it. `publisher` is closed last."""

    app: FastAPI
    changes: Changes
    metrics: BoardMetrics
    background: BackgroundTasks
    publisher: ActionPublisher


async def serve(kafka: Settings, settings: BoardSettings, *, listening: Callable[[str], None] = lambda _: None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. `listening` is called with the address, http://HOST:PORT.

    Raises PolicyError, SlaError, OSError when it can't start.
    """
    log = structlog.get_logger("board")
    policies = kafka.load_policies()
    with listening_socket(settings.host, settings.port) as listener:
        engine = open_database(settings)
        board = compose(engine, kafka, settings, policies)
        with engine.connect() as connection:
            board.changes.publish(Change(read_position(connection)))
        prepare_process()
        stop, server = stop_on_signals(), make_server(board.app, kafka.connection_limits(), board.metrics.http)
        serving = asyncio.create_task(server.serve([listener]))
        stopped = asyncio.create_task(stop.wait())
        try:
            board.background.start()
            log.info("board_started", address=url_of(listener), database=engine.url.render_as_string())
            listening(url_of(listener))
            await asyncio.wait([stopped, serving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            board.changes.close()
            server.should_exit = True
            await asyncio.gather(serving, board.background.stop(FINISH_S))
            await asyncio.to_thread(close_within, board.publisher.close, _CLOSE_S, "approved-close")
            engine.dispose()
    log.info("board_stopped")
    return 0


def compose(engine: Engine, kafka: Settings, settings: BoardSettings, policies: Policies) -> Board:
    """The board over a migrated database; nothing is started, and nothing is connected to."""
    changes, metrics, time = Changes(), BoardMetrics(), SystemTimeSource()
    ingest = Ingest(
        engine,
        kafka,
        retention=settings.retention,
        on_applied=lambda applied, position: changes.publish(change_of(applied, position)),
        metrics=metrics,
        time_source=time,
    )
    watch = WorkerWatch(lambda: ProgressReader(kafka, time))
    shape = TopicShape(
        kafka.bootstrap(),
        kafka.client_security(),
        kafka.topic_prefix,
        events=[topic for topic in TOPICS if topic not in COMPACTED],
        states=COMPACTED,
    )
    app = create_app(
        engine,
        settings,
        kafka=kafka,
        policies=policies,
        time_source=time,
        changes=changes,
        metrics=metrics,
        ingest=lambda: ingest.status,
        workers=lambda: watch.status,
        topics=lambda: shape.problem,
    )
    publisher = ActionPublisher(kafka, SOURCE, time)
    approved = ApprovedPublisher(engine, publisher.send, lambda: ingest.status.reached_end, time)
    repeated = (
        watching(watch, settings.workers_every / SECOND),
        sending(AuditSender(engine, kafka, metrics=metrics)),
        publishing(approved),
        starting(EffectStarter(app.state.context)),
    )
    background = [
        in_loop("topic-shape", shape.run),
        in_thread("ingest", ingest.stop, start=ingest.start),
        *(in_thread(each.name, each.stop, start=each.start) for each in repeated),
        in_thread("jobs", app.state.context.background.close),
        in_thread("actions", app.state.context.actions.close),
    ]
    return Board(app, changes, metrics, BackgroundTasks(background), publisher)


def watching(watch: WorkerWatch, every_s: float) -> RepeatedWork:
    """Reads the progress of the workers."""
    return RepeatedWork(
        "board-workers",
        watch.read,
        waits="workers_read_failed",
        failed="workers_read_crashed",
        every_s=every_s,
        again_s=every_s,
        on_failure=watch.note_failure,
        close=watch.close,
    )


def sending(audit: AuditSender, again_s: float = 5.0) -> RepeatedWork:
    """Sends audit events. What is not acknowledged at the end is sent by the next board."""
    return RepeatedWork(
        "audit-sender",
        audit.send,
        waits="audit_events_wait",
        failed="audit_send_crashed",
        again_s=again_s,
        close=audit.close,
    )


def publishing(approved: ApprovedPublisher) -> RepeatedWork:
    """Publishes the events of approved proposals."""
    return RepeatedWork(
        "approved-publisher",
        approved.publish_waiting,
        waits="approved_event_waits",
        failed="approved_event_not_published",
    )


def starting(effects: EffectStarter) -> RepeatedWork:
    """Starts effects of proposals."""
    return RepeatedWork(
        "effect-starter", effects.start_missing, waits="effect_start_waits", failed="effect_not_started"
    )


def prepare_process() -> None:
    """Keep pauses short, once everything is loaded: a full collection of what was imported takes 0.1 s."""
    sys.setswitchinterval(_SWITCH_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def open_database(settings: BoardSettings) -> Engine:
    """The database of the read model with the schema of this release.

    Raises SettingsError when it can't be opened, NewerDatabase, and OSError for a directory that can't be made.
    """
    engine = open_engine(settings.database_url)
    try:
        upgrade(engine)
    except DBAPIError as error:
        name, reason = engine.url.render_as_string(), str(error.orig).strip().partition("\n")[0]
        raise SettingsError(f"the database {name} can't be used: {reason}; see SLA_BOARD_DATABASE_URL") from error
    return engine


def change_of(applied: AppliedChanges, position: int) -> Change:
    """What readers of the event stream are told of a transaction."""
    return Change(
        position,
        applied.incidents,
        applied.tenant_months,
        rejects=applied.rejects,
        notifications=applied.notifications,
        resync=applied.resync,
    )
