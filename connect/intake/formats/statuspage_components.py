"""A component of a status page whose status changes, with or without an incident on the page.

A recovery does not name the outage that it ends. So all outages of a component within a quarter are one incident that
is reopened, which is found without any state: incidents are kept for longer than that after their end. A recovery in
the first days of a quarter also ends what began in the one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from connect.intake.formats.statuspage_page import identity_of, instant, time_of
from connect.intake.mapping.classification import (
    Classified,
    IgnoredByRule,
    Unmapped,
    classification_fields,
    classify,
    opened_fields,
    without_tier,
)
from connect.intake.mapping.rules import Source
from connect.intake.outcome import EventItem, IgnoredItem, ItemOutcome, RejectedItem, event
from streams.sla.instants import DAY, to_datetime

#: Status of a component → the impact that Statuspage gives an incident with such a component. The others are no outage.
_IMPACTS = {"major_outage": "critical", "partial_outage": "major", "degraded_performance": "minor"}
_MONITOR: dict[str, object] = {"kind": "monitor"}
#: How long an outage may last after the end of the quarter in which it began.
_REACH = 7 * DAY


class ComponentChange(NamedTuple):
    """A change of a component's status at an instant in microseconds."""

    component: str
    change: str
    name: str
    before: str
    after: str
    at: int
    view: dict[str, Any]
    """What the paths of a mapping look into: the incident that Statuspage would make of it."""

    def view_as(self, status: str) -> dict[str, Any]:
        """The view as if the component had that status."""
        (component,) = self.view["incident"]["components"]
        incident = self.view["incident"] | {"name": _title(self.name, status), "impact": _IMPACTS[status]}
        return {**self.view, "incident": incident | {"components": [{**component, "status": status}]}}

    @property
    def is_outage(self) -> bool:
        """Whether an outage begins, changes or ends."""
        return self.before in _IMPACTS or self.after in _IMPACTS


def read_component(payload: dict[str, Any]) -> ComponentChange:
    """Raises ValueError that names what is missing or wrong."""
    component, update = (_object(payload, name) for name in ("component", "component_update"))
    identity, change = identity_of(component, "component."), identity_of(update, "component_update.")
    at = instant(update, "created_at", "component_update.")
    given = (component.get("name"), update.get("old_status"), update.get("new_status"))
    name, before, after = (str(each)[:80] for each in given)
    incident = {
        "id": identity,
        "name": _title(name, after),
        "impact": _IMPACTS.get(after) or _IMPACTS.get(before),
        "components": [component],
    }
    page = payload.get("page")
    view = {"page": page if isinstance(page, dict) else {}, "incident": incident}
    return ComponentChange(identity, change, name, before, after, at, view)


def component_outcomes(payload: dict[str, Any], source: Source) -> Iterator[ItemOutcome]:
    """The outcomes of a webhook about a component."""
    try:
        it = read_component(payload)
    except ValueError as error:
        yield RejectedItem("", "invalid", str(error))
        return
    if not source.component_incidents:
        reason = (
            f"{it.name} is {it.after}: a status without an incident opens none, unless `component_incidents` is true"
        )
        yield IgnoredItem("", reason)
        return
    if not it.is_outage:
        yield IgnoredItem("", f"{it.name} is {it.after} and was {it.before}, which is no outage either")
        return
    found, failed = _found(it, source)
    match found:
        case IgnoredByRule(reason):
            yield IgnoredItem("", reason)
        case Unmapped(reason):
            yield RejectedItem("", "invalid", f"component {it.component}: {reason}")
        case Classified():
            if failed:
                yield from without_tier(source, found)
            facts = _failed(it.at, found) if failed else _recovered(it.at, found)
            for moment, kind, data in facts:
                subject = f"{source.name}-{it.component}-{_quarter(moment)}"
                event_id = f"{subject}-{kind}-{it.change}"
                made = event(f"incident.{kind}", event_id, source.source, subject, time_of(it.at), data)
                yield EventItem("", made, optional=kind == "opened" and not failed)


def _found(it: ComponentChange, source: Source) -> tuple[Classified | Unmapped | IgnoredByRule, bool]:
    """What a change is, and whether the component fails since. One that has come to a status that the mapping ignores
    has recovered. The mapping may lack a status that the component had in between; its recovery is one nevertheless."""
    found = classify(source, it.view, it.view["incident"]["name"])
    if it.after in _IMPACTS:
        if not isinstance(found, IgnoredByRule) or it.before not in _IMPACTS:
            return found, True
        others = [it.before]
    else:
        others = list(_IMPACTS) if isinstance(found, Unmapped) else []
    for status in others:
        view = it.view_as(status)
        was = classify(source, view, view["incident"]["name"])
        if isinstance(was, Classified):
            return was, False
    return found, it.after in _IMPACTS


def _failed(at: int, found: Classified) -> Iterator[tuple[int, str, dict[str, object]]]:
    """Opens the incident, or opens it again, or changes what it is: what is so already has no effect (R2)."""
    yield at, "opened", opened_fields(found, "monitor")
    yield at, "reopened", {"reason": "the component has failed again"}
    yield at, "reclassified", classification_fields(found)


def _recovered(at: int, found: Classified) -> Iterator[tuple[int, str, dict[str, object]]]:
    """Ends the incident. Where nothing has opened it yet, it is opened at its end: else the end would wait for the
    opening of the next outage, and count as at that (R2, R4)."""
    data: dict[str, object] = {"who": _MONITOR}
    yield at, "opened", opened_fields(found, "monitor")
    yield at, "resolved", data
    if _quarter(at - _REACH) != _quarter(at):
        yield at - _REACH, "resolved", data


def _title(name: str, status: str) -> str:
    return f"{name}: {status.replace('_', ' ')}"


def _quarter(at: int) -> str:
    moment = to_datetime(at)
    return f"{moment.year}q{(moment.month + 2) // 3}"


def _object(payload: dict[str, Any], name: str) -> dict[str, Any]:
    found = payload.get(name)
    if not isinstance(found, dict):
        raise ValueError(f"{name}: expected an object")
    return found
