"""The public JSON of a status page, `/api/v2/incidents.json` and `/api/v2/scheduled-maintenances.json`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from connect.history_import.rows import SourceRow
from connect.intake.formats.statuspage import page_outcomes
from connect.intake.mapping.rules import Source
from streams.errors import SlaError

_LISTS = ("incidents", "scheduled_maintenances")


class NotAPage(SlaError):  # noqa: N818 -- it names what happened
    """A file that is no public JSON of a status page."""


def page_rows(document: object, source: Source) -> Iterator[SourceRow]:
    """The incidents and maintenances of a document, in its order. Raises NotAPage."""
    for place, page, incident in _incidents(document):
        identity = incident.get("id") if isinstance(incident, dict) else None
        name = incident.get("name") if isinstance(incident, dict) else None
        key = f"{identity} {name}" if isinstance(name, str) else str(identity)
        outcomes = page_outcomes({"page": page, "incident": incident}, source, history=True)
        yield SourceRow(place, key, outcomes, tuple(_notes(incident)))


def _incidents(document: object) -> Iterator[tuple[str, object, Any]]:
    if isinstance(document, list):  # of the management API
        for index, incident in enumerate(document):
            yield f"[{index}]", {}, incident
        return
    if not isinstance(document, dict):
        raise NotAPage("expected a JSON object with `incidents` or `scheduled_maintenances`")
    page = document.get("page")
    if isinstance(document.get("incident"), dict):
        yield "incident", page, document["incident"]
        return
    lists = [name for name in _LISTS if isinstance(document.get(name), list)]
    if not lists and isinstance(document.get("months"), list):
        raise NotAPage(
            "this is history.json: it has neither posts nor components nor exact times; "
            "save /api/v2/incidents/CODE.json for each `code` in it, and import those files"
        )
    if not lists:
        found = ", ".join(sorted(map(str, document))[:10]) or "nothing"
        raise NotAPage(f"expected `incidents` or `scheduled_maintenances`; the object has {found}")
    for name in lists:
        for index, incident in enumerate(document[name]):
            yield f"{name}[{index}]", page, incident


def _notes(incident: object) -> Iterator[str]:
    if isinstance(incident, dict) and incident.get("scheduled_for") is not None:
        yield "counts as announced when it was created: the page does not say when its window was changed"
