"""Any JSON webhook: mistakes of the mapping, expressions, ids, times, and what a message means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from intake_samples import published
from typer.testing import CliRunner

from cli.main import app
from connect.intake import translate
from connect.intake.formats import json_body
from connect.intake.mapping.explanation import explain
from connect.intake.mapping.expressions import ItemTexts, parse_expression
from connect.intake.mapping.paths import PayloadTexts, lookup
from connect.intake.mapping.rules import Source
from connect.intake.mapping_file import MappingError, load_mapping
from connect.intake.translate import Translation
from streams.sla.instants import format_rfc3339, parse_rfc3339

GOOD = """\
version: 1
sources:
  shop:
    format: json
    secrets: [{env: TOKEN}]
    body:
      incident: [{from: id}]
      state:
        - {from: status, values: {down: opened, note: updated, up: resolved, test: ignored}}
      time: at
      text: [{from: text}]
      visibility: [{from: audience, values: {everyone: public}}]
    component: [{value: api}]
    impact: [{value: cosmetic}]
    tenants: [{from: tenant}, {scope: platform}]
"""
DOWN = {"id": 7, "status": "down", "at": "2026-10-12T09:00:00+02:00", "tenant": "acme"}


def loaded(tmp_path: Path, *changes: tuple[str, str]) -> Source:
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file = tmp_path / "intake.yaml"
    file.write_text(text, encoding="utf-8")
    return load_mapping(file)["shop"]


def decided(source: Source, payload: object, received: str | None = None) -> Translation:
    at = None if received is None else parse_rfc3339(received)
    return translate.webhook(source, json.dumps(payload).encode(), at)


def event(source: Source, payload: object, received: str | None = None) -> dict[str, Any]:
    found = decided(source, payload, received)
    assert not found.rejected, found.rejected
    (one,) = published(found)
    return one


STATE = "{down: opened, note: updated, up: resolved, test: ignored}"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("      incident:", "      incidnet:", "7: sources.shop.body.incidnet: unknown key; did you mean incident?"),
        ("down: opened", "down: openend", "9: sources.shop.body.state[0].values.down: 'openend' is nothing that"),
        ("down: opened", "down: openend", "did you mean opened?; allowed: opened, responded"),
        ("down: opened", "down: [opened, ignored]", "9: sources.shop.body.state[0].values.down: a message means"),
        ("down: opened, ", "", "8: sources.shop.body.state: no value means opened, so no incident ever begins"),
        ("note: updated, ", "note: [updated, waiting_ended], ", "8: sources.shop.body.state: waiting_ended without"),
        ("note: updated, ", "", "11: sources.shop.body.text: no value of `state` means updated, so it never counts"),
        ("      time: at\n", "", "6: sources.shop.body: time or opened_at: is missing, and opened needs one"),
        ("      time: at\n", "      opened_at: at\n      resolved_at: at\n", "time: is missing, and updated needs one"),
        ("time: at", "time: at-", "10: sources.shop.body.time[0]: 'at-' is no JMESPath expression (character 3)"),
        ("time: at", "time: {from: at, format: rfc}", "10: sources.shop.body.time[0].format[0]: 'rfc' is no format"),
        ("time: at", "time: {from: at, format: '%H:%M'}", "does not say year, month, day, hour and minute"),
        ("time: at", "time: {from: at, format: '%Y-%m-%d %H:%M'}", "has no zone; allowed: `zone: UTC`, or %z"),
        ("time: at", "time: {from: at, zone: UTC}", "the zone is not used"),
        ("time: at", "time: {from: at, format: '%Y-%m-%d %H:%M', zone: Mars}", "'Mars' is not a time zone"),
        ("{from: id}", "{from: '[id, at]'}", "[a, b] builds values and is not available"),
        ("{from: id}", "{from: ids[0].x}", "7: this is not YAML: while parsing"),
        ("{from: id}", "{from: ids[0].x}", "expected ',' or '}', but got '['; a text with [ within braces is quoted"),
        ("{from: id}", "{from: \"join('12345678901234567', ids)\"}", "the separator of join is too long"),
        ("{from: id}", "{from: 'sort(id)'}", "function sort is not available; allowed: contains"),
        ("{from: id}", "{from: '`1`'}", "is the same for every body"),
        ("everyone: public", "everyone: publik", "'publik' is not a valid visibility; did you mean public?"),
        ("tenant}", "tenant, when: {'a == b': [yes]}}", "'a == b' is never 'yes'; allowed: true, false"),
        ("status, values", "status == 'x', values", "\"status == 'x'\" is never 'down'; allowed: true, false"),
        (f"status, values: {STATE}}}", f"status, values: {STATE}}}\n        - value: opened\n        - value: resolved",
         "11: sources.shop.body.state[2]: never applies"),
        ("format: json", "format: jsn", "'jsn' is unknown here; did you mean json?"),
        ("    secrets: [{env: TOKEN}]\n", "", "3: sources.shop: secrets: this key is missing"),
        ("    body:", "    replay_window: PT5M\n    body:", "6: sources.shop.replay_window: no signed time"),
        ("    body:", "    states: {}\n    body:", "sources.shop.states: a source of format json has no use for it"),
        ("      time: at", "      left_out: n\n      time: at", "left_out: without `items` nothing can be left out"),
        ("      time: at", "      channel: pager\n      time: at", "'pager' is unknown here; allowed: monitor, phone"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(MappingError) as caught:
        loaded(tmp_path, (old, new))
    found = [str(each).removeprefix(f"{tmp_path / 'intake.yaml'}:") for each in caught.value.problems]
    assert any(told in each for each in found), found


@pytest.mark.parametrize(
    ("given", "shown"),
    [("障害", "'障害'"), ("gestört", "'gestört'"), ("a\u202eb\x1b\ud800", r"'a\u202eb\x1b\ud800'")],
)
def test_values_of_any_language_are_shown_as_they_are_written(tmp_path: Path, given: str, shown: str) -> None:
    source = loaded(tmp_path)
    (rejected,) = decided(source, {**DOWN, "status": given}).rejected
    assert f"status is {shown}, which line 9" in rejected.reason
    assert f"tenants, line 15: gives {shown}" in list(explain(source, ItemTexts({"tenant": given}, PayloadTexts({}))))


def test_an_expression_over_a_list_without_end_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connect.intake.mapping.expressions._MOST_STEPS", 1_000)
    path = parse_expression("tags[?@ == 'prod'] | [0]")
    assert path.values({"tags": ["x"] * 200 + ["prod"]}) == ["prod"]
    assert path.values({"tags": ["x"] * 2_000 + ["prod"]}) == []
    assert path.values({"tags": ["prod"]}) == ["prod"], "each evaluation counts for itself"


def test_other_formats_have_no_body(tmp_path: Path) -> None:
    with pytest.raises(MappingError) as caught:
        loaded(tmp_path, ("format: json", "format: zendesk"))
    assert "sources.shop.body: a source of format zendesk has no use for it" in str(caught.value)


VIEW = ItemTexts(
    {"a": {"b": [1, "x", None, {"c": 2}, ["y"]]}, "on": True, "tags": [{"key": "env", "value": "prod"}], "e-d": "q"},
    PayloadTexts({"group": "g", "list": [{"n": "one"}, {"n": "two"}]}),
)


@pytest.mark.parametrize(
    ("expression", "texts"),
    [
        ("a.b", ["1", "x"]),
        ("a.b.c", []),
        ("a.b[].c", ["2"]),
        ("on", ["true"]),
        ("tags[?key=='env'].value | [0]", ["prod"]),
        ('"e-d"', ["q"]),
        ("missing || on", ["true"]),
        ("$.group", ["g"]),
        ("$.list[].n", ["one", "two"]),
        ("$", []),
        ("group", []),
        ("contains(missing, 'x')", []),
        ("a < 'x'", []),
        ("join(', ', tags)", []),
        ("join(', ', tags[].value)", ["prod"]),
        ("contains(tags[].key, 'env')", ["true"]),
        ("length(tags) == `1`", ["true"]),
    ],
)
def test_expressions(expression: str, texts: list[str]) -> None:
    assert lookup(VIEW, parse_expression(expression)) == texts


@pytest.mark.parametrize("comparison", ["==", "<=", ">="])
@pytest.mark.parametrize("number", ["99.9", "0.1", "1e-3", "7"])
def test_a_number_equals_the_same_number_of_an_expression(comparison: str, number: str) -> None:
    body = json_body.parse(f'{{"value": {number}, "all": [{number}], "by": {{"name": {number}}}}}'.encode())
    for constant, place in ((number, "value"), (f"[{number}]", "all"), (f'{{"name": {number}}}', "by")):
        if comparison == "==" or place == "value":
            assert lookup(body, parse_expression(f"{place} {comparison} `{constant}`")) == ["true"]


def test_an_expression_over_the_body_is_evaluated_once_for_all_items() -> None:
    calls = 0

    class Counted(dict[str, object]):
        def get(self, name: object, default: object = None) -> object:
            nonlocal calls
            calls += 1
            return dict.get(self, str(name), default)

    body = PayloadTexts(Counted(list=[]))
    path = parse_expression("$.list[?n=='x'] || 'none'")
    for _ in range(5):
        assert lookup(ItemTexts({}, body), path) == ["none"]
    assert calls == 1
    many = PayloadTexts({"list": [str(each) for each in range(5_000)]})
    path = parse_expression("$.list")
    assert len(lookup(ItemTexts({}, many), path)) == 1_001, "more tenants than an incident may have"
    assert ItemTexts({}, many).folded_at(path) is ItemTexts({}, many).folded_at(path)


@pytest.mark.parametrize(
    "text", ["(" * 390 + "a", "a" * 401, "", "a[", "join(', ', $.list)", "[a][]|[@,@][]", "{a: a}"]
)
def test_hostile_expressions_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="allowed"):
        parse_expression(text)


@pytest.mark.parametrize("text", ["!" * 390 + "a", "a" + "[?a" * 60 + "]" * 60, "a" + ".a" * 190, "a[]" + "[]" * 150])
def test_long_expressions_cost_what_they_are_long(text: str) -> None:
    deep: object = 1
    for _ in range(500):
        deep = {"a": [deep]}
    assert isinstance(lookup(ItemTexts({"a": deep}, PayloadTexts({})), parse_expression(text)), list)


def test_ids_come_from_the_senders_own(tmp_path: Path) -> None:
    source = loaded(tmp_path)
    opened = event(source, DOWN)
    assert (opened["subject"], opened["id"]) == ("shop-7", "shop-7-opened-20261012T070000.000000Z")
    assert (opened["time"], opened["data"]["tenant_ids"]) == ("2026-10-12T07:00:00Z", ["acme"])
    ended = event(source, DOWN | {"status": "up"})
    assert (ended["id"], ended["data"]) == ("shop-7-resolved-20261012T070000.000000Z", {"who": {"kind": "monitor"}})
    named = loaded(tmp_path, ("      time: at", "      message: n\n      time: at"))
    assert event(named, DOWN | {"status": "up", "n": 12})["id"] == "shop-7-resolved-12"
    parts = loaded(tmp_path, ("[{from: id}]", "[{from: id}, {from: tenant}]"))
    assert event(parts, DOWN | {"id": "a~b", "tenant": "c%"})["subject"] == "shop-a%7Eb~c%25"
    long = event(source, DOWN | {"id": "x" * 500})
    assert max(len(long["subject"]), len(long["id"])) <= 128
    assert event(source, DOWN | {"id": "x" * 501})["subject"] != long["subject"]
    for broken in (None, {}, [], ["a", "b"], ""):
        (rejected,) = decided(source, DOWN | {"id": broken}).rejected
        assert rejected.reason.startswith("incident: id")


def test_two_updates_of_one_second_are_two_events(tmp_path: Path) -> None:
    source, note = loaded(tmp_path), DOWN | {"status": "note"}
    first, second = (event(source, note | {"text": text}) for text in ("one", "two"))
    assert first["id"] != second["id"]
    assert first["data"] == {"who": {"kind": "monitor"}, "visibility": "internal", "text": "one"}
    assert event(source, note | {"audience": "everyone"})["data"]["visibility"] == "public"


def test_it_waits_for_one_at_a_time(tmp_path: Path) -> None:
    waiting = "customer: waiting_customer, vendor: waiting_third_party, open: [reopened, waiting_ended], "
    source = loaded(tmp_path, ("{down: opened, ", f"{{down: opened, {waiting}"))

    def facts(status: str) -> list[tuple[str, str | None]]:
        found = published(decided(source, DOWN | {"status": status}))
        return [(each["type"].partition(".")[2], each["data"].get("on")) for each in found]

    assert facts("customer") == [("waiting_ended", "third_party"), ("waiting", "customer")]
    assert facts("vendor") == [("waiting_ended", "customer"), ("waiting", "third_party")]
    assert facts("open") == [("reopened", None), ("waiting_ended", "customer"), ("waiting_ended", "third_party")]


def test_a_state_that_nothing_names_is_rejected(tmp_path: Path) -> None:
    source = loaded(tmp_path)
    (rejected,) = decided(source, DOWN | {"status": "degraded"}).rejected
    assert rejected.reason == (
        "state: status is 'degraded', which line 9 of the mapping does not name; map what means nothing to ignored"
    )
    (ignored,) = decided(source, DOWN | {"status": "TEST"}).ignored
    assert "status is 'TEST'" in ignored.reason


@pytest.mark.parametrize(
    ("time", "given", "told"),
    [
        ("{from: at, format: epoch_seconds}", 1791788400, "2026-10-12T07:00:00Z"),
        ("{from: at, format: epoch_seconds}", "1791788400.5", "2026-10-12T07:00:00.5Z"),
        ("{from: at, format: epoch_milliseconds}", 1791788400250, "2026-10-12T07:00:00.25Z"),
        ("{from: at, format: epoch_microseconds}", 1791788400250001, "2026-10-12T07:00:00.250001Z"),
        ("{from: at, format: [epoch_milliseconds, epoch_nanoseconds]}", 1791788400250, "2026-10-12T07:00:00.25Z"),
        (
            "{from: at, format: [epoch_milliseconds, epoch_nanoseconds]}",
            1791788400250001999,
            "2026-10-12T07:00:00.250001Z",
        ),
        ("{from: at, format: '%d.%m.%Y %H:%M', zone: Europe/Berlin}", "12.10.2026 09:00", "2026-10-12T07:00:00Z"),
        ("{from: at, format: '%Y-%m-%dT%H:%M:%S%z'}", "2026-10-12T09:00:00+0200", "2026-10-12T07:00:00Z"),
        ("{from: at, format: [rfc3339, epoch_seconds]}", 1791788400, "2026-10-12T07:00:00Z"),
        ("[{from: end}, at]", "2026-10-12T07:00:00Z", "2026-10-12T07:00:00Z"),
        ("at", "2026-10-12T07:00:00", "at is '2026-10-12T07:00:00', which is no RFC 3339 date-time"),
        ("at", "0001-01-01T00:00:00Z", "opened: time: at is '0001-01-01T00:00:00Z', which means no time"),
        ("at", "1970-01-01T00:00:00Z", "which means no time"),
        ("at", "", "opened: time: at is absent"),
        ("[{from: end}, at]", "1969-12-31T23:59:59Z", "time: end is absent and time: at is '1969-12-31T23:59:59Z'"),
        ("at", None, "opened: time: at is absent"),
        ("at", "x" * 5000, "longer than a time"),
        ("{from: at, format: epoch_seconds}", 1791788400000, "which is after the year 9999 (epoch_seconds)"),
        ("{from: at, format: [epoch_seconds, epoch_milliseconds]}", 1791788400250, "2026-10-12T07:00:00.25Z"),
        ("{from: at, format: epoch_seconds}", 1e300, "which is after the year 9999 (epoch_seconds)"),
        ("{from: at, format: epoch_milliseconds}", 1791788400, "before 1973 (epoch_milliseconds), so it is in another"),
        ("{from: at, format: epoch_seconds}", 3600, "before 1973 (epoch_seconds), so it is in another unit"),
        ("{from: at, format: [epoch_milliseconds, epoch_seconds]}", 1791788400, "2026-10-12T07:00:00Z"),
        ("{from: at, format: epoch_seconds}", True, "no number"),
        ("{from: at, format: epoch_seconds}", 0, "at is '0', which means no time"),
        ("{from: at, format: epoch_milliseconds}", -1, "at is '-1', which means no time"),
        ("{from: at, format: epoch_milliseconds}", "NaN", "no number"),
    ],
)
def test_times(tmp_path: Path, time: str, given: object, told: str) -> None:
    source = loaded(tmp_path, ("time: at", f"time: {time}"))
    found = decided(source, DOWN | {"at": given})
    assert told in ([each["time"] for each in published(found)] or [each.reason for each in found.rejected])[0]


@pytest.mark.parametrize("unset", [0, -1, "0", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "", None])
def test_an_end_that_means_not_yet_leaves_the_time_of_the_message(tmp_path: Path, unset: object) -> None:
    """Many senders write it so in every message. Before, such a message was rejected."""
    ended = "{from: ended, format: [epoch_seconds, rfc3339]}"
    source = loaded(tmp_path, ("      time: at", f"      time: at\n      resolved_at: {ended}"))
    assert event(source, DOWN | {"ended": unset})["type"] == "incident.opened"
    assert event(source, DOWN | {"status": "up", "ended": unset})["time"] == "2026-10-12T07:00:00Z"
    assert event(source, DOWN | {"status": "up", "ended": 1791788401})["time"] == "2026-10-12T07:00:01Z"


def test_a_start_that_means_no_time_is_no_part_of_an_id(tmp_path: Path) -> None:
    """All outages of an alert would be one incident."""
    source = loaded(tmp_path, ("{from: id}", "{from: began}"), OPENED_AT)
    assert event(source, DOWN | {"began": "2026-10-12T06:00:00Z"})["subject"] == "shop-20261012T060000.000000Z"
    (rejected,) = decided(source, DOWN | {"began": "0001-01-01T00:00:00Z"}).rejected
    assert rejected.reason == (
        "incident: began is '0001-01-01T00:00:00Z', which means no time; an incident needs each part of its id"
    )


OPENED_AT = ("      time: at", "      time: at\n      opened_at: began")


@pytest.mark.parametrize(
    ("given", "utc", "note"),
    [
        ("25.10.2026 02:30", "2026-10-25T00:30:00Z", "happens twice, the first counts"),
        ("29.03.2026 02:30", "2026-03-29T01:30:00Z", "does not exist, it is moved forward"),
        ("25.10.2026 03:00", "2026-10-25T02:00:00Z", None),
    ],
)
def test_a_local_time_that_a_change_of_clocks_repeats_or_skips_is_told(
    tmp_path: Path, given: str, utc: str, note: str | None
) -> None:
    source = loaded(tmp_path, ("time: at", "time: {from: at, format: '%d.%m.%Y %H:%M', zone: Europe/Berlin}"))
    found = decided(source, DOWN | {"at": given, "status": "up"})
    assert [each["time"] for each in published(found)] == [utc]
    told = [(each.unapplied, each.subject, each.reason) for each in found.ignored]
    assert told == ([] if note is None else [("ambiguous_time", "shop-7", told[0][2])])
    if note is not None:
        assert told[0][2] == (
            f"time: at: {given} {note}: the clock of Europe/Berlin is changed then; "
            "let the sender write the offset from UTC"
        )


def test_the_time_of_receipt_is_taken_only_where_the_mapping_says_so(tmp_path: Path) -> None:
    source = loaded(tmp_path, ("time: at", "time: [at, receipt]"))
    unknown = {name: value for name, value in DOWN.items() if name != "at"}
    received = "2026-10-12T08:00:00Z"
    assert event(source, DOWN, received)["time"] == "2026-10-12T07:00:00Z"
    assert event(source, unknown, received)["time"] == received
    later = event(source, unknown, "2026-10-12T08:00:05Z")
    assert later["id"] != event(source, unknown, received)["id"], "two receipts are two events"


ITEMS = (
    ("      incident:", "      items: alerts\n      left_out: $.more\n      incident:"),
    ("from: tenant", "from: $.tenant"),
)


def test_a_body_with_a_list_of_messages(tmp_path: Path) -> None:
    source = loaded(tmp_path, *ITEMS)
    found = decided(source, {"tenant": "acme", "alerts": [DOWN, DOWN | {"id": 8}, 5], "more": 3})
    assert [each.subject for each in found.events] == ["shop-7", "shop-8"]
    assert ([each.item for each in found.rejected], found.truncated) == (["alerts[2]"], 3)
    for broken, reason in (({}, "items: alerts is absent"), ({"alerts": {}}, "items: alerts is no list")):
        assert decided(source, broken).rejected[0].reason == reason
    (oversize,) = decided(source, {"alerts": [0] * 10_001}).rejected
    assert oversize.code == "oversize"
    for more in (-1, "x", None, 10**40, True):
        assert decided(source, {"alerts": [], "more": more}).truncated == 0
    whole = loaded(tmp_path, ("      incident:", "      items: $\n      incident:"))
    assert event(whole, [DOWN])["subject"] == "shop-7"
    assert "write `items: $`" in decided(loaded(tmp_path), [DOWN]).rejected[0].reason


def test_the_opening_that_is_told_first_sorts_first(tmp_path: Path) -> None:
    source = loaded(tmp_path, ("time: at", "time: at\n      opened_at: since"))
    ids = [
        event(source, DOWN | {"since": "2026-10-12T07:00:00Z", "at": f"2026-10-12T{at}Z"})["id"]
        for at in ("07:00:00", "07:00:00.5", "07:00:01", "10:00:00")
    ]
    assert ids == sorted(ids)
    assert len(set(ids)) == 4


def test_one_way_of_writing_the_time_of_an_opening_in_an_id(tmp_path: Path) -> None:
    source = loaded(
        tmp_path, ("[{from: id}]", "[{from: id}, {from: at}]"), ("time: at", "time: at\n      opened_at: at")
    )
    subjects = {
        event(source, DOWN | {"at": at})["subject"] for at in ("2026-10-12T09:00:00+02:00", "2026-10-12T07:00:00.0Z")
    }
    assert subjects == {"shop-7~20261012T070000.000000Z"}


def test_the_dry_run_explains_every_rule_of_a_body(tmp_path: Path) -> None:
    loaded(tmp_path, ("time: at", "time: [at, receipt]"))
    file = tmp_path / "down.json"
    file.write_text(json.dumps({"id": 7, "status": "dwn", "alerts": []}), encoding="utf-8")
    words = ("intake", "test", str(file), "--mapping", str(tmp_path / "intake.yaml"), "--explain")
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert [line.strip() for line in done.output.splitlines()] == [
        "as shop (json):",
        "reject the request as invalid: state: status is 'dwn', which line 9 of the mapping does not name; "
        "map what means nothing to ignored",
        "why:",
        "incident, line 7: gives '7'",
        "time, line 10: at is absent",
        "time, line 10: gives 'the time of receipt'",
        "state, line 9: gives nothing: status is 'dwn', which line 9 of the mapping does not name",
        "text, line 11: gives nothing: text is absent",
        "visibility, line 12: gives nothing: audience is absent",
        "component, line 13: gives 'api'",
        "impact, line 14: gives 'cosmetic'",
        "tenants, line 15: gives nothing: tenant is absent",
        "tenants, line 15: gives every tenant",
    ]
    file.write_text(json.dumps({"id": 7, "status": "down"}), encoding="utf-8")
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, "publish to incident-events" in done.output) == (0, True), done.output
    assert format_rfc3339(0)[:4] not in done.output
