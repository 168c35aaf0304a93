"""One event as a consumer receives it: the JSON form of the contract, with properties for its envelope."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from streams.serde.cloudevents_headers import INCIDENT_ENDED
from streams.serde.json_values import instant_to_json
from streams.sla.events import Position


class ReceivedEvent(dict[str, Any]):
    """One event in the JSON form of the contract: a CloudEvents object, ready for json.dumps. `position` has its
    coordinates in Kafka."""

    def __init__(self, event: Mapping[str, Any], position: Position, *, deleted: bool = False) -> None:
        super().__init__(event)
        self.position = position
        self.deleted = deleted
        """States only: the incident is no longer retained. `subject` names it, `data` is empty."""

    @classmethod
    def deletion(cls, incident: str, timestamp_ms: int, position: Position) -> ReceivedEvent:
        """A record without value on the topic of states: a deleted key."""
        event = {
            "specversion": "1.0",
            "id": f"{position.topic}/{position.partition}/{position.offset}",
            "type": "incident.state",
            "source": "/sla/incidents",
            "subject": incident,
            "time": instant_to_json(timestamp_ms * 1_000),
            "data": {},
        }
        return cls(event, position, deleted=True)

    @property
    def id(self) -> str:
        """The same fact always has the same id, also when it holds again: a breach that late evidence has taken back
        and later evidence brings back. So it is the key of what stands, such as a page's; an event with an id that is
        known may still say something new. `position` names the record."""
        return cast(str, self["id"])

    @property
    def type(self) -> str:
        """Such as `sla.breached`."""
        return cast(str, self["type"])

    @property
    def subject(self) -> str:
        """The incident's id; of credits the tenant's."""
        return cast(str, self["subject"])

    @property
    def time(self) -> datetime:
        """The instant it is true of, UTC: of a breach the deadline."""
        return datetime.fromisoformat(self["time"])

    @property
    def data(self) -> dict[str, Any]:
        """The fields of its type."""
        return cast(dict[str, Any], self["data"])

    @property
    def backfill(self) -> bool:
        """Whether it follows from loaded history, which must page nobody."""
        return bool(self.get("backfill"))

    @property
    def incident_ended(self) -> datetime | None:
        """Of a breach that was published only after its incident had ended: when that was, UTC. Its `incident.closed`
        may have been handled before, so nothing may follow that ends what the breach has led to."""
        ended = self.get(INCIDENT_ENDED)
        return None if ended is None else datetime.fromisoformat(ended)


def incident_of(key: bytes | None) -> str | None:
    """The incident whose state a record of that key is; None where another program wrote the key."""
    try:
        return None if key is None else key.decode()
    except UnicodeDecodeError:
        return None
