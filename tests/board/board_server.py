"""The board's web server in a thread of the test, on a free port."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI

from board.metrics import BoardMetrics
from board.web_server import listening_socket, make_server
from streams.http_connections import ConnectionLimits


@contextmanager
def served(app: FastAPI, port: int = 0) -> Iterator[str]:
    """The address of the running application (port 0: any free one); the server has ended afterwards."""
    with listening_socket("127.0.0.1", port) as listener:
        server = make_server(app, ConnectionLimits(), BoardMetrics().http)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            app.state.context.changes.close()
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()


def wait_until(condition: object, within_s: float = 5.0) -> bool:
    """Whether a callable returned true in time."""
    assert callable(condition)
    until = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > until:
            return False
        threading.Event().wait(0.005)
    return True
