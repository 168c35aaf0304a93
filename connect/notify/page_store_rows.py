"""The state of destinations as rows of the topic `notifications`: compacted, JSON, one per open page and message.

| key (parts separated by U+001F) | value |
|---|---|
| destination, `page`, incident | its clocks: open ones with keys, those in digests, those breached; its language |
| destination, `pending`, incident, message id | a message that waits: its event, tries, next try |
| destination, `parked`, message id | a message that was not delivered, and why |
| destination, `retry`, message id | an operator's request to retry a parked message |

A digest is a page too: in place of an incident it has U+001F and its dedup key. A row without a value deletes its key.
Rows are in the partition of the alert that they come from, and hold no secret.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple, cast

from connect.notify.message import Message
from connect.notify.page import FoldedClock, Page, differing
from streams.i18n.catalogues import Language
from streams.serde.cloudevents_json import format_line

TOPIC = "notifications"
_SEPARATOR = "\x1f"
RowKind = Literal["page", "pending", "parked", "retry"]
_KINDS = ("page", "pending", "parked", "retry")
_SUMMARY = "summary"


#: A row of a worker, at most. One that another program wrote and that is larger could not be written again.
LARGEST_ROW = 4 * 1024 * 1024


class StateRow(NamedTuple):
    """One row to be written; without a value it deletes its key."""

    key: bytes
    value: bytes | None


#: What reading a row raises that no worker wrote: JSON may nest too deeply, or name a number that is infinite.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


class RowKey(NamedTuple):
    """A decoded key; `rest` is what follows the kind."""

    destination: str
    kind: RowKind
    rest: str


class Parked(NamedTuple):
    """A message that was not delivered, and is not retried. `at` is when it was parked."""

    destination: str
    incident: str
    message: Message
    reason: str
    at: int


def prefix_of(destination: str) -> bytes:
    """The start of every key of a destination."""
    return f"{destination}{_SEPARATOR}".encode()


def read_key(key: bytes | None) -> RowKey | None:
    """None for a key that is not of this topic."""
    try:
        destination, kind, rest = (key or b"").decode().split(_SEPARATOR, 2)
    except ValueError:
        return None
    return RowKey(destination, cast(RowKind, kind), rest) if kind in _KINDS else None


def changes(destination: str, before: Page | None, after: Page) -> Iterator[StateRow]:
    """The rows that turn the stored page into the next one. Deletions come last: rows are written one by one, and an
    alert that a crash leaves in two of them is sent twice, not lost."""
    old = before if before is not None else Page(after.incident)
    was, now = differing(old.pending, after.pending)
    remaining = {message.id for message in now}
    known = {message.id: message for message in was}
    for message in now:
        if known.get(message.id) != message:
            yield pending_row(destination, after.incident, message)
    deleted = list[StateRow]()
    if _stored_state(after) != _stored_state(old):
        page = StateRow(_key(destination, "page", after.incident), _page_row(after))
        if page.value is None:
            deleted.append(page)
        else:
            yield page
    for message in was:
        if message.id not in remaining:
            deleted.append(StateRow(_key(destination, "pending", after.incident, message.id), None))
    yield from deleted


def _stored_state(page: Page) -> object:
    """What the row of a page holds; None where it has no row."""
    stored = (page.open, page.keys, page.folded, page.breached, page.language)
    return stored if page.open or page.folded else None


def _page_row(page: Page) -> bytes | None:
    if not page.open and not page.folded:
        return None
    row: dict[str, object] = {
        "incident": page.incident,
        "open": dict(page.open),
        "keys": dict(page.keys),
        "language": page.language,
    }
    if page.folded:
        row["folded"] = {clock: each._asdict() for clock, each in page.folded.items()}
    if page.breached:
        row["breached"] = sorted(page.breached)
    return _json(row)


def pending_row(destination: str, incident: str, message: Message) -> StateRow:
    return StateRow(_key(destination, "pending", incident, message.id), _message(incident, message))


def parked_row(parked: Parked) -> StateRow:
    value = _message(parked.incident, parked.message, reason=parked.reason, at=parked.at)
    return StateRow(_key(parked.destination, "parked", parked.message.id), value)


def retry_rows(parked: Parked) -> tuple[StateRow]:
    """The request that has a running or later notifier retry it. Who takes it over ends the parked row too: an end that
    is written here could come behind the row of the next failure, and nobody would see that one."""
    return (StateRow(_key(parked.destination, "retry", parked.message.id), _message(parked.incident, parked.message)),)


def retried_row(destination: str, message: Message) -> StateRow:
    """The end of a request."""
    return StateRow(_key(destination, "retry", message.id), None)


def unparked_row(destination: str, message: Message) -> StateRow:
    """The end of a parked row."""
    return StateRow(_key(destination, "parked", message.id), None)


def probe_row(destination: str) -> StateRow:
    """A row that changes nothing."""
    return StateRow(_key(destination, "retry", ""), None)


def read_message(value: bytes) -> tuple[str, Message]:
    """Incident and message of a row. Raises one of `UNREADABLE` for an invalid row, and for one that is too large."""
    found = _object(value)
    # A release before did not store attempts: its messages may have been sent.
    message = Message(**{"attempted": True, **{name: found[name] for name in Message._fields if name in found}})
    if message.action not in {"trigger", "resolve"} or not isinstance(message.event["data"], dict):
        raise ValueError("a message has the action trigger or resolve, and an event")
    _language(message.language)
    return str(found["incident"]), without_summary(message)


def without_summary(message: Message) -> Message:
    """Releases before stored the summary of the incident, which must not outlive an erasure (R29)."""
    data = message.event["data"]
    if _SUMMARY not in data:
        return message
    left = {name: value for name, value in data.items() if name != _SUMMARY}
    return message._replace(event={**message.event, "data": left})


def read_parked(key: bytes | None, value: bytes | None) -> Parked | None:
    """The parked message of a row, or None when the row is another."""
    found = read_key(key)
    if found is None or found.kind != "parked" or value is None:
        return None
    try:
        incident, message = read_message(value)
        row = _object(value)
        return Parked(found.destination, incident, message, str(row["reason"]), int(row["at"]))
    except UNREADABLE:
        return None


def parked_at(value: bytes) -> int:
    """When the message of a parked row was parked; 0, long ago, for a row that can't be read."""
    try:
        return int(_object(value)["at"])
    except UNREADABLE:
        return 0


def waiting_since(kind: RowKind, value: bytes) -> int:
    """When the latest alert of the row of a page was written, or a waiting message began to wait; 0, long ago, for a
    row that can't be read."""
    try:
        row = _object(value)
        if kind == "pending":
            return int(row["since"])
        times = [*row["open"].values(), *(each["at"] for each in row.get("folded", {}).values())]
        return max(map(int, times), default=0) * 1_000  # of records, in milliseconds
    except UNREADABLE:
        return 0


def discard_row(parked: Parked) -> StateRow:
    """The row that discards a parked message."""
    return unparked_row(parked.destination, parked.message)


class StoredPages:
    """The rows of one partition as one destination reads them back; unreadable rows are counted."""

    def __init__(self, destination: str) -> None:
        self._prefix = prefix_of(destination)
        self._open: dict[str, Page] = {}
        self._pending: dict[str, tuple[str, Message]] = {}
        self.retries: dict[str, tuple[str, Message]] = {}
        self.others: dict[str, set[str]] = {}
        """Keys of pages and waiting messages of other destinations, by their names."""
        self.redacted: dict[bytes, bytes] = {}
        """Rows of releases before, without the summary that they have."""
        self.owners: set[str] = set()
        """Who has written the rows that count, as far as they say it."""
        self.ended: dict[str, str | None] = {}
        """Who has deleted the row of a page last, by incident."""
        self.stale: dict[bytes, bytes | None] = {}
        """Keys whose last row doesn't count, with the value of the last one that does."""
        self.unreadable = 0

    def read(self, key: bytes | None, value: bytes | None, owner: str | None = None) -> None:
        """One row, in the order of the log, and who it says has written it."""
        found = read_key(key)
        if found is None or key is None:
            self.unreadable += 1
            return
        if not key.startswith(self._prefix):
            self._other(found, value)
            return
        self.redacted.pop(key, None)
        if owner is not None:
            self.owners.add(owner)
        try:
            if found.kind == "page":
                if value is None:
                    self._open.pop(found.rest, None)
                    self.ended[found.rest] = owner
                else:
                    self._open[found.rest] = _page(found.rest, _object(value))
            elif found.kind == "parked":
                if value is not None:
                    self._redact(key, value)
            elif found.kind in {"pending", "retry"}:
                rows = self._pending if found.kind == "pending" else self.retries
                if value is None:
                    rows.pop(found.rest, None)
                else:
                    rows[found.rest] = read_message(value)
                    self._redact(key, value)
        except UNREADABLE:
            self.unreadable += 1

    def pages(self) -> Iterable[Page]:
        """Every page that is open or has waiting messages, once."""
        waiting: dict[str, list[Message]] = {}
        for incident, message in self._pending.values():
            waiting.setdefault(incident, []).append(message)
        for incident in {*self._open, *waiting}:
            pending = sorted(waiting.get(incident, ()), key=lambda each: each.seq)
            page = self._open.get(incident) or Page(incident, language=pending[-1].language)
            yield replace(page, pending=tuple(pending))

    def _redact(self, key: bytes, value: bytes) -> None:
        if f'"{_SUMMARY}"'.encode() in value:
            row = _object(value)
            if row["event"]["data"].pop(_SUMMARY, None) is not None:
                self.redacted[key] = _json(row)

    def _other(self, found: RowKey, value: bytes | None) -> None:
        if found.kind == "parked":
            return
        keys = self.others.setdefault(found.destination, set())
        (keys.discard if value is None else keys.add)(f"{found.kind}{_SEPARATOR}{found.rest}")


def _key(destination: str, kind: RowKind, *rest: str) -> bytes:
    return _SEPARATOR.join((destination, kind, *rest)).encode()


def _message(incident: str, message: Message, **more: object) -> bytes:
    return _json({"incident": incident, **message._asdict(), **more})


def _page(incident: str, row: Mapping[str, Any]) -> Page:
    folded = {
        str(clock): FoldedClock(int(each["at"]), tuple(map(str, each["digests"])))
        for clock, each in row.get("folded", {}).items()
    }
    if row.get("digest") is not None:  # a release before stored neither clocks nor when
        folded[""] = FoldedClock(0, (str(row["digest"]),))
    return Page(
        incident,
        {str(clock): int(at) for clock, at in row["open"].items()},
        language=_language(row["language"]),
        keys={str(clock): str(named) for clock, named in row.get("keys", {}).items()},
        folded=folded,
        breached=frozenset(map(str, row.get("breached", ()))),
    )


def _language(found: object) -> Language | None:
    match found:
        case None | "en" | "ja":
            return found
        case _:
            raise ValueError("a language is en or ja, or absent")


def _json(value: Mapping[str, object]) -> bytes:
    return format_line(value).encode()


def _object(value: bytes) -> dict[str, Any]:
    if len(value) > LARGEST_ROW:
        raise ValueError(f"a row has at most {LARGEST_ROW:,} bytes")
    found = json.loads(value)
    if not isinstance(found, dict):
        raise ValueError("a row is a JSON object")
    return found
