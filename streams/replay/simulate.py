"""Simulation (R30, R31): JSON lines in, output events out, with the pure core alone; no broker, no wall clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from streams.replay.history import apply_contract_fact
from streams.serde.cloudevents_json import Fields, parse_line, to_json
from streams.serde.codec import output_record
from streams.sla.arrival import TimeLimits
from streams.sla.credits.ledger import Ledger, Posted
from streams.sla.decisions import Duplicate, Rejected
from streams.sla.events import CONTRACT_TYPES, INCIDENT_RANK, Event, Output, Position, Rejection
from streams.sla.facts import to_event
from streams.sla.ids import output_id
from streams.sla.impact import impact_copy
from streams.sla.incidents.incident_store import IncidentStore
from streams.sla.incidents.steps import Decision, Orphaned, outputs_of
from streams.sla.instants import LATEST, format_rfc3339
from streams.sla.policy import Policies

INCIDENTS_SOURCE = "/sla/incidents"
LEDGER_SOURCE = "/sla/ledger"
SOURCE = "/sla/simulate"


class Simulation:
    """One partition of everything. The clock is the latest arrival; time-driven outputs come when it moves on."""

    def __init__(self, policies: Policies, time_limits: TimeLimits | None = None, *, backfill: bool = False) -> None:
        time_limits = time_limits or TimeLimits()
        self._time_limits = time_limits
        self._book = IncidentStore(policies, time_limits)
        self._ledger = Ledger(policies, time_limits)
        self._backfill = backfill
        self._arrival = 0
        self._clock = 0
        self._quiet_at = 0

    @property
    def clock(self) -> int:
        """The latest arrival, microseconds."""
        return self._clock

    def read(self, number: int, line: str, until: int | None = None) -> Iterator[dict[str, object]]:
        """What one line (numbered from 1) leads to, timers due before its arrival first. Lines that arrive after
        `until` are not read."""
        parsed = parse_line(line, inputs_only=True)
        event = parsed if isinstance(parsed, Rejection) else to_event(*parsed)
        backfill = self._backfill
        if not isinstance(parsed, Rejection):
            self._arrival = self._arrival_of(parsed[1])
            backfill = backfill or bool(parsed[1]["backfill"])
        if until is not None and self._arrival > until:
            return
        self._clock = max(self._clock, self._arrival)
        if backfill:
            # History being loaded passes no time: its timers wait until the load has been quiet (R32).
            self._quiet_at = max(self._quiet_at, self._clock + self._time_limits.backfill_quiet)
        else:
            yield from self._pass_time(self._clock, quiet=self._clock > self._quiet_at)
        if isinstance(event, Rejection):
            yield self._rejected(event, number)
            return
        yield from self._apply(event._replace(backfill=backfill), number)

    def _arrival_of(self, record: Fields) -> int:
        """R30; a refused line arrives as well, unless the very times that tell when are out of bounds."""
        time, received = record["occurred_at"], record.get("received_time")
        told = received if isinstance(received, int) else max(self._arrival, cast(int, time))
        return told if 0 <= told <= LATEST else self._arrival

    def finish(self, until: int | None = None) -> Iterator[dict[str, object]]:
        """No more lines: everything due by `until` acts, or else what was due before the last arrival."""
        yield from self._pass_time(self._clock if until is None else until + 1, quiet=True)

    def _apply(self, event: Event, number: int) -> Iterator[dict[str, object]]:
        if event.type in INCIDENT_RANK:
            position = Position("sla.incident-events", 0, number - 1)
            decision = self._book.apply(event, self._arrival, position)
            if isinstance(decision, Rejected):
                yield self._rejected(decision.rejection, number, event.subject)
            yield from self._said(decision)
            return
        assert event.type in CONTRACT_TYPES
        position = Position("sla.contract-events", 0, number - 1)
        event = self._ledger.erasures.event(event)
        match self._ledger.apply(event, self._arrival, position):
            case Rejected(rejection):
                yield self._rejected(rejection, number, event.subject)
            case Posted() as posted:
                yield from self._stated(posted)
                for following in apply_contract_fact(self._book, event, self._arrival, position):
                    yield from self._said(following)
            case Duplicate():
                pass

    def _pass_time(self, before: int, *, quiet: bool) -> Iterator[dict[str, object]]:
        """Timers due strictly before an instant act, in the order of their instants; incidents before statements."""
        while True:
            incident = self._book.first_due(before, backfill_idle=quiet)
            statement = self._ledger.first_due(before, backfill_idle=quiet)
            if incident is not None and (statement is None or incident[0] <= statement[0]):
                decision = self._book.fire(before, backfill_idle=quiet)
                assert decision is not None
                yield from self._said(decision)
                for orphan in decision.facts if isinstance(decision, Orphaned) else ():
                    message = f"incident {incident[1]} was not opened in time"
                    refusal = Rejection("orphan", message, orphan.id)
                    yield self._rejected(refusal, orphan.position.offset + 1, incident[1], incident[0])
            elif statement is not None:
                stated = self._ledger.fire(before, backfill_idle=quiet)
                assert stated is not None
                yield from self._stated(stated)
            else:
                return

    def _said(self, decision: Decision) -> Iterator[dict[str, object]]:
        for output in outputs_of(decision):
            yield _json(output, INCIDENTS_SOURCE)
            if output.type == "impact.changed":
                yield from self._stated(
                    self._ledger.apply_impacts(impact_copy(output.data), self._clock, backfill=output.backfill)
                )

    @staticmethod
    def _stated(decision: Posted | Duplicate) -> Iterator[dict[str, object]]:
        if isinstance(decision, Posted):
            for output in decision.outputs:
                yield _json(output, LEDGER_SOURCE)

    def _rejected(
        self, refusal: Rejection, number: int, subject: str | None = None, at: int | None = None
    ) -> dict[str, object]:
        data: dict[str, object] = {"code": refusal.code, "line": number, "message": refusal.message}
        if refusal.event_id is not None:
            data["id"] = refusal.event_id
        return {
            "specversion": "1.0",
            "id": output_id("sla.rejected", number, refusal.code),
            "type": "sla.rejected",
            "source": SOURCE,
            "subject": subject or f"line {number}",
            "time": format_rfc3339(min(at if at is not None else self._clock, LATEST)),
            "data": data,
        }


def _json(output: Output, source: str) -> dict[str, object]:
    return to_json(output.type, output_record(output, source))


def simulate(
    lines: Iterable[str],
    policies: Policies,
    *,
    until: int | None = None,
    backfill: bool = False,
    time_limits: TimeLimits | None = None,
) -> Iterator[dict[str, object]]:
    """Run recorded input through the core; outputs in JSON form, in the order they become true. Blank lines are
    skipped. The same input gives the same output, byte for byte (R31)."""
    simulation = Simulation(policies, time_limits, backfill=backfill)
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield from simulation.read(number, line, until)
    yield from simulation.finish(until)
