"""Simulation (R30, R31): JSON lines in, output events out, with the pure core alone; no broker, no wall clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streams.replay.history import InputLine, RejectedLine, Replay, TimeAdvance, apply_to_incidents
from streams.serde.cloudevents_json import to_json
from streams.serde.codec import output_record
from streams.sla.arrival import TimeLimits
from streams.sla.credits.ledger import Ledger
from streams.sla.credits.posted import Posted
from streams.sla.decisions import Duplicate, Rejected
from streams.sla.events import CONTRACT_TYPES, Output, Rejection
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
    """One partition of everything. Outputs that time causes come when a line's arrival moves the clock on."""

    def __init__(
        self,
        policies: Policies,
        time_limits: TimeLimits | None = None,
        *,
        backfill: bool = False,
        until: int | None = None,
    ) -> None:
        time_limits = time_limits or TimeLimits()
        self._replay = Replay(time_limits, backfill=backfill, until=until)
        self._incidents = IncidentStore(policies, time_limits)
        self._ledger = Ledger(policies, time_limits)

    @property
    def clock(self) -> int:
        """The latest arrival, microseconds."""
        return self._replay.clock

    def read(self, number: int, line: str) -> Iterator[dict[str, object]]:
        """The outputs that one line (numbered from 1) leads to, those of timers due before its arrival first."""
        for step in self._replay.steps(number, line):
            match step:
                case TimeAdvance():
                    yield from self._advance(step)
                case RejectedLine(_, rejection):
                    yield self._rejected(rejection, number)
                case InputLine(event=event) if event.type in CONTRACT_TYPES:
                    yield from self._apply_contract_event(step)
                case _:
                    for decision in apply_to_incidents(self._incidents, step):
                        if isinstance(decision, Rejected) and isinstance(step, InputLine):
                            yield self._rejected(decision.rejection, number, step.event.subject)
                        yield from self._outputs(decision)

    def finish(self, until: int | None = None) -> Iterator[dict[str, object]]:
        """The outputs of everything due at the end: by `until`, or else before the last arrival."""
        yield from self._advance(self._replay.end(until))

    def states(self) -> Iterator[dict[str, object]]:
        """The present state of each incident that is retained and opened, by id."""
        for incident_id in self._incidents.cached():
            state = self._incidents.present_state(incident_id)
            if state is not None:
                yield _json(state, INCIDENTS_SOURCE)

    def _apply_contract_event(self, step: InputLine) -> Iterator[dict[str, object]]:
        event = self._ledger.erasures.event(step.event)
        match self._ledger.apply(event, step.arrival, step.position):
            case Rejected(rejection):
                yield self._rejected(rejection, step.number, event.subject)
            case Posted() as posted:
                yield from self._ledger_outputs(posted)
                for applied in apply_to_incidents(self._incidents, step._replace(event=event)):
                    yield from self._outputs(applied)
            case Duplicate():
                pass

    def _advance(self, advance: TimeAdvance) -> Iterator[dict[str, object]]:
        """Fire timers in the order of their instants, those of incidents before those of statements."""
        before, backfill_idle = advance
        while True:
            incident = self._incidents.first_due(before, backfill_idle=backfill_idle)
            statement = self._ledger.first_due(before, backfill_idle=backfill_idle)
            if incident is not None and (statement is None or incident[0] <= statement[0]):
                decision = self._incidents.fire(before, backfill_idle=backfill_idle)
                assert decision is not None
                yield from self._outputs(decision)
                for orphan in decision.facts if isinstance(decision, Orphaned) else ():
                    message = f"incident {incident[1]} was not opened in time"
                    rejection = Rejection("orphan", message, orphan.id)
                    yield self._rejected(rejection, orphan.position.offset + 1, incident[1], incident[0])
            elif statement is not None:
                stated = self._ledger.fire(before, backfill_idle=backfill_idle)
                assert stated is not None
                yield from self._ledger_outputs(stated)
            else:
                return

    def _outputs(self, decision: Decision) -> Iterator[dict[str, object]]:
        for output in outputs_of(decision):
            yield _json(output, INCIDENTS_SOURCE)
            if output.type == "impact.changed":
                yield from self._ledger_outputs(
                    self._ledger.apply_impacts(impact_copy(output.data), self.clock, backfill=output.backfill)
                )

    def _ledger_outputs(self, decision: Posted | Duplicate) -> Iterator[dict[str, object]]:
        if isinstance(decision, Posted):
            for output in decision.outputs:
                yield _json(output, LEDGER_SOURCE)
            for claim in decision.rejected:
                yield self._rejected(claim.rejection, claim.position.offset + 1, claim.tenant)

    def _rejected(
        self, rejection: Rejection, number: int, subject: str | None = None, at: int | None = None
    ) -> dict[str, object]:
        data: dict[str, object] = {"code": rejection.code, "line": number, "message": rejection.message}
        if rejection.event_id is not None:
            data["id"] = rejection.event_id
        return {
            "specversion": "1.0",
            "id": output_id("sla.rejected", number, rejection.code),
            "type": "sla.rejected",
            "source": SOURCE,
            "subject": subject or f"line {number}",
            "time": format_rfc3339(min(at if at is not None else self.clock, LATEST)),
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
    states: bool = False,
) -> Iterator[dict[str, object]]:
    """Run recorded input through the core; outputs in JSON form, in the order they become true. Blank lines are
    skipped. The same input gives the same output, byte for byte (R31). With `states` the final state of each incident
    follows, by id."""
    simulation = Simulation(policies, time_limits, backfill=backfill, until=until)
    for number, line in enumerate(lines, 1):
        yield from simulation.read(number, line)
    yield from simulation.finish()
    if states:
        yield from simulation.states()
