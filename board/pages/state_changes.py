"""What changed about an incident's state, as pages show it: fields and values in the viewer's language and zone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from board.pages.action_texts import action_page_phrases
from board.pages.incident_texts import incident_phrases
from board.pages.render import local
from board.pages.texts import board_phrases
from board.viewer import Viewer
from connect.actions.outcome import FieldChange
from connect.actions.texts import action_phrases
from streams.i18n.catalogues import Language
from streams.sla.instants import parse_rfc3339

_INSTANTS = frozenset({"started_at", "restored_at", "ended_at", "responded_at", "updated_at", "deadline"})
_NOTHING = "–"


def shown_changes(changes: Iterable[FieldChange], seen_by: Viewer) -> tuple[tuple[str, str, str], ...]:
    """Triples of a field's name, its value before and its value after; fields are those of `connect.actions.revision`,
    clocks included."""
    return tuple(
        (
            _name(each.field, seen_by.language),
            _value(each.field, each.before, seen_by),
            _value(each.field, each.after, seen_by),
        )
        for each in changes
    )


def _name(field: str, language: Language) -> str:
    common = board_phrases(language)
    match field.split("."):
        case ["clock", metric, instance]:
            return f"{common.metrics.get(metric, metric)} {instance}"
    return action_page_phrases(language).state_fields.get(field, field)


def _value(field: str, value: object, seen_by: Viewer) -> str:
    if isinstance(value, Mapping):  # of a clock
        return ", ".join(_value(name, each, seen_by) for name, each in value.items() if each is not None)
    if isinstance(value, list):
        return ", ".join(map(str, value)) or _NOTHING
    if value is None:
        return _NOTHING
    if isinstance(value, bool):
        return incident_phrases(seen_by.language).yes_no["yes" if value else "no"]
    if field in _INSTANTS:
        return local(parse_rfc3339(str(value)), seen_by, "%Y-%m-%d %H:%M:%S")
    return _words(field, seen_by.language).get(str(value), str(value))


def _words(field: str, language: Language) -> Mapping[str, str]:
    """The words for values of a field that has some."""
    match field:
        case "status":
            return board_phrases(language).statuses
        case "state":
            return incident_phrases(language).states
        case "waiting":
            return board_phrases(language).waiting
        case "coverage":
            return action_page_phrases(language).coverage
        case "scope" | "impact":
            return action_phrases(language).choice
    return {}
