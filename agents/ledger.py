"""The ledger agent: contracts of one partition of tenants, and all impacts that concern them, become statements and
credits."""

from __future__ import annotations

from typing import cast

import structlog

from agents.changelog.erasures import KIND as ERASED
from agents.changelog.erasures import restore_erased
from agents.changelog.input_rows import InputRows
from agents.changelog.ledger import (
    BACKFILL_IDLE,
    FACT,
    IMPACTS,
    MONTH,
    RECHECK,
    RETENTION,
    WATERMARK,
    month_row,
    put_watermark,
    recheck_row,
)
from agents.changelog.policies import ELSEWHERE, PolicyRows
from agents.changelog.policies import KIND as USED
from agents.context import AgentContext, Topics, position_of
from agents.egress import Egress
from agents.ingress import Checked, Copied, Ingress
from agents.posting_writer import MAINTENANCE, PostingWriter
from agents.rejects import QUARANTINE, RejectWriter
from agents.unknown_references import UnknownReferences
from agents.watermark_wait import WatermarkWait
from agents.watermarks import WatermarkRequests, check_watermark
from streams.internal_topics import internal_topic
from streams.kafka.partitioner import partition_of
from streams.runtime.processor import Effects, Record, SubjectFailed
from streams.serde.codec import Codec
from streams.serde.confluent_framing import Framing
from streams.sla.arrival import TimeLimits
from streams.sla.credits.ledger import Ledger
from streams.sla.erasure import Erasure
from streams.sla.events import CONTRACT_TYPES, Rejection, TenantErased
from streams.sla.facts import stored_event
from streams.sla.impact import impact_copy
from streams.sla.policy import Policies

POLICIES = (USED, ELSEWHERE)
NAME = "ledger"
INPUTS = ("contract-events", internal_topic(NAME))
_log = structlog.get_logger(__name__)


class LedgerProcessor:
    """Runs one partition's ledger; a `streams.runtime.processor.Processor`. An input is received, decided on, and
    written: `Ingress`, `Ledger`, `PostingWriter`."""

    def __init__(
        self,
        partition: int,
        topics: Topics,
        policies: Policies,
        time_limits: TimeLimits,
        *,
        codec: Codec | None = None,
        framing: Framing | None = None,
        reject_limit: float = 0.5,
    ) -> None:
        self._context = context = AgentContext(NAME, partition, topics, codec, framing, reject_limit)
        self._rows = rows = InputRows(context.codec)
        self._rejects = rejects = RejectWriter(context)
        egress = Egress(context)
        self._ledger = Ledger(policies, time_limits, topics.partitions, partition)
        self._ingress = Ingress(
            context,
            rejects,
            egress,
            CONTRACT_TYPES.__contains__,
            elsewhere="incident events go elsewhere",
            home=self._ledger.erasures.home,
        )
        self._policy_rows = policy_rows = PolicyRows(policies, context, egress)
        self._writer = PostingWriter(
            context,
            self._ledger,
            rejects=rejects,
            egress=egress,
            rows=rows,
            policy_rows=policy_rows,
            unknown_references=UnknownReferences(context, policies, self._ledger),
        )
        self._clock = 0
        self._requests = WatermarkRequests(context, egress)
        self._waiting = WatermarkWait(partition)
        self._backfill_idle_at = 0
        self._erasures: list[Erasure] = []

    # -- state ---------------------------------------------------------------------------------------------------------

    def restore(self, key: bytes, value: bytes) -> None:
        """Restore one changelog row."""
        kind, row = self._rows.row(key, value)
        if kind == FACT:
            record, event = self._rows.decode_input_row(row)
            self._clock = max(self._clock, record.arrival)
            self._ledger.restore_fact(event, record.arrival, position_of(record))
        elif kind == IMPACTS:
            self._ledger.store_impacts(impact_copy(row))
            self._clock = max(self._clock, cast(int, row["arrival"]))
        elif kind == MONTH:
            self._ledger.restore_month(month_row(row))
        elif kind == WATERMARK:
            self._restore_watermark(cast(int, row["partition"]), cast(int, row["until"]))
        elif kind == RECHECK:
            self._ledger.restore_recheck(recheck_row(row))
        elif kind == RETENTION:
            self._ledger.restore_retention(cast(int, row["until"]), pending=bool(row["pending"]))
        elif kind in POLICIES:
            self._policy_rows.restore(kind, row)
        elif kind == ERASED:
            self._erasures.append(restore_erased(row, self._ledger.erasures))
        elif kind == QUARANTINE:
            self._ledger.quarantine(str(row["subject"]))
        elif kind == BACKFILL_IDLE:
            self._backfill_idle_at = cast(int, row["until"])

    def _restore_watermark(self, partition: int, until: int) -> None:
        """An earlier release may have stored one that can't be."""
        rejection = check_watermark(partition, until, self._context.topics.partitions)
        if rejection is None:
            self._ledger.timers.apply_watermark(partition, until)
            return
        own = self._context.partition
        _log.warning("watermark_row_ignored", agent=NAME, partition=own, of=partition, reason=rejection.message)

    def restored(self) -> None:
        """All rows are restored: schedule the timers."""
        self._writer.restore_backfill_idle(self._backfill_idle_at)
        self._ledger.restored(self._clock, self._backfill_idle_at, self._erasures)
        self._erasures.clear()

    # -- inputs --------------------------------------------------------------------------------------------------------

    def apply(self, record: Record, effects: Effects) -> None:
        """Receive a record, decide on it, write what follows."""
        match self._ingress.receive(record, effects):
            case Checked() as checked:
                self._apply_input(checked, effects)
            case Copied() as copied:
                self._apply_copy(copied, effects)
            case None:
                pass

    def _apply_input(self, checked: Checked, effects: Effects) -> None:
        event, record = self._ledger.erasures.event(checked.event), checked.record
        released = self._ledger.release(event.subject)
        if released is not None:
            self._rejects.release(event.subject, effects)
            self._writer.write(released, effects)
        decision = self._ledger.apply(event, record.arrival, position_of(record))
        self._writer.write_input(decision, checked, effects)

    def _apply_copy(self, copied: Copied, effects: Effects) -> None:
        """Watermarks and impacts from the incidents agent, maintenance and erasures from another ledger partition, a
        policy version from any agent."""
        kind, fields, record, _ = copied
        match kind:
            case "time.mark":
                self._apply_watermark(copied, effects)
            case "impact.changed":
                impacts = impact_copy(fields)
                decision = self._ledger.apply_impacts(impacts, record.arrival, backfill=bool(fields["backfill"]))
                self._writer.write_impacts(decision, impacts, copied, effects)
            case "state.policy":
                self._policy_rows.used_elsewhere(fields, effects)
            case _:
                self._apply_copied_event(copied, effects)

    def _apply_watermark(self, copied: Copied, effects: Effects) -> None:
        partition, until = cast(int, copied.fields["partition"]), cast(int, copied.fields["marked_until"])
        rejection = check_watermark(partition, until, self._context.topics.partitions)
        if rejection is not None:
            self._rejects.reject(copied.carrier, rejection, effects)
            return
        self._ledger.timers.apply_watermark(partition, until)
        put_watermark(self._rows, partition, until, effects)

    def _apply_copied_event(self, copied: Copied, effects: Effects) -> None:
        event, record = stored_event(copied.kind, copied.fields), copied.record
        if isinstance(event, Rejection) or not isinstance(event.payload, MAINTENANCE | TenantErased):
            self._ingress.reject_copy(copied, effects)
        elif isinstance(event.payload, TenantErased):
            if event.subject not in self._ledger.erasures:
                home = partition_of(event.subject, self._context.topics.partitions)
                erased = self._ledger.erase(event.subject, home, record.arrival)
                self._writer.write_erased(erased, event, record.arrival, effects)
        else:
            event = self._ledger.erasures.event(event)
            decision = self._ledger.apply_maintenance(event, record.arrival, position_of(record))
            self._writer.write_maintenance(decision, event, copied, effects)

    def reject(self, record: Record, code: str, message: str, effects: Effects, attempts: int = 1) -> None:
        """Reject a record whose processing raised an exception."""
        self._rejects.reject_internal(record, Rejection(code, message), effects, attempts)

    def quarantine(self, subject: str, message: str, effects: Effects, attempts: int) -> None:
        """Quarantine a tenant whose timer raised an exception."""
        self._ledger.quarantine(subject)
        self._rejects.write_quarantine(subject, self._ledger.last_input(subject), message, effects, attempts)

    # -- timers --------------------------------------------------------------------------------------------------------

    def next_due(self) -> int | None:
        """The earliest instant at which a timer is due, or watermarks are to be asked for; None when there is none."""
        due, asking = self._ledger.next_due(), self._requests.next_due(self._ledger.timers.awaited())
        return min((at for at in (due, asking) if at is not None), default=None)

    def fire(self, before: int, limit: int, effects: Effects) -> int:
        """Fire at most `limit` timers due before an instant; how many fired. Raises SubjectFailed."""
        fired = 0
        while fired < limit:
            asking = self._requests.next_due(self._ledger.timers.awaited())
            first_due = self._ledger.first_due(before)
            if asking is not None and asking < before and (first_due is None or asking < first_due[0]):
                self._requests.send(asking, self._ledger.timers.lagging(asking), effects)
                fired += 1
                continue
            if first_due is None:
                break
            try:
                posted = self._ledger.fire(before)
                assert posted is not None
                self._writer.write(posted, effects)
            except Exception as error:
                raise SubjectFailed(first_due[1]) from error
            fired += 1
        return fired

    def problems(self, now: int) -> list[str]:
        """What keeps the worker from being ready (`streams.runtime.processor.ReportsProblems`)."""
        return [*self._context.problems(), *self._waiting.problems(self._ledger.timers, self._requests.asked, now)]
