"""Work that a thread repeats: what failed is tried again, more rarely, and logged once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from streams.errors import SlaError

_EVERY_S: Final = 1.0
_AGAIN_S: Final = 5.0


class RepeatedWork:
    """Calls `work` about every second in a thread, from `start` to `stop`. The log has `waits` when Kafka or the
    database is away, and `failed` with a traceback for everything else."""

    def __init__(self, name: str, work: Callable[[], object], *, waits: str, failed: str) -> None:
        self._work = work
        self._waits, self._failed = waits, failed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        log, failing = structlog.get_logger("board"), False
        while not self._stop.is_set():
            try:
                self._work()
                failing = False
            except (SlaError, SQLAlchemyError, TimeoutError) as error:
                if not failing:
                    log.warning(self._waits, reason=str(error).partition("\n")[0])
                failing = True
            except Exception:
                log.exception(self._failed, consequence="it is tried again")
            self._stop.wait(_AGAIN_S if failing else _EVERY_S)
