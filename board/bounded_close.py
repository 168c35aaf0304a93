"""Closes connections to Kafka within a time, whether Kafka answers or not."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from connect.client.errors import ClientError


def close_within(close: Callable[[], None], within_s: float, name: str) -> None:
    """Call `close` in a thread of this name, and wait that long at most: a publisher's waits for acknowledgements that
    may not come. Whoever waited for an event has been answered, so a ClientError says nothing more. The thread does not
    keep the process."""

    def run() -> None:
        with contextlib.suppress(ClientError):
            close()

    closing = threading.Thread(target=run, name=name, daemon=True)
    closing.start()
    closing.join(within_s)
