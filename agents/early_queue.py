"""The early inputs of a ledger partition: which inputs wait, and which may be applied now (R26)."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from agents.changelog.early_erasures import EarlyErasures
from agents.changelog.early_inputs import EarlyInput, EarlyInputs, number_of
from agents.changelog.erasures import redacted_input
from agents.changelog.input_rows import InputRows
from agents.changelog.ledger import put_out_of_turn
from agents.context import position_of
from agents.ingress import Checked
from agents.metrics import LEDGER_OUT_OF_TURN
from streams.log_damper import CrashLog
from streams.runtime.processor import Effects, Record
from streams.sla.credits.input_order import InputOrder
from streams.sla.credits.ledger import Ledger, repeated
from streams.sla.decisions import Duplicate, Rejected
from streams.sla.events import CreditClaimed, Event
from streams.sla.instants import format_rfc3339

_log = structlog.get_logger(__name__)


class EarlyQueue:
    """The early inputs of one partition. `now` is the wall clock, `limit` how many bytes of memory they may take: while
    they take more, the earliest is applied although it is not its turn. Instants in microseconds."""

    def __init__(self, partition: int, ledger: Ledger, rows: InputRows, now: Callable[[], int], limit: int) -> None:
        self._partition = partition
        self._ledger = ledger
        self._rows = rows
        self._order = InputOrder(ledger.timers, now)
        self.inputs = EarlyInputs(rows, ledger.erasures, limit)
        self.erasures = EarlyErasures(self.inputs, rows.codec)
        self._count_out_of_turn = LEDGER_OUT_OF_TURN.labels(str(partition))
        self._crashes = CrashLog(_log, "early_input_not_redacted")
        self._logged = False
        """Whether the log says already that the limit is reached."""

    # -- inputs --------------------------------------------------------------------------------------------------------

    def is_early(self, arrival: int) -> bool:
        """Whether an input that was just received has to wait."""
        return self._order.is_early(arrival, self.inputs.first_arrival)

    def check(self, original: Event, event: Event, arrival: int) -> Duplicate | Rejected | None:
        """What becomes of an input at once; None when it is to wait. `original` is the event as it was published: an
        input that it repeats may wait under the name of a tenant that was erased meanwhile."""
        known, waiting = self.inputs.digest(event), self.inputs.count(event.subject)
        if event is not original:
            known = known or self.inputs.digest(original)
            if original.subject != event.subject:
                waiting += self.inputs.count(original.subject)
        if known is not None:
            return Duplicate() if known == original.digest else repeated(event, known)
        decision = self._ledger.check(event, arrival, waiting)
        if decision is None and not waiting and isinstance(event.payload, CreditClaimed):
            rejection = self._ledger.reject_claim(event)
            return None if rejection is None else Rejected(rejection)
        return decision

    def add(self, checked: Checked, event: Event, effects: Effects) -> None:
        """Store an input that was checked and copied; `event` is without the names of erased tenants."""
        record = checked.record
        if event is not checked.event:
            record = redacted_input(self._rows, event, record.arrival, position_of(record))
        assert record.value is not None
        value = self._rows.to_single_object(event.type, checked.fields, record.value)
        self.inputs.add(record, value, event, effects, copied=True)

    def take(self, early: EarlyInput, effects: Effects) -> EarlyInput:
        """Take the first input out, without the names of erased tenants, to be applied now."""
        if not self._order.may_apply(early.arrival):
            self._out_of_turn(early, effects)
        self.inputs.take(early, effects)
        self._logged = self._logged and len(self.inputs) > 0
        return early if self.erasures.next_due() is None else self.inputs.redacted(early)

    def failed(self, subject: str, effects: Effects) -> Record | None:
        """Take the input out that is `EarlyInput.subject`; the record to reject, None when it does not wait. Where it
        can't be redacted, the record has coordinates alone, because its key and its value may name an erased tenant."""
        number = number_of(subject)
        early = None if number is None else self.inputs.get(number)
        if early is None or early.subject != subject:
            return None
        self.inputs.take(early, effects)
        try:
            return self.inputs.redacted(early).record
        except MemoryError:
            raise
        except Exception as error:  # a defect: it costs this input, and does not halt the partition
            position = position_of(early.record)
            self._crashes.caught(error, partition=self._partition, position=f"{position}")
            return Record(*position, early.arrival, None, None, [])

    def _out_of_turn(self, early: EarlyInput, effects: Effects) -> None:
        timers = self._ledger.timers
        self._count_out_of_turn.inc()
        if timers.out_of_turn(early.arrival):
            put_out_of_turn(self._rows, early.arrival, effects)
        if not self._logged:
            self._logged = True
            _log.warning(
                "early_inputs_limit_reached",
                agent="ledger",
                partition=self._partition,
                inputs=len(self.inputs),
                bytes=self.inputs.bytes,
                arrival=format_rfc3339(early.arrival),
                waits_for=timers.lagging(early.arrival),
            )

    # -- timers --------------------------------------------------------------------------------------------------------

    def next_due(self) -> int | None:
        """The arrival of the first input, if it may be applied now or the limit is reached; else None."""
        first = self.inputs.first_arrival
        return first if first is not None and (self.inputs.over_limit or self._order.may_apply(first)) else None

    def awaited(self) -> int | None:
        """The instant that watermarks have to reach next, if something waits for one."""
        return self._order.awaited(self.inputs.first_arrival)
