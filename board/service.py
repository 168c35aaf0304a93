"""Runs the board as a process: the web server, the thread that reads the topics, signals, a clean shutdown."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
import uvicorn
from fastapi import FastAPI
from sqlalchemy import Engine

from board.app import create_app
from board.changes import Changes
from board.settings import BoardSettings
from board.store.engine import open_engine
from board.store.schema import upgrade
from streams.service_process import stop_on_signals
from streams.settings import Settings
from streams.time_source import SystemTimeSource

#: Requests in progress may take this long once the process is to stop.
_FINISH_S = 5


class BoardServer(uvicorn.Server):
    """Leaves signals to the process, which ends event streams before the server waits for its connections."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(kafka: Settings, settings: BoardSettings, *, listening: Callable[[str], None] = lambda _: None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. `listening` is called with the address, http://HOST:PORT.

    Raises PolicyError, SettingsError, OSError when it can't start.
    """
    log = structlog.get_logger("board")
    changes = Changes()
    with listening_socket(settings.host, settings.port) as listener:
        engine = _open(settings)
        app = create_app(
            engine,
            settings,
            kafka=kafka,
            policies=kafka.load_policies(),
            time_source=SystemTimeSource(),
            changes=changes,
        )
        stop = stop_on_signals()
        server = make_server(app)
        running = asyncio.create_task(server.serve([listener]))
        address = _url(listener)
        log.info("board_started", address=address)
        listening(address)
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([stopped, running], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            changes.close()
            server.should_exit = True
            await running
            engine.dispose()
    log.info("board_stopped")
    return 0


def _open(settings: BoardSettings) -> Engine:
    engine = open_engine(settings.database_url)
    upgrade(engine)
    return engine


def make_server(app: FastAPI) -> BoardServer:
    return BoardServer(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            timeout_graceful_shutdown=_FINISH_S,
        )
    )


@contextmanager
def listening_socket(host: str, port: int) -> Iterator[socket.socket]:
    """Raises OSError when the address can't be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
        yield listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
