"""Logging: structlog, with the same pipeline for the standard library; JSON in production, readable on a terminal."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import Processor

from streams.log_output import LogOutput

_PROCESSORS: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


_PACKAGES = ("streams", "agents", "board", "connect", "cli")
_REPEAT_AFTER_S = 5.0
# Local variables contain customers' texts, so they are left out of logs.
_NO_LOCALS = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)


class Damper(logging.Filter):
    """Passes a library's message once every few seconds: aiokafka repeats its own ten times a second in an outage."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, str], float] = {}
        self._suppressed: dict[tuple[str, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Pass the product's messages, and a library's unless the same message passed recently; counts what it
        suppressed."""
        if record.name.partition(".")[0] in _PACKAGES:
            return True
        key = record.name, str(record.msg)
        if record.created - self._last.get(key, 0.0) < _REPEAT_AFTER_S:
            self._suppressed[key] = self._suppressed.get(key, 0) + 1
            return False
        self._last[key] = record.created
        suppressed = self._suppressed.pop(key, 0)
        if suppressed:
            record.msg = f"{record.getMessage()} (and {suppressed} times more)"
            record.args = ()
        return True


def configure_logs(*, json: bool | None = None, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Set up the process once. `json` None means: unless `stream` (default stderr) is a terminal.

    Libraries (Faust, mode, aiokafka) log from WARNING on.
    """
    out = stream if stream is not None else sys.stderr
    as_json = json if json is not None else not out.isatty()
    tail: list[Processor] = (
        [structlog.processors.ExceptionRenderer(_NO_LOCALS), structlog.processors.JSONRenderer()]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)]
    )
    structlog.configure(
        processors=[*_PROCESSORS, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = LogOutput(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_PROCESSORS,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail],
        )
    )
    handler.addFilter(Damper())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in _PACKAGES:
        logging.getLogger(name).setLevel(level)
    logging.getLogger("streams.runtime.transport").setLevel(logging.WARNING)  # Faust's services log under this name
