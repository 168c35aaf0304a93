"""The metrics of the agents (streams/metrics.py defines them)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from prometheus_client import Counter

from streams import metrics
from streams.sla.events import Output
from streams.sla.incidents.clocks import UPDATE

INPUTS = metrics.INPUTS_TOTAL.counter()
OUTPUTS = metrics.OUTPUTS_TOTAL.counter()
FLAGGED = metrics.FLAGGED_TOTAL.counter()
BREACHES = metrics.BREACHES.counter()
BREACHES_RETRACTED = metrics.BREACHES_RETRACTED.counter()
REMINDERS = metrics.REMINDERS.counter()
STATEMENTS = metrics.STATEMENTS.counter()
CREDITS_ISSUED = metrics.CREDITS_ISSUED.counter()
CREDITS_AMOUNT = metrics.CREDITS_AMOUNT.counter()
UNKNOWN_REFERENCES = metrics.UNKNOWN_REFERENCES_TOTAL.counter()
CONTRADICTORY_TIMES = metrics.CONTRADICTORY_TIMES.counter()
STATES_FAILED = metrics.INCIDENT_STATES_FAILED.counter()
REJECTED = metrics.REJECTED_TOTAL.counter()
FORWARDED = metrics.FORWARDED_TOTAL.counter()
REJECT_SHARES = metrics.REJECT_SHARE.gauge()
BACKFILL_HOLDS = metrics.BACKFILL_HOLDING.gauge()
LEDGER_WATERMARKS = metrics.LEDGER_WATERMARK.gauge()
LEDGER_WAITS = metrics.LEDGER_WAITING.gauge()
LEDGER_EARLY_INPUTS = metrics.LEDGER_EARLY_INPUTS.gauge()
LEDGER_OUT_OF_TURN = metrics.LEDGER_OUT_OF_TURN.counter()

_BY_CLOCK: Mapping[str, Counter] = {
    "sla.breached": BREACHES,
    "sla.breach_retracted": BREACHES_RETRACTED,
    "sla.warning": REMINDERS,
    "sla.update_due": REMINDERS,
}
_OF_BUSINESS = frozenset([*_BY_CLOCK, "credit.statement", "credit.issued"])


class AgentCounters:
    """The counters of one agent with their labels bound once: binding costs more than counting."""

    def __init__(self, agent: str) -> None:
        self.applied = INPUTS.labels(agent, "applied")
        self.duplicate = INPUTS.labels(agent, "duplicate")
        self.forwarded = FORWARDED.labels(agent)
        self._agent = agent
        self._deferred = False
        self._applied = 0
        self._pending: dict[str, int] = {}
        self._outputs: dict[str, Counter] = {}
        self._flags: dict[str, Counter] = {}
        self._clocks: dict[tuple[str, str, str], Counter] = {}

    def defer(self) -> None:
        """From now on inputs and outputs are added up, until `flush` counts them: a counter's lock costs more than what
        it counts. What is not committed is not counted then."""
        self._deferred = True

    def flush(self) -> None:
        """Count what was added up; called at the end of each transaction."""
        self.applied.inc(self._applied)
        self._applied = 0
        for kind, number in self._pending.items():
            self._outputs[kind].inc(number)
        self._pending.clear()

    def inputs_applied(self, number: int) -> None:
        """Count inputs that were applied."""
        if self._deferred:
            self._applied += number
        else:
            self.applied.inc(number)

    def output(self, output: Output) -> None:
        """Count one output, and what it says of the business."""
        kind = output.type
        if kind not in self._outputs:
            self._outputs[kind] = OUTPUTS.labels(self._agent, kind)
        if self._deferred:
            self._pending[kind] = self._pending.get(kind, 0) + 1
        else:
            self._outputs[kind].inc()
        if kind in _OF_BUSINESS:
            self._business(output)

    def _business(self, output: Output) -> None:
        kind = output.type
        if kind in _BY_CLOCK:
            if not output.backfill:
                self._clock(output)
        elif kind == "credit.statement":
            STATEMENTS.labels(output.data["status"]).inc()
        elif kind == "credit.issued":
            amount = cast(Mapping[str, object], output.data["amount"])
            CREDITS_ISSUED.labels(output.data["cause"], amount["currency"]).inc()
            CREDITS_AMOUNT.labels(amount["currency"]).inc(cast(int, amount["amount_minor"]))

    def _clock(self, output: Output) -> None:
        """Count a breach, a retraction or a reminder, by severity and metric."""
        kind, severity = output.type, cast(str, output.data["severity"])
        metric = cast(str, output.data.get("metric", UPDATE))  # a reminder of an update does not name it
        counter = self._clocks.get((kind, severity, metric))
        if counter is None:
            family = _BY_CLOCK[kind]
            labels = (severity, metric, kind) if family is REMINDERS else (severity, metric)
            counter = self._clocks[kind, severity, metric] = family.labels(*labels)
        counter.inc()

    def flagged(self, flag: str) -> None:
        """Count one classification with a flag."""
        counter = self._flags.get(flag)
        if counter is None:
            counter = self._flags[flag] = FLAGGED.labels(flag)
        counter.inc()

    def unknown_reference(self, kind: str) -> None:
        """Count one unknown plan, component or tenant."""
        UNKNOWN_REFERENCES.labels(kind).inc()

    def contradictory_times(self) -> None:
        """Count one state of an incident that ends before it begins."""
        CONTRADICTORY_TIMES.inc()

    def state_failed(self) -> None:
        """Count one state of an incident that could not be published."""
        STATES_FAILED.inc()

    def rejected(self, code: str) -> None:
        """Count one rejected input."""
        REJECTED.labels(self._agent, code).inc()
