"""The formats that a source may have. A new format is a new module beside this one and a line in this table."""

from __future__ import annotations

from connect.intake.formats import alertmanager, jira, rest, zendesk
from connect.intake.formats.source_format import SourceFormat
from connect.intake.mapping.rules import Source

#: Format name in the mapping file → format.
FORMATS: dict[str, SourceFormat] = {
    each.name: each for each in (alertmanager.FORMAT, zendesk.FORMAT, jira.FORMAT, rest.FORMAT)
}


def format_of(source: Source) -> SourceFormat:
    """The format of a source that the mapping file has been checked for."""
    return FORMATS[source.format]


def detect(payload: object) -> SourceFormat | None:
    """The format that a JSON value has, or None when it looks like none of them."""
    return next((each for each in FORMATS.values() if each.looks_like(payload)), None)
