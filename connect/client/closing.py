"""How a publisher closes: calls under way end first, and one that nobody closes says at the end what it lost."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from kafka.errors import KafkaError

from connect.client.delivery import Failures, Unacknowledged
from connect.client.errors import ClientError, DeliveryFailed
from connect.client.opened_in import ProcessOf

_LOG = logging.getLogger(__name__)
#: How long the end of a process waits for what a publisher that is not closed has sent.
_LAST_WAIT_S = 5.0


class CallsUnderWay:
    """Lets no call begin once closed, and lets the one who closes wait for those that have begun. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = Counter[int]()
        self.closed = False

    @contextmanager
    def one(self) -> Iterator[None]:
        """A call. Raises ClientError once closed."""
        thread = threading.get_ident()
        with self._changed:
            if self.closed:
                raise ClientError("the publisher is closed")
            self._inside[thread] += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside[thread] -= 1
                if not self._inside[thread]:
                    del self._inside[thread]
                self._changed.notify_all()

    def close(self, timeout_s: float) -> bool:
        """Close, and wait for the calls of other threads: this thread may be in one, which a signal interrupted. False
        when it was closed before."""
        with self._changed:
            if self.closed:
                return False
            self.closed = True
            own = threading.get_ident()
            self._changed.wait_for(lambda: self._inside.keys() <= {own}, timeout_s)
            return True


class Flushes(Protocol):
    """The part of kafka.KafkaProducer that is used here."""

    def flush(self, timeout: float | None = None) -> None: ...


def report_lost(producer: Flushes, unacknowledged: Unacknowledged, failures: Failures, process: ProcessOf) -> None:
    """A publisher that nobody closed is gone, or its process ends: wait a little for what it sent, and log what is not
    acknowledged, which nobody else will tell."""
    if process.left:
        return
    if unacknowledged.deliveries():
        with suppress(KafkaError):
            producer.flush(_LAST_WAIT_S)
    if lost := len(unacknowledged.deliveries()):
        _LOG.error("publisher_not_closed: %d events are not acknowledged: close it, or use it in a `with`", lost)
    try:
        failures.raise_unreported()
    except DeliveryFailed as failure:
        _LOG.error("publisher_not_closed: %s", failure)
