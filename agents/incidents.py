"""The incidents agent: one partition of incident events becomes classifications, alerts and impacts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from agents.changelog.erasures import KIND as ERASED
from agents.changelog.erasures import bare, put_erased, restore_erased
from agents.changelog.incidents import (
    CONTRACT,
    MARK,
    MARKER,
    QUIET,
    STEP_KEY,
    WAITING,
    StepRows,
    Waiting,
    encode_step,
    lean_value,
    step_key,
)
from agents.changelog.policies import KIND as USED
from agents.changelog.policies import TOLD, PolicyRows
from agents.ingress import QUARANTINE, Checked, Ingress, Topics, position_of, row_key
from agents.reject_log import about
from streams.kafka.partitioner import partition_of
from streams.runtime.processor import Effects, Record, SubjectFailed
from streams.serde.codec import Codec
from streams.serde.confluent_framing import Framing
from streams.shared_topic import TO_INCIDENTS, TO_LEDGER, unwrap
from streams.sla.arrival import TimeLimits, own_arrival
from streams.sla.contracts import Contract
from streams.sla.events import INCIDENT_RANK, ContractSet, Event, Output, Rejection, TenantErased
from streams.sla.facts import to_event
from streams.sla.incidents.fold import Fact
from streams.sla.incidents.incident_store import IncidentStore
from streams.sla.incidents.steps import Decision
from streams.sla.incidents.timeline import Cause
from streams.sla.policy import Policies
from streams.sla.redaction import bare_record
from streams.time_source import TimeSource
from streams.topics import TOPIC_OF

POLICIES = (USED, TOLD)
NAME = "incidents"
INPUTS = ("incident-events", "shared")


class IncidentsProcessor:
    """Runs one partition's incident book; a `streams.runtime.processor.Processor`."""

    def __init__(
        self,
        partition: int,
        topics: Topics,
        policies: Policies,
        time_limits: TimeLimits,
        *,
        clock: TimeSource,
        mark_every: int,
        at_hand: int = 4_000,
        codec: Codec | None = None,
        framing: Framing | None = None,
    ) -> None:
        """`at_hand` is how many incidents are kept as objects, the others as their rows."""
        codec = codec or Codec()
        self._ingress = Ingress(
            *(NAME, partition, topics, INCIDENT_RANK.__contains__, codec),
            elsewhere="contract events go elsewhere",
            framing=framing,
        )
        self._steps = StepRows(self._ingress)
        self._book = IncidentStore(policies, time_limits, self._steps, at_hand)
        self._policy_rows = PolicyRows(policies, self._ingress)
        self._clock = clock
        self._mark_every = mark_every
        self._next_mark = 0
        self._waiting: dict[tuple[str, str, str], Waiting] = {}
        self._quiet_at = 0

    # -- state ---------------------------------------------------------------------------------------------------------

    def restore(self, key: bytes, value: bytes) -> None:
        if key.startswith(STEP_KEY):
            self._book.restore_step(*self._steps.restore(key, value))
            return
        kind, row = self._ingress.row(key, value)
        if kind == MARKER:
            self._book.mark(str(row["incident_id"]), cast(int, row["until"]))
        elif kind == WAITING:
            record, event = self._ingress.decode_input_row(row)
            value = cast(bytes, row["event"] or record.value)
            self._waiting[event.subject, event.source, event.id] = Waiting(record, value)
            arrival = own_arrival(event, record.arrival)
            self._book.wait(Fact.of(event, arrival, position_of(record)), event.subject)
        elif kind == CONTRACT:
            record, event = self._ingress.decode_input_row(row)
            self._book.know(event.subject, Contract.of(event, position_of(record)))
        elif kind in POLICIES:
            self._policy_rows.restore(kind, row)
        elif kind == ERASED:
            restore_erased(row, self._book.erasures)
        elif kind == MARK:
            self._next_mark = cast(int, row["until"]) + self._mark_every
        elif kind == QUARANTINE:
            self._book.quarantine(str(row["subject"]))
        elif kind == QUIET:
            self._quiet_at = cast(int, row["until"])
            self._book.restore_quiet(self._quiet_at)

    def restored(self) -> None:
        """Nothing is left to do: what rows name was indexed as they came."""

    # -- inputs --------------------------------------------------------------------------------------------------------

    def apply(self, record: Record, effects: Effects) -> None:
        ingress = self._ingress
        forwarded = False
        if record.topic != ingress.topics.name("incident-events"):
            routed = unwrap(record)
            if routed is None:
                # Both agents read the shared topic; this one answers for what belongs to neither.
                ingress.reject(record, Rejection("undecodable", "no agent wrote this: it has no envelope"), effects)
                return
            if routed.route != TO_INCIDENTS:
                return
            if not routed.forwarded:
                self._learn(record, routed.record, effects)
                self._book.put_back()
                return
            record, forwarded = routed.record, True
        checked = ingress.check(record, effects, forwarded=forwarded)
        if checked is not None:
            self._decide(record, checked, effects)
            self._keep_quiet(effects)
            self._book.put_back()

    def _decide(self, record: Record, checked: Checked, effects: Effects) -> None:
        event, fields = checked
        if self._book.release(event.subject):
            self._ingress.release(event.subject, effects)
        decision = self._book.apply(event, record.arrival, position_of(record))
        if decision.rejection is not None:
            self._ingress.reject(record, decision.rejection, effects, known=about(event.type, event.subject))
            return
        if decision.duplicate:
            self._ingress.count.duplicate.inc()
            return
        self._ingress.count.applied.inc()
        assert record.value is not None
        if decision.waiting:
            value = self._ingress.to_single_object(event.type, fields, record.value)
            self._waiting[event.subject, event.source, event.id] = Waiting(record, value)
            row = self._ingress.encode_input_row(record, headers=True, event=value)
            effects.put(row_key(WAITING, event.subject, event.source, event.id), row)
            return
        lean: dict[tuple[str, str], bytes] = {}
        if not self._book.bare(event.subject):
            lean[event.source, event.id] = lean_value(self._ingress, event.type, fields, record.value)
        self._write(decision, effects, record, lean)

    def _learn(self, shared: Record, copy: Record, effects: Effects) -> None:
        """A copy of contract terms (R20) or of an erasure (R29) from the ledger agent, or of a policy version that
        any agent has decided by (R18)."""
        decoded = self._ingress.decode_copy(shared, copy, effects)
        if decoded is None:
            return
        if decoded[0] == "state.policy":
            self._policy_rows.told(decoded[1], effects)
            return
        event = to_event(*decoded)
        if isinstance(event, Rejection) or not isinstance(event.payload, ContractSet | TenantErased):
            self._ingress.reject(
                shared, Rejection("unknown_type", f"{decoded[0]} is nothing that is copied here"), effects
            )
            return
        if isinstance(event.payload, TenantErased):
            self._erase(event, copy, effects)
            return
        named = self._book.erasures.event(event)
        if named is not event:
            copy = bare(self._ingress, named, copy.arrival, position_of(copy))
        decisions = self._book.learn(named.subject, Contract.of(named, position_of(copy)), copy.arrival)
        effects.put(row_key(CONTRACT, named.subject, named.source, named.id), self._ingress.encode_input_row(copy))
        for decision in decisions:
            self._write(decision, effects, copy, {})

    def _erase(self, event: Event, copy: Record, effects: Effects) -> None:
        """A tenant goes by its pseudonym: so do its contract terms, and every incident that names it (R29)."""
        tenant, ingress = event.subject, self._ingress
        if tenant in self._book.erasures:
            return
        home = partition_of(tenant, ingress.topics.partitions)
        cause = Cause(event.type, event.time, event.source, event.id)
        erased = self._book.erase(tenant, home, cause, copy.arrival)
        put_erased(ingress.codec, self._book.erasures, erased.name, effects)
        for contract in erased.contracts:
            effects.put(row_key(CONTRACT, tenant, contract.source, contract.id), None)
            kept = bare(ingress, contract.event(erased.name), copy.arrival, contract.position)
            effects.put(row_key(CONTRACT, erased.name, contract.source, contract.id), ingress.encode_input_row(kept))
        for decision in erased.decisions:
            self._write(decision, effects, copy, {})
            if decision.crashed is not None:
                assert decision.step is not None
                self.quarantine(decision.step.incident_id, decision.crashed, effects, 1)

    def reject(self, record: Record, code: str, message: str, effects: Effects, attempts: int = 1) -> None:
        self._ingress.reject_internal(record, Rejection(code, message), effects, attempts)

    def quarantine(self, subject: str, message: str, effects: Effects, attempts: int) -> None:
        self._book.quarantine(subject)
        self._ingress.write_quarantine(subject, self._book.last_input(subject), message, effects, attempts)

    # -- timers --------------------------------------------------------------------------------------------------------

    def next_due(self) -> int | None:
        due = self._book.next_due()
        return self._next_mark if due is None else min(due, self._next_mark)

    def fire(self, before: int, limit: int, effects: Effects) -> int:
        fired = 0
        while fired < limit:
            first_due = self._book.first_due(before)
            following = before if first_due is None else first_due[0]
            if self._next_mark < following:  # in the order of their instants: what is written is dated by it (R11)
                self._mark(following - 1, effects)
                fired += 1
                continue
            if first_due is None:
                break
            try:
                decision = self._book.fire(before, seen_at=self._clock.now())
                assert decision is not None
                self._write(decision, effects, None, {})
                self._book.put_back()
            except Exception as error:
                raise SubjectFailed(first_due[1]) from error
            fired += 1
        return fired

    def _mark(self, until: int, effects: Effects) -> None:
        """Tell every ledger partition that all input that arrived by `until` has been applied here (R26)."""
        ingress = self._ingress
        fields = {"partition": ingress.partition, "until": until}
        effects.put(row_key(MARK), ingress.codec.encode("state.mark", fields))
        mark = Output(
            "time.mark",
            f"mark-{ingress.partition}-{until}",
            f"partition-{ingress.partition}",
            until,
            {
                "partition": ingress.partition,
                "marked_until": until,
            },
        )
        value, headers = ingress.codec.encode_output(mark, f"/sla/{NAME}")
        record = Record(
            ingress.topics.name("impacts"), ingress.partition, 0, until, mark.subject.encode(), value, headers
        )
        for partition in range(ingress.topics.partitions):
            ingress.copy_to(record, TO_LEDGER, partition, effects)
        ingress.send_event(record, effects)
        self._next_mark = until + self._mark_every

    # -- effects -------------------------------------------------------------------------------------------------------

    def _write(
        self, decision: Decision, effects: Effects, cause: Record | None, lean: dict[tuple[str, str], bytes]
    ) -> None:
        ingress = self._ingress
        for output in decision.outputs:
            self._publish(output, effects, cause)
        step = decision.step
        if step is not None:
            for number in range(1, decision.replaces):
                effects.put(step_key(step.incident_id, number), None)
            for fact in step.facts:
                if (fact.source, fact.id) not in lean:
                    lean[fact.source, fact.id] = self._lean(step.incident_id, fact, effects)
            row = encode_step(ingress, step, lean)
            effects.put(step_key(step.incident_id, step.number), row)
            if decision.replaces:
                self._steps.drop(step.incident_id)
            self._steps.add(step.incident_id, row)
        for orphan in decision.orphans:
            assert decision.subject is not None
            original = self._forget_waiting(decision.subject, orphan, effects)
            assert original is not None
            message = f"incident {decision.subject} was not opened in time"
            rejection = Rejection("orphan", message, orphan.id)
            ingress.reject(original.record, rejection, effects, known=about(orphan.type, decision.subject))
        if decision.evicted is not None:
            incident_id, steps, until = decision.evicted
            self._steps.drop(incident_id)
            for number in range(steps):
                effects.put(step_key(incident_id, number), None)
            marker = {"incident_id": incident_id, "until": until}
            effects.put(row_key(MARKER, incident_id), ingress.codec.encode("state.marker", marker))
        if decision.forgotten is not None:
            effects.put(row_key(MARKER, decision.forgotten), None)

    def _keep_quiet(self, effects: Effects) -> None:
        """The load's quiet lasts beyond this life, also where a fact of the load only waits (R32)."""
        if self._book.quiet_at != self._quiet_at:
            self._quiet_at = self._book.quiet_at
            effects.put(row_key(QUIET), self._ingress.codec.encode("state.quiet", {"until": self._quiet_at}))

    def _publish(self, output: Output, effects: Effects, cause: Record | None) -> None:
        self._policy_rows.used(output, effects)
        send = self._ingress.publish(output, TOPIC_OF[output.type], effects)
        if output.type != "impact.changed":
            return
        assert cause is not None, "impacts change by input only"
        record = Record(send.topic, send.partition, 0, cause.arrival, send.key, send.value, send.headers)
        for partition in self._concerned(output):
            self._ingress.copy_to(record, TO_LEDGER, partition, effects)

    def _concerned(self, output: Output) -> Sequence[int]:
        """The ledger partitions that an impact list matters to, now or before."""
        partitions = self._ingress.topics.partitions
        if output.data["scope"] == "platform" or self._book.ever_platform(output.subject):
            return range(partitions)
        tenants = self._book.tenants(output.subject)
        return sorted({self._home(tenant) for tenant in tenants})

    def _home(self, tenant: str) -> int:
        home = self._book.erasures.home(tenant)
        return partition_of(tenant, self._ingress.topics.partitions) if home is None else home

    def _lean(self, subject: str, fact: Fact, effects: Effects) -> bytes:
        """The kept value of a fact that waited for its opening, whose own row goes; or of one whose incident names an
        erased tenant."""
        original = self._forget_waiting(subject, fact, effects)
        if self._book.bare(subject):
            return self._ingress.codec.encode(fact.type, bare_record(fact.event(subject)))
        assert original is not None
        decoded = self._ingress.codec.decode(original.event)
        assert not isinstance(decoded, Rejection)
        return lean_value(self._ingress, *decoded, original.event)

    def _forget_waiting(self, subject: str, fact: Fact, effects: Effects) -> Waiting | None:
        waited = self._waiting.pop((subject, fact.source, fact.id), None)
        if waited is not None:
            effects.put(row_key(WAITING, subject, fact.source, fact.id), None)
        return waited
