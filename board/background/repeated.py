"""Work that a thread repeats: what failed is tried again, more rarely, and a lasting failure is logged once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from kafka.errors import KafkaError
from sqlalchemy.exc import SQLAlchemyError

from streams.errors import SlaError
from streams.log_damper import CrashLog


class RepeatedWork:
    """Calls `work` in a thread, from `start` to `stop`: every `every_s` seconds, at once where it returned True, and
    `again_s` after a failure.

    The log has `waits` when Kafka or the database is away (again when the reason changes), and `failed` with a
    traceback for everything else (the same failure again every ten minutes). `on_failure` is called with the reason.
    `close` is called after each failure and at the end, for connections that `work` keeps.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], object],
        *,
        waits: str,
        failed: str,
        every_s: float = 1.0,
        again_s: float = 5.0,
        on_failure: Callable[[str], None] = lambda _: None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self._work = work
        self._waits = waits
        self._every_s, self._again_s = every_s, again_s
        self._on_failure = on_failure
        self._close = close
        self._failure: str | None = None
        self._log = structlog.get_logger("board")
        self._crashes = CrashLog(self._log, failed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End after the call in progress. The thread dies with the process when that takes longer."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._stop.wait(self._once())
        self._disconnect()

    def _once(self) -> float:
        """Call it; how many seconds to wait then."""
        try:
            more = self._work() is True
        except (KafkaError, OSError, SlaError, SQLAlchemyError) as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            if reason != self._failure:
                self._log.warning(self._waits, reason=reason, consequence="it is tried again")
        except Exception as error:  # a defect: the thread must not end unseen
            reason = f"internal error: {error!r}"
            self._crashes.caught(error, consequence="it is tried again")
        else:
            self._failure = None
            return 0.0 if more else self._every_s
        self._failure = reason
        self._on_failure(reason)
        self._disconnect()
        return self._again_s

    def _disconnect(self) -> None:
        try:
            self._close()
        except Exception as error:  # of a connection that is given up anyway
            self._crashes.caught(error, consequence="it is tried again")
