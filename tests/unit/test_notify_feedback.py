"""What pages and posts carry so that people can act on them: only where the routing file says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connect.feedback_links import LinkedIncident, incident_of_title, link_of_button
from connect.notify.destinations.kind import Destination, Secrets
from connect.notify.destinations.pagerduty import PAGERDUTY
from connect.notify.destinations.slack import SLACK
from connect.notify.page import Page
from connect.notify.routing.file import RoutingError, load_routing
from connect.secret_refs import SecretRef
from tests.page_triggers import trigger

REF = SecretRef("env", "X")
PAGER = Destination("pager", PAGERDUTY, REF, title_links=True)
ROOM = Destination("room", SLACK, REF, buttons=("acknowledge", "update", "resolve"))
SECRETS = Secrets("https://hooks.example/T1")


def body(
    destination: Destination, *names: str, incident: str = "inc-1", deployment: str = "sla", **changed: Any
) -> Any:
    """The body of the last message; `changed` are fields of the message."""
    page = Page(incident)
    for name in names:
        page = page.apply(trigger(name, incident), destination, 0, busy=bool(page.pending), deployment=deployment)
    message = page.pending[-1]._replace(**changed)
    return json.loads(destination.kind.prepare(destination, SECRETS, incident, message, 0).body)


def test_a_title_ends_in_the_incident() -> None:
    assert body(PAGER, "breached")["payload"]["summary"] == "P1 on API · [sla/inc-1]"
    assert body(PAGER, "breached", deployment="eu/prod")["payload"]["summary"] == "P1 on API · [eu%2Fprod/inc-1]"
    assert body(replace(PAGER, title_links=False), "breached")["payload"]["summary"] == "P1 on API · inc-1"
    assert body(PAGER, "breached", key=None)["payload"]["summary"] == "P1 on API · inc-1"
    long = body(PAGER, "breached", incident="界" * 128)
    assert (long["dedup_key"][:4], len(long["dedup_key"])) == ("sla/", 68)
    assert incident_of_title("sla", long["payload"]["summary"]) == "界" * 128


def test_no_buttons_by_default() -> None:
    assert len(body(replace(ROOM, buttons=()), "breached")["blocks"]) == 2


def test_buttons_name_the_incident_and_the_deployment() -> None:
    for name in ("warning", "due", "breached"):
        field, actions = body(ROOM, name)["blocks"][2:]
        assert (field["type"], field["block_id"], field["optional"]) == ("input", "sla-text", True)
        assert field["element"]["action_id"] == "text"
        assert (actions["type"], actions["block_id"]) == ("actions", "sla-actions")
        assert [each["action_id"] for each in actions["elements"]] == ["acknowledge", "update", "resolve"]
        for each in actions["elements"]:
            assert link_of_button(each["value"]) == (LinkedIncident("sla", "inc-1"), "en")
        assert ["confirm" in each for each in actions["elements"]] == [False, False, True]
    (only,) = body(replace(ROOM, buttons=("acknowledge",)), "breached", deployment="eu")["blocks"][2:]
    (button,) = only["elements"]
    assert link_of_button(button["value"]) == (LinkedIncident("eu", "inc-1"), "en")


def test_buttons_speak_the_language_of_the_post() -> None:
    actions = body(replace(ROOM, language="ja"), "breached")["blocks"][3]
    assert [each["text"]["text"] for each in actions["elements"]] == ["対応を開始", "更新を投稿", "解決"]
    assert {link_of_button(each["value"])[1] for each in actions["elements"]} == {"ja"}  # type: ignore[index]


@pytest.mark.parametrize("ending", ["met", "retracted", "closed"])
def test_an_end_has_no_buttons(ending: str) -> None:
    assert len(body(ROOM, "breached", ending)["blocks"]) == 2


def test_a_page_whose_deployment_is_unknown_has_no_buttons() -> None:
    assert len(body(ROOM, "breached", key=None)["blocks"]) == 2


def test_labels_and_values_stay_within_slacks_limits() -> None:
    for language in ("en", "ja"):
        room = replace(ROOM, language=language)  # type: ignore[arg-type]
        field, actions = body(room, "breached", incident="界" * 128, deployment="界" * 60)["blocks"][2:]
        assert field["element"]["max_length"] <= 3000
        for each in actions["elements"]:
            assert len(each["text"]["text"]) <= 75
            assert len(each["value"]) <= 2000
        confirm = actions["elements"][-1]["confirm"]
        limits = {"title": 100, "text": 300, "confirm": 30, "deny": 30}
        assert all(len(confirm[name]["text"]) <= most for name, most in limits.items())


ROUTES = """\
version: 1
destinations:
  pager: {kind: pagerduty, routing_key: {env: KEY}, feedback: true}
  room: {kind: slack, url: {env: URL}, buttons: [resolve, acknowledge]}
routes: [{to: [pager, room]}]
"""


def test_the_routing_file_turns_feedback_on(tmp_path: Path) -> None:
    file = tmp_path / "notify.yaml"
    file.write_text(ROUTES, encoding="utf-8")
    found = load_routing(file).destinations
    assert (found["pager"].title_links, found["pager"].buttons) == (True, ())
    assert (found["room"].title_links, found["room"].buttons) == (False, ("resolve", "acknowledge"))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("feedback: true", "buttons: [resolve]", "buttons: this key does not apply to kind pagerduty"),
        ("buttons: [resolve, acknowledge]", "feedback: true", "feedback: this key does not apply to kind slack"),
        ("[resolve, acknowledge]", "[resolve, snooze]", "'snooze' is unknown here"),
    ],
)
def test_a_mistake_in_the_routing_file_is_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    file = tmp_path / "notify.yaml"
    file.write_text(ROUTES.replace(old, new), encoding="utf-8")
    with pytest.raises(RoutingError) as caught:
        load_routing(file)
    assert any(told in str(each) for each in caught.value.problems), caught.value.problems
