"""The ledger agent: one partition of tenants' contracts, and everybody's impacts, become statements and credits."""

from __future__ import annotations

from typing import cast

from agents.gate import DERIVED_LIMIT, QUARANTINE, Gate, Topics, position_of, row_key
from agents.incident_rows import QUIET
from agents.policy_rows import KIND as POLICY
from agents.policy_rows import PolicyRows
from agents.refusals import about
from streams.codec import Codec
from streams.codec import Record as Fields
from streams.routing import TO_INCIDENTS, TO_LEDGER, disclose
from streams.runtime.processor import Effects, Record, SubjectFailed
from streams.sla.account import Stated
from streams.sla.book import Horizons
from streams.sla.closing import MonthRow
from streams.sla.events import (
    CONTRACT_TYPES,
    ContractSet,
    CreditClaimed,
    Event,
    MaintenanceCancelled,
    MaintenanceScheduled,
    Rejection,
)
from streams.sla.facts import to_event
from streams.sla.impacts import impact_copy
from streams.sla.instants import Month
from streams.sla.ledger import Ledger, LedgerDecision
from streams.sla.policy import Policies

NAME = "ledger"
INPUTS = ("contract-events", "shared")
FACT, IMPACTS, MONTH, MARKED = "e", "i", "s", "p"


class LedgerProcessor:
    """Runs one partition's ledger; a `streams.runtime.processor.Processor`."""

    def __init__(
        self, partition: int, topics: Topics, policies: Policies, horizons: Horizons, *, codec: Codec | None = None
    ) -> None:
        codec = codec or Codec()
        accepts = CONTRACT_TYPES.__contains__
        self._gate = Gate(NAME, partition, topics, accepts, codec, elsewhere="incident events go elsewhere")
        self._ledger = Ledger(policies, horizons, topics.partitions)
        self._policy_rows = PolicyRows(policies, codec)
        self._clock = 0
        self._quiet_at = 0

    # -- state ---------------------------------------------------------------------------------------------------------

    def restore(self, key: bytes, value: bytes) -> None:
        kind, row = self._gate.row(key, value)
        if kind == FACT:
            self._restore_fact(row)
        elif kind == IMPACTS:
            impacts = self._gate.codec.decode(cast(bytes, row["value"]), DERIVED_LIMIT)
            assert not isinstance(impacts, Rejection)
            self._ledger.keep_impact(impact_copy(impacts[1]))
            self._clock = max(self._clock, cast(int, row["arrival"]))
        elif kind == MONTH:
            self._ledger.restore_month(_month_row(row))
        elif kind == MARKED:
            self._ledger.mark(cast(int, row["partition"]), cast(int, row["until"]))
        elif kind == POLICY:
            self._policy_rows.restore(row)
        elif kind == QUARANTINE:
            self._ledger.quarantine(str(row["subject"]))
        elif kind == QUIET:
            self._quiet_at = cast(int, row["until"])

    def _restore_fact(self, row: Fields) -> None:
        record, event = self._gate.kept(row)
        position = position_of(record)
        self._clock = max(self._clock, record.arrival)
        match event.payload:
            case ContractSet():
                self._ledger.keep_contract(event, record.arrival, position)
            case CreditClaimed():
                self._ledger.keep_claim(event, position)
            case MaintenanceScheduled() | MaintenanceCancelled():
                self._ledger.keep_maintenance(event, position)
            case _:
                self._ledger.keep_other(event)

    def restored(self) -> None:
        self._ledger.restored(self._clock, self._quiet_at)

    # -- inputs --------------------------------------------------------------------------------------------------------

    def apply(self, record: Record, effects: Effects) -> None:
        forwarded = False
        if record.topic != self._gate.topics.name("contract-events"):
            routed = disclose(record)
            if routed is None or routed.route != TO_LEDGER:
                return  # the incidents agent answers for what belongs to neither
            if not routed.forwarded:
                self._copied(record, routed.record, effects)
                return
            record, forwarded = routed.record, True
        checked = self._gate.check(record, effects, forwarded=forwarded)
        if checked is None:
            return
        event = checked.event
        if self._ledger.release(event.subject):
            self._gate.release(event.subject, effects)
        decision = self._ledger.apply(event, record.arrival, position_of(record))
        if decision.rejection is not None:
            self._gate.refuse(record, decision.rejection, effects, known=about(event.type, event.subject))
            self._keep_quiet(effects)
            return
        counter = self._gate.count.duplicate if decision.duplicate else self._gate.count.applied
        counter.inc()
        if decision.kept:
            effects.put(_fact_key(event), self._gate.keep(record))
            self._spread(event, record, effects)
        self._write(decision, effects)

    def _spread(self, event: Event, record: Record, effects: Effects) -> None:
        """Bring contract terms to every incident partition, maintenance to every other ledger partition."""
        gate = self._gate
        if isinstance(event.payload, ContractSet):
            for partition in range(gate.topics.partitions):
                gate.copy_to(record, TO_INCIDENTS, partition, effects)
        elif isinstance(event.payload, MaintenanceScheduled | MaintenanceCancelled):
            for partition in range(gate.topics.partitions):
                if partition != gate.partition:
                    gate.copy_to(record, TO_LEDGER, partition, effects)

    def _copied(self, shared: Record, copy: Record, effects: Effects) -> None:
        """Impacts and time marks from the incidents agent; maintenance from another ledger partition."""
        decoded = self._gate.copied(shared, copy, effects)
        if decoded is None:
            return
        kind, fields = decoded
        if kind == "time.mark":
            partition, until = cast(int, fields["partition"]), cast(int, fields["marked_until"])
            self._ledger.mark(partition, until)
            mark = {"partition": partition, "until": until}
            effects.put(row_key(MARKED, str(partition)), self._gate.codec.encode("state.mark", mark))
            return
        if kind == "impact.changed":
            impacts = impact_copy(fields)
            decision = self._ledger.impact(impacts, copy.arrival, backfill=bool(fields["backfill"]))
            key = row_key(IMPACTS, impacts.incident_id)
        else:
            event = to_event(kind, fields)
            if isinstance(event, Rejection) or not isinstance(
                event.payload, MaintenanceScheduled | MaintenanceCancelled
            ):
                self._gate.refuse(shared, Rejection("unknown_type", f"{kind} is nothing that is copied here"), effects)
                return
            decision = self._ledger.maintain(event, copy.arrival, position_of(copy))
            key = _fact_key(event)
        if decision.kept:
            effects.put(key, self._gate.keep(copy))
        self._write(decision, effects)

    def reject(self, record: Record, code: str, message: str, effects: Effects, attempts: int = 1) -> None:
        self._gate.refuse_internal(record, Rejection(code, message), effects, attempts)

    def quarantine(self, subject: str, message: str, effects: Effects, attempts: int) -> None:
        self._ledger.quarantine(subject)
        self._gate.set_aside(subject, self._ledger.last_input(subject), message, effects, attempts)

    # -- timers --------------------------------------------------------------------------------------------------------

    def next_due(self) -> int | None:
        return self._ledger.next_due()

    def act(self, before: int, limit: int, effects: Effects) -> int:
        acted = 0
        while acted < limit and (ripe := self._ledger.ripe(before)) is not None:
            try:
                decision = self._ledger.act(before)
                assert decision is not None
                self._write(decision, effects)
            except Exception as error:
                raise SubjectFailed(ripe[1]) from error
            acted += 1
        return acted

    # -- effects -------------------------------------------------------------------------------------------------------

    def _write(self, decision: LedgerDecision, effects: Effects) -> None:
        gate = self._gate
        for output in decision.outputs:
            self._policy_rows.used(output, effects)
            gate.publish(output, "credits", effects)
        for row in decision.months:
            effects.put(row_key(MONTH, row.tenant, row.month), gate.codec.encode("state.month", _month_fields(row)))
        self._keep_quiet(effects)

    def _keep_quiet(self, effects: Effects) -> None:
        """The load's quiet lasts beyond this life, also where a claim of the load was refused (R32)."""
        if self._ledger.quiet_at != self._quiet_at:
            self._quiet_at = self._ledger.quiet_at
            effects.put(row_key(QUIET), self._gate.codec.encode("state.quiet", {"until": self._quiet_at}))


SETTLED = ("downtime", "eligible", "charge", "credit", "excluded")


def _fact_key(event: Event) -> bytes:
    return row_key(FACT, event.subject, event.source, event.id)


def _month_fields(row: MonthRow) -> Fields:
    stated = row.stated
    settled = None
    if stated.settled is not None:
        settled = dict(zip(SETTLED, stated.settled, strict=True))
    return {"tenant_id": row.tenant, "month": row.month, **stated._asdict(), "settled": settled}


def _month_row(row: Fields) -> MonthRow:
    settled = cast(dict[str, int] | None, row["settled"])
    stated = Stated(
        revision=cast(int, row["revision"]),
        guarantee_met=cast(bool, row["guarantee_met"]),
        credit=cast(int, row["credit"]),
        settled=None
        if settled is None
        else (
            settled["downtime"],
            settled["eligible"],
            settled["charge"],
            settled["credit"],
            settled["excluded"],
        ),
        claimable_until=cast(int, row["claimable_until"]),
        issued=cast(int, row["issued"]),
        adjust_at=cast(int | None, row["adjust_at"]),
        stated_at=cast(int, row["stated_at"]),
    )
    return MonthRow(cast(str, row["tenant_id"]), Month(cast(str, row["month"])), stated)
