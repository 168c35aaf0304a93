"""Routing files: every mistake has its line; who is told of what; no secret shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from connect.notify.destinations.kind import Destination, Secrets
from connect.notify.destinations.pagerduty import severity
from connect.notify.destinations.secrets import read_destination_secrets
from connect.notify.destinations.slack import SLACK
from connect.notify.routing.file import RoutingError, load_routing
from connect.notify.routing.rules import Match, Route, Routing
from connect.notify.settings import read_notify_settings
from connect.secret_refs import SecretRef
from streams.errors import SettingsError
from streams.sla.instants import HOUR, SECOND
from tests.page_triggers import trigger

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "notify.yaml"
GOOD = """\
version: 1
destinations:
  pager: {kind: pagerduty, routing_key: {env: KEY}}
  room:
    kind: slack
    url: {file: hook}
    language: ja
  hook: {kind: webhook, url: {env: HOOK}, secrets: [{env: SIGN}]}
routes:
  - match: {severity: P1}
    to: pager
    continue: true
  - {to: [room, hook]}
"""


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "notify.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_what_a_file_says(tmp_path: Path) -> None:
    routing = load_routing(written(tmp_path, GOOD))
    assert routing.destinations["room"] == Destination(
        "room", SLACK, SecretRef("file", "hook"), language="ja", give_up_after=6 * HOUR, pages_per_minute=20
    )
    assert routing.routes == (
        Route(Match(severity=frozenset({"P1"})), ("pager",), continues=True),
        Route(Match(), ("room", "hook")),
    )
    assert set(load_routing(EXAMPLE).destinations) == {"on-call", "tokyo", "status-page"}


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("version: 1", "version: 2", "1: version: 2 is unknown here; allowed: 1"),
        ("kind: slack", "kind: teams", "5: destinations.room.kind: 'teams' is unknown here"),
        ("kind: slack", "kimd: slack", "5: destinations.room.kimd: unknown key; did you mean kind?"),
        ("room:\n", "Room 1:\n", "4: destinations.Room 1: 'Room 1' is not a valid name"),
        ("language: ja", "language: fr", "7: destinations.room.language: 'fr' is unknown here; allowed: en, ja"),
        ("language: ja", "time_zone: Tokyo", "7: destinations.room.time_zone: 'Tokyo' is not a time zone"),
        ("language: ja", "timeout: PT5M", "7: destinations.room.timeout: a timeout is out of bounds"),
        ("language: ja", "give_up_after: P1Y", "7: destinations.room.give_up_after: 'P1Y' has years"),
        (
            "language: ja",
            "routing_key: {env: A}",
            "7: destinations.room.routing_key: this key does not apply to kind slack",
        ),
        ("    url: {file: hook}\n", "", "4: destinations.room: url: a destination of kind slack needs this"),
        ("{file: hook}", "{file: hook, env: A}", "6: destinations.room.url: a secret has exactly one source"),
        (", secrets: [{env: SIGN}]", "", "8: destinations.hook: secrets: a destination of kind webhook needs this"),
        ("{env: KEY}}", "{env: KEY}, api: 'http://pd'}", "3: destinations.pager.api: this is not encrypted"),
        (
            ", secrets: [{env: SIGN}]",
            ", secrets: [{env: SIGN}], pages_per_minute: 5",
            "8: destinations.hook.pages_per_minute: this key does not apply to kind webhook",
        ),
        ("language: ja", "pages_per_minute: 0", "7: destinations.room.pages_per_minute: "),
        ("{env: KEY}}", "{env: KEY}, api: pd}", "3: destinations.pager.api: this is not an address"),
        (
            "{env: KEY}}",
            "{env: KEY}, severities: {P1: critical}}",
            "3: destinations.pager.severities.P1: 'P1' is unknown here",
        ),
        ("severity: P1", "severity: P5", "10: routes[0].match.severity[0]: 'P5' is unknown here"),
        ("severity: P1", "event: sla.met", "10: routes[0].match.event[0]: 'sla.met' is unknown here"),
        ("to: pager", "to: pagr", "11: routes[0].to: there is no destination 'pagr'; did you mean pager?"),
        ("[room, hook]", "[room]", "8: destinations.hook: no route leads here"),
        ("[room, hook]", "[]", "13: routes[1].to: this is empty"),
    ],
)
def test_mistakes_have_their_line(tmp_path: Path, old: str, new: str, shown: str) -> None:
    assert GOOD.count(old) == 1
    file = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(RoutingError) as caught:
        load_routing(file)
    problems = [str(problem).removeprefix(f"{file}:") for problem in caught.value.problems]
    assert [each for each in problems if each.startswith(shown)], problems


@pytest.mark.parametrize(
    ("match", "data", "holds"),
    [
        ({}, {}, True),
        ({"severity": "P1"}, {}, True),
        ({"severity": "P2"}, {}, False),
        ({"severity": "P1"}, {"severity": "unknown"}, False),
        ({"metric": "response"}, {}, True),
        ({"metric": "update"}, {}, False),
        ({"component": "api"}, {}, True),
        ({"component": "ui"}, {}, False),
        ({"tenant": "acme"}, {"tenant_ids": ["zeta", "acme"]}, True),
        ({"tenant": "acme"}, {"tenant_ids": ["zeta"]}, False),
        ({"tenant": "acme"}, {"scope": "platform", "tenant_ids": []}, True),  # it concerns everyone
        ({"scope": "platform"}, {}, False),
        ({"event": "sla.breached"}, {}, True),
        ({"event": "sla.warning"}, {}, False),
        ({"severity": "P1", "metric": "update"}, {}, False),
    ],
)
def test_what_a_match_holds_for(match: dict[str, str], data: dict[str, Any], holds: bool) -> None:
    made = Match(**{name: frozenset({value}) for name, value in match.items()})
    assert made.holds(trigger("breached", **data)) is holds


def test_an_update_that_is_due_is_of_the_metric_update() -> None:
    assert trigger("due").clock == "update/3"
    assert Match(metric=frozenset({"update"})).holds(trigger("due"))


@pytest.mark.parametrize(
    ("routes", "to"),
    [
        ([("P1", "a", False), (None, "b", False)], "a"),
        ([("P2", "a", False), (None, "b", False)], "b"),
        ([("P1", "a", True), (None, "b", False)], "ab"),
        ([("P1", "a", True), ("P2", "b", False)], "a"),
        ([("P1", "a", True), ("P1", "a", False)], "a"),  # once
        ([("P2", "a", True)], ""),
    ],
)
def test_the_first_route_that_matches_decides(routes: list[tuple[str | None, str, bool]], to: str) -> None:
    made = tuple(Route(Match(severity and frozenset({severity})), (name,), on) for severity, name, on in routes)  # type: ignore[arg-type]
    assert Routing({}, made).destinations_for(trigger("breached")).keys() == set(to)


def test_the_language_is_that_of_the_first_route_that_leads_there() -> None:
    severe = Match(frozenset({"P1"}))
    made = (Route(severe, ("a",), True, "ja"), Route(Match(), ("a", "b"), True), Route(Match(), ("c",), False, "en"))
    assert Routing({}, made).destinations_for(trigger("breached")) == {"a": "ja", "b": None, "c": "en"}
    assert Routing({}, made).destinations_for(trigger("breached", severity="P2")) == {"a": None, "b": None, "c": "en"}


def test_severities_may_depend_on_the_type(tmp_path: Path) -> None:
    severities = "severities: {'*': {P1: error, P2: info}, sla.warning: {P1: warning}}"
    pager = load_routing(written(tmp_path, GOOD.replace("{env: KEY}}", "{env: KEY}, " + severities + "}")))
    found = pager.destinations["pager"]
    assert severity(found, "sla.warning", "P1") == "warning"
    assert severity(found, "sla.breached", "P1") == "error"
    assert severity(found, "sla.warning", "P2") == "info"
    assert severity(found, "sla.warning", "P3") == "warning"  # as without
    assert severity(found, "sla.warning", "unknown") == "error"


# -- secrets ---------------------------------------------------------------------------------------------------------

SIGNING = "whsec_" + "QUJD" * 8
SECRETS = {"KEY": "k" * 32, "HOOK": "https://hooks.example/T1", "SIGN": SIGNING}


def values(tmp_path: Path, changed: dict[str, str], text: str = GOOD) -> dict[str, Secrets]:
    (tmp_path / "hook").write_text("https://slack.example/services/T0/B0/XXXXXX\n")
    routing = load_routing(written(tmp_path, text.replace("file: hook", f"file: {tmp_path}/hook")))
    return dict(read_destination_secrets(routing.destinations.values(), {**SECRETS, **changed}))


def test_secrets_come_from_the_environment_and_from_files(tmp_path: Path) -> None:
    found = values(tmp_path, {})
    assert found["pager"].main == "k" * 32
    assert found["room"].main.endswith("/XXXXXX")
    assert found["hook"].signing == (SIGNING,)
    assert "XXXX" not in repr(found)
    assert found["hook"].hide(f"no {SIGNING} at https://hooks.example/T1") == "no *** at ***"
    assert found["room"].hide("no /services/T0/B0/XXXXXX?, no XXXXXX, services") == "no ***?, no ***, ***"


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({"KEY": ""}, "secret of pager: the environment variable KEY is empty or not set"),
        ({"KEY": "k3y"}, "KEY is too short"),
        ({"KEY": "a key with blanks"}, "KEY has characters that none has"),
        ({"KEY": "schlüssel-schlüssel"}, "KEY has characters that none has"),
        ({"HOOK": "hooks.example/T1"}, "secret of hook: HOOK is not an address"),
        ({"HOOK": "http://hooks.example/T1"}, "HOOK is not encrypted"),
        ({"HOOK": "https://user:pass@hooks.example/T1"}, "HOOK is not an address"),
        ({"SIGN": "whsec_QUJD"}, "secret of hook: SIGN is not a signing key"),
    ],
)
def test_wrong_secrets_are_named_and_not_shown(tmp_path: Path, changed: dict[str, str], shown: str) -> None:
    with pytest.raises(SettingsError) as caught:
        values(tmp_path, changed)
    assert shown in str(caught.value)
    assert not [value for value in changed.values() if value and value in str(caught.value)]


def test_settings_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLA_NOTIFY_START", "yesterday")
    with pytest.raises(SettingsError, match="SLA_NOTIFY_START"):
        read_notify_settings()
    assert read_notify_settings(start="earliest").port == 8089
    assert load_routing(EXAMPLE).destinations["on-call"].timeout == 10 * SECOND


@pytest.mark.parametrize("name", ["", "x" * 101, "日" * 64, "/" * 64, "eu\nprod", " eu", "eu\u202e"])
def test_a_deployment_has_a_short_printable_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("SLA_NOTIFY_DEPLOYMENT", name)
    with pytest.raises(SettingsError, match="SLA_NOTIFY_DEPLOYMENT"):
        read_notify_settings()


@pytest.mark.parametrize("name", ["eu", "eu prod", "eu/prod", "x" * 100, "東京" * 31])
def test_a_deployment_may_be_named_in_any_script(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("SLA_NOTIFY_DEPLOYMENT", name)
    assert read_notify_settings().deployment == name
