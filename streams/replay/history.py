"""Recorded history as steps (R30, R32): what arrives, when, and how far time advances before it.

`simulate`, `verify` and `what-if` all read history through `Replay`; they differ in what they apply its steps to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, cast

from streams.errors import SlaError
from streams.serde.cloudevents_json import Fields, from_json, json_of
from streams.serde.input_checks import unknown_field
from streams.serde.input_records import CONTRACT_EVENTS, INCIDENT_EVENTS
from streams.sla.arrival import TimeLimits, check_instants, check_received
from streams.sla.contracts import Contract
from streams.sla.events import CONTRACT_TYPES, INCIDENT_RANK, ContractSet, Event, Position, Rejection, TenantErased
from streams.sla.facts import stored_event, to_event
from streams.sla.incidents.causes import Cause
from streams.sla.incidents.incident_store import IncidentStore
from streams.sla.incidents.steps import Decision, Reevaluated, Rewritten
from streams.sla.instants import LATEST, parse_rfc3339

#: The attribute of a backfilled line that says when the broker appended it.
LOADED = "loadedtime"


class TimeAdvance(NamedTuple):
    """Everything due strictly before an instant (microseconds) happens now; timers that wait for the end of a backfill
    only when no more follows: `backfill_idle`."""

    before: int
    backfill_idle: bool


class BackfillLoading(NamedTuple):
    """The next line is history being loaded: its timers wait until `idle_at` (microseconds). No time passes, unless the
    line says when it was loaded."""

    idle_at: int


class InputLine(NamedTuple):
    """A line with an event that is valid by itself. `number` counts from 1, `arrival` is in microseconds.
    `accepted_before` says that it is taken as a release with fewer checks took it, `refusal` why this one would not."""

    number: int
    event: Event
    arrival: int
    position: Position
    accepted_before: bool = False
    refusal: Rejection | None = None


class RejectedLine(NamedTuple):
    """A line without a valid event. `subject` is None where not even its type, subject and time can be read."""

    number: int
    rejection: Rejection
    subject: str | None


class UnknownFieldError(SlaError):
    """An input event has a field that its type does not have. Agents ignore such a field, which a later release may
    have added; a recorded history does not have one unless somebody misspelled it."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(number, message)
        self.number = number
        self.message = message

    def __str__(self) -> str:
        return f"line {self.number}: invalid: {self.message}"


Step = TimeAdvance | BackfillLoading | InputLine | RejectedLine


class Replay:
    """Turns JSON lines into steps. Its clock is the latest arrival; lines that arrive after `until` are not read.

    With `backfill` every line counts as history being loaded. `reads` chooses by subject (None: unreadable) which
    incidents' lines are decoded; the others only advance the clock, which takes a fraction of the time. Contract and
    maintenance events are always decoded. `accepted_before` chooses the records that are taken as a release with fewer
    checks took them. With `loaded_times` a backfilled line arrives when it was loaded, if it says so.
    """

    def __init__(
        self,
        time_limits: TimeLimits,
        *,
        backfill: bool = False,
        until: int | None = None,
        reads: Callable[[str | None], bool] | None = None,
        accepted_before: Callable[[str, Fields], bool] | None = None,
        loaded_times: bool = False,
    ) -> None:
        self._loaded_times = loaded_times
        self._time_limits = time_limits
        self._accepted_before = accepted_before
        self._backfill_quiet = time_limits.backfill_quiet
        self._backfill = backfill
        self._until = until
        self._reads = reads
        self._arrival = 0
        self._idle_at = 0
        self.clock = 0

    def steps(self, number: int, line: str) -> Iterator[Step]:
        """The steps of one line (numbered from 1): time first, then its event. A blank line has none. Raises
        UnknownFieldError."""
        if not line.strip():
            return
        parsed = None
        if self._reads is None:
            parsed, loaded = _parsed(number, line)
            header = None if isinstance(parsed, Rejection) else _header_of(*parsed, loaded)
        else:
            header = _read_header(line)
        if header is not None and not self._loaded_times:
            header = header._replace(loaded=None)
        if header is not None:
            self._arrival = self._arrival_of(header)
        if self._until is not None and self._arrival > self._until:
            return
        self.clock = max(self.clock, self._arrival)
        backfill = self._backfill or (header is not None and header.backfill)
        if not backfill or (header is not None and header.loaded is not None):
            yield TimeAdvance(self.clock, self.clock > self._idle_at)
        if backfill:
            self._idle_at = max(self._idle_at, self.clock + self._backfill_quiet)
            yield BackfillLoading(self._idle_at)
        subject = header.subject if header is not None else None
        if self._reads is not None and not (self._reads(subject) or (header is not None and header.contract)):
            return
        parsed = parsed or _parsed(number, line)[0]
        event = parsed if isinstance(parsed, Rejection) else to_event(*parsed)
        accepted, refusal = False, None
        if not isinstance(parsed, Rejection) and self._accepted_before is not None and self._accepted_before(*parsed):
            accepted, event, refusal = True, *self._as_accepted(event, *parsed)
        if isinstance(event, Rejection):
            yield RejectedLine(number, event, subject)
            return
        topic = INCIDENT_EVENTS if event.type in INCIDENT_RANK else CONTRACT_EVENTS
        position = Position(f"sla.{topic}", 0, number - 1)
        event = event._replace(backfill=backfill)
        yield InputLine(number, event, self._arrival, position, accepted, refusal)

    def _as_accepted(
        self, event: Event | Rejection, event_type: str, record: Fields
    ) -> tuple[Event | Rejection, Rejection | None]:
        """The event as a release with fewer checks read it, and why this one refuses it."""
        if isinstance(event, Rejection):
            return stored_event(event_type, record), event
        refusal = check_received(event, self._arrival, self._time_limits) or check_instants(event, self._time_limits)
        return event, refusal

    def end(self, until: int | None = None) -> TimeAdvance:
        """End of input: fires what is due by `until`, or else what was due before the last arrival."""
        until = self._until if until is None else until
        return TimeAdvance(self.clock if until is None else until + 1, True)

    def _arrival_of(self, header: _Header) -> int:
        """When history was loaded, if the line says so; else its `receivedtime`, else its time but no earlier than the
        line before. An invalid event arrives as well, unless these very times are out of bounds."""
        given = header.received if header.loaded is None else header.loaded
        arrival = given if given is not None else max(self._arrival, header.time)
        return arrival if 0 <= arrival <= LATEST else self._arrival


def _parsed(number: int, line: str) -> tuple[tuple[str, Fields] | Rejection, int | None]:
    """Type and fields of an input event, or why it is rejected; and when it was loaded. Raises UnknownFieldError."""
    event = json_of(line)
    if isinstance(event, Rejection):
        return event, None
    parsed = from_json(event, inputs_only=True)
    if isinstance(event, dict) and not isinstance(parsed, Rejection) and (refused := unknown_field(event)) is not None:
        raise UnknownFieldError(number, refused.message)
    return parsed, _loaded(event) if isinstance(event, dict) else None


def _loaded(event: Mapping[str, object]) -> int | None:
    """When history was loaded; None for a live line, and where nothing says so."""
    given = event.get(LOADED)
    if event.get("backfill") not in (True, "true") or not isinstance(given, str):
        return None
    try:
        return parse_rfc3339(given)
    except ValueError:
        return None


class _Header(NamedTuple):
    contract: bool
    subject: str
    time: int
    received: int | None
    backfill: bool
    loaded: int | None


def _header_of(event_type: str, fields: Fields, loaded: int | None) -> _Header:
    return _Header(
        event_type in CONTRACT_TYPES,
        str(fields["subject"]),
        cast(int, fields["occurred_at"]),
        cast("int | None", fields.get("received_time")),
        bool(fields["backfill"]),
        loaded,
    )


def _read_header(line: str) -> _Header | None:
    """The fields that determine when a line arrives, without decoding all of it; None when it is not an input event."""
    try:
        event = json.loads(line)
        kind, received = event["type"], event.get("receivedtime")
        contract = kind in CONTRACT_TYPES
        if not contract and kind not in INCIDENT_RANK:
            return None
        return _Header(
            contract,
            str(event["subject"]),
            parse_rfc3339(event["time"]),
            None if received is None else parse_rfc3339(received),
            event.get("backfill") in (True, "true"),
            _loaded(event),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def apply_to_incidents(store: IncidentStore, step: Step) -> Iterator[Decision]:
    """Apply a step to a store that has all incidents. Contract facts must have been accepted by
    the ledger or a recomputation first."""
    match step:
        case TimeAdvance(before, backfill_idle):
            while (decision := store.fire(before, backfill_idle=backfill_idle)) is not None:
                yield decision
        case BackfillLoading(idle_at):
            store.restore_backfill_idle(idle_at)
        case InputLine(event=event) if event.type in INCIDENT_RANK:
            yield store.apply(event, step.arrival, step.position, accepted_before=step.accepted_before)
        case InputLine():
            yield from _apply_contract_fact(store, step)
        case RejectedLine():
            pass


def _apply_contract_fact(store: IncidentStore, step: InputLine) -> Sequence[Reevaluated | Rewritten]:
    """What an accepted contract fact or erasure changes of incidents (R20, R29)."""
    event = store.erasures.event(step.event)
    if isinstance(event.payload, ContractSet):
        return store.apply_contract(event.subject, Contract.of(event, step.position), step.arrival)
    if isinstance(event.payload, TenantErased) and event.subject not in store.erasures:
        cause = Cause(event.type, event.time, event.source, event.id)
        return store.erase(event.subject, 0, cause, step.arrival).decisions
    return []
