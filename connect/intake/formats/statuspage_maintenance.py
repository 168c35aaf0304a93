"""Scheduled maintenance of a status page as maintenance windows (R23).

Each snapshot is a version of the window, announced when it was last changed: an edit keeps the notice that earlier
versions gave, and what it adds needs its own. What a page completes before it begins is cancelled.
"""

from __future__ import annotations

from collections.abc import Iterator

from connect.intake.formats.statuspage_incidents import SUPPORT, unknown_components
from connect.intake.formats.statuspage_page import PageIncident, instant, time_of
from connect.intake.mapping.classification import ignored_by_rule
from connect.intake.mapping.mapping_rule import EVERY
from connect.intake.mapping.matching import first_match
from connect.intake.mapping.rules import Source
from connect.intake.outcome import EventItem, IgnoredItem, ItemOutcome, RejectedItem, event
from connect.intake.sortable_ids import sortable


def maintenance_outcomes(found: PageIncident, source: Source, *, history: bool = False) -> Iterator[ItemOutcome]:
    """The outcomes of a snapshot. `history`: it is the last one there will be. When its window was changed is not
    known then, so it counts as announced when it was created."""
    if (ignored := ignored_by_rule(source, found.view)) is not None:
        yield IgnoredItem("", ignored.reason)
        return
    subject = f"{source.name}-{found.id}"
    fields = found.view["incident"]
    try:
        start, end = (instant(fields, name, "incident.") for name in ("scheduled_for", "scheduled_until"))
        if end <= start:
            raise ValueError("incident.scheduled_until: is not after scheduled_for")
    except ValueError as error:
        yield RejectedItem("", "invalid", f"maintenance {found.id}: {error}")
        return
    ended = max((post.created_at for post in found.posts), default=found.updated_at)
    if source.states.of(found.status) == "resolved" and ended <= start:
        name, at = f"{subject}-cancelled-{sortable(ended)}", time_of(ended)
        cancelled: dict[str, object] = {"maintenance_id": subject, "who": SUPPORT}
        yield EventItem("", event("maintenance.cancelled", name, source.source, subject, at, cancelled))
        return
    components = list(_components(found, source))
    tenants, why = first_match(source.tenants, found.view, all_known=True)
    reasons = [] if tenants else [f"tenants: {why}"]
    if not components:
        reasons.insert(0, f"component: {first_match(source.component, found.view)[1]}")
    if reasons:
        yield RejectedItem("", "invalid", f"maintenance {found.id}: {'; '.join(reasons)}")
        return
    yield from unknown_components(found, source, subject)
    everyone = EVERY in tenants
    announced = found.created_at if history else found.updated_at
    window: dict[str, object] = {
        "maintenance_id": subject,
        "scope": "platform" if everyone else "tenants",
        "tenant_ids": None if everyone else list(dict.fromkeys(tenants)),
        "components": components,
        "start": time_of(start),
        "end": time_of(end),
        "announced_at": time_of(announced),
        "who": SUPPORT,
    }
    name = f"{subject}-scheduled-{sortable(found.updated_at)}{'-history' if history else ''}"
    yield EventItem("", event("maintenance.scheduled", name, source.source, subject, time_of(announced), window))


def _components(found: PageIncident, source: Source) -> dict[str, None]:
    """Every component of the product that the maintenance concerns, once."""
    views = [found.view_of(each) for each in found.components] or [found.view]
    return dict.fromkeys(values[0] for view in views if (values := first_match(source.component, view)[0]))
