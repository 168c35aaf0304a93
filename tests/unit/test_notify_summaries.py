"""Summaries of incidents: read from openings, shown on pages, bounded, and never of an erased tenant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connect.notify.destinations.kind import MASKED, Destination
from connect.notify.destinations.pagerduty import PAGERDUTY
from connect.notify.destinations.registry import DESTINATION_KINDS
from connect.notify.incident_summaries import IncidentSummaries
from connect.notify.message import Message
from connect.notify.page import Page
from connect.secret_refs import SecretRef
from tests.page_triggers import trigger

REF = SecretRef("env", "X")
TEXT = "Login fails <@here>\n for all users"


def request(kind: str, name: str, **data: Any) -> dict[str, Any]:
    summaries = IncidentSummaries()
    summaries.add("inc-1", TEXT)
    to = Destination("d", DESTINATION_KINDS[kind], REF)
    page = Page("inc-1").apply(trigger(name, **data), to, 0, busy=False)
    shown = summaries.with_summary(page.head)
    found: dict[str, Any] = json.loads(to.kind.prepare(to, MASKED, "inc-1", shown, 0).body)
    return found


def message(incident: str, **data: Any) -> Message:
    to = Destination("d", PAGERDUTY, REF)
    return Page(incident).apply(trigger("breached", incident, **data), to, 0, busy=False).head


def test_a_pager_shows_it_in_the_summary_and_in_the_details() -> None:
    payload = request("pagerduty", "breached")["payload"]
    assert payload["summary"] == "P1 on API · Login fails <@here>  for all users · inc-1"
    assert payload["custom_details"]["Summary"] == "Login fails <@here>  for all users"


def test_slack_shows_it_without_mentions() -> None:
    lines = request("slack", "breached")["blocks"][1]["text"]["text"].splitlines()
    assert lines[0] == "Summary: Login fails <@here>  for all users"


def test_a_webhook_has_it_beside_the_fields_of_the_alert() -> None:
    assert request("webhook", "breached")["data"]["summary"] == "Login fails <@here>  for all users"


@pytest.mark.parametrize("kind", ["pagerduty", "slack", "webhook"])
def test_a_page_of_an_erased_tenant_has_none(kind: str) -> None:
    erased = ["acme", "erased-" + "0123456789abcdef" * 2]
    assert "Login" not in json.dumps(request(kind, "breached", tenant_ids=erased))


def test_an_incident_without_a_summary_is_known_and_the_first_opening_counts() -> None:
    summaries = IncidentSummaries()
    made = message("inc-1")
    assert not summaries.known("inc-1")
    summaries.add("inc-1", None)
    summaries.add("inc-1", "a second opening")
    assert summaries.known("inc-1")
    assert summaries.with_summary(made) is made


def test_the_latest_incidents_are_remembered_and_texts_are_cut() -> None:
    summaries = IncidentSummaries(most=100)
    for number in range(1_000):
        summaries.add(f"inc-{number}", "x" * 4_000)
    assert len(summaries) == 100
    assert not summaries.known("inc-899")
    text = summaries.with_summary(message("inc-999")).event["data"]["summary"]
    assert (len(text), text[-1]) == (300, "…")


def test_a_long_title_and_a_long_summary_fit_a_pager() -> None:
    summaries = IncidentSummaries()
    summaries.add("inc-1", "🚨" * 2_000)
    to = Destination("d", PAGERDUTY, REF)
    made = summaries.with_summary(message("inc-1", title={"en": "t" * 2_000, "ja": "t"}))
    payload = json.loads(to.kind.prepare(to, MASKED, "inc-1", made, 0).body)["payload"]
    assert len(payload["summary"].encode("utf-16-le")) // 2 <= 1_024
