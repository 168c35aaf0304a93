"""The ledger agent: contracts of one partition of tenants, and all impacts that concern them, become statements and
credits."""

from __future__ import annotations

from functools import partial
from typing import cast

import structlog

from agents.arrival_limit import ArrivalLimit
from agents.backfill_wait import BackfillWait
from agents.changelog.early_erasures import KIND as ERASING_EARLY
from agents.changelog.early_inputs import KIND as EARLY
from agents.changelog.early_inputs import LIMIT as EARLY_LIMIT
from agents.changelog.early_inputs import EarlyInput, number_of
from agents.changelog.erasures import KIND as ERASED
from agents.changelog.erasures import restore_erased
from agents.changelog.input_rows import InputRows
from agents.changelog.ledger import (
    BACKFILL_IDLE,
    FACT,
    IMPACTS,
    MONTH,
    OUT_OF_TURN,
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
from agents.early_queue import EarlyQueue
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
from streams.sla.credits.retention import EvictionFailed
from streams.sla.erasure import Erasure
from streams.sla.events import CONTRACT_TYPES, Rejection, TenantErased
from streams.sla.facts import stored_event
from streams.sla.impact import impact_copy
from streams.sla.policy import Policies
from streams.time_source import TimeSource

POLICIES = (USED, ELSEWHERE)
NAME = "ledger"
INPUTS = ("contract-events", internal_topic(NAME))
#: Copies that wait where earlier inputs may be missing.
WAITING = frozenset({"impact.changed", "maintenance.scheduled", "maintenance.cancelled"})
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
        clock: TimeSource,
        codec: Codec | None = None,
        framing: Framing | None = None,
        reject_limit: float = 0.5,
        early_bytes: int = EARLY_LIMIT,
    ) -> None:
        """`early_bytes` is how much memory early inputs may take."""
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
        self._early = EarlyQueue(partition, self._ledger, rows, clock.now, early_bytes)
        self._arrival_limit = ArrivalLimit(NAME, partition, clock.now, time_limits.future_skew)
        self._requests = WatermarkRequests(context, egress)
        self._waiting = WatermarkWait(partition)
        self._backfill_wait = BackfillWait(NAME, partition)
        self._backfill_idle_at = 0
        self._erasures: list[Erasure] = []

    # -- state ---------------------------------------------------------------------------------------------------------

    def restore(self, key: bytes, value: bytes) -> None:
        """Restore one changelog row."""
        kind, row = self._rows.row(key, value)
        if kind == FACT:
            record, event = self._rows.decode_input_row(row)
            if not isinstance(event.payload, TenantErased):  # it moves no time where it was early
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
        elif kind == EARLY:
            self._early.inputs.restore(value)
        elif kind == ERASING_EARLY:
            self._early.erasures.restore(cast(int, row["until"]))
        elif kind in POLICIES:
            self._policy_rows.restore(kind, row)
        elif kind == ERASED:
            self._erasures.append(restore_erased(row, self._ledger.erasures))
        elif kind == QUARANTINE:
            self._ledger.quarantine(str(row["subject"]))
        elif kind == OUT_OF_TURN:
            self._ledger.timers.out_of_turn(cast(int, row["until"]))
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
        self._early.erasures.restored(self._ledger.timers.clock)

    # -- inputs --------------------------------------------------------------------------------------------------------

    def apply(self, record: Record, effects: Effects) -> None:
        """Receive a record, decide on it, write what follows. Where earlier inputs may be missing it waits, apart from
        watermarks and erasures (`input_order`)."""
        match self._ingress.receive(record, effects):
            case Checked() as checked:
                checked = self._arrival_limit.limited(checked, record)
                if self._early.is_early(checked.record.arrival):
                    self._receive_early(checked, effects)
                else:
                    self._apply_input(checked, effects)
            case Copied() as copied:
                copied = self._arrival_limit.limited(copied, record)
                if copied.kind in WAITING and self._early.is_early(copied.record.arrival):
                    self._early.inputs.add_copy(copied.carrier, copied.record.arrival, effects)
                else:
                    self._apply_copy(copied, effects)
            case None:
                pass

    def _apply_input(self, checked: Checked, effects: Effects, *, early: bool = False, copied: bool = False) -> None:
        event, record = self._ledger.erasures.event(checked.event), checked.record
        released = self._ledger.release(event.subject)
        if released is not None:
            self._rejects.release(event.subject, effects)
            self._writer.write(released, effects)
        decision = self._ledger.apply(event, record.arrival, position_of(record), early=early)
        self._writer.write_input(decision, checked, effects, copied=copied)
        if isinstance(event.payload, TenantErased):
            self._early.erasures.erase(checked.event.subject, record.arrival, effects)

    def _receive_early(self, checked: Checked, effects: Effects) -> None:
        """An input that has to wait: it is checked and copied to other partitions now, and applied in its turn. An
        erasure changes no amount and does not wait (R29)."""
        event = self._ledger.erasures.event(checked.event)
        if isinstance(event.payload, TenantErased):
            self._apply_input(checked, effects, early=True)
            return
        decision = self._early.check(checked.event, event, checked.record.arrival)
        if decision is not None:
            self._writer.write_input(decision, checked, effects)
            return
        self._writer.copy_input(checked, effects)
        self._early.add(checked, event, effects)

    def _apply_early(self, first: EarlyInput, effects: Effects) -> None:
        """Apply the first input that waits."""
        early = self._early.take(first, effects)
        if early.event is not None:
            _, fields = self._early.inputs.decoded(early)
            self._apply_input(Checked(early.event, fields, early.record), effects, copied=True)
        elif isinstance(copied := self._ingress.receive(early.record, effects), Copied):
            self._apply_copy(copied, effects)

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
                self._writer.write(self._ledger.timers.posted(), effects)  # what was half done, and is completed by it
                self._early.erasures.erase(event.subject, record.arrival, effects)
        else:
            event = self._ledger.erasures.event(event)
            decision = self._ledger.apply_maintenance(event, record.arrival, position_of(record))
            self._writer.write_maintenance(decision, event, copied, effects)

    def reject(self, record: Record, code: str, message: str, effects: Effects, attempts: int = 1) -> None:
        """Reject a record whose processing raised an exception."""
        self._rejects.reject_internal(record, Rejection(code, message), effects, attempts)

    def quarantine(self, subject: str, message: str, effects: Effects, attempts: int) -> None:
        """Quarantine a tenant whose timer raised an exception; an early input that did is rejected."""
        if number_of(subject) is not None:
            record = self._early.failed(subject, effects)
            if record is not None:
                self._rejects.reject_internal(record, Rejection("internal", message), effects, attempts)
            return
        self._ledger.quarantine(subject)
        self._rejects.write_quarantine(subject, self._ledger.last_input, message, effects, attempts)

    # -- timers --------------------------------------------------------------------------------------------------------

    def next_due(self) -> int | None:
        """The earliest instant at which a timer is due, an early input may be applied, or watermarks are to be asked
        for; None when there is none."""
        asking = self._requests.next_due(self._early.awaited())
        dues = (self._ledger.next_due(), asking, self._early.next_due(), self._early.erasures.next_due())
        return min((at for at in dues if at is not None), default=None)

    def fire(self, before: int, limit: int, effects: Effects) -> int:
        """Fire at most `limit` timers due before an instant, in order with early inputs; how many fired. Raises
        SubjectFailed."""
        fired = 0
        while fired < limit and self._fire_next(before, effects):
            fired += 1
        return fired

    def _fire_next(self, before: int, effects: Effects) -> bool:
        asking, early = self._requests.next_due(self._early.awaited()), self._early.next_due()
        due, erasing = self._ledger.next_due(), self._early.erasures.next_due()
        following = before if due is None else min(due, before)
        if asking is not None and asking < following:
            self._requests.send(asking, self._ledger.timers.lagging(asking), effects)
            return True
        if erasing is not None and erasing < before and erasing <= min(following, before if early is None else early):
            self._early.erasures.step(effects)
            return True
        if early is not None and early < before and early <= following:
            first = self._early.inputs.first()
            subject, step = first.subject, partial(self._apply_early, first)
        elif due is not None and due < before:
            # Time passes from one due timer to the next: one that waits for the end of a backfill must not come before
            # inputs of that backfill (R32).
            first_due = self._ledger.first_due(due + 1)
            assert first_due is not None
            subject, step = first_due[1], partial(self._fire_timer, due + 1)
        else:
            return False
        try:
            step(effects)
        except EvictionFailed as error:
            raise SubjectFailed(error.tenant) from (error.__cause__ or error)
        except Exception as error:
            raise SubjectFailed(subject) from error
        return True

    def _fire_timer(self, before: int, effects: Effects) -> None:
        posted = self._ledger.fire(before)
        assert posted is not None
        self._writer.write(posted, effects)

    def problems(self, now: int) -> list[str]:
        """What keeps the worker from being ready (`streams.runtime.processor.ReportsProblems`)."""
        self._backfill_wait.watch(self._ledger.timers.deferred_due(now), now)
        asked, early = self._requests.asked, self._early.inputs
        waiting = self._waiting.problems(self._ledger.timers, self._early.awaited(), asked, now, len(early))
        return [*self._context.problems(), *waiting]
