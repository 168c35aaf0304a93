"""The incidents agent: one partition of incident events becomes classifications, alerts and impacts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from opentelemetry.trace import Tracer

from agents.applied_inputs import AppliedInputs
from agents.backfill_wait import BackfillWait
from agents.changelog.erasures import KIND as ERASED
from agents.changelog.erasures import put_erased, redacted_input, restore_erased
from agents.changelog.incidents import (
    BACKFILL_IDLE,
    BUFFERED,
    CONTRACT,
    REEVALUATION,
    STEP_KEY,
    TOMBSTONE,
    StepRows,
    decode_reevaluation,
    reevaluation_row,
)
from agents.changelog.input_rows import InputRows, row_key
from agents.changelog.policies import ELSEWHERE, PolicyRows
from agents.changelog.policies import KIND as USED
from agents.context import AgentContext, Topics, position_of
from agents.decision_spans import DecisionSpans
from agents.decision_writer import DecisionWriter
from agents.due_timers import DueTimers
from agents.egress import Egress
from agents.incident_states import PROGRESS, IncidentStateWriter
from agents.ingress import Checked, Copied, Ingress
from agents.rejects import QUARANTINE, RejectWriter
from agents.watermarks import WatermarkWriter, check_request
from streams.internal_topics import internal_topic
from streams.kafka.partitioner import partition_of
from streams.runtime.processor import Effects, Record
from streams.serde.codec import Codec
from streams.serde.confluent_framing import Framing
from streams.sla.arrival import TimeLimits
from streams.sla.contracts import Contract
from streams.sla.erasure import Erasure
from streams.sla.events import INCIDENT_RANK, ContractSet, Event, Rejection, TenantErased
from streams.sla.facts import stored_event
from streams.sla.incidents.causes import Cause
from streams.sla.incidents.incident_queue import SLICE
from streams.sla.incidents.incident_store import IncidentStore
from streams.sla.incidents.reevaluation import QueueProgress
from streams.sla.incidents.steps import Decision, Reevaluated, Rewritten, TimerDecision
from streams.sla.policy import Policies
from streams.time_source import TimeSource
from streams.worker_progress import REQUEST, REQUEST_TYPE, WATERMARK

POLICIES = (USED, ELSEWHERE)
NAME = "incidents"
INPUTS = ("incident-events", internal_topic(NAME))


class IncidentsProcessor:
    """Runs one partition's incident store; a `streams.runtime.processor.Processor`."""

    def __init__(
        self,
        partition: int,
        topics: Topics,
        policies: Policies,
        time_limits: TimeLimits,
        *,
        clock: TimeSource,
        mark_every: int,
        max_cached: int = 4_000,
        codec: Codec | None = None,
        framing: Framing | None = None,
        reject_limit: float = 0.5,
        tracer: Tracer | None = None,
    ) -> None:
        """`max_cached` is how many incidents are cached as objects, all others are stored as rows; `mark_every` how
        many microseconds of stream time pass between two watermarks, at least."""
        self._context = context = AgentContext(NAME, partition, topics, codec, framing, reject_limit)
        context.count.defer()  # `finish` counts
        self._rows = rows = InputRows(context.codec)
        self._rejects = rejects = RejectWriter(context)
        self._egress = egress = Egress(context)
        self._ingress = Ingress(
            context,
            rejects,
            egress,
            INCIDENT_RANK.__contains__,
            elsewhere="contract events go elsewhere",
            rejects_strays=True,
        )
        self._steps = StepRows(rows, topics)
        self._store = IncidentStore(policies, time_limits, self._steps, max_cached)
        self._queue = self._store.queue
        self._policy_rows = policy_rows = PolicyRows(policies, context, egress)
        self._states = states = IncidentStateWriter(context, self._store, egress)
        self._writer = DecisionWriter(
            context,
            self._store,
            rejects=rejects,
            egress=egress,
            rows=rows,
            steps=self._steps,
            policy_rows=policy_rows,
            states=states,
        )
        self._applied = AppliedInputs(self._store, self._writer)
        self._clock = clock
        self._spans = None if tracer is None else DecisionSpans(tracer, clock, partition)
        self._watermarks = WatermarkWriter(context, egress, mark_every)
        self._timers = DueTimers(
            self._store,
            self._writer,
            self._watermarks,
            states,
            clock=clock,
            spans=self._spans,
        )
        self._backfill_wait = BackfillWait(NAME, partition)
        self._backfill_idle_at = 0
        self._queue_rows: list[QueueProgress] = []
        self._erasures: list[Erasure] = []

    # -- state ---------------------------------------------------------------------------------------------------------

    def restore(self, key: bytes, value: bytes) -> None:
        if key.startswith(STEP_KEY):
            self._store.restore_step(*self._steps.restore(key, value))
            return
        kind, row = self._rows.row(key, value)
        if kind == TOMBSTONE:
            self._store.restore_tombstone(str(row["incident_id"]), cast(int, row["until"]))
        elif kind == BUFFERED:
            self._writer.restore_buffered(row)
        elif kind == CONTRACT:
            record, event = self._rows.decode_input_row(row)
            self._store.restore_contract(event.subject, Contract.of(event, position_of(record)))
        elif kind in POLICIES:
            self._policy_rows.restore(kind, row)
        elif kind == ERASED:
            self._erasures.append(restore_erased(row, self._store.erasures))
        elif kind == WATERMARK:
            self._watermarks.restore_watermark(cast(int, row["until"]))
        elif kind == REQUEST:
            self._watermarks.restore_request(key, cast(int, row["until"]))
        elif kind == REEVALUATION:
            self._queue_rows.append(decode_reevaluation(row))
        elif kind == QUARANTINE:
            if row["subject"]:  # an eviction that crashed is tried again
                self._store.quarantine(str(row["subject"]))
        elif kind == BACKFILL_IDLE:
            self._backfill_idle_at = cast(int, row["until"])
            self._store.restore_backfill_idle(self._backfill_idle_at)
        elif kind == PROGRESS:
            self._states.restore(row)

    def restored(self) -> None:
        """Queue the incidents that an erasure or a contract fact has left, and the states that a version before has not
        published; every other row was indexed when it was restored."""
        self._store.resume_erasures(self._erasures)
        self._erasures.clear()
        for progress in self._queue_rows:
            self._store.restore_queue(progress)
        self._queue_rows.clear()
        self._states.restored(self._steps, self._clock.now())

    # -- inputs --------------------------------------------------------------------------------------------------------

    def read_ahead(self, topic: str, values: Sequence[bytes | None]) -> None:
        """Decode and check values that will be applied next (`streams.runtime.processor.WorksInSlices`)."""
        self._ingress.read_ahead(topic, values)

    def apply(self, record: Record, effects: Effects) -> None:
        """Receive a record, decide on it, write what follows; most of those that were read ahead are written by
        `write_applied`."""
        known = self._ingress.known(record)
        if known is not None and self._spans is None and self._applied.apply(known, effects):
            return
        self._applied.write(effects)
        match known or self._ingress.receive(record, effects):
            case Checked() as checked:
                if self._spans is None:
                    self._apply_input(checked, effects)
                else:
                    with self._spans.of_input(checked.event, checked.record):
                        self._apply_input(checked, effects)
            case Copied() as copied:
                self._apply_copy(copied, effects)
            case None:
                return
        if self._queue.progress:
            self._write_queue(effects)
        self._store.trim_cache()

    def write_applied(self, effects: Effects) -> None:
        """Write what follows from inputs that were decided on (`streams.runtime.processor.WorksInSlices`)."""
        self._applied.write(effects)

    def _write_queue(self, effects: Effects) -> None:
        """Write how far queued re-evaluations are."""
        for progress in self._queue.take_progress():
            effects.put(*reevaluation_row(self._context, progress))

    def _write_queued(self, decision: Reevaluated | Rewritten, effects: Effects) -> None:
        """Write what follows from a contract fact or an erasure for one incident."""
        self._writer.write(decision, effects, decision.arrival)
        self._quarantine_crashed(decision, effects)

    def _quarantine_crashed(self, decision: Decision, effects: Effects) -> None:
        """An incident that could not be folded when it was rewritten is quarantined (R27)."""
        if isinstance(decision, Rewritten) and decision.crashed is not None:
            self.quarantine(decision.step.incident_id, decision.crashed, effects, 1)

    def _apply_input(self, checked: Checked, effects: Effects) -> None:
        event, _, record = checked
        store = self._store
        if store.interrupted(event.subject):
            self._resume(event.subject, effects)
        decision = store.apply(event, record.arrival, position_of(record))
        self._writer.write_input(decision, checked, effects)
        if event.backfill and store.backfill_idle_at != self._backfill_idle_at:  # it survives a restart (R32)
            self._backfill_idle_at = self._store.backfill_idle_at
            row = self._context.codec.encode("state.quiet", {"until": self._backfill_idle_at})
            effects.put(row_key(BACKFILL_IDLE), row)

    def _resume(self, incident_id: str, effects: Effects) -> None:
        """Before an incident's next input its timers are released, and what is queued of it is done."""
        if self._store.release(incident_id):
            self._rejects.release(incident_id, effects)
        while (queued := self._store.reevaluate(incident_id)) is not None:
            self._write_queued(queued, effects)

    def _apply_copy(self, copied: Copied, effects: Effects) -> None:
        """A copy of contract terms (R20) or of an erasure (R29) from the ledger agent, or of a policy version that
        any agent has decided by (R18)."""
        if copied.kind == "state.policy":
            self._policy_rows.used_elsewhere(copied.fields, effects)
            return
        if copied.kind == REQUEST_TYPE:
            self._apply_request(copied, effects)
            return
        event = stored_event(copied.kind, copied.fields)
        if isinstance(event, Rejection) or not isinstance(event.payload, ContractSet | TenantErased):
            self._ingress.reject_copy(copied, effects)
        elif isinstance(event.payload, TenantErased):
            self._erase(event, copied.record, effects)
        else:
            self._apply_contract(event, copied.record, effects)

    def _apply_request(self, copied: Copied, effects: Effects) -> None:
        """A ledger partition waits for a watermark."""
        partition, until = cast(int, copied.fields["partition"]), cast(int, copied.fields["until"])
        ledger = check_request(copied.record.key, partition, until, self._context.topics.partitions)
        if isinstance(ledger, Rejection):
            self._rejects.reject(copied.carrier, ledger, effects)
            return
        self._watermarks.request(ledger, until, effects)

    def _apply_contract(self, event: Event, copy: Record, effects: Effects) -> None:
        """Contract terms: every incident that they concern is re-evaluated (R20)."""
        named = self._store.erasures.event(event)
        if named is not event:
            copy = redacted_input(self._rows, named, copy.arrival, position_of(copy))
        contract = Contract.of(named, position_of(copy))
        decisions = self._store.apply_contract(named.subject, contract, copy.arrival, at_once=SLICE)
        row = self._rows.encode_input_row(copy)
        effects.put(row_key(CONTRACT, named.subject, named.source, named.id), row)
        for decision in decisions:
            self._write_queued(decision, effects)

    def _erase(self, event: Event, copy: Record, effects: Effects) -> None:
        """A tenant goes by its pseudonym: so do its contract terms, and every incident that names it (R29). Many
        incidents are queued."""
        tenant = event.subject
        if tenant in self._store.erasures:
            return
        home = partition_of(tenant, self._context.topics.partitions)
        cause = Cause(event.type, event.time, event.source, event.id)
        erased = self._store.erase(tenant, home, cause, copy.arrival, at_once=SLICE)
        erasure = Erasure(erased.pseudonym, event.source, event.id, event.time, copy.arrival)
        put_erased(self._context.codec, self._store.erasures, erasure, effects)
        for contract in erased.contracts:
            effects.put(row_key(CONTRACT, tenant, contract.source, contract.id), None)
            redacted = redacted_input(self._rows, contract.event(erased.pseudonym), copy.arrival, contract.position)
            row = self._rows.encode_input_row(redacted)
            effects.put(row_key(CONTRACT, erased.pseudonym, contract.source, contract.id), row)
        for decision in erased.decisions:
            self._write_queued(decision, effects)

    def reject(self, record: Record, code: str, message: str, effects: Effects, attempts: int = 1) -> None:
        self._rejects.reject_internal(record, Rejection(code, message), effects, attempts)

    def quarantine(self, subject: str, message: str, effects: Effects, attempts: int) -> None:
        self._store.quarantine(subject)
        self._rejects.write_quarantine(subject, self._store.last_input, message, effects, attempts)

    # -- timers --------------------------------------------------------------------------------------------------------

    def next_due(self) -> int | None:
        return self._timers.next_due()

    def fire(self, before: int, limit: int, effects: Effects) -> int:
        return self._timers.fire(before, limit, effects, self._write_timer)

    def _write_timer(self, decision: TimerDecision, effects: Effects) -> None:
        self._writer.write_timer(decision, effects)
        self._quarantine_crashed(decision, effects)
        if self._queue.progress:
            self._write_queue(effects)

    def finish(self, effects: Effects, limit: int) -> bool:
        """Publish the states of incidents that changed (`streams.runtime.processor.FinishesTransactions`)."""
        finished = self._states.finish(effects, limit)
        if finished:
            self._context.count.flush()
        return finished

    def problems(self, now: int) -> list[str]:
        """What keeps the worker from being ready (`streams.runtime.processor.ReportsProblems`)."""
        self._backfill_wait.watch(self._store.timers.deferred_due(now), now)
        return self._context.problems()
