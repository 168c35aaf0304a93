"""Texts and forms that senders produce by accident are repaired or accepted: none of them costs a fact."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from connect.intake import translate
from connect.intake.formats import cloudevents
from connect.intake.mapping_file import load_mapping
from connect.intake.signatures import read_secrets
from connect.intake.web.openapi_examples import EXAMPLES, STRUCTURED_EXAMPLE
from streams.serde.cloudevents_json import to_json
from streams.serde.codec import decode
from streams.sla.events import Rejection

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "intake"
EXAMPLE = ROOT / "examples" / "intake.yaml"
SOURCES = load_mapping(EXAMPLE)


def body(name: str) -> bytes:
    return (DATA / f"{name}.json").read_bytes()


def published(translation: translate.Translation) -> list[dict[str, Any]]:
    assert not translation.rejected
    found = []
    for event in translation.events:
        decoded = decode(event.record.value)
        assert not isinstance(decoded, Rejection)
        found.append(to_json(*decoded))
    return found


def test_half_an_emoji_in_an_answer_does_not_cost_the_answer() -> None:
    (answer,) = published(translate.webhook(SOURCES["zendesk"], body("forms/zendesk-staff-answer")))
    assert answer["data"]["text"] == "We are on it, restarting now \ufffd"
    assert (answer["data"]["visibility"], answer["data"]["who"]["kind"]) == ("public", "support")
    (long,) = published(translate.webhook(SOURCES["zendesk"], body("forms/zendesk-long")))
    assert long["data"]["text"][0] in "\ufffd?"
    created = json.loads(body("zendesk-created"))
    created["detail"]["subject"] = "API 503 \udd25"
    (opened,) = published(translate.webhook(SOURCES["zendesk"], json.dumps(created).encode()))
    assert opened["data"]["summary"] == "API 503 \ufffd"
    comment = json.loads(body("jira-comment"))
    comment["comment"]["body"] = "half \ud83d"
    (answer,) = published(translate.webhook(SOURCES["jira"], json.dumps(comment).encode()))
    assert answer["data"]["text"] == "half \ufffd"


def test_half_an_emoji_in_an_annotation_or_a_label_costs_no_alert() -> None:
    firing = json.loads(body("alertmanager-firing"))
    firing["alerts"][0]["annotations"]["summary"] = "down \ud83d"
    firing["alerts"][1]["labels"]["pod"] = "half \ud83d"
    first, second = published(translate.webhook(SOURCES["prometheus"], json.dumps(firing).encode()))
    assert first["data"]["summary"] == "down \ufffd"
    assert second["type"] == "incident.opened"


@pytest.mark.parametrize("value", [None, {"summary": None, "runbook": None}, {"summary": 17}])
def test_annotations_may_be_null(value: object) -> None:
    alert = json.loads(body("forms/null-annotations"))
    assert alert["alerts"][0]["annotations"] is None
    alert["alerts"][0]["annotations"] = value
    (opened,) = published(translate.webhook(SOURCES["prometheus"], json.dumps(alert).encode()))
    assert opened["data"]["summary"] == ("17" if value == {"summary": 17} else "GatewayDown")


def test_labels_may_be_null_and_are_then_unmapped() -> None:
    alert = json.loads(body("forms/null-annotations"))
    alert["alerts"][0]["labels"] = None
    (rejected,) = translate.webhook(SOURCES["prometheus"], json.dumps(alert).encode()).rejected
    assert rejected.reason.startswith("component: labels.service is absent")


def test_a_leap_second_is_an_instant() -> None:
    alert = json.loads(body("forms/null-annotations"))
    alert["alerts"][0]["startsAt"] = "2016-12-31T23:59:60Z"
    (opened,) = published(translate.webhook(SOURCES["prometheus"], json.dumps(alert).encode()))
    assert opened["time"] == "2016-12-31T23:59:59.999999Z"


def test_a_byte_order_mark_is_no_part_of_a_body_or_a_file(tmp_path: Path) -> None:
    marked = translate.webhook(SOURCES["prometheus"], BOM_UTF8 + body("alertmanager-firing"))
    assert published(marked) == published(translate.webhook(SOURCES["prometheus"], body("alertmanager-firing")))
    event = BOM_UTF8 + json.dumps(STRUCTURED_EXAMPLE).encode()
    assert published(translate.cloud_events(SOURCES["services"], cloudevents.STRUCTURED, {}, event))
    mapping, secret, batch = tmp_path / "intake.yaml", tmp_path / "token", tmp_path / "batch.json"
    mapping.write_bytes(BOM_UTF8 + EXAMPLE.read_bytes().replace(b"{env: SLA_INTAKE_JIRA_SECRET}", b"{file: token}"))
    secret.write_bytes(BOM_UTF8 + b"jira-secret-00000001\r\n")
    source = load_mapping(mapping)["jira"]
    ref = source.secrets[0]._replace(name=str(secret))
    (found,) = read_secrets([source.__class__("jira", "jira", (ref,), "/jira")], {})["jira"]
    assert found.equals("jira-secret-00000001")
    batch.write_bytes(BOM_UTF8 + b"\n " + json.dumps([STRUCTURED_EXAMPLE]).encode())
    done = CliRunner().invoke(app, ["intake", "test", str(batch), "--source", "services", "--mapping", str(mapping)])
    assert (done.exit_code, "incident.opened of inc-42" in done.output) == (0, True), done.output
    plain = tmp_path / "opened.json"
    plain.write_bytes(BOM_UTF8 + json.dumps(EXAMPLES["incident.opened"]).encode())
    words = ["--path", "/v1/incidents", "--source", "services", "--mapping", str(mapping)]
    done = CliRunner().invoke(app, ["intake", "test", str(plain), *words])
    assert done.exit_code == 0, done.output
