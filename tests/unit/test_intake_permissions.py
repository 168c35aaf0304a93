"""Who may say what: events that need two people, CloudEvents sources, and the tenants of a scoped source."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connect.intake import translate
from connect.intake.formats import cloudevents
from connect.intake.formats.rest import ROUTES
from connect.intake.mapping.rules import Source
from connect.intake.mapping_file import MappingError, load_mapping
from connect.intake.permissions import FOUR_EYES
from connect.intake.web.openapi_examples import EXAMPLES, STRUCTURED_EXAMPLE

ROOT = Path(__file__).resolve().parents[2]
SOURCES = load_mapping(ROOT / "examples" / "intake.yaml")
SERVICES = SOURCES["services"]
EVERYTHING = ("incident.*", *FOUR_EYES, "contract.*", "credit.*", "maintenance.*", "tenant.*")
ACME = Source("acme", "api", (), "/acme", allow=EVERYTHING, only_tenants=("acme", "acme-eu"))


def plain(source: Source, event_type: str, path_id: str = "acme-7", **changed: Any) -> translate.Translation:
    route = next(each for each in ROUTES if each.event_type == event_type)
    body = {name: value for name, value in (EXAMPLES[event_type] | changed).items() if value is not None}
    identity = path_id if route.subject == "{id}" else None
    return translate.plain_json(source, route, identity, json.dumps(body).encode())


def reason(translation: translate.Translation) -> str:
    (rejected,) = translation.rejected
    assert (rejected.code, translation.events) == ("forbidden", [])
    return rejected.reason


@pytest.mark.parametrize("event_type", sorted(FOUR_EYES))
def test_events_that_need_two_people_need_their_own_name(event_type: str) -> None:
    for allow in (("incident.*",), ("incident.*", "contract.*"), ("incident.resolved",)):
        refused = reason(plain(replace(SERVICES, allow=allow), event_type))
        assert f"services may not publish {event_type}" in refused
        assert f"name {event_type} itself to allow it" in refused
    assert plain(replace(SERVICES, allow=("incident.*", event_type)), event_type).events
    others = FOUR_EYES - {event_type}
    assert reason(plain(replace(SERVICES, allow=("incident.*", *others)), event_type))
    assert plain(SERVICES, "incident.resolved").events


def test_the_source_of_an_event_is_the_tokens_own_unless_it_is_configured() -> None:
    def sent(source: str, **changed: Any) -> translate.Translation:
        event = json.dumps(STRUCTURED_EXAMPLE | {"source": source}).encode()
        return translate.cloud_events(replace(SERVICES, **changed), cloudevents.STRUCTURED, {}, event)

    assert sent("/intake/services", allow_sources=()).events
    refused = reason(sent("/monitors/eu", allow_sources=()))
    assert refused == (
        "services may not publish events of source /monitors/eu; allowed: /intake/services (`allow_sources`)"
    )
    assert sent("/monitors/eu", allow_sources=("/monitors/eu",)).events
    assert sent("/monitors/eu", allow_sources=("/monitors/*",)).events
    assert sent("/anything", allow_sources=("*",)).events
    assert reason(sent("/monitors/eu2", allow_sources=("/monitors/eu",)))
    assert "another source of this intake" in reason(sent("/alertmanager/prod", allow_sources=("*",)))


@pytest.mark.parametrize(
    ("event_type", "path_id", "changed", "told"),
    [
        ("incident.opened", "", {"incident_id": "acme-7"}, None),
        ("incident.opened", "", {"incident_id": "acme-7", "tenant_ids": ["acme", "acme-eu"]}, None),
        ("incident.opened", "", {"incident_id": "acme-7", "tenant_ids": ["acme", "beta"]}, "tenant beta"),
        ("incident.opened", "", {"incident_id": "acme-7", "tenant_ids": None, "scope": "platform"}, "whole platform"),
        ("incident.opened", "", {"incident_id": "beta-7"}, "may not reach beta-7"),
        ("incident.resolved", "acme-7", {}, None),
        ("incident.resolved", "prometheus-1", {}, "may not reach prometheus-1; its ids begin with acme-"),
        ("incident.resolved", "acme", {}, "may not reach acme"),
        ("incident.annulled", "inc-42", {}, "may not reach inc-42"),
        ("incident.reclassified", "acme-7", {"scope": "tenants", "tenant_ids": ["beta"]}, "tenant beta"),
        ("incident.reclassified", "acme-7", {"scope": "platform"}, "whole platform"),
        ("incident.merged", "acme-7", {"into": "acme-8"}, None),
        ("incident.merged", "acme-7", {"into": "inc-41"}, "may not reach inc-41"),
        ("contract.set", "", {}, None),
        ("contract.set", "", {"tenant_id": "beta"}, "tenant beta"),
        ("credit.claimed", "", {"tenant_id": "beta"}, "tenant beta"),
        ("maintenance.scheduled", "", {"maintenance_id": "acme-m"}, "whole platform"),
        (
            "maintenance.scheduled",
            "",
            {"maintenance_id": "acme-m", "scope": "tenants", "tenant_ids": ["acme"]},
            None,
        ),
        ("maintenance.scheduled", "", {"scope": "tenants", "tenant_ids": ["acme"]}, "may not reach m-7"),
        ("maintenance.cancelled", "m-7", {}, "may not reach m-7"),
        ("maintenance.cancelled", "acme-m", {}, None),
    ],
)
def test_a_scoped_source_reaches_its_tenants_only(
    event_type: str, path_id: str, changed: dict[str, Any], told: str | None
) -> None:
    found = plain(ACME, event_type, path_id, **changed)
    if told is None:
        assert (found.rejected, len(found.events)) == ([], 1)
    else:
        assert told in reason(found)


def test_a_reason_lists_a_few_of_many_names() -> None:
    """A notification has up to 10,000 alerts, each with its reason, and a source may have thousands of tenants."""
    many = tuple(f"tenant-{number}" for number in range(5_000))
    scoped = replace(ACME, only_tenants=many, id_prefixes=tuple(f"{each}-" for each in many))
    for changed in ({"tenant_ids": ["beta"]}, {"tenant_ids": None, "scope": "platform"}, {"tenant_ids": ["tenant-7"]}):
        told = reason(plain(scoped, "incident.opened", incident_id="beta-7", **changed))
        assert "tenant-19" in told
        assert " and 4,980 more" in told
        assert len(told) < 1_000
    everyone = plain(scoped, "incident.opened", incident_id="tenant-4999-1", tenant_ids=list(many[-1_000:]))
    assert (len(everyone.events), everyone.rejected) == (1, [])
    others = tuple(f"/monitors/{number}" for number in range(100))
    event = json.dumps(STRUCTURED_EXAMPLE | {"source": "/other"}).encode()
    told = reason(translate.cloud_events(replace(SERVICES, allow_sources=others), cloudevents.STRUCTURED, {}, event))
    assert " and 81 more (`allow_sources`)" in told


def test_an_erasure_of_another_tenant_is_forbidden() -> None:
    data = {"tenant_id": "beta", "reason": "left us", "who": {"kind": "support", "id": "kim"}}
    event = STRUCTURED_EXAMPLE | {"type": "tenant.erased", "source": "/acme", "subject": "beta", "data": data}
    found = translate.cloud_events(ACME, cloudevents.STRUCTURED, {}, json.dumps(event).encode())
    assert "tenant beta" in reason(found)


def test_a_scoped_webhook_cannot_affect_the_platform() -> None:
    scoped = replace(SOURCES["prometheus"], only_tenants=("acme",))
    body = (ROOT / "tests/data/intake/alertmanager-firing.json").read_bytes()
    found = translate.webhook(scoped, body)
    assert [event.subject[:10] for event in found.events] == ["prometheus"]
    assert ["whole platform" in each.reason for each in found.rejected] == [True]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: {KEYS, only_tenants: [x]}\n  a-b: {KEYS}", "ids that begin with a- may be those of source a-b"),
        ("a: {KEYS, only_tenants: [x]}\n  ab: {KEYS}", None),
        ("a: {KEYS, allow_sources: [monitors]}", "'monitors' is not a source"),
        ("a: {KEYS, allow_sources: [/monitors/*, '*']}", None),
        ("a: {KEYS, allow: [incident.annulled, incident.*]}", None),
    ],
)
def test_the_mapping_file_checks_permissions(tmp_path: Path, text: str, told: str | None) -> None:
    file = tmp_path / "intake.yaml"
    sources = text.replace("KEYS", "format: api, secrets: [{env: TOKEN}]")
    file.write_text(f"version: 1\nsources:\n  {sources}\n", encoding="utf-8")
    if told is None:
        assert load_mapping(file)
        return
    with pytest.raises(MappingError) as caught:
        load_mapping(file)
    assert told in str(caught.value)
