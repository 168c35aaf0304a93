"""Grafana, Datadog, Uptime Kuma and others by their example mappings: from opened to resolved, repeated, in disorder,
and with parts that are missing or of another type."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from intake_samples import published
from json_senders import SENDERS, SOURCES, events_of, flat, outcome, recorded, requests
from story import Line

from connect.intake import translate
from connect.intake.formats.registry import format_of
from connect.intake.mapping.classification import WITHOUT_TIER
from connect.intake.mapping.expressions import parse_expression
from connect.intake.mapping.mapping_rule import MappingRule
from streams.sla.instants import parse_rfc3339

DAY = "2026-10-12T"
CHECKOUT = "complete_outage"
EXPECTED: dict[str, list[tuple[str, str, str]]] = {
    "grafana": [(CHECKOUT, "07:51:03.157076Z", "10:51:03.157076Z")],
    "datadog": [(CHECKOUT, "07:51:03Z", "10:51:03Z")],
    "uptime-kuma": [
        (CHECKOUT, "09:51:03.527Z", "10:51:03.101Z"),
        (CHECKOUT, "2026-10-13T04:00:00Z", "2026-10-13T04:30:00Z"),
    ],
    "sentry": [("critical_performance", "09:51:00Z", "11:51:00Z")],
    "opsgenie": [(CHECKOUT, "07:51:03Z", "08:51:03Z")],
    "servicenow": [(CHECKOUT, "09:51:03Z", "11:00:00Z"), ("material_aspect", "11:00:00Z", "11:30:00Z")],
    "freshdesk": [(CHECKOUT, "09:51:04Z", "10:51:04Z"), ("material_aspect", "10:51:04Z", "11:21:04Z")],
    "zammad": [(CHECKOUT, "09:51:03.282Z", "11:00:00Z"), ("material_aspect", "11:00:00Z", "11:30:00Z")],
    "github": [
        (CHECKOUT, "09:51:03Z", "10:30:00Z"),
        ("material_aspect", "10:30:00Z", "11:00:00Z"),
        ("material_aspect", "11:10:00Z", "11:40:00Z"),
    ],
}
ANSWERED = {
    "opsgenie": "2026-10-12T08:01:03Z",
    "servicenow": "2026-10-12T10:01:00Z",
    "zammad": "2026-10-12T10:05:00.1Z",
    "github": "2026-10-12T10:05:00Z",
}


def at(text: str) -> str:
    return text if "T" in text else DAY + text


@pytest.mark.parametrize("sender", SENDERS)
def test_from_opened_to_resolved_in_any_order_and_however_often(sender: str) -> None:
    batches = events_of(sender)
    found = outcome(flat(batches))
    intervals = next(iter(found[0].values()))
    assert intervals == [["api", impact, at(start), at(end)] for impact, start, end in EXPECTED[sender]]
    met = {when for kind, metric, _, _, when in found[1] if (kind, metric) == ("met", "response")}
    assert met == ({ANSWERED[sender]} if sender in ANSWERED else set())
    assert outcome(flat(reversed(batches))) == found
    assert outcome(flat(batches + batches)) == found
    facts = list(flat(batches))
    for order in (facts[::-1], facts[1::2] + facts[::2], facts[len(facts) // 2 :] + facts[: len(facts) // 2]):
        assert outcome(order) == found


def test_a_monitor_of_datadog_that_had_no_data_before_it_recovered_has_an_end() -> None:
    lines: list[Line] = []
    for number, transition in enumerate(
        ("Triggered", "Warn", "Re-Warn", "No Data", "Re-No Data", "Recovered from No Data")
    ):
        body = recorded("datadog", "1-") | {"transition": transition, "event": f"e{number}"}
        body["at"] = str(int(body["at"]) + number * 60_000)
        found = translate.webhook(SOURCES["datadog"], json.dumps(body).encode())
        assert not found.rejected
        lines += published(found)
    (intervals,) = outcome(lines)[0].values()
    assert intervals == [["api", CHECKOUT, at("07:51:03Z"), at("07:56:03Z")]]


def test_a_changed_priority_of_opsgenie_changes_the_impact_from_then_on() -> None:
    created = recorded("opsgenie", "1-")
    alert = created["alert"] | {
        "priority": "P2",
        "oldPriority": "P1",
        "updatedAt": created["alert"]["createdAt"] + 60_000,
    }
    changed = {**created, "action": "UpdatePriority", "alert": alert}
    closed = {**created, "action": "Close", "alert": alert | {"updatedAt": alert["updatedAt"] + 60_000}}
    bodies = [json.dumps(each).encode() for each in (created, changed, closed)]
    lines = [line for body in bodies for line in published(translate.webhook(SOURCES["opsgenie"], body))]
    expected = [
        ["api", CHECKOUT, at("07:51:03Z"), at("07:52:03Z")],
        ["api", "material_aspect", at("07:52:03Z"), at("07:53:03Z")],
    ]
    assert list(outcome(lines)[0].values()) == list(outcome(lines[::-1])[0].values()) == [expected]


@pytest.mark.parametrize("sender", [each for each in SENDERS if each != "freshdesk"])
def test_a_retry_is_the_same_events(sender: str) -> None:
    """Freshdesk sends no time: its events have the time of receipt."""
    for each in requests(sender):
        at_once, later = (translate.webhook(SOURCES[sender], each.read_bytes(), at) for at in (1, 2))
        assert [ready.record for ready in at_once.events] == [ready.record for ready in later.events]


def variants(payload: Any) -> Iterator[Any]:
    """The payload with each part in turn absent, null, or of another type."""
    waiting: list[tuple[Any, ...]] = [()]
    while waiting:
        path = waiting.pop()
        here = payload
        for key in path:
            here = here[key]
        waiting += [
            (*path, key)
            for key in (here if isinstance(here, dict) else range(len(here[:1])) if isinstance(here, list) else ())
        ]
        for value in (None, 7.5, "", [], [[]], {"id": {}}, "\ud800"):
            yield replaced(payload, path, value)
        if path:
            yield without(payload, path)


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], by)
    return copy


def without(value: Any, path: tuple[Any, ...]) -> Any:
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = without(value[path[0]], path[1:])
    return copy


@pytest.mark.parametrize("sender", SENDERS)
def test_no_body_makes_it_raise_or_is_lost_without_a_word(sender: str) -> None:
    source = SOURCES[sender]
    for each in requests(sender)[:2]:
        for payload in variants(json.loads(each.read_text(encoding="utf-8"))):
            content = json.dumps(payload).encode()
            found = translate.webhook(source, content, 1_791_800_000_000_000)
            items = payload.get("alerts") if sender == "grafana" and isinstance(payload, dict) else None
            assert found.events or found.ignored or found.rejected or items == [], payload
            assert isinstance(format_of(source).without_secrets(content), bytes)


def test_what_the_examples_ignore() -> None:
    ignored = {
        "uptime-kuma": ["5-test"],
        "sentry": ["3-issue"],
        "opsgenie": ["5-assign"],
    }
    for sender, names in ignored.items():
        for name in names:
            found = translate.webhook(SOURCES[sender], json.dumps(recorded(sender, name)).encode())
            assert (len(found.ignored), found.events, found.rejected) == (1, [], []), sender


def test_a_resolution_whose_opening_can_no_longer_be_mapped_still_ends_the_outage() -> None:
    payload = recorded("sentry", "2-resolved")
    payload["data"]["metric_alert"]["projects"] = ["renamed"]
    found = translate.webhook(SOURCES["sentry"], json.dumps(payload).encode())
    assert [each.event_type for each in found.events] == ["incident.resolved"]
    reason = "data.metric_alert.projects is 'renamed', which line 22 of the mapping does not name"
    assert reason in found.rejected[0].reason


def test_grafana_takes_back_a_false_resolution() -> None:
    """Its Alertmanager resolves an alert whose rule was not evaluated for a while, and later reports the same start."""
    payload = recorded("grafana", "1-firing")
    payload["alerts"] = [payload["alerts"][0] | {"startsAt": "2026-10-12T09:00:00Z"}]

    def report(status: str, ended: str, received: str) -> list[Line]:
        payload["alerts"][0] |= {"status": status, "endsAt": ended}
        at = parse_rfc3339(received)
        return published(translate.webhook(SOURCES["grafana"], json.dumps(payload).encode(), at))

    reports = [
        report("firing", "0001-01-01T00:00:00Z", "2026-10-12T09:00:30Z"),
        report("resolved", "2026-10-12T09:30:00Z", "2026-10-12T09:30:30Z"),
        report("firing", "0001-01-01T00:00:00Z", "2026-10-12T09:50:30Z"),
        report("resolved", "2026-10-12T12:00:00Z", "2026-10-12T12:00:30Z"),
    ]
    for order in permutations(reports):
        intervals, _ = outcome(flat(order))
        assert list(intervals.values()) == [[["api", CHECKOUT, "2026-10-12T09:00:00Z", "2026-10-12T12:00:00Z"]]]


@pytest.mark.parametrize("later", [[], ["2-up"]])
def test_an_end_that_is_heard_of_first_does_not_end_the_next_outage(later: list[str]) -> None:
    """As where a monitor is down when it is connected. It would wait for an opening, and count as at that (R2, R4)."""
    up = recorded("uptime-kuma", "2-up")
    up["heartbeat"]["time"] = "2026-10-12 08:00:00.000"
    payloads = [up, recorded("uptime-kuma", "1-down"), *(recorded("uptime-kuma", each) for each in later)]
    for order in permutations(payloads):
        bodies = [json.dumps(each).encode() for each in order]
        lines = flat(published(translate.webhook(SOURCES["uptime-kuma"], body)) for body in bodies)
        (intervals,) = outcome(lines)[0].values()
        end = "2026-10-12T10:51:03.101Z" if later else None
        assert [each[2:] for each in intervals] == [["2026-10-12T09:51:03.527Z", end]]


def test_an_end_that_the_mapping_gives_no_incident_is_an_end_alone() -> None:
    payload = recorded("uptime-kuma", "2-up")
    payload["monitor"]["tags"] = [{"name": "tenant", "value": "*"}]
    found = translate.webhook(SOURCES["uptime-kuma"], json.dumps(payload).encode())
    assert ([each.event_type for each in found.events], found.rejected) == (["incident.resolved"], [])


def test_a_message_without_a_tier_says_that_its_incident_keeps_the_one_it_had() -> None:
    rule = MappingRule(1, path=parse_expression("ticket.tier"))
    payload = recorded("zammad", "2")
    for tier, told in (("1", []), (None, [WITHOUT_TIER])):
        payload["ticket"]["tier"] = tier
        found = translate.webhook(replace(SOURCES["zammad"], tier=(rule,)), json.dumps(payload).encode())
        assert "incident.reclassified" in [each.event_type for each in found.events]
        assert [(each.reason, each.unapplied) for each in found.ignored] == [(each, None) for each in told]


def test_an_opening_that_only_comes_with_an_end_is_left_out_where_its_source_may_not_publish_it() -> None:
    """The end is published, so its sender is not told that the request failed."""
    payload = json.dumps(recorded("uptime-kuma", "2-up")).encode()
    for limits in ({"only_tenants": ("elsewhere",)}, {"allow": ("incident.resolved",)}):
        found = translate.webhook(replace(SOURCES["uptime-kuma"], **limits), payload)
        assert ([each.event_type for each in found.events], found.rejected) == (["incident.resolved"], [])


WAITS = {
    "servicenow": (("updated_at", "2026-10-12 14:00:00"), ("mod_count", "9"), ("impact", "2"), ("state", "3")),
    "zammad": (
        ("ticket.updated_at", "2026-10-12T14:00:00Z"),
        ("ticket.priority", {"name": "2 normal"}),
        ("ticket.state", "pending reminder"),
        ("article", {}),
    ),
    "freshdesk": (
        ("freshdesk_webhook.ticket_priority", "High"),
        ("freshdesk_webhook.ticket_status", "Waiting on Third Party"),
    ),
}


@pytest.mark.parametrize("sender", sorted(WAITS))
def test_a_ticket_that_waits_once_it_was_resolved_is_open_again_as_what_it_is_then(sender: str) -> None:
    payload = json.loads(requests(sender)[-1].read_text(encoding="utf-8"))
    for path, value in WAITS[sender]:
        payload = replaced(payload, tuple(path.split(".")), value)
    at = parse_rfc3339("2026-10-12T14:00:00Z")
    waits = published(translate.webhook(SOURCES[sender], json.dumps(payload).encode(), at))
    for order in ([*events_of(sender), waits], [waits, *events_of(sender)]):
        (intervals,) = outcome(flat(order))[0].values()
        assert intervals[-1] == ["api", "material_aspect", "2026-10-12T14:00:00Z", None]


def test_a_ticket_of_freshdesk_that_is_created_as_closed_is_resolved() -> None:
    payload = recorded("freshdesk", "1-created")
    payload["freshdesk_webhook"]["ticket_status"] = "Closed"
    found = published(translate.webhook(SOURCES["freshdesk"], json.dumps(payload).encode(), 1_791_800_000_000_000))
    assert [each["type"] for each in found] == ["incident.opened", "incident.resolved"]


def issue(action: str, at: str, labels: list[str], label: str | None = None, closed: str | None = None) -> list[Line]:
    """What a webhook of an issue of GitHub becomes."""
    payload = recorded("github", "3-labeled") | {"action": action, "label": label and {"name": label}}
    payload["issue"] |= {"labels": [{"name": each} for each in labels], "updated_at": f"2026-10-12T{at}:00Z"}
    payload["issue"] |= {"state": "closed" if closed else "open", "closed_at": closed and f"2026-10-12T{closed}:00Z"}
    return published(translate.webhook(SOURCES["github"], json.dumps(payload).encode()))


def test_an_issue_that_gets_its_label_again_counts_again() -> None:
    story = [
        issue("labeled", "10:00", ["incident", "outage"], "incident"),
        issue("unlabeled", "11:00", ["outage"], "incident"),
        issue("labeled", "12:00", ["outage", "incident"], "incident"),
        issue("closed", "13:00", ["outage", "incident"], closed="13:00"),
    ]
    for order in (story, story[::-1], [*story, *story]):
        (intervals,) = outcome(flat(order))[0].values()
        assert [each[2:] for each in intervals] == [
            ["2026-10-12T09:51:03Z", "2026-10-12T11:00:00Z"],
            ["2026-10-12T12:00:00Z", "2026-10-12T13:00:00Z"],
        ]


def test_an_issue_that_gets_its_label_once_it_is_closed_has_ended_when_it_was_closed() -> None:
    story = [
        issue("closed", "10:00", [], closed="10:00"),
        issue("labeled", "11:00", ["incident"], "incident", closed="10:00"),
        issue("labeled", "11:01", ["incident", "outage"], "outage", closed="10:00"),
    ]
    for order in (story, story[::-1]):
        (intervals,) = outcome(flat(order))[0].values()
        assert [each[3] for each in intervals] == ["2026-10-12T10:00:00Z"]


def test_an_issue_that_moves_elsewhere_ends() -> None:
    lines = [
        *issue("labeled", "10:00", ["incident"], "incident"),
        *issue("transferred", "11:00", ["incident"]),
    ]
    (intervals,) = outcome(lines)[0].values()
    assert intervals[-1][3] == "2026-10-12T11:00:00Z"


def test_secrets_that_a_monitor_sends_along_are_not_kept() -> None:
    kept = format_of(SOURCES["uptime-kuma"]).without_secrets(json.dumps(recorded("uptime-kuma", "1-down")).encode())
    assert b"an-invented-password" not in kept
    expected = recorded("uptime-kuma", "1-down")
    expected["monitor"]["basic_auth_pass"] = "(removed)"
    assert json.loads(kept) == expected
    plain = json.dumps(recorded("sentry", "1-critical")).encode()
    assert format_of(SOURCES["sentry"]).without_secrets(plain) == plain


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ('{"token": {"v": ["tok", 1, null, true], "w": {}}, "a":  1.10}',
         '{"token": {"v": [R, R, null, true], "w": {}}, "a":  1.10}'),
        ('{"password": ["a", ""], "n": 1e400, "m": 1.000000000000000000001}',
         '{"password": [R, ""], "n": 1e400, "m": 1.000000000000000000001}'),
        ('{"pass": 12345, "passed": 1}', '{"pass": R, "passed": 1}'),
        (r'{"pass\u0077ord": "a\"b", "x": "a\"b"}', r'{"pass\u0077ord": R, "x": "a\"b"}'),
        (r'{"\u0074oken": "a"}', r'{"\u0074oken": R}'),
        (f'{{"a": "{"-" * 65_523}", "token": "a"}}', f'{{"a": "{"-" * 65_523}", "token": R}}'),
        ('{"headers": ["Authorization: Bearer z"], "h": {"Header": "z"}}', '{"headers": [R], "h": {"Header": R}}'),
        ('[{"name": "Authorization", "value": "z", "id": 1}]', '[{"name": "Authorization", "value": R, "id": 1}]'),
        ('[{"value": {"a": ["z"]}, "id": 1, "key": "Api-Key"}]', '[{"value": {"a": [R]}, "id": 1, "key": "Api-Key"}]'),
        ('[{"key": "Cookie"}, {"name": "z", "value": "eu"}]', '[{"key": "Cookie"}, {"name": "z", "value": "eu"}]'),
        ('\ufeff{"token": "a", "token ": "b"}\n', '\ufeff{"token": R, "token ": R}\n'),
        ('"token"', '"token"'),
        # What is no JSON is kept too.
        ('{"token": "a", "token": "b"}', '{"token": R, "token": R}'),
        ('}{"a": {"token": "\udcff", "b": "c", "password": "d, [\\', '}{"a": {"token": R, "b": "c", "password": R'),
        ('{"token": "a" "b": 1, "n": NaN, "pass": 1', '{"token": R "b": 1, "n": NaN, "pass": R'),
    ],
)  # fmt: skip
def test_all_below_and_beside_a_secret_name_is_removed_and_nothing_else_changes(sent: str, kept: str) -> None:
    removed = format_of(SOURCES["uptime-kuma"]).without_secrets(sent.encode(errors="surrogateescape"))
    assert removed.decode() == kept.replace(" R", ' "(removed)"').replace("[R", '["(removed)"')


_LEAVES = st.none() | st.booleans() | st.integers() | st.sampled_from(["token", "", 'a "', "\\"])
_NAMES = st.sampled_from(["a", "token", "value", "name", "\\token", ""])


@given(st.recursive(_LEAVES, lambda inner: st.lists(inner) | st.dictionaries(_NAMES, inner)))
def test_removing_secrets_leaves_the_shape(value: object) -> None:
    def shape(one: object, secret: bool = False) -> object:
        if isinstance(one, dict):
            hidden = isinstance(one.get("name"), str) and "token" in one["name"]
            return {
                name: shape(each, secret or "token" in name or (hidden and name == "value"))
                for name, each in one.items()
            }
        if isinstance(one, list):
            return [shape(each, secret) for each in one]
        return "(removed)" if secret and one is not None and not isinstance(one, bool) and one != "" else one

    body = json.dumps(value, indent=1).encode()
    assert json.loads(format_of(SOURCES["uptime-kuma"]).without_secrets(body)) == shape(value)
