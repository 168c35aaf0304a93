"""Publishes the events of approved proposals. It remembers nothing that the read model does not say: whether an event
is in the topic is read back from there, so a board that is killed anywhere goes on, and boards may do it twice: the
event is the same each time and counts once (R1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine, select

from board.proposals.proposal import Proposal, input_event, input_event_id
from board.proposals.stored import get_proposal
from board.queries.rejects import names_last_input
from board.store.proposal_tables import proposal
from board.store.tables import entry, reject
from connect.actions.outcome import JsonEvent
from streams.serde.input_records import INCIDENT_EVENTS
from streams.sla.events import Position
from streams.sla.instants import DAY, MINUTE
from streams.time_source import TimeSource

#: An event that was acknowledged and is not read back is sent again after this.
_AGAIN: Final = MINUTE
#: Later, the workers would reject it as too late (R5).
_AT_MOST: Final = 30 * DAY


class PublishedEvent(NamedTuple):
    """Where a proposal's event is in the input topic, and why it was rejected if it was."""

    position: Position
    code: str | None
    message: str | None


class ApprovedPublisher:
    """Publishes what is approved. `is_current` says whether the read model has reached the end of the topics: before,
    an event may be in the topic unseen."""

    def __init__(
        self,
        engine: Engine,
        send: Callable[[Sequence[JsonEvent]], object],
        is_current: Callable[[], bool],
        time_source: TimeSource,
    ) -> None:
        self._engine = engine
        self._send = send
        self._is_current = is_current
        self._time = time_source
        self._sent: dict[str, int] = {}

    def publish_waiting(self) -> int:
        """Publish what is approved and not read back yet; how many events. Raises SlaError and SQLAlchemyError."""
        if not self._is_current():
            return 0
        now = self._time.now()
        with self._engine.connect() as connection:
            waiting = unpublished(connection, now - _AT_MOST)
        self._sent = {name: at for name, at in self._sent.items() if now - at < _AGAIN}
        events = [(each.proposed.proposal_id, input_event(each)) for each in waiting]
        due = [(name, event) for name, event in events if event is not None and name not in self._sent]
        for name, event in due:
            self._send([event])
            self._sent[name] = now
        return len(due)


def unpublished(connection: Connection, since: int) -> list[Proposal]:
    """Proposals that were approved since an instant and whose event is not in the read model."""
    query = select(proposal.c.proposal_id).where(proposal.c.status == "approved", proposal.c.decided_at >= since)
    names = connection.execute(query).scalars().all()
    found = [get_proposal(connection, name) for name in names]
    return [each for each in found if each is not None and published_event(connection, each) is None]


def published_event(connection: Connection, found: Proposal) -> PublishedEvent | None:
    """The event of a proposal as it was read back; None when it was not."""
    query = select(entry.c.partition, entry.c.offset).where(
        entry.c.subject == found.proposed.incident_id,
        entry.c.topic == INCIDENT_EVENTS,
        entry.c.event_id == input_event_id(found.proposed.proposal_id),
    )
    row = connection.execute(query.order_by(entry.c.offset).limit(1)).first()
    if row is None:
        return None
    rejected = connection.execute(
        select(reject.c.code, reject.c.message).where(
            reject.c.original_topic == INCIDENT_EVENTS,
            reject.c.original_partition == row.partition,
            reject.c.original_offset == row.offset,
            ~names_last_input(),
        )
    ).first()
    position = Position(INCIDENT_EVENTS, row.partition, row.offset)
    return PublishedEvent(position, *(rejected or (None, None)))
