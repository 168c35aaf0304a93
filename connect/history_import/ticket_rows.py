"""A ticket of an export as the events of its incident: opened, answered, updated, resolved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from connect.history_import.export_file import export_rows
from connect.history_import.mapping import FieldPaths, TicketMapping, Updates
from connect.history_import.rows import SourceRow
from connect.intake.formats import tickets
from connect.intake.formats.tickets import Ticket
from connect.intake.mapping.matching import quoted
from connect.intake.mapping.paths import FieldPath, lookup
from connect.intake.outcome import EventItem, ItemOutcome, RejectedItem, event
from streams.sla.instants import format_rfc3339

_SUPPORT: tickets.Author = {"kind": "support"}
_CUSTOMER: tickets.Author = {"kind": "customer"}
#: Ends the ids of events that are no change of the ticket with an id of its own.
_CHANGE = "import"


def ticket_rows(path: Path, mapping: TicketMapping, warn: Callable[[str], None]) -> Iterator[SourceRow]:
    """The rows of an export. `warn` is told what is wrong with the file. Raises UnreadableExport."""
    for row in export_rows(path, mapping, warn):
        if row.problem:
            yield SourceRow(row.place, "", [RejectedItem("", "invalid", row.problem)])
        else:
            yield _source_row(row.place, row.fields, mapping)


def _source_row(place: str, fields: Mapping[str, object], mapping: TicketMapping) -> SourceRow:
    key = _text(fields, mapping.key) or _text(fields, mapping.id) or ""
    notes: list[str] = []
    try:
        outcomes = list(_outcomes(fields, mapping, notes))
    except ValueError as error:
        outcomes = [RejectedItem("", "invalid", str(error))]
    return SourceRow(place, key, outcomes, tuple(dict.fromkeys(notes)))


def _outcomes(fields: Mapping[str, object], mapping: TicketMapping, notes: list[str]) -> Iterator[ItemOutcome]:
    """Raises ValueError that names the field."""
    source = mapping.source
    identity = _text(fields, mapping.id)
    if not identity:
        raise ValueError(f"{mapping.id}: is empty; it identifies the ticket")
    opened = _time(fields, mapping.opened, mapping, notes)
    if opened is None:
        raise ValueError(f"{_named(mapping.opened)}: is empty; it is when the ticket was created")
    started, responded = (_time(fields, paths, mapping, notes) for paths in (mapping.started, mapping.responded))
    ended = _end(fields, mapping, notes)
    _in_order(mapping, opened, responded, ended)
    subject = f"{source.name}-{identity}"
    ticket = Ticket(
        subject=subject,
        key=_text(fields, mapping.key) or identity,
        created=format_rfc3339(opened),
        title=_text(fields, mapping.title),
        time=format_rfc3339(opened if ended is None else ended),
        change=_CHANGE,
        by=_SUPPORT,
    )
    for outcome in tickets.ticket_opened(ticket, fields, source, "open" if ended is None else "resolved"):
        if not isinstance(outcome, EventItem):
            yield outcome
            return
        yield _started(outcome, started)
    if responded is not None:
        at, name = format_rfc3339(responded), f"{subject}-responded-{_CHANGE}"
        yield EventItem("", event("incident.responded", name, source.source, subject, at, {"who": _SUPPORT}))
    if mapping.updates is not None:
        yield from _updates(fields, mapping.updates, mapping, ticket, notes)


def _started(outcome: EventItem, started: int | None) -> EventItem:
    opened = outcome.event
    data = opened["data"]
    if started is None or opened["type"] != "incident.opened" or not isinstance(data, dict):
        return outcome
    return EventItem("", {**opened, "data": {**data, "started_at": format_rfc3339(started)}})


def _end(fields: Mapping[str, object], mapping: TicketMapping, notes: list[str]) -> int | None:
    """When the ticket was resolved; None while it is open."""
    ended = _time(fields, mapping.resolved, mapping, notes)
    if mapping.status is None:
        return ended
    status = _text(fields, mapping.status) or ""
    state = mapping.source.states.of(status)
    if state != "resolved":
        if ended is not None:
            notes.append(
                f"{mapping.status} is {quoted(status)}, which means open: {_named(mapping.resolved)} does not count"
            )
        if state != "open":
            notes.append(f"{mapping.status} is {quoted(status)}: since when it waits is not known, so no clock pauses")
        return None
    if ended is None:
        where = f"{_named(mapping.resolved)}: is empty" if mapping.resolved else "no field is mapped to `resolved`"
        raise ValueError(f"{where}, but {mapping.status} is {quoted(status)}, which means resolved")
    return ended


def _in_order(mapping: TicketMapping, opened: int, responded: int | None, ended: int | None) -> None:
    for paths, at in ((mapping.responded, responded), (mapping.resolved, ended)):
        if at is not None and at < opened:
            raise ValueError(f"{_named(paths)}: is before {_named(mapping.opened)}; check formats and zone of `times`")


def _updates(
    fields: Mapping[str, object], updates: Updates, mapping: TicketMapping, ticket: Ticket, notes: list[str]
) -> Iterator[ItemOutcome]:
    for number, comment in enumerate(_comments(fields, updates), 1):
        where = f"{updates.path}[{number}]."
        text = _text(comment, updates.text)
        at = _time(comment, (updates.time,), mapping, notes, where)
        if at is None:
            raise ValueError(f"{where}{updates.time}: is empty; it is when the comment was written")
        by = _SUPPORT if _all_hold(updates.support, comment) else _CUSTOMER
        public = _all_hold(updates.public, comment)
        change = f"{_CHANGE}-{_text(comment, _COMMENT_ID) or number}"
        yield from tickets.comment_added(
            ticket._replace(time=format_rfc3339(at), change=change, by=by), text, public, mapping.source
        )


_COMMENT_ID = FieldPath("id", ("id",))


def _all_hold(conditions: tuple[Any, ...], comment: Mapping[str, object]) -> bool:
    return bool(conditions) and all(condition.holds(comment) for condition in conditions)


def _comments(fields: Mapping[str, object], updates: Updates) -> Iterator[Mapping[str, object]]:
    """The comments of a row as objects. Raises ValueError."""
    for number, each in enumerate((found for found in updates.path.values(fields) if found not in ("", None)), 1):
        if updates.split and isinstance(each, str):
            parts = each.split(";", len(updates.split) - 1)
            if len(parts) < len(updates.split):
                names = ";".join(updates.split)
                raise ValueError(f"{updates.path}[{number}]: has {len(parts)} parts; expected {names}")
            yield dict(zip(updates.split, (part.strip() for part in parts), strict=True))
        elif isinstance(each, Mapping):
            yield each
        else:
            raise ValueError(f"{updates.path}[{number}]: is no object; name its parts in `split`")


def _time(
    fields: Mapping[str, object], paths: FieldPaths, mapping: TicketMapping, notes: list[str], where: str = ""
) -> int | None:
    """The first time at one of the paths; what means that there is none is passed over. Raises ValueError that names
    the field."""
    for path in paths:
        text = _text(fields, path)
        if text is None:
            continue
        try:
            found = mapping.times.read(text)
        except ValueError:
            allowed = ", ".join(mapping.times.formats)
            raise ValueError(f"{where}{path}: {text[:60]!r} is no time; allowed: {allowed}") from None
        if found is None:
            continue
        if found.note:
            notes.append(found.note)
        return found.micros
    return None


def _named(paths: FieldPaths) -> str:
    return " and ".join(map(str, paths))


def _text(fields: Mapping[str, object], path: FieldPath | None) -> str | None:
    return None if path is None else next(iter(lookup(fields, path)), None)
