"""How long statements wait for watermarks, and for which incident partitions: a halted or absent one keeps away the
statements of all tenants (R26)."""

from __future__ import annotations

from typing import Final

from agents.metrics import LEDGER_EARLY_INPUTS, LEDGER_WAITS, LEDGER_WATERMARKS
from streams.sla.credits.ledger_timers import LedgerTimers
from streams.sla.instants import MINUTE, SECOND, format_rfc3339

#: A longer wait is a reason not to be ready. An answer takes seconds.
LONG_WAIT: Final = 10 * MINUTE


class WatermarkWait:
    """Watches the waits of one ledger partition, by the wall clock."""

    def __init__(self, partition: int) -> None:
        self._partition = str(partition)
        self._awaited: int | None = None
        self._since = 0

    def problems(self, ledger: LedgerTimers, awaited: int | None, asked: int, now: int, early: int) -> list[str]:
        """Which incident partitions are waited for, once that takes long; also sets the gauges. `awaited` is the
        instant that their watermarks have to reach, `early` how many inputs wait."""
        LEDGER_EARLY_INPUTS.labels(self._partition).set(early)
        if awaited is not None and awaited > asked:
            awaited = None  # stream time has not reached it yet
        if awaited != self._awaited:
            self._awaited, self._since = awaited, now
        waited = 0 if awaited is None else now - self._since
        LEDGER_WAITS.labels(self._partition).set(waited / SECOND)
        for partition, until in ledger.watermarks():
            LEDGER_WATERMARKS.labels(self._partition, str(partition)).set(max(until, 0) / SECOND)
        if awaited is None or waited < LONG_WAIT:
            return []
        names = ", ".join(map(str, ledger.lagging(awaited)))
        return [
            f"statements and inputs ({early:,}) since {format_rfc3339(awaited)} have waited {waited // MINUTE} minutes "
            f"for incident partition {names}: see why its task does not run, on the worker that has it or on none"
        ]
