"""PagerDuty's webhooks: what people do with pages, and nothing that machines do."""

from __future__ import annotations

import hmac
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from intake_samples import Json, decided, published, recorded

from connect.intake.formats import pagerduty
from connect.intake.formats.source_format import AuthenticationError, Credentials
from connect.intake.mapping_file import MappingError, load_mapping
from connect.intake.signatures import Secret

FEEDBACK = load_mapping(Path(__file__).resolve().parents[2] / "examples" / "intake" / "feedback.yaml")
SOURCE = FEEDBACK["pagerduty"]
KIM = {"kind": "support", "id": "kim"}


def changed(name: str, **fields: Any) -> Json:
    payload = recorded(f"pagerduty-{name}")
    payload["event"] |= fields
    return payload


def of_page(name: str = "acknowledged", **fields: Any) -> Json:
    payload = recorded(f"pagerduty-{name}")
    payload["event"]["data"] |= fields
    return payload


@pytest.mark.parametrize(
    ("name", "event_type", "time", "data"),
    [
        ("acknowledged", "incident.responded", "2026-04-10T08:20:22.169Z", {"who": KIM}),
        (
            "note",
            "incident.updated",
            "2026-04-10T08:25:00.5Z",
            {"who": KIM, "visibility": "internal", "text": "A failed volume is being replaced."},
        ),
        ("resolved", "incident.resolved", "2026-04-10T09:40:00Z", {"who": KIM}),
        ("reopened", "incident.reopened", "2026-04-10T10:10:00Z", {"reason": "reopened in PagerDuty by kim"}),
    ],
)
def test_what_a_person_does_becomes_what_the_mapping_says(
    name: str, event_type: str, time: str, data: dict[str, Any]
) -> None:
    payload = recorded(f"pagerduty-{name}")
    (event,) = published(decided(SOURCE, payload))
    given = (event["type"], event["subject"], event["source"], event["time"])
    assert given == (event_type, "inc-42", "/intake/pagerduty", time)
    assert {key: value for key, value in event["data"].items() if value is not None} == data
    assert event["id"] == f"pagerduty-{event_type.partition('.')[2]}-{payload['event']['id']}"
    assert published(decided(SOURCE, payload)) == [event]


def test_a_status_update_is_the_public_one() -> None:
    data = recorded("pagerduty-note")["event"]["data"] | {"message": "We work on it", "type": "incident_status_update"}
    (event,) = published(decided(SOURCE, changed("note", event_type="incident.status_update_published", data=data)))
    assert (event["data"]["visibility"], event["data"]["text"]) == ("public", "We work on it")


@pytest.mark.parametrize(
    "agent", [None, "kim", {}, {"type": "service_reference", "id": "PLH1HKV"}, {"type": ["user_reference"]}]
)
def test_what_no_person_did_changes_nothing(agent: Any) -> None:
    """The notifier resolves the page of a clock that was met: the incident stays open."""
    for name in ("acknowledged", "note", "resolved", "reopened"):
        (ignored,) = decided(SOURCE, changed(name, agent=agent)).ignored
        assert ignored.reason == "no person did it: event.agent is no user"
    assert decided(SOURCE, recorded("pagerduty-resolved-by-notifier")).ignored


def test_nothing_is_published_that_the_mapping_does_not_name() -> None:
    bare = replace(SOURCE, events={})
    for name in ("acknowledged", "note", "resolved", "reopened"):
        found = decided(bare, recorded(f"pagerduty-{name}"))
        assert (found.events, found.rejected) == ([], [])
        assert "the mapping does not say what incident." in found.ignored[0].reason
    for other in ("incident.triggered", "incident.escalated", "service.updated", "pagey.ping"):
        (ignored,) = decided(SOURCE, changed("acknowledged", event_type=other)).ignored
        assert ignored.reason == f"{other} changes nothing of an incident"


def test_a_person_that_the_mapping_does_not_name_changes_nothing() -> None:
    agent = recorded("pagerduty-acknowledged")["event"]["agent"] | {"id": "PXXXXXX"}
    found = decided(SOURCE, changed("acknowledged", agent=agent))
    assert found.events == []
    assert "who: event.agent.id is 'PXXXXXX', which line" in found.rejected[0].reason
    assert "incident inc-42 is unchanged" in found.rejected[0].reason


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("sla/inc/42/update/17", "inc/42"),
        ("sla/a · b/resolution/1", "a · b"),
        ("sla/digest/response/1", "digest"),
        ("eu/inc-42/response/1", None),
        ("inc-42/response/1", None),
        ("sla/inc-42/other/1", None),
        ("sla/inc-42/response/x", None),
        ("sla//response/1", None),
        ("d3640fbd41094207a1c11e58e46b1662", None),
        (None, None),
        (["sla/inc-42/response/1"], None),
    ],
)
def test_the_incident_is_that_of_the_dedup_key(key: object, told: str | None) -> None:
    found = decided(SOURCE, of_page(incident_key=key))
    assert [event["subject"] for event in published(found)] == ([] if told is None else [told])
    assert told is not None or "its incident_key is of no page of deployment sla" in found.ignored[0].reason


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"id": "PGR0VU3", "type": "incident_reference", "summary": "[#3] P1 on API · update · [sla/inc-42]"}, None),
        ({"id": "PGR0VU3", "type": "incident_reference", "summary": "[#3] P1 on UI · [sla/inc-43]"}, "page_merged"),
        ({"id": "PGR0VU3", "type": "incident_reference", "summary": "[#3] P1 on API · [eu/inc-42]"}, "page_merged"),
        (None, "page_merged"),
        ("PGR0VU3", "page_merged"),
    ],
)
def test_a_page_that_is_merged_into_another_one_resolves_nothing(other: object, told: str | None) -> None:
    """PagerDuty reports it as resolved by the person who merged; the outage goes on."""
    found = decided(SOURCE, of_page("resolved", resolve_reason={"type": "merge_resolve_reason", "incident": other}))
    assert (found.events, found.rejected) == ([], [])
    (ignored,) = found.ignored
    assert (ignored.unapplied, ignored.subject) == (told, None if told is None else "inc-42")
    assert "merged into another one" in ignored.reason
    for reason in (None, {}, "merge_resolve_reason", {"type": None}):
        assert decided(SOURCE, of_page("resolved", resolve_reason=reason)).events


def test_a_digest_is_no_incident() -> None:
    (ignored,) = decided(SOURCE, of_page(incident_key="sla/digest/0123456789abcdef")).ignored
    assert "digest of several incidents" in ignored.reason


def test_a_key_that_was_too_long_is_found_by_the_title() -> None:
    title = "P1 · [sla/" + "i" * 128 + "]"
    (event,) = published(decided(SOURCE, of_page(incident_key="sla/" + "0" * 64, title=title)))
    assert event["subject"] == "i" * 128


@pytest.mark.parametrize(
    ("title", "incident"),
    [
        ("P1 on API · [sla/inc-42]", "inc-42"),
        ("P1 on API · it says · [sla/inc-1] · [sla/inc-42]", "inc-42"),
        ("P1 on API · [sla/a · b]", "a · b"),
        ("P1 on API · [sla/inc-42", None),  # cut
        ("P1 on API · [sla/inc-", None),
        ("P1 on API · inc-42", None),  # without `feedback: true`
        ("P1 on API · [eu/inc-42]", None),
        ("[sla/inc-42]", None),
        ("P1 · [sla/]", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_a_note_is_placed_by_the_title_of_its_page(title: object, incident: str | None) -> None:
    data = recorded("pagerduty-note")["event"]["data"]
    found = decided(SOURCE, changed("note", data=data | {"incident": {"summary": title}}))
    assert [event["subject"] for event in published(found)] == ([] if incident is None else [incident])
    assert incident is not None or found.ignored[0].unapplied == "page_without_incident"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"id": None}, "event.id: expected"),
        ({"id": "a/b"}, "event.id: expected"),
        ({"id": "x" * 65}, "event.id: expected"),
        ({"data": []}, "event.data: expected an object"),
        ({"occurred_at": None}, "time"),
        ({"occurred_at": "yesterday"}, "time"),
        ({"event_type": 7}, "not a PagerDuty webhook of version 3"),
    ],
)
def test_what_is_no_webhook_is_rejected(fields: dict[str, Any], told: str) -> None:
    found = decided(SOURCE, changed("acknowledged", **fields))
    assert found.events == []
    assert told in found.rejected[0].reason


def credentials(header: str | None, content: bytes = b"{}") -> Credentials:
    headers = {} if header is None else {"X-PagerDuty-Signature": header}
    return Credentials(headers, content, (Secret("old-secret-00000001"), Secret("new-secret-00000001")), 0, 0)


def test_one_of_several_signatures_has_to_fit() -> None:
    fits = hmac.digest(b"new-secret-00000001", b"{}", "sha256").hex()
    wrong = "0" * 64
    for header in (f"v1={fits}", f"v1={wrong},v1={fits}", f"v0=x, v1={fits}"):
        pagerduty.authenticate(credentials(header))
    for header in (
        None,
        "",
        fits,
        f"v0={fits}",
        f"v1={wrong}",
        "v1=",
        "v1=é",
        f"v1={fits[:-1]}",
        ",".join(["v1=0"] * 11),
    ):
        with pytest.raises(AuthenticationError, match="X-PagerDuty-Signature"):
            pagerduty.authenticate(credentials(header))
    with pytest.raises(AuthenticationError):
        pagerduty.authenticate(credentials(f"v1={fits}", b"{} "))


GOOD = """\
version: 1
sources:
  prom-acme:
    format: alertmanager
    secrets: [{env: TOKEN}]
    only_tenants: [acme]
    component: [{value: api}]
    impact: [{value: cosmetic}]
    tenants: [{value: acme}]
  pages:
    format: pagerduty
    secrets: [{env: TOKEN}]
    events: {incident.acknowledged: incident.responded}
    who: [{from: event.agent.id}]
"""


def problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "intake.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(MappingError) as caught:
        load_mapping(file)
    return [str(each).partition(":")[2] for each in caught.value.problems]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("incident.acknowledged:", "incident.acknowleged:", "is no event of pagerduty; did you mean incident.ack"),
        ("incident.responded", "incident.annulled", "pages.events.incident.acknowledged.becomes: 'incident.annulled'"),
        ("incident.responded", "incident.updated", "incident.updated needs a visibility"),
        ("incident.responded", "{becomes: incident.resolved, visibility: public}", "nothing else has one"),
        ("incident.responded", "{becomes: incident.resolved, now: true}", "now: unknown key"),
        ("    events: {incident.acknowledged: incident.responded}\n", "", "pages: events: has no entry"),
        ("    who: [{from: event.agent.id}]\n", "", "pages: who: has no entry"),
        ("{from: event.agent.id}", "{value: kim}", "pages.who[0].value: a person who is the same for everybody"),
        ("{from: event.agent.id}", "{from: agent.id}", "'agent.id' begins with no part of pagerduty payloads"),
        ("{from: event.agent.id}", "{from: event}", "'event' never matches"),
        ("{from: event.agent.id}]", "{from: event.agent.id}]\n    component: [{value: api}]", "no use for it"),
        ("{from: event.agent.id}]", "{from: event.agent.id}]\n    allow: [incident.*]", "publishes incident.* only"),
        (
            "    only_tenants: [acme]\n",
            "    only_tenants: [acme]\n    deployment: eu\n",
            "alertmanager has no use for it",
        ),
        ("    who:", "    only_tenants: [beta]\n    who:", "no other source is limited to these tenants"),
    ],
)
def test_a_mistake_in_the_mapping_is_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in GOOD
    found = problems(tmp_path, GOOD.replace(old, new))
    assert any(told in each for each in found), found


def test_a_scoped_source_reaches_incidents_of_sources_with_its_tenants(tmp_path: Path) -> None:
    file = tmp_path / "intake.yaml"
    file.write_text(GOOD.replace("    who:", "    only_tenants: [acme, beta]\n    who:"), encoding="utf-8")
    source = load_mapping(file)["pages"]
    assert source.id_prefixes == ("prom-acme-",)
    assert published(decided(source, of_page(incident_key="sla/prom-acme-1/response/1")))
    (refused,) = decided(source, of_page(incident_key="sla/inc-42/response/1")).rejected
    assert (refused.code, "may not reach inc-42; its ids begin with prom-acme-" in refused.reason) == (
        "forbidden",
        True,
    )
