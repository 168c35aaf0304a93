"""Actions that were sent: a second click, a retry and two people at one incident meet here, within one process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from connect.actions.outcome import JsonEvent, Outcome
from connect.actions.prepared import Prepared
from streams.sla.events import Position
from streams.sla.instants import SECOND

#: Actions that are remembered.
MOST = 10_000
#: How long an accepted action may not show in the state yet.
RECENT = 10 * SECOND


@dataclass(slots=True)
class SentAction:
    """One action id of a person. `signature` is what was asked when it was sent."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    signature: object = None
    prepared: Prepared | None = None
    positions: tuple[Position, ...] = ()
    """Where its events are, once Kafka has acknowledged them."""
    outcome: Outcome | None = None


@dataclass(slots=True)
class _Subject:
    """Whoever works at a subject, and waits for it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


class SentActions:
    """What each action id sent, and the latest actions at each incident. Thread-safe; the oldest are forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._actions: OrderedDict[tuple[str, str], SentAction] = OrderedDict()
        self._recent: OrderedDict[str, list[tuple[int, int, str, JsonEvent]]] = OrderedDict()
        self._subjects: dict[str, _Subject] = {}

    @contextmanager
    def action(self, person: str, action_id: str) -> Iterator[SentAction]:
        """What is known of an action id. Whoever sends the same one at the same time waits."""
        with self._lock:
            found = self._actions.setdefault((person, action_id), SentAction())
            self._actions.move_to_end((person, action_id))
            if len(self._actions) > MOST:
                self._actions.popitem(last=False)
        with found.lock:
            yield found

    @contextmanager
    def alone(self, subject: str) -> Iterator[None]:
        """Held while an action at a subject is checked and sent: of two people one is first. Sending may take long, so
        no other subject waits. Subjects at which nobody works are forgotten."""
        with self._lock:
            found = self._subjects.setdefault(subject, _Subject())
            found.users += 1
        try:
            with found.lock:
                yield
        finally:
            with self._lock:
                found.users -= 1
                if not found.users:
                    del self._subjects[subject]

    def note(self, subject: str, revision: int, person: str, event: JsonEvent, now: int) -> None:
        """An action was sent that was decided at this revision of the incident."""
        with self._lock:
            noted = [each for each in self._recent.get(subject, ()) if now - each[0] <= RECENT]
            self._recent[subject] = [*noted, (now, revision, person, event)]
            self._recent.move_to_end(subject)
            if len(self._recent) > MOST:
                self._recent.popitem(last=False)

    def recent(self, subject: str, state: Mapping[str, object], person: str, now: int) -> list[JsonEvent]:
        """Actions of others at an incident that its state may not show yet."""
        with self._lock:
            noted = [each for each in self._recent.get(subject, ()) if now - each[0] <= RECENT]
            if subject in self._recent:
                self._recent[subject] = noted
        return [event for _, revision, who, event in noted if who != person and revision == state["revision"]]
