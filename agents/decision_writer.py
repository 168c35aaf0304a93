"""Turns the decisions of the incidents agent into writes: outputs, copies for the ledgers, changelog rows, rejects.
The states of the incidents that changed follow at the end of the transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, assert_never, cast

from agents.changelog.incidents import (
    BUFFERED,
    CONTRACT,
    TOMBSTONE,
    BufferedInput,
    StepRows,
    encode_step,
    step_key,
    without_texts,
)
from agents.changelog.input_rows import InputRows, row_key
from agents.changelog.policies import PolicyRows
from agents.context import AgentContext, position_of
from agents.egress import Egress
from agents.impact_copies import ImpactCopies
from agents.incident_states import IncidentStateWriter
from agents.ingress import Checked
from agents.reject_log import about
from agents.rejects import RejectWriter
from agents.unknown_references import UnknownNames
from streams.runtime.processor import Effects, Record, SubjectFailed, WriteFailed
from streams.serde.codec import Fields
from streams.sla.arrival import own_arrival
from streams.sla.decisions import Duplicate, Rejected
from streams.sla.events import Event, Output, Rejection
from streams.sla.incidents.fold import Fact
from streams.sla.incidents.incident_store import IncidentStore
from streams.sla.incidents.steps import (
    Applied,
    Buffered,
    ContractsEvicted,
    Evicted,
    InputDecision,
    Orphaned,
    Reevaluated,
    Rewritten,
    Step,
    TimerDecision,
    TombstoneExpired,
)
from streams.sla.redaction import redacted_record
from streams.topics import TOPIC_OF


class DecisionWriter:
    """Turns decisions into effects, and stores their rows: steps and buffered inputs."""

    def __init__(
        self,
        context: AgentContext,
        store: IncidentStore,
        *,
        rejects: RejectWriter,
        egress: Egress,
        rows: InputRows,
        steps: StepRows,
        policy_rows: PolicyRows,
        states: IncidentStateWriter,
    ) -> None:
        self._context = context
        self._rejects = rejects
        self._egress = egress
        self._rows = rows
        self._store = store
        self._steps = steps
        self._policy_rows = policy_rows
        self._states = states
        self._unknown_names = UnknownNames(context)
        self._copies = ImpactCopies(context, egress, store.erasures.home)
        self.buffered: dict[tuple[str, str, str], BufferedInput] = {}
        """(incident, source, id) → an input that waits for its incident's opening."""

    def write_input(self, decision: InputDecision, checked: Checked, effects: Effects) -> None:
        """Write what follows from an input event."""
        event, fields, record = checked
        match decision:
            case Applied() | Rewritten():  # the frequent one first
                self._context.count.inputs_applied(1)
                self.write(decision, effects, record.arrival, checked)
            case Rejected(rejection):
                self._rejects.reject(record, rejection, effects, known=about(event.type, event.subject))
            case Duplicate():
                self._context.count.duplicate.inc()
            case Buffered():
                self._context.count.inputs_applied(1)
                self._buffer(event, fields, record, effects)
            case _:
                assert_never(decision)

    def write_applied(self, decided: Collection[tuple[Applied, Checked]], effects: Effects) -> None:
        """Write what follows from several inputs, each of another incident: all outputs, then all rows. Raises
        WriteFailed."""
        try:
            self._context.count.inputs_applied(len(decided))
            for decision, checked in decided:
                arrival = checked.record.arrival
                for output in decision.outputs:
                    self._publish(output, effects, arrival)
            for decision, checked in decided:
                if decision.step is not None:
                    self._write_step(decision.step, effects, checked)
        except Exception as error:
            raise WriteFailed(checked.record) from error

    def write_timers(self, decided: Sequence[tuple[str, Applied]], effects: Effects) -> None:
        """Write what follows from timers of incidents: all outputs, then all rows. Raises SubjectFailed."""
        try:
            for incident_id, decision in decided:  # noqa: B007 -- the error names it
                for output in decision.outputs:
                    self._publish(output, effects, None)
            for incident_id, decision in decided:  # noqa: B007 -- the error names it
                if decision.step is not None:
                    self._write_step(decision.step, effects, None)
        except Exception as error:
            raise SubjectFailed(incident_id) from error

    def write_timer(self, decision: TimerDecision, effects: Effects) -> None:
        """Write what follows from a timer."""
        match decision:
            case Applied():
                self.write(decision, effects, None)
            case Reevaluated() | Rewritten():
                self.write(decision, effects, decision.arrival)
            case Orphaned(incident_id, orphans):
                for orphan in orphans:
                    original = self._remove_buffered(incident_id, orphan, effects)
                    assert original is not None
                    rejection = Rejection("orphan", f"incident {incident_id} was not opened in time", orphan.id)
                    self._rejects.reject(original.record, rejection, effects, known=about(orphan.type, incident_id))
            case Evicted(incident_id, steps, until):
                self._steps.drop(incident_id)
                for number in range(steps):
                    effects.put(step_key(incident_id, number), None)
                row = self._context.codec.encode("state.marker", {"incident_id": incident_id, "until": until})
                effects.put(row_key(TOMBSTONE, incident_id), row)
                self._states.changed(incident_id, effects)
            case TombstoneExpired(incident_id):
                effects.put(row_key(TOMBSTONE, incident_id), None)
            case ContractsEvicted(facts):
                for identity in facts:
                    effects.put(row_key(CONTRACT, *identity), None)
            case _:
                assert_never(decision)

    def write(
        self,
        decision: Applied | Reevaluated | Rewritten,
        effects: Effects,
        arrival: int | None,
        given: Checked | None = None,
    ) -> None:
        """Publish the outputs of a decision and write its step. `arrival` is that of the input that led to it, None for
        a timer; `given` is the input where it is a fact of the step. The other facts of a step were buffered before, or
        are those of a redacted incident."""
        for output in decision.outputs:
            self._publish(output, effects, arrival)
        step = decision.step
        if step is None:
            return
        if isinstance(decision, Rewritten):
            self._steps.drop(step.incident_id)
            for number in range(decision.replaces):
                effects.put(step_key(step.incident_id, number), None)
        self._write_step(step, effects, given)

    def _write_step(self, step: Step, effects: Effects, given: Checked | None) -> None:
        values = [self._stored_value(step.incident_id, fact, given, effects) for fact in step.facts]
        row = encode_step(self._rows, step, values)
        effects.put(step_key(step.incident_id, step.number), row)
        self._steps.add(step.incident_id, row)
        self._states.changed(step.incident_id, effects)

    # -- buffered inputs ---------------------------------------------------------------------------------------------

    def restore_buffered(self, row: Fields) -> None:
        """Restore an input that waits for its incident's opening (R4)."""
        record, event = self._rows.decode_input_row(row)
        value = cast(bytes, row["event"] or record.value)
        self.buffered[event.subject, event.source, event.id] = BufferedInput(record, value)
        arrival = own_arrival(event, record.arrival)
        self._store.buffer(Fact.of(event, arrival, position_of(record)), event.subject)

    def _buffer(self, event: Event, fields: Fields, record: Record, effects: Effects) -> None:
        value = self._rows.to_single_object(event.type, fields, cast(bytes, record.value))
        self.buffered[event.subject, event.source, event.id] = BufferedInput(record, value)
        row = self._rows.encode_input_row(record, headers=True, event=value)
        effects.put(row_key(BUFFERED, event.subject, event.source, event.id), row)

    def _remove_buffered(self, incident_id: str, fact: Fact, effects: Effects) -> BufferedInput | None:
        buffered = self.buffered.pop((incident_id, fact.source, fact.id), None)
        if buffered is not None:
            effects.put(row_key(BUFFERED, incident_id, fact.source, fact.id), None)
        return buffered

    # -- steps and outputs -------------------------------------------------------------------------------------------

    def _stored_value(self, incident_id: str, fact: Fact, given: Checked | None, effects: Effects) -> bytes:
        """The value of a fact as it is stored. The row of one that was buffered is deleted."""
        new = given is not None and given.event.id == fact.id and given.event.source == fact.source
        original = None if new else self._remove_buffered(incident_id, fact, effects)
        if self._store.redacted(incident_id):
            return self._context.codec.encode(fact.type, redacted_record(fact.event(incident_id)))
        if given is not None and new:
            value: Any = given.record.value
            return without_texts(self._rows, fact.type, given.fields, value)
        assert original is not None
        decoded = self._context.codec.decode(original.event)
        assert not isinstance(decoded, Rejection)
        return without_texts(self._rows, *decoded, original.event)

    def _publish(self, output: Output, effects: Effects, arrival: int | None) -> None:
        self._policy_rows.used(output, effects)
        send = self._egress.publish(output, TOPIC_OF[output.type], effects)
        if output.type == "incident.classified":
            flags: Any = output.data["flags"]
            for flag in flags:
                self._context.count.flagged(flag)
            if output.data["previous"] is None:
                self._report_unknown_tenants(output)
        if output.type != "impact.changed":
            return
        assert arrival is not None, "impacts change by input only"
        platform = output.data["scope"] == "platform"
        concerned = None if platform else self._store.ever_concerned(output.subject)
        self._copies.send(output, send, arrival, concerned, effects)

    def _report_unknown_tenants(self, output: Output) -> None:
        """Where no tenant of an incident has a contract, a flag says so (R20). One that has none beside others that
        have is probably misspelled, and its credit is lost."""
        tenants = cast(Sequence[str], output.data["tenant_ids"])
        if len(tenants) < 2:
            return
        unknown = [tenant for tenant in tenants if not self._store.has_contract(tenant)]
        for tenant in unknown if len(unknown) < len(tenants) else ():
            self._unknown_names.report("tenant", tenant, output.type, output.subject)
