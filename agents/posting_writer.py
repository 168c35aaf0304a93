"""Turns the decisions of the ledger agent into writes: statements and credits, copies for other partitions, changelog
rows."""

from __future__ import annotations

from typing import cast

from agents.changelog.erasures import put_erased, redacted_input
from agents.changelog.input_rows import InputRows, row_key
from agents.changelog.ledger import (
    BACKFILL_IDLE,
    delete_evicted,
    delete_fact,
    put_erased_tenant,
    put_fact,
    put_impacts,
    put_month,
    put_recheck,
    put_retention,
)
from agents.changelog.policies import PolicyRows
from agents.context import AgentContext, position_of
from agents.egress import Egress
from agents.ingress import Checked, Copied
from agents.reject_log import about
from agents.rejects import RejectWriter
from agents.unknown_references import UnknownReferences
from streams.internal_topics import TO_INCIDENTS, TO_LEDGER
from streams.runtime.processor import Effects, Record
from streams.sla.credits.erase_tenant import ErasedTenant
from streams.sla.credits.ledger import Ledger
from streams.sla.credits.posted import LedgerDecision, Posted
from streams.sla.decisions import Duplicate, Rejected
from streams.sla.erasure import Erasure
from streams.sla.events import ContractSet, Event, MaintenanceCancelled, MaintenanceScheduled, TenantErased
from streams.sla.impact import ImpactCopy
from streams.topics import TOPIC_OF

STATEMENT = "credit.statement"
#: The compacted topic of the latest statement of each tenant's month.
MONTHS = "tenant-months"
MAINTENANCE = MaintenanceScheduled | MaintenanceCancelled


def month_key(tenant: str, month: str) -> str:
    """The key of a tenant's month: what follows the last slash is the month, `YYYY-MM`."""
    return f"{tenant}/{month}"


class PostingWriter:
    """Turns the decisions of one partition's ledger into effects."""

    def __init__(
        self,
        context: AgentContext,
        ledger: Ledger,
        *,
        rejects: RejectWriter,
        egress: Egress,
        rows: InputRows,
        policy_rows: PolicyRows,
        unknown_references: UnknownReferences,
    ) -> None:
        self._context = context
        self._ledger = ledger
        self._rejects = rejects
        self._egress = egress
        self._rows = rows
        self._policy_rows = policy_rows
        self._unknown_references = unknown_references
        self._backfill_idle_at = 0

    def restore_backfill_idle(self, instant: int) -> None:
        """Restore the instant after which no backfill is expected (R32)."""
        self._backfill_idle_at = instant

    def write_input(
        self, decision: LedgerDecision, checked: Checked, effects: Effects, *, copied: bool = False
    ) -> None:
        """Write what follows from an input event. `copied` says that other partitions have their copies already."""
        match decision:
            case Rejected(rejection):
                event = checked.event
                self._rejects.reject(checked.record, rejection, effects, known=about(event.type, event.subject))
            case Duplicate():
                self._context.count.duplicate.inc()
            case Posted() as posted:
                self._context.count.applied.inc()
                self._unknown_references.check(checked.event)
                stored = self._ledger.erasures.event(checked.event)
                put_fact(self._rows, stored, checked.record.arrival, position_of(checked.record), effects)
                if not copied:
                    self.copy_input(checked, effects)
                if posted.erased is not None:
                    self.write_erased(posted.erased, checked.event, checked.record.arrival, effects)
        self._write_decision(decision, effects)

    def _write_decision(self, decision: LedgerDecision, effects: Effects) -> None:
        """Write what follows from an input of any kind. One without effect, too, completes the statement that was half
        done: nothing later may come for days."""
        self.write(decision if isinstance(decision, Posted) else self._ledger.timers.posted(), effects)
        self.write_backfill_idle(effects)

    def write_impacts(
        self, decision: Posted | Duplicate, impacts: ImpactCopy, copied: Copied, effects: Effects
    ) -> None:
        """Write what follows from an impact list."""
        if isinstance(decision, Posted):
            stored = self._ledger.impacts_of(impacts.incident_id)
            put_impacts(self._rows, stored, copied.record.arrival, effects, copied.fields)
        self._write_decision(decision, effects)

    def write_maintenance(self, decision: Posted | Duplicate, event: Event, copied: Copied, effects: Effects) -> None:
        """Write what follows from the copy of a maintenance event."""
        if isinstance(decision, Posted):
            self._unknown_references.check(event, copied=True)
            put_fact(self._rows, event, copied.record.arrival, position_of(copied.record), effects)
        self._write_decision(decision, effects)

    def write(self, posted: Posted, effects: Effects) -> None:
        """Publish statements and credits, store the states of their months and what is queued."""
        for output in posted.outputs:
            self._policy_rows.used(output, effects)
            send = self._egress.publish(output, TOPIC_OF[output.type], effects)
            if output.type == STATEMENT:
                key = month_key(output.subject, str(output.data["month"]))
                self._egress.publish_latest(send, MONTHS, key, effects)
        for claim in posted.rejected:
            self._rejects.reject_stored(claim.tenant, claim.position, claim.arrival, claim.rejection, effects)
            delete_fact(claim.tenant, claim.source, cast(str, claim.rejection.event_id), effects)
        for row in posted.months:
            put_month(self._rows, row, effects)
        if posted.evicted is not None:
            delete_evicted(posted.evicted, effects)
            for tenant, month in posted.evicted.months:
                self._egress.delete(MONTHS, month_key(tenant, month), tenant, effects)
        if posted.retention is not None:
            until, pending = posted.retention
            put_retention(self._rows, until, pending=pending, effects=effects)
        for impacts, arrival in posted.impacts:
            put_impacts(self._rows, impacts, self._reached(arrival), effects)
        for number, recheck in posted.rechecks.items():
            put_recheck(self._rows, number, recheck, effects)

    def write_erased(self, erased: ErasedTenant, event: Event, arrival: int, effects: Effects) -> None:
        """Store the state of an erased tenant under its pseudonym (R29)."""
        put_erased_tenant(self._rows, erased, self._reached(arrival), effects)
        erasure = Erasure(erased.pseudonym, event.source, event.id, event.time, arrival)
        put_erased(self._rows.codec, self._ledger.erasures, erasure, effects)
        for month, _ in erased.months:
            self._egress.delete(MONTHS, month_key(erased.tenant, month), erased.tenant, effects)

    def _reached(self, arrival: int) -> int:
        """The arrival that a row of an erasure has: one that is early moves no time, also where a restart reads it."""
        return min(arrival, self._ledger.timers.clock)

    def write_backfill_idle(self, effects: Effects) -> None:
        """Store until when backfill is expected where that changed, also after a rejected input of the backfill
        (R32)."""
        if self._ledger.backfill_idle_at != self._backfill_idle_at:
            self._backfill_idle_at = self._ledger.backfill_idle_at
            row = self._rows.codec.encode("state.quiet", {"until": self._backfill_idle_at})
            effects.put(row_key(BACKFILL_IDLE), row)

    def copy_input(self, checked: Checked, effects: Effects) -> None:
        """Copy contract terms and erasures to every incident partition, maintenance and erasures to every other ledger
        partition."""
        event, record = checked.event, checked.record
        stored = self._ledger.erasures.event(event)
        if stored is not event:
            # The receiver of an erasure has to know the tenant; the copy has no reason text.
            copied = event if isinstance(event.payload, TenantErased) else stored
            record = redacted_input(self._rows, copied, record.arrival, position_of(record))
        elif record.value is not None:
            record = record._replace(value=self._rows.to_single_object(event.type, checked.fields, record.value))
        self._copy(event, record, effects)

    def _copy(self, event: Event, record: Record, effects: Effects) -> None:
        for partition in range(self._context.topics.partitions):
            if isinstance(event.payload, ContractSet | TenantErased):
                self._egress.copy_to(record, TO_INCIDENTS, partition, effects)
            if isinstance(event.payload, MAINTENANCE | TenantErased) and partition != self._context.partition:
                self._egress.copy_to(record, TO_LEDGER, partition, effects)
