"""Runs the board as a process: the web server, the thread that reads the topics, signals, a clean shutdown."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import structlog
import uvicorn
from fastapi import FastAPI
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from board.access.audit_sender import AuditSender
from board.app import create_app
from board.bounded_close import close_within
from board.changes import Change, Changes
from board.connections import ConnectionLimiter
from board.ingest.apply import AppliedChanges
from board.ingest.records import COMPACTED, TOPICS
from board.ingest.thread import Ingest
from board.metrics import BoardMetrics
from board.proposals.proposal import SOURCE
from board.proposals.publishing import ApprovedPublisher
from board.proposals.repeated import RepeatedWork
from board.proposals.starting import EffectStarter
from board.queries.system import read_position
from board.settings import BoardSettings
from board.store.engine import open_engine
from board.store.schema import upgrade
from board.workers import WorkerWatch
from connect.actions.publish import ActionPublisher
from connect.kafka_io.progress_reader import ProgressReader
from streams.errors import SettingsError
from streams.http_connections import ACCEPTED_AT_ONCE, BACKLOG, ConnectionLimits, HttpMetrics
from streams.kafka.topic_shape import TopicShape
from streams.service_process import stop_on_signals
from streams.settings import Settings
from streams.time_source import SystemTimeSource

#: Requests in progress may take this long once the process is to stop.
_FINISH_S = 4
#: The connection of approved events may then take this long to close.
_CLOSE_S = 3
_KEEP_ALIVE_S = 5
#: A thread that computes lets others run after this long. They ask at almost every row that they read, so with Python's
#: 5 ms a request would take twice as long while records are applied.
_SWITCH_S = 0.0005
#: Requests and records leave almost nothing that only a collection frees; each one stops all threads.
_GC_THRESHOLDS = (5_000, 10, 20)


class BoardServer(uvicorn.Server):
    """Leaves signals to the process, which ends event streams before the server waits for its connections."""

    def __init__(self, config: uvicorn.Config, limiter: ConnectionLimiter) -> None:
        super().__init__(config)
        self._limiter = limiter

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        overdue = asyncio.create_task(self._limiter.close_overdue())
        try:
            await super().serve(sockets)
        finally:
            overdue.cancel()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for each in sockets or []:
            each.listen(BACKLOG)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(kafka: Settings, settings: BoardSettings, *, listening: Callable[[str], None] = lambda _: None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. `listening` is called with the address, http://HOST:PORT.

    Raises PolicyError, SlaError, OSError when it can't start.
    """
    log = structlog.get_logger("board")
    changes, metrics, time = Changes(), BoardMetrics(), SystemTimeSource()
    policies = kafka.load_policies()
    with listening_socket(settings.host, settings.port) as listener:
        engine = open_database(settings)
        ingest = Ingest(
            engine,
            kafka,
            retention=settings.retention,
            on_applied=lambda applied, position: changes.publish(change_of(applied, position)),
            metrics=metrics,
            time_source=time,
        )
        watch = WorkerWatch(lambda: ProgressReader(kafka, time), settings.workers_every, time)
        shape = TopicShape(
            kafka.bootstrap(),
            kafka.client_security(),
            kafka.topic_prefix,
            events=[topic for topic in TOPICS if topic not in COMPACTED],
            states=COMPACTED,
        )
        audit = AuditSender(engine, kafka, metrics=metrics)
        publisher = ActionPublisher(kafka, SOURCE, time)
        approved = ApprovedPublisher(engine, publisher.send, lambda: ingest.status.reached_end, time)
        publishing = RepeatedWork(
            "approved-publisher",
            approved.publish_waiting,
            waits="approved_event_waits",
            failed="approved_event_not_published",
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
        effects = RepeatedWork(
            "effect-starter",
            EffectStarter(app.state.context).start_missing,
            waits="effect_start_waits",
            failed="effect_not_started",
        )
        with engine.connect() as connection:
            changes.publish(Change(read_position(connection)))
        prepare_process()
        stop, server = stop_on_signals(), make_server(app, kafka.connection_limits(), metrics.http)
        running = asyncio.create_task(server.serve([listener]))
        watching = asyncio.create_task(shape.run())
        ingest.start()
        watch.start()
        audit.start()
        publishing.start()
        effects.start()
        address = _url(listener)
        log.info("board_started", address=address, database=engine.url.render_as_string())
        listening(address)
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([stopped, running], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            watching.cancel()
            changes.close()
            server.should_exit = True
            await asyncio.gather(
                running,
                asyncio.gather(watching, return_exceptions=True),
                asyncio.to_thread(ingest.stop, _FINISH_S),
                asyncio.to_thread(watch.stop, _FINISH_S),
                asyncio.to_thread(audit.stop, _FINISH_S),
                asyncio.to_thread(publishing.stop, _FINISH_S),
                asyncio.to_thread(effects.stop, _FINISH_S),
                asyncio.to_thread(app.state.context.background.close),
                asyncio.to_thread(app.state.context.actions.close, _FINISH_S),
            )
            await asyncio.to_thread(close_within, publisher.close, _CLOSE_S, "approved-close")
            engine.dispose()
    log.info("board_stopped")
    return 0


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


def make_server(app: FastAPI, limits: ConnectionLimits, measured: HttpMetrics) -> BoardServer:
    """Raises SettingsError where the process may not open so many files."""
    limiter = ConnectionLimiter(limits, _KEEP_ALIVE_S, measured)
    config = uvicorn.Config(
        limiter.limited(app),
        http=cast(type[asyncio.Protocol], limiter.protocol),
        ws="none",  # a web socket would leave the protocol that counts its connection
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        backlog=ACCEPTED_AT_ONCE,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_FINISH_S,
    )
    return BoardServer(config, limiter)


@contextmanager
def listening_socket(host: str, port: int) -> Iterator[socket.socket]:
    """Raises OSError when the address can't be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only for sockets that name TCP; with it on, each answer takes 40 ms longer.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
        yield listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
