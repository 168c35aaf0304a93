"""Whatever an incident and a deployment are called: feedback finds the incident that the page named, or none."""

from __future__ import annotations

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
from connect.notify.message import dedup_key, digest_key

NAMES = st.text(alphabet="ab/·[] 0é", min_size=1, max_size=12) | st.sampled_from(
    ["digest", "a · [sla/b]", "response/1", "sla", "x" * 128, "界" * 128, "eu/inc/response/1"]
)
DEPLOYMENTS = st.sampled_from(["sla", "eu-prod", "eu/prod", "界" * 60])
CLOCKS = st.sampled_from(["response/1", "update/17", "resolution/2"])


@given(DEPLOYMENTS, NAMES, CLOCKS, DEPLOYMENTS)
def test_keys(deployment: str, incident: str, clock: str, other: str) -> None:
    key = dedup_key(deployment, incident, clock)
    assert incident_of_key(deployment, key) in {LinkedIncident(deployment, incident), "hashed"}
    assert deployment_of_key(key, incident, clock) == deployment
    if not (deployment + "/").startswith(other + "/"):
        assert incident_of_key(other, key) == "foreign"
    assert incident_of_key(deployment, digest_key(deployment, incident)) in {"digest", "hashed"} or "/" in incident


@given(DEPLOYMENTS, NAMES, st.text(alphabet="ab · []", max_size=12), st.integers(min_value=1, max_value=400))
def test_titles(deployment: str, incident: str, before: str, cut: int) -> None:
    title = f"{before} · {title_link(LinkedIncident(deployment, incident))}"
    found = incident_of_title(deployment, title)
    assert found == incident or (" · [" in incident and found == incident.replace(" · [", " - ["))
    if cut < len(title) and "]" not in incident + before:
        assert incident_of_title(deployment, title[:cut]) is None


@given(DEPLOYMENTS, NAMES, st.sampled_from(["en", "ja"]))
def test_buttons(deployment: str, incident: str, language: str) -> None:
    value = button_value(LinkedIncident(deployment, incident), language)
    assert len(value) <= 2000  # Slack's limit
    assert link_of_button(value) == (LinkedIncident(deployment, incident), language)


@given(st.none() | st.integers() | st.text() | st.sampled_from(["[]", "{}", '{"deployment":1}', "[" * 5000]))
def test_a_value_that_is_not_ours(value: object) -> None:
    assert link_of_button(value) is None
