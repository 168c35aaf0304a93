"""Paths of the mapping: names with dots are quoted, and what can never match is refused when the file is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.main import app
from connect.intake import translate
from connect.intake.mapping.paths import lookup, parse_path, quote_path
from connect.intake.mapping.rules import Source
from connect.intake.mapping_file import MappingError, load_mapping
from streams.serde.cloudevents_json import to_json
from streams.serde.codec import decode
from streams.sla.events import Rejection

DATA = Path(__file__).resolve().parents[2] / "tests" / "data" / "intake" / "labels"
DOTS = (DATA / "dots.json").read_bytes()
MAPPING = """\
version: 1
sources:
  prometheus:
    format: alertmanager
    secrets: [{env: TOKEN}]
    component:
      - from: labels."service.name"
        values: {gateway: api, web: ui}
    impact:
      - {when: {labels."service.name": [web], labels.severity: critical}, value: complete_outage}
    tenants:
      - from: labels.tenant
      - scope: platform
"""
JIRA = """\
version: 1
sources:
  jira:
    format: jira
    secrets: [{env: TOKEN}]
    component: [{value: api}]
    impact: [{from: issue.fields.priority.name}]
    tenants: [{value: acme}]
"""


def mapping(tmp_path: Path, text: str) -> Source:
    file = tmp_path / "intake.yaml"
    file.write_text(text, encoding="utf-8")
    (source,) = load_mapping(file).values()
    return source


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(MappingError) as caught:
        mapping(tmp_path, text)
    return [f"{problem.place.line}: {problem.key}: {problem.what}" for problem in caught.value.problems]


def data(source: Source, body: bytes) -> dict[str, object]:
    (event,) = translate.webhook(source, body).events
    decoded = decode(event.record.value)
    assert not isinstance(decoded, Rejection)
    found = to_json(*decoded)["data"]
    assert isinstance(found, dict)
    return found


def test_a_label_whose_name_has_dots_is_quoted(tmp_path: Path) -> None:
    found = data(mapping(tmp_path, MAPPING), DOTS)
    assert (found["component"], found["impact"], found["tenant_ids"]) == ("ui", "complete_outage", ["acme"])


def test_a_label_with_dots_is_found_without_quotes_too(tmp_path: Path) -> None:
    """Labels have no parts. Mapping files of earlier versions have such paths, and an alert about one tenant must not
    become platform-wide through the last entry."""
    plain = MAPPING.replace('"service.name"', "service.name").replace("labels.tenant", "labels.tenant.id")
    source = mapping(tmp_path, plain)
    alert = json.loads(DOTS)
    labels = alert["alerts"][0]["labels"]
    labels["tenant.id"] = labels.pop("tenant")
    found = data(source, json.dumps(alert).encode())
    assert (found["component"], found["impact"], found["tenant_ids"]) == ("ui", "complete_outage", ["acme"])
    ignoring = plain.replace("    component:", "    ignore: [{labels.service.name: web}]\n    component:")
    (ignored,) = translate.webhook(mapping(tmp_path, ignoring), DOTS).ignored
    assert ignored.reason == "the mapping ignores it: labels.service.name is 'web'"
    assert "labels is not a text" in problems(tmp_path, MAPPING.replace("labels.tenant", "labels"))[0]


def test_an_entry_that_never_applies_is_a_warning_where_no_tenant_is_lost(tmp_path: Path) -> None:
    """Earlier versions took such mapping files, and what they mean is clear."""
    dead = JIRA.replace("component: [{value: api}]", "component: [{value: api}, {value: ui}]")
    assert mapping(tmp_path, dead).warnings == (
        "line 6: this entry of component never applies: an entry before it always gives a value",
    )


def test_scope_platform_is_said_by_the_mapping_alone(tmp_path: Path) -> None:
    source = mapping(tmp_path, MAPPING)
    alert = json.loads(DOTS)
    del alert["alerts"][0]["labels"]["tenant"]
    assert data(source, json.dumps(alert).encode())["scope"] == "platform"
    alert["alerts"][0]["labels"]["tenant"] = "*"
    translation = translate.webhook(source, json.dumps(alert).encode())
    (rejected,) = translation.rejected
    assert not translation.events
    assert "labels.tenant is '*'; only the mapping may say that every tenant is affected" in rejected.reason
    assert (
        "component has no scope"
        in problems(tmp_path, MAPPING.replace("    impact:", "      - scope: platform\n    impact:"))[0]
    )


def test_a_star_as_the_last_resort_is_warned_about(tmp_path: Path) -> None:
    """It is easily read as "any tenant"; it makes an alert whose tenant is not found platform-wide."""
    assert mapping(tmp_path, MAPPING).warnings == ()
    starred = MAPPING.replace("scope: platform", 'value: "*"')
    (warning,) = mapping(tmp_path, starred).warnings
    assert warning.startswith("line 13: payloads in which no entry before it finds a tenant affect every tenant")
    file, body = tmp_path / "intake.yaml", tmp_path / "dots.json"
    body.write_bytes(DOTS)
    done = CliRunner().invoke(app, ["intake", "test", str(body), "--mapping", str(file)])
    assert done.exit_code == 0
    assert f"{file}, line 13: payloads" in done.stderr
    assert mapping(tmp_path, starred.replace("      - from: labels.tenant\n", "")).warnings == ()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("issue.fields.priority.name", "issue.priority.name", "allowed: issue.fields.priority.name"),
        ("issue.fields.priority.name", "issue.fields", "never matches"),
        ("issue.fields.priority.name", "issue", "never matches"),
        ("issue.fields.priority.name", 'issue.fields."priority', "is not a path"),
        ("[{value: acme}]", "[{value: acme}, {value: beta}]", "never applies: an entry before it always gives a value"),
        ("[{value: acme}]", "[{when: {issue.key: []}, value: acme}]", "this is empty"),
        ("[{value: acme}]", "[{value: acme}]\n    ignore: [{}]", "this is empty"),
        ("[{value: acme}]", "[{value: acme, scope: platform}]", "an entry has one origin"),
    ],
)
def test_what_can_never_match_or_always_matches_is_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in JIRA
    assert any(told in problem for problem in problems(tmp_path, JIRA.replace(old, new)))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), min_size=1, max_size=4))
def test_every_name_has_a_quoted_form(names: list[str]) -> None:
    path = parse_path(quote_path(names))
    assert path.names == tuple(names)
    view: object = "found"
    for name in reversed(names):
        view = {name: view}
    assert lookup(view, path) == ["found"]


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", 'a."b', 'a."b"c', 'a.""', 'a"b', " a", 'a."b\\c"'])
def test_a_text_that_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a path"):
        parse_path(text)
