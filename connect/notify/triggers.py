"""What an alert asks for: a page, the end of one page, or the end of all pages of an incident. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from streams.serde.cloudevents_headers import INCIDENT_ENDED

JsonObject = Mapping[str, Any]
Action = Literal["trigger", "resolve", "close"]

BREACH, RETRACTED = "sla.breached", "sla.breach_retracted"
#: The causes of a breach whose clock had a published verdict before (R12), and by a change of severity, also when it is
#: back (R13).
LATE_EVIDENCE, RECLASSIFIED = "late_evidence", "reclassified"
#: In the data of a closing that people are told of behind alerts of the reopening after it: it must not look like the
#: latest word about the incident.
REOPENED = "reopened_since"
TRIGGERS = ("sla.warning", "sla.update_due", BREACH)
_ACTIONS: Mapping[str, Action] = {
    **dict.fromkeys(TRIGGERS, "trigger"),
    "sla.met": "resolve",
    RETRACTED: "resolve",
    "incident.closed": "close",
}


@dataclass(frozen=True, slots=True)
class PageTrigger:
    """One event that concerns pages. `clock` is the clock instance, `response/1`; empty where all are concerned. `at`
    is its record's timestamp, which never decreases within a partition."""

    event: JsonObject
    action: Action
    clock: str
    at: int

    @property
    def id(self) -> str:
        """The event's id (R3): the same fact always has the same."""
        return cast(str, self.event["id"])

    @property
    def type(self) -> str:
        return cast(str, self.event["type"])

    @property
    def late(self) -> bool:
        """Whether it is an alert that was published only after its incident had ended: nothing else will end its
        page."""
        return self.type in TRIGGERS and INCIDENT_ENDED in self.event

    @property
    def incident(self) -> str:
        return cast(str, self.event["subject"])

    @property
    def data(self) -> JsonObject:
        return cast(JsonObject, self.event["data"])


def page_trigger(event: JsonObject, at: int = 0) -> PageTrigger | str:
    """The trigger of an event in the JSON form, or the reason why there is none. Loaded history opens no page; it
    may end one, as when an incident turns out to have been opened by history."""
    action = _ACTIONS.get(event["type"])
    if action is None:
        return f"{event['type']} is not an alert"
    if action == "trigger" and event.get("backfill"):
        return "it follows from loaded history"
    data = event["data"]
    clock = "" if action == "close" else f"{data.get('metric', 'update')}/{data['instance']}"
    return PageTrigger(event, action, clock, at)
