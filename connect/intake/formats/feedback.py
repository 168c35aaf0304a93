"""What tools that people work with have in common: a person acts on a page or a post, and the mapping says what that
becomes. Nothing becomes an event that the mapping does not name."""

from __future__ import annotations

import hmac
from typing import NamedTuple

from connect.intake.mapping.classification import ignored_by_rule, truncate_text
from connect.intake.mapping.matching import first_match
from connect.intake.mapping.rules import Source
from connect.intake.outcome import EventItem, IgnoredItem, ItemOutcome, RejectedItem, event


class Feedback(NamedTuple):
    """One action of a person. `time` is RFC 3339 or whatever stands in its place; it is checked later."""

    tool: str
    """The tool's name for people."""
    tool_event: str
    incident: str
    change: str
    """The tool's own id of the action, the same in each retry."""
    time: object
    text: str | None = None


def unnamed(tool_event: str) -> IgnoredItem:
    """The tool's event becomes nothing, because the mapping does not name it."""
    return IgnoredItem("", f"the mapping does not say what {tool_event[:80]} becomes")


def outcome(feedback: Feedback, view: object, source: Source) -> ItemOutcome:
    """What an action becomes; paths of the mapping look into `view`."""
    rule = source.events.get(feedback.tool_event)
    if rule is None:
        return unnamed(feedback.tool_event)
    ignored = ignored_by_rule(source, view)
    if ignored is not None:
        return IgnoredItem("", ignored.reason)
    people, reason = first_match(source.who, view)
    if not people:
        return RejectedItem("", "invalid", f"who: {reason}; incident {feedback.incident[:128]} is unchanged")
    who: dict[str, object] = {"kind": "support", "id": people[0]}
    data: dict[str, object] = {"who": who}
    if rule.event_type == "incident.reopened":  # it names no person
        data = {"reason": truncate_text(f"reopened in {feedback.tool} by {people[0]}")}
    elif rule.event_type == "incident.updated":
        text = None if feedback.text is None else truncate_text(feedback.text)
        data |= {"visibility": rule.visibility, "text": text}
    name = f"{source.name}-{rule.event_type.partition('.')[2]}-{feedback.change}"
    return EventItem("", event(rule.event_type, name, source.source, feedback.incident, feedback.time, data))


def same_digest(expected: bytes, given: str) -> bool:
    """Compare an HMAC with its hexadecimal form in a time that does not depend on how much of it is right."""
    return hmac.compare_digest(expected.hex().encode(), given.encode(errors="replace"))
