"""A mapping reads headers of a webhook, and never one that proves its sender."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from intake_samples import published
from typer.testing import CliRunner

from cli.main import app
from connect.intake import translate
from connect.intake.mapping.rules import Source
from connect.intake.mapping_file import MappingError, load_mapping

MAPPING = """\
version: 1
sources:
  forge:
    format: json
    secrets: [{env: TOKEN}]
    authentication: {header: {name: X-Forge-Hook}}
    body:
      incident: [{from: id}]
      state:
        - {when: {header:X-Forge-Event: [incident]}, from: header:x-forge-action, values: {down: opened, up: resolved}}
        - {value: ignored}
      message: header:X-Forge-Delivery
      time: at
    component: [{value: api}]
    impact: [{value: cosmetic}]
    tenants: [{from: header:X-Forge-Tenant}, {scope: platform}]
"""
BODY = json.dumps({"id": 7, "at": "2026-10-12T09:00:00Z"}).encode()
UP = {"x-forge-event": ("Incident",), "x-forge-action": ("up",), "x-forge-delivery": ("d-1",)}


def loaded(tmp_path: Path, old: str = "", new: str = "") -> Source:
    file = tmp_path / "intake.yaml"
    file.write_text(MAPPING.replace(old, new) if old else MAPPING, encoding="utf-8")
    return load_mapping(file)["forge"]


def test_an_event_type_that_only_a_header_has(tmp_path: Path) -> None:
    source = loaded(tmp_path)
    assert source.headers == {"x-forge-event", "x-forge-action", "x-forge-delivery", "x-forge-tenant"}
    (resolved,) = published(translate.webhook(source, BODY, headers=UP))
    assert (resolved["type"], resolved["id"]) == ("incident.resolved", "forge-7-resolved-d-1")
    down = UP | {"x-forge-action": ("down",), "x-forge-tenant": ("acme", "", "globex")}
    (opened,) = published(translate.webhook(source, BODY, headers=down))
    assert (opened["type"], opened["data"]["tenant_ids"]) == ("incident.opened", ["acme", "globex"])
    for headers in ({}, UP | {"x-forge-event": ("push",)}):
        found = translate.webhook(source, BODY, headers=headers)
        assert (found.events, len(found.ignored)) == ([], 1)


@pytest.mark.parametrize("items", ["", "      items: alerts\n"])
def test_every_item_of_a_body_has_the_headers(tmp_path: Path, items: str) -> None:
    source = loaded(tmp_path, "      incident:", f"{items}      incident:")
    body = json.loads(BODY)
    given = {"alerts": [body, body | {"id": 8}]} if items else body
    found = published(translate.webhook(source, json.dumps(given).encode(), headers=UP))
    assert [each["subject"] for each in found] == ["forge-7", "forge-8"][: 2 if items else 1]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("Authorization", "headers that prove a sender are not read"),
        ("Cookie", "headers that prove a sender are not read"),
        ("X-Hub-Signature-256", "headers that prove a sender are not read"),
        ("X-Gitlab-Token", "headers that prove a sender are not read"),
        ("X-Api-Key", "headers that prove a sender are not read"),
        ("x-forge-hook", "'header:x-forge-hook' proves the sender, so it is not read"),
        ("a b", "names no HTTP header"),
        ("", "names no HTTP header"),
    ],
)
def test_what_proves_the_sender_can_not_be_named(tmp_path: Path, name: str, problem: str) -> None:
    for old, line in (("header:X-Forge-Delivery", 12), ("header:X-Forge-Tenant", 16)):
        with pytest.raises(MappingError) as caught:
            loaded(tmp_path, old, f"'header:{name}'")
        assert f"intake.yaml:{line}: " in str(caught.value)
        assert problem in str(caught.value)


def test_items_are_never_in_a_header(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="items are in the body, never in a header"):
        loaded(tmp_path, "      incident:", "      items: header:X-Items\n      incident:")


def test_other_formats_have_no_such_path(tmp_path: Path) -> None:
    other = MAPPING.replace("format: json", "format: alertmanager")
    (tmp_path / "intake.yaml").write_text(other, encoding="utf-8")
    with pytest.raises(MappingError, match="allowed: labels, annotations"):
        load_mapping(tmp_path / "intake.yaml")


def test_the_dry_run_takes_headers_and_explains_them(tmp_path: Path) -> None:
    loaded(tmp_path)
    (tmp_path / "body.json").write_bytes(BODY)
    command = ["intake", "test", str(tmp_path / "body.json"), "--mapping", str(tmp_path / "intake.yaml"), "--explain"]
    shown = CliRunner().invoke(app, command).stdout
    assert "header:X-Forge-Event is absent" in shown
    given = [part for name, values in UP.items() for part in ("--header", f"{name}: {values[0]}")]
    shown = CliRunner().invoke(app, [*command, *given]).stdout
    assert "publish to incident-events: incident.resolved of forge-7" in shown
    assert "gives 'resolved'" in shown
    wrong = CliRunner().invoke(app, [*command, "--header", "nonsense"])
    assert (wrong.exit_code, "is no header" in wrong.output) == (2, True)
