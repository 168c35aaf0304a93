"""One message to one destination, and the key that ties the messages of one page together. Pure."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256
from typing import Literal, NamedTuple

from connect.feedback_links import quoted_deployment
from connect.notify.triggers import JsonObject
from streams.i18n.catalogues import Language
from streams.serde.cloudevents_headers import INCIDENT_ENDED

#: PagerDuty refuses a longer `dedup_key`.
LONGEST_DEDUP_KEY = 255


#: Tenants that messages to people list; how many more there are is said.
LISTED_TENANTS = 20
#: Memory of an event in bytes, roughly: without its lists, of a tenant's id, and of a clock of a closing.
_EVENT_BYTES, _TENANT_BYTES, _CLOCK_BYTES = 4_000, 190, 800
#: In place of a clock: the message is a digest.
DIGEST = "digest"
#: The type of the message that ends the page of an alert whose incident had ended before it.
_PAGE_ENDED = "sla.page_ended"


class Message(NamedTuple):
    """One message. `id` is the same on every attempt; `seq` orders the messages of a page. `since` is when the message
    was created, `due` when to try next (microseconds)."""

    id: str
    action: Literal["trigger", "resolve"]
    clock: str
    event: JsonObject
    seq: int
    since: int
    due: int
    tries: int = 0
    language: Language | None = None
    """Of the texts; None: the destination's own."""

    key: str | None = None
    """The dedup key that its page was opened with; None: the key of releases that did not name the deployment."""

    opens: bool = False
    """Whether its clock has no page before it is delivered."""

    record_at: int = 0
    """The timestamp of the record that it comes from; 0 in rows of releases before."""

    attempted: bool = False
    """Whether it may have been sent. Stored before the first attempt where that matters."""

    kind: str = ""
    """The kind of destination that it was made for; empty in rows of releases before."""

    @property
    def late(self) -> bool:
        """Whether it is about an alert that was published only after its incident had ended. People see it all the
        same, and its page ends with a message that follows it: no other one would end it. A digest is late if one of
        its alerts is."""
        return INCIDENT_ENDED in self.event

    @property
    def size(self) -> int:
        """Its memory in bytes, roughly."""
        data = self.event["data"]
        lists = _TENANT_BYTES * len(data.get("tenant_ids", ())) + _CLOCK_BYTES * len(data.get("clocks", ()))
        return _EVENT_BYTES + lists

    def end(self, unused: Collection[str]) -> Message:
        """The message that follows a late alert and ends its page, without the fields that are not used there."""
        data = {name: value for name, value in self.event["data"].items() if name not in unused}
        event = {**self.event, "id": f"{self.event['id']}-ended", "type": _PAGE_ENDED, "data": data}
        name = f"{self.id}/ended/{self.seq}"
        return self._replace(id=name, action="resolve", event=event, seq=self.seq + 1, opens=False)

    def dedup_key(self, incident: str) -> str:
        """What ties it to the other messages about the same page."""
        return self.key if self.key is not None else unnamed_dedup_key(incident, self.clock)


def dedup_key(deployment: str, incident: str, clock: str) -> str:
    """The key shared by a clock's reminder, breach and resolution, unique to the deployment."""
    return _bounded_key(deployment, f"{incident}/{clock}")


def digest_key(deployment: str, name: str) -> str:
    """The key shared by a digest and its end, unique to the deployment."""
    return _bounded_key(deployment, f"{DIGEST}/{name}")


def _bounded_key(deployment: str, name: str) -> str:
    """At most 255 bytes, so that it is short enough whether a service counts bytes or characters."""
    quoted = quoted_deployment(deployment)
    key = f"{quoted}/{name}"
    if len(key.encode()) <= LONGEST_DEDUP_KEY:
        return key
    digest = sha256(key.encode()).hexdigest()
    named = f"{quoted}/{digest}"
    return named if len(named.encode()) <= LONGEST_DEDUP_KEY else digest


def unnamed_dedup_key(incident: str, clock: str) -> str:
    """The key that pages had which were opened by releases before deployments were named."""
    key = f"{incident}/{clock}"
    return key if len(key) <= LONGEST_DEDUP_KEY else sha256(key.encode()).hexdigest()
