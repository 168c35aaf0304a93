"""Slack's buttons: who may press them, what a press becomes, and what the person is told."""

from __future__ import annotations

import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from intake_samples import DATA, ROOT, Json, published
from typer.testing import CliRunner

from cli.main import app
from connect.feedback_links import LinkedIncident, button_value
from connect.intake import translate
from connect.intake.formats import slack
from connect.intake.formats.slack_reply import reply
from connect.intake.formats.source_format import AuthenticationError, Credentials
from connect.intake.mapping_file import MappingError, load_mapping
from connect.intake.outcome import RequestOutcome
from connect.intake.permissions import FOUR_EYES
from connect.intake.signatures import Secret
from connect.intake.translate import Translation
from streams.sla.events import Rejection
from streams.sla.instants import MINUTE, SECOND

EXAMPLE = ROOT / "examples" / "intake" / "feedback.yaml"
SOURCE = load_mapping(EXAMPLE)["slack"]
KIM = {"kind": "support", "id": "kim"}


def press(action: str = "acknowledge", *, incident: str = "inc-42", language: Any = "en", **changed: Any) -> Json:
    payload: Json = json.loads((DATA / "slack" / "press.json").read_text(encoding="utf-8"))
    value = button_value(LinkedIncident("sla", incident), language)
    payload["actions"][0] |= {"action_id": action, "value": value}
    return payload | changed


def pressed(action: str = "acknowledge", **fields: Any) -> Json:
    """The press of a button with other fields of the action."""
    payload = press(action)
    payload["actions"][0] |= fields
    return payload


def form(payload: object) -> bytes:
    return urlencode({"payload": json.dumps(payload)}).encode()


def decided(payload: object) -> Translation:
    return translate.webhook(SOURCE, form(payload))


@pytest.mark.parametrize(
    ("action", "event_type", "data"),
    [
        ("acknowledge", "incident.responded", {"who": KIM}),
        (
            "update",
            "incident.updated",
            {"who": KIM, "visibility": "public", "text": "A failed volume is being replaced."},
        ),
        ("resolve", "incident.resolved", {"who": KIM}),
    ],
)
def test_a_press_becomes_what_the_mapping_says(action: str, event_type: str, data: dict[str, Any]) -> None:
    (event,) = published(decided(press(action)))
    given = (event["type"], event["subject"], event["source"], event["time"])
    assert given == (event_type, "inc-42", "/intake/slack", "2026-04-10T08:20:22.169123Z")
    assert {key: value for key, value in event["data"].items() if value is not None} == data
    assert event["id"] == f"slack-{event_type.partition('.')[2]}-1775809222.169123-U061F7AUR-{action}"
    assert published(decided(press(action))) == [event]


@pytest.mark.parametrize("text", [None, "", "  \n", 7])
def test_an_update_needs_a_text(text: object) -> None:
    for values in ({"sla-text": {"text": {"value": text}}}, {"sla-text": {}}, {}, None, []):
        found = decided(press("update", state={"values": values}))
        assert (found.events, found.rejected) == ([], [])
        assert "there is no text" in found.ignored[0].reason


@pytest.mark.parametrize("action", ["acknowledge", "update", "resolve"])
def test_a_scoped_source_reaches_incidents_of_its_tenants_only(action: str) -> None:
    scoped = replace(SOURCE, only_tenants=("acme",), id_prefixes=("prom-acme-",))
    own = translate.webhook(scoped, form(press(action, incident="prom-acme-7")))
    assert [each["subject"] for each in published(own)] == ["prom-acme-7"]
    (refused,) = translate.webhook(scoped, form(press(action))).rejected
    assert (refused.code, "may not reach inc-42; its ids begin with prom-acme-" in refused.reason) == (
        "forbidden",
        True,
    )


@pytest.mark.parametrize("event_type", [*sorted(FOUR_EYES), "incident.opened", "credit.claimed", "tenant.erased"])
def test_no_button_becomes_what_takes_two_people_or_another_role(tmp_path: Path, event_type: str) -> None:
    file = tmp_path / "intake.yaml"
    file.write_text(EXAMPLE.read_text("utf-8").replace("resolve: incident.resolved", f"resolve: {event_type}"), "utf-8")
    with pytest.raises(MappingError, match=f"slack.events.resolve.*'{event_type}'"):
        load_mapping(file)


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (press(type="view_submission"), "is no press of a button"),
        (pressed(block_id="other"), "it is no button of the notifier"),
        (pressed(action_id=7), "it is no button of the notifier"),
        (press("escalate"), "the mapping does not say what escalate becomes"),
        (pressed(value='{"deployment":"eu","incident":"inc-42","language":"en"}'), "the post is of deployment eu"),
        (press(channel={"id": "C1", "name": "sandbox"}), "the mapping ignores it"),
    ],
)
def test_a_press_that_is_not_ours_changes_nothing(payload: Json, told: str) -> None:
    found = decided(payload)
    assert (found.events, found.rejected) == ([], [])
    assert told in found.ignored[0].reason


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (press(user={"id": "U00000000"}), "who: user.id is 'U00000000', which line"),
        (press(user=None), "user.id: expected"),
        (press(user={"id": "a b"}), "user.id: expected"),
        (pressed(action_ts="yesterday"), "actions.action_ts: expected"),
        (pressed(action_ts="999999999999.0"), "actions.action_ts: expected"),
        (pressed(action_ts=1775809222.1), "actions.action_ts: expected"),
        (pressed(value="inc-42"), "actions.value: expected"),
        (pressed(value=None), "actions.value: expected"),
        (press(incident="x" * 129), "128"),
        (press(actions="all"), "actions: expected a list"),
        (press(actions=["a"]), "actions: expected a list"),
        (press(type=None), "it has no text `type`"),
        ([], "it has no text `type`"),
    ],
)
def test_a_press_that_is_not_understood_is_rejected(payload: object, told: str) -> None:
    found = decided(payload)
    assert found.events == []
    assert told in found.rejected[0].reason


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"payload",
        b"payload=%7B",
        b"payload=%FF",
        b"other=1",
        b"payload={}&payload={}",
        b"\xff=1",
        b"a=1&" * 20,
    ],
)
def test_a_body_that_is_no_form_is_undecodable(body: bytes) -> None:
    (rejected,) = translate.webhook(SOURCE, body).rejected
    assert rejected.code == "undecodable"


NOW = 1_775_809_230 * SECOND


def credentials(timestamp: str, *, content: bytes = b"payload={}", signature: str | None = None) -> Credentials:
    message = b"v0:" + timestamp.encode() + b":" + b"payload={}"
    made = signature or "v0=" + hmac.digest(b"new-secret-00000001", message, "sha256").hex()
    headers = {"X-Slack-Signature": made, "X-Slack-Request-Timestamp": timestamp}
    secrets = (Secret("old-secret-00000001"), Secret("new-secret-00000001"))
    return Credentials(headers, content, secrets, NOW, 5 * MINUTE)


def test_a_signature_is_over_time_and_body() -> None:
    for timestamp in ("1775809230", "1775808930", "1775809530"):
        slack.authenticate(credentials(timestamp))
    for wrong in (
        credentials("1775809230", content=b"payload={} "),
        credentials("1775809230", signature="v0="),
        credentials("1775809230", signature="v1=" + "0" * 64),
        credentials("1775809230", signature="0" * 64),
        credentials("1775809230", signature="v0=\u00e9"),
    ):
        with pytest.raises(AuthenticationError, match="X-Slack-Signature is missing or does not fit"):
            slack.authenticate(wrong)
    for old in ("1775808929", "1775809531", "", "-1", "1e9", "\u0661", "9" * 13):
        with pytest.raises(AuthenticationError, match="is not within 300 s of now"):
            slack.authenticate(credentials(old))
    with pytest.raises(AuthenticationError):
        slack.authenticate(credentials("1")._replace(headers={}))


def told(outcome: RequestOutcome, payload: object | None = None) -> str:
    found = reply(press() if payload is None else payload, SOURCE, outcome)
    assert found is not None
    body = json.loads(found.body)
    assert (body["response_type"], body["replace_original"], body["mrkdwn"]) == ("ephemeral", False, False)
    text: str = body["text"]
    return text


def test_the_person_is_told_what_was_recorded_or_why_not() -> None:
    assert told(RequestOutcome((("incident.responded", "inc-42"),))) == (
        "Recorded: you have responded to incident inc-42."
    )
    assert told(RequestOutcome(problems=("there is no text",))) == "Nothing was recorded: there is no text"
    assert "Press the button again" in told(RequestOutcome(unavailable=True))
    japanese = press(language="ja")
    assert told(RequestOutcome((("incident.resolved", "inc-42"),)), japanese).startswith("記録しました")
    assert told(RequestOutcome((("incident.updated", "<!channel> & <b>"),))).endswith(
        "incident &lt;!channel&gt; &amp; &lt;b&gt;."
    )


@pytest.mark.parametrize(
    "url",
    [
        None,
        7,
        "",
        "http://hooks.slack.com/actions/T1",
        "https://hooks.slack.com.example/actions/T1",
        "https://hooks.slack.com@10.0.0.1/",
        "https://hooks.slack.com:8443/actions",
        "https://169.254.169.254/latest",
        "https://hooks.slack.com/\n",
    ],
)
def test_no_reply_goes_to_an_address_that_is_not_slacks(url: object) -> None:
    assert reply(press(response_url=url), SOURCE, RequestOutcome((("incident.responded", "i"),))) is None


def test_what_is_kept_of_a_reject_holds_no_secret() -> None:
    kept = slack.without_secrets(form(press()))
    payload = json.loads(parse_qs(kept.decode())["payload"][0])
    for name in ("token", "response_url", "trigger_id"):
        assert name not in payload
    assert payload["user"] == press()["user"]
    parsed = slack.parse(kept)
    assert not isinstance(parsed, Rejection)
    assert slack.without_secrets(b"token=9s8d") == b""


def test_a_recorded_press_is_shown_by_the_dry_run(tmp_path: Path) -> None:
    file = tmp_path / "press"
    file.write_bytes(form(press()))
    result = CliRunner().invoke(app, ["intake", "test", str(file), "--mapping", str(EXAMPLE)])
    assert result.exit_code == 0, result.output
    assert "as slack (slack):" in result.output
    assert "publish to incident-events: incident.responded of inc-42" in result.output
