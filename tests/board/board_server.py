"""The board's web server in a thread of the test, on a free port."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI

from board.metrics import BoardMetrics
from board.web_server import listening_socket, make_server
from streams.http_connections import ConnectionLimits
from tests.waiting import TIMEOUT_S


@contextmanager
def served(app: FastAPI, port: int = 0) -> Iterator[str]:
    """The address of the running application (port 0: any free one); the server has ended afterwards."""
    with listening_socket("127.0.0.1", port) as listener:
        # Under load, a browser may not read an answer for many seconds.
        server = make_server(app, ConnectionLimits(head_s=TIMEOUT_S), BoardMetrics().http, keep_alive_s=int(TIMEOUT_S))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            app.state.context.changes.close()
            server.should_exit = True
            thread.join(TIMEOUT_S)
            assert not thread.is_alive()
