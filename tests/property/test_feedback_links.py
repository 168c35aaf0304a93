"""Whatever an incident and a deployment are called: feedback finds the incident that the page named, or none."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from connect.feedback_links import (
    LinkedIncident,
    button_value,
    deployment_of_key,
    incident_of_key,
    incident_of_title,
    link_of_button,
    title_link,
)
from connect.notify.destinations.kind import Destination, Secrets
from connect.notify.destinations.pagerduty import PAGERDUTY
from connect.notify.message import dedup_key, digest_key
from connect.notify.page import Page
from connect.secret_refs import SecretRef
from tests.page_triggers import trigger

NAMES = st.text(alphabet="ab/·[] 0é%5B\u200f\u3000", min_size=1, max_size=12) | st.sampled_from(
    ["digest", "a · [sla/b]", "a · [sla/b", "b]", "response/1", "sla", "x" * 128, "界" * 128, "eu/inc/response/1",
     "prod/inc", "a%2Fb"]
)  # fmt: skip
DEPLOYMENTS = st.sampled_from(["sla", "eu", "eu-prod", "eu/prod", "eu%2Fprod", "a]", "界" * 60])
CLOCKS = st.sampled_from(["response/1", "update/17", "resolution/2"])


@given(DEPLOYMENTS, NAMES, CLOCKS, DEPLOYMENTS)
def test_keys(deployment: str, incident: str, clock: str, other: str) -> None:
    key = dedup_key(deployment, incident, clock)
    assert incident_of_key(deployment, key) in {LinkedIncident(deployment, incident), "hashed"}
    assert deployment_of_key(key, incident, clock) == deployment
    if other != deployment:
        assert incident_of_key(other, key) == "foreign"
    assert incident_of_key(deployment, digest_key(deployment, incident)) in {"digest", "hashed"} or "/" in incident


@given(DEPLOYMENTS, NAMES, DEPLOYMENTS, st.text(alphabet="ab · []", max_size=12), st.integers(1, 400))
def test_titles(deployment: str, incident: str, other: str, before: str, cut: int) -> None:
    title = f"{before} · {title_link(LinkedIncident(deployment, incident))}"
    assert incident_of_title(deployment, title) == incident
    if other != deployment:
        assert incident_of_title(other, title) is None
    if cut < len(title) and "]" not in before:
        assert incident_of_title(deployment, title[:cut]) is None


@given(DEPLOYMENTS, NAMES, st.sampled_from(["it fails", "see · [sla/b", "see · [eu/", "[sla/b]"]), st.booleans())
def test_titles_as_they_are_sent(deployment: str, incident: str, summary: str, linked: bool) -> None:
    """Without a link a title names no incident, whatever summary and id say."""
    pager = Destination("pager", PAGERDUTY, SecretRef("env", "X"), title_links=linked)
    page = Page(incident).apply(
        trigger("breached", incident, summary=summary), pager, 0, busy=False, deployment=deployment
    )
    body = json.loads(pager.kind.prepare(pager, Secrets("key"), incident, page.head, 0).body)
    for each in ("sla", "eu", "eu/prod", deployment):
        expected = incident if linked and each == deployment else None
        assert incident_of_title(each, body["payload"]["summary"]) == expected


@given(NAMES)
def test_titles_of_releases_that_wrote_ids_as_they_are(incident: str) -> None:
    if " · [" not in incident and "%5B" not in incident:
        assert incident_of_title("sla", f"P1 on API · [sla/{incident}]") == incident


@given(DEPLOYMENTS, NAMES, st.sampled_from(["en", "ja"]))
def test_buttons(deployment: str, incident: str, language: str) -> None:
    value = button_value(LinkedIncident(deployment, incident), language)
    assert len(value) <= 2000  # Slack's limit
    assert link_of_button(value) == (LinkedIncident(deployment, incident), language)


@given(st.none() | st.integers() | st.text() | st.sampled_from(["[]", "{}", '{"deployment":1}', "[" * 5000]))
def test_a_value_that_is_not_ours(value: object) -> None:
    assert link_of_button(value) is None
