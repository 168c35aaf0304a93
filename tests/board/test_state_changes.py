"""What changed about an incident, in the words and the zone of the viewer."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from board.pages.state_changes import shown_changes
from board.viewer import Viewer
from connect.actions.outcome import FieldChange
from connect.actions.revision import COMPARED
from streams.i18n.catalogues import LANGUAGES, Language

AT = "2026-06-10T12:00:00Z"
CHANGES = (
    FieldChange("status", "open", "resolved"),
    FieldChange("ended_at", None, AT),
    FieldChange("counts_as_downtime", True, False),
    FieldChange("tenant_ids", [], ["acme", "globex"]),
    FieldChange("scope", "platform", "tenants"),
    FieldChange("coverage", "covered", "not_covered"),
    FieldChange("waiting", None, "customer"),
    FieldChange("tier", None, 2),
    FieldChange("clock.response.1", None, {"state": "met", "deadline": AT}),
    FieldChange("clock.update.2", {"state": "running", "deadline": None}, {"state": "cancelled", "deadline": None}),
)


def test_values_are_in_the_zone_of_the_viewer() -> None:
    found = shown_changes(CHANGES, Viewer("en", ZoneInfo("Asia/Tokyo")))
    assert found == (
        ("Status", "open", "resolved"),
        ("Ended", "–", "2026-06-10 21:00:00"),
        ("Counts as downtime", "yes", "no"),
        ("Tenants", "–", "acme, globex"),
        ("Scope", "every tenant", "listed tenants"),
        ("Coverage", "covered", "not covered"),
        ("Waiting", "–", "waiting for the customer"),
        ("Tier", "–", "2"),
        ("response 1", "–", "met, 2026-06-10 21:00:00"),
        ("public update 2", "running", "cancelled"),
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_field_is_shown_by_its_name_in_the_schema(language: Language) -> None:
    changes = [FieldChange(name, None, None) for name in COMPARED]
    names = [name for name, _, _ in shown_changes(changes, Viewer(language, ZoneInfo("UTC")))]
    assert len(set(names)) == len(COMPARED)
    assert not set(names) & set(COMPARED)
    if language == "ja":
        assert all(name[0] > "\u3000" for name in names)
