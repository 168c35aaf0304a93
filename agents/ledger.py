"""The ledger agent: one partition of tenants' contracts, and everybody's impacts, become statements and credits."""

from __future__ import annotations

from typing import cast

from agents.changelog.erasures import KIND as ERASED
from agents.changelog.erasures import put_erased, redacted_input, restore_erased
from agents.changelog.incidents import BACKFILL_IDLE
from agents.changelog.ledger import (
    FACT,
    IMPACTS,
    MONTH,
    WATERMARK,
    month_row,
    put_erased_tenant,
    put_fact,
    put_impacts,
    put_month,
)
from agents.changelog.policies import ELSEWHERE, PolicyRows
from agents.changelog.policies import KIND as USED
from agents.ingress import QUARANTINE, Checked, Ingress, Topics, position_of, row_key
from agents.reject_log import about
from streams.kafka.partitioner import partition_of
from streams.runtime.processor import Effects, Record, SubjectFailed
from streams.serde.codec import Codec
from streams.serde.confluent_framing import Framing
from streams.shared_topic import TO_INCIDENTS, TO_LEDGER, unwrap
from streams.sla.arrival import TimeLimits
from streams.sla.credits.erase_tenant import ErasedTenant
from streams.sla.credits.ledger import Ledger, Posted
from streams.sla.decisions import Duplicate, Rejected
from streams.sla.events import (
    CONTRACT_TYPES,
    ContractSet,
    MaintenanceCancelled,
    MaintenanceScheduled,
    Rejection,
    TenantErased,
)
from streams.sla.facts import to_event
from streams.sla.impact import impact_copy
from streams.sla.policy import Policies
from streams.topics import TOPIC_OF

POLICIES = (USED, ELSEWHERE)
NAME = "ledger"
INPUTS = ("contract-events", "shared")
MAINTENANCE = MaintenanceScheduled | MaintenanceCancelled


class LedgerProcessor:
    """Runs one partition's ledger; a `streams.runtime.processor.Processor`."""

    def __init__(
        self,
        partition: int,
        topics: Topics,
        policies: Policies,
        time_limits: TimeLimits,
        *,
        codec: Codec | None = None,
        framing: Framing | None = None,
    ) -> None:
        codec = codec or Codec()
        accepts = CONTRACT_TYPES.__contains__
        self._ledger = Ledger(policies, time_limits, topics.partitions, partition)
        self._ingress = Ingress(
            *(NAME, partition, topics, accepts, codec),
            elsewhere="incident events go elsewhere",
            framing=framing,
            home=self._ledger.erasures.home,
        )
        self._policy_rows = PolicyRows(policies, self._ingress)
        self._clock = 0
        self._backfill_until = 0

    # -- state ---------------------------------------------------------------------------------------------------------

    def restore(self, key: bytes, value: bytes) -> None:
        kind, row = self._ingress.row(key, value)
        if kind == FACT:
            record, event = self._ingress.decode_input_row(row)
            self._clock = max(self._clock, record.arrival)
            self._ledger.restore_fact(event, record.arrival, position_of(record))
        elif kind == IMPACTS:
            self._ledger.store_impacts(impact_copy(row))
            self._clock = max(self._clock, cast(int, row["arrival"]))
        elif kind == MONTH:
            self._ledger.restore_month(month_row(row))
        elif kind == WATERMARK:
            self._ledger.apply_watermark(cast(int, row["partition"]), cast(int, row["until"]))
        elif kind in POLICIES:
            self._policy_rows.restore(kind, row)
        elif kind == ERASED:
            restore_erased(row, self._ledger.erasures)
        elif kind == QUARANTINE:
            self._ledger.quarantine(str(row["subject"]))
        elif kind == BACKFILL_IDLE:
            self._backfill_until = cast(int, row["until"])

    def restored(self) -> None:
        self._ledger.restored(self._clock, self._backfill_until)

    # -- inputs --------------------------------------------------------------------------------------------------------

    def apply(self, record: Record, effects: Effects) -> None:
        forwarded = False
        if record.topic != self._ingress.topics.name("contract-events"):
            routed = unwrap(record)
            if routed is None or routed.route != TO_LEDGER:
                return  # the incidents agent answers for what belongs to neither
            if not routed.forwarded:
                self._copied(record, routed.record, effects)
                return
            record, forwarded = routed.record, True
        checked = self._ingress.check(record, effects, forwarded=forwarded)
        if checked is None:
            return
        event = self._ledger.erasures.event(checked.event)
        if self._ledger.release(event.subject):
            self._ingress.release(event.subject, effects)
        match self._ledger.apply(event, record.arrival, position_of(record)):
            case Rejected(rejection):
                self._ingress.reject(record, rejection, effects, known=about(event.type, event.subject))
                self._put_backfill_until(effects)
            case Duplicate():
                self._ingress.count.duplicate.inc()
            case Posted() as posted:
                self._ingress.count.applied.inc()
                self._store(checked, record, effects)
                if posted.erased is not None:
                    self._erased(posted.erased, record.arrival, effects)
                self._write(posted, effects)

    def _store(self, checked: Checked, record: Record, effects: Effects) -> None:
        """Keep an input, and bring it to whom it concerns: contract terms and erasures to every incident partition,
        maintenance and erasures to every other ledger partition."""
        event, fields = checked
        ingress, kept = self._ingress, self._ledger.erasures.event(event)
        arrival, position = record.arrival, position_of(record)
        put_fact(ingress, kept, arrival, position, effects)
        if kept is not event:
            # Who receives an erasure has to know whom it is about; it leaves its reason behind here.
            record = redacted_input(
                ingress, event if isinstance(event.payload, TenantErased) else kept, arrival, position
            )
        elif record.value is not None:
            record = record._replace(value=ingress.to_single_object(event.type, fields, record.value))
        for partition in range(ingress.topics.partitions):
            if isinstance(event.payload, ContractSet | TenantErased):
                ingress.copy_to(record, TO_INCIDENTS, partition, effects)
            if isinstance(event.payload, MAINTENANCE | TenantErased) and partition != ingress.partition:
                ingress.copy_to(record, TO_LEDGER, partition, effects)

    def _erased(self, erased: ErasedTenant, arrival: int, effects: Effects) -> None:
        put_erased_tenant(self._ingress, erased, arrival, effects)
        put_erased(self._ingress.codec, self._ledger.erasures, erased.pseudonym, effects)

    def _copied(self, shared: Record, copy: Record, effects: Effects) -> None:
        """Impacts and time marks from the incidents agent; maintenance from another ledger partition."""
        decoded = self._ingress.decode_copy(shared, copy, effects)
        if decoded is None:
            return
        kind, fields = decoded
        if kind == "time.mark":
            partition, until = cast(int, fields["partition"]), cast(int, fields["marked_until"])
            self._ledger.apply_watermark(partition, until)
            mark = {"partition": partition, "until": until}
            effects.put(row_key(WATERMARK, str(partition)), self._ingress.codec.encode("state.mark", mark))
            return
        if kind == "impact.changed":
            impacts = impact_copy(fields)
            decision = self._ledger.apply_impacts(impacts, copy.arrival, backfill=bool(fields["backfill"]))
            if isinstance(decision, Posted):
                put_impacts(self._ingress, self._ledger.impacts_of(impacts.incident_id), copy.arrival, effects)
            self._write(decision, effects)
            return
        if kind == "state.policy":
            self._policy_rows.used_elsewhere(fields, effects)
            return
        event = to_event(kind, fields)
        if isinstance(event, Rejection) or not isinstance(event.payload, MAINTENANCE | TenantErased):
            self._ingress.reject(shared, Rejection("unknown_type", f"{kind} is nothing that is copied here"), effects)
            return
        if isinstance(event.payload, TenantErased):
            if event.subject not in self._ledger.erasures:
                home = partition_of(event.subject, self._ingress.topics.partitions)
                self._erased(self._ledger.erase(event.subject, home), copy.arrival, effects)
            return
        event = self._ledger.erasures.event(event)
        decision = self._ledger.apply_maintenance(event, copy.arrival, position_of(copy))
        if isinstance(decision, Posted):
            put_fact(self._ingress, event, copy.arrival, position_of(copy), effects)
        self._write(decision, effects)

    def reject(self, record: Record, code: str, message: str, effects: Effects, attempts: int = 1) -> None:
        self._ingress.reject_internal(record, Rejection(code, message), effects, attempts)

    def quarantine(self, subject: str, message: str, effects: Effects, attempts: int) -> None:
        self._ledger.quarantine(subject)
        self._ingress.write_quarantine(subject, self._ledger.last_input(subject), message, effects, attempts)

    # -- timers --------------------------------------------------------------------------------------------------------

    def next_due(self) -> int | None:
        return self._ledger.next_due()

    def fire(self, before: int, limit: int, effects: Effects) -> int:
        fired = 0
        while fired < limit and (first_due := self._ledger.first_due(before)) is not None:
            try:
                decision = self._ledger.fire(before)
                assert decision is not None
                self._write(decision, effects)
            except Exception as error:
                raise SubjectFailed(first_due[1]) from error
            fired += 1
        return fired

    # -- effects -------------------------------------------------------------------------------------------------------

    def _write(self, decision: Posted | Duplicate, effects: Effects) -> None:
        ingress = self._ingress
        if isinstance(decision, Posted):
            for output in decision.outputs:
                self._policy_rows.used(output, effects)
                ingress.publish(output, TOPIC_OF[output.type], effects)
            for row in decision.months:
                put_month(ingress, row, effects)
        self._put_backfill_until(effects)

    def _put_backfill_until(self, effects: Effects) -> None:
        """Store until when backfill is expected, also when an input of the backfill was rejected (R32)."""
        if self._ledger.backfill_until != self._backfill_until:
            self._backfill_until = self._ledger.backfill_until
            effects.put(
                row_key(BACKFILL_IDLE), self._ingress.codec.encode("state.quiet", {"until": self._backfill_until})
            )
