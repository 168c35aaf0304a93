"""What becomes of one row of a file: its events, checked as every input is, or what is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from connect.history_import.event_store import EventStore
from connect.intake.outcome import Event, EventItem, IgnoredItem, ItemOutcome, RejectedItem
from streams.serde.cloudevents_json import format_line
from streams.serde.input_records import InputRecord, input_record_from_json
from streams.sla.events import Event as CheckedEvent
from streams.sla.events import MaintenanceScheduled, Opened, Rejection, Resolved
from streams.sla.instants import DAY

_HALF_SURROGATE = re.compile("[\ud800-\udfff]")


class SourceRow(NamedTuple):
    """A row of a file and what it means. `place` says where it is, such as `line 7`; `key` is its name there."""

    place: str
    key: str
    outcomes: Iterable[ItemOutcome]
    notes: tuple[str, ...] = ()


class ImportedRow(NamedTuple):
    """What becomes of a row. With `problems` it has no events. `ignored` says why it is none of ours, `notes` what is
    worth a look. `repeats` is the place of the row that says the same."""

    place: str
    key: str
    events: tuple[tuple[Event, InputRecord], ...] = ()
    notes: tuple[str, ...] = ()
    ignored: str = ""
    problems: tuple[str, ...] = ()
    repeats: str = ""

    @property
    def days(self) -> int:
        """Whole days from the beginning of its outage or window to the latest end, 0 without one."""
        begins: list[int] = []
        ends: list[int] = []
        for _, record in self.events:
            match record.event.payload:
                case Opened() as opened:
                    begins.append(record.event.time if opened.started_at is None else opened.started_at)
                case Resolved() as resolved:
                    ends.append(record.event.time if resolved.restored_at is None else resolved.restored_at)
                case MaintenanceScheduled() as window:
                    begins.append(window.start)
                    ends.append(window.end)
        return max(0, max(ends) - min(begins)) // DAY if begins and ends else 0

    @property
    def outcome(self) -> str:
        """One word."""
        if self.problems:
            return "wrong"
        return "repeated" if self.repeats else "ignored" if not self.events else "events"


Check = Callable[[CheckedEvent], Rejection | None]


def imported(rows: Iterable[SourceRow], store: EventStore, check: Check = lambda event: None) -> Iterator[ImportedRow]:
    """What becomes of each row. The events of good rows are added to the store; a row whose events the store has with
    other content is wrong, and none of its events is added. `check` may reject an event for its time."""
    for row in rows:
        yield _imported(row._replace(key=_HALF_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", row.key)), store, check)


def _imported(row: SourceRow, store: EventStore, check: Check) -> ImportedRow:
    events: list[tuple[Event, InputRecord]] = []
    notes, problems = list(row.notes), list[str]()
    ignored: list[str] = []
    for outcome in row.outcomes:
        match outcome:
            case EventItem(_, given):
                event = _encodable(given)
                checked = input_record_from_json(event)
                rejection = checked if isinstance(checked, Rejection) else check(checked.event)
                if isinstance(checked, InputRecord) and rejection is None:
                    events.append((event, checked))
                elif rejection is not None:
                    problems.append(f"{rejection.code}: {rejection.message}")
            case IgnoredItem(_, reason, unapplied):
                (ignored if unapplied is None else notes).append(reason)
            case RejectedItem(_, _, reason):
                problems.append(reason)
    if problems:
        return ImportedRow(row.place, row.key, notes=tuple(notes), problems=tuple(problems))
    if not events:
        return ImportedRow(row.place, row.key, notes=tuple(notes), ignored="; ".join(ignored) or "nothing happened")
    known = store.known(events)
    if isinstance(known, str):
        return ImportedRow(row.place, row.key, notes=tuple(notes), problems=(known,))
    if known is not None:
        return ImportedRow(row.place, row.key, tuple(events), tuple(notes), repeats=known.place)
    store.add(row.place, events)
    return ImportedRow(row.place, row.key, tuple(events), tuple(notes))


def _encodable(event: Event) -> Event:
    """The event without half surrogates, which JSON may have and UTF-8 can't."""
    line = format_line(event)
    if line.isascii() or not _HALF_SURROGATE.search(line):
        return event
    repaired: Event = json.loads(_HALF_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", line))
    return repaired
