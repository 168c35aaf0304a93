"""The JSON form: what is read, what is refused and with which words, and exact numbers."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from pathlib import Path

import pytest

from streams.serde.cloudevents_json import format_line, from_json, parse_line, to_json
from streams.sla.events import Rejection

ROOT = Path(__file__).parents[2]
OPENED = json.loads((ROOT / "schemas/golden/incident.opened.json").read_text(encoding="utf-8"))
CLOSED = json.loads((ROOT / "schemas/golden/incident.closed.json").read_text(encoding="utf-8"))
REMOVE = object()


def changed(event: dict[str, object], path: str, value: object) -> dict[str, object]:
    event = copy.deepcopy(event)
    *folders, name = path.split(".")
    place: dict[str, object] = event
    for folder in folders:
        place = place[folder]  # type: ignore[assignment]
    if value is REMOVE:
        del place[name]
    else:
        place[name] = value
    return event


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("specversion", REMOVE, ["specversion", '"1.0"']),
        ("specversion", "0.3", ["specversion", '"1.0"']),
        ("type", REMOVE, ["type", "incident.opened"]),
        ("type", 5, ["type", "incident.opened"]),
        ("id", REMOVE, ["id", "missing"]),
        ("id", 5, ["id", "expected a text", "5"]),
        ("id", "", ["id", "empty"]),
        ("source", REMOVE, ["source", "missing"]),
        ("subject", None, ["subject", "expected a text", "null"]),
        ("time", REMOVE, ["time", "missing"]),
        ("time", "2026-01-31T09:00:00.0", ["time", "no UTC offset"]),
        ("time", "yesterday", ["time", "RFC 3339"]),
        ("time", 1_769_850_000, ["time", "expected a text"]),
        ("receivedtime", "soon", ["receivedtime", "RFC 3339"]),
        ("backfill", "yes", ["backfill", "true or false", '"yes"']),
        ("traceparent", 1, ["traceparent", "expected a text"]),
        ("data", REMOVE, ["data", "object"]),
        ("data", [], ["data", "object"]),
        ("data.impact", REMOVE, ["data.impact", "missing"]),
        ("data.impact", None, ["data.impact", "null"]),
        ("data.impact", "total_outage", ["data.impact", "complete_outage, critical_performance", '"total_outage"']),
        ("data.tenant_ids", "acme", ["data.tenant_ids", "array"]),
        ("data.tenant_ids", ["acme", 5], ["data.tenant_ids[1]", "expected a text", "5"]),
        ("data.tier", "1", ["data.tier", "whole number", '"1"']),
        ("data.tier", True, ["data.tier", "whole number", "true"]),
        ("data.tier", 1.0, ["data.tier", "whole number", "1.0"]),
        ("data.tier", 2**31, ["data.tier", "32 bits"]),
        ("data.started_at", 5, ["data.started_at", "RFC 3339", "5"]),
        ("data.component", "\ud800", ["data.component", "surrogate"]),
        ("data.tenant_ids", ["a\udfff"], ["data.tenant_ids[0]", "surrogate"]),
    ],
)
def test_refused_fields_are_named(path: str, value: object, words: list[str]) -> None:
    result = from_json(changed(OPENED, path, value))
    assert isinstance(result, Rejection)
    assert result.code == "invalid"
    for word in words:
        assert word in result.message
    if not path.startswith("id"):
        assert result.event_id == OPENED["id"]


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("half \ud83d", "half \ufffd"),
        ("\udd25x", "\ufffdx"),
        ("\ud83dx\ud83d", "\ufffdx\ufffd"),
        ("\U0001f525", "\U0001f525"),
    ],
)
def test_half_a_character_in_a_text_for_people_costs_that_character_alone(given: str, taken: str) -> None:
    result = parse_line(json.dumps(changed(OPENED, "data.summary", given)))
    assert not isinstance(result, Rejection), result
    assert result[1]["summary"] == taken


def test_a_byte_order_mark_before_a_line_is_skipped() -> None:
    assert parse_line("\ufeff" + json.dumps(OPENED)) == parse_line(json.dumps(OPENED))


def test_an_id_that_is_no_text_is_not_carried_on() -> None:
    result = from_json({**OPENED, "id": "\ud800"})
    assert isinstance(result, Rejection)
    assert (result.code, result.event_id) == ("invalid", None)


def test_the_default_symbol_is_not_offered() -> None:
    result = from_json(changed(OPENED, "data.channel", "fax"))
    assert isinstance(result, Rejection)
    assert "unknown" not in result.message


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("data.clocks", [{}], "data.clocks[0].metric: is missing"),
        ("data.clocks", [5], "data.clocks[0]: expected an object with metric, instance"),
        ("data.policy", {"name": "p", "version": 1}, "data.policy.version: expected a text, got 1"),
        ("data.title", None, "data.title: expected an object with en, ja"),
    ],
)
def test_nested_paths_are_named(path: str, value: object, words: str) -> None:
    result = from_json(changed(CLOSED, path, value))
    assert isinstance(result, Rejection)
    assert words in result.message


def test_an_unknown_type_is_refused_by_its_name() -> None:
    result = from_json({**OPENED, "type": "incident.exploded"})
    assert result == Rejection(
        "unknown_type", "type: 'incident.exploded' is not an event type of the contract", OPENED["id"]
    )


def test_state_records_are_no_events() -> None:
    result = from_json({**OPENED, "type": "state.incident"})
    assert isinstance(result, Rejection)
    assert result.code == "unknown_type"


@pytest.mark.parametrize("obj", [None, 5, "x", [], True])
def test_only_objects_are_events(obj: object) -> None:
    result = from_json(obj)
    assert isinstance(result, Rejection)
    assert result.code == "invalid"


def test_unknown_attributes_and_data_fields_are_ignored() -> None:
    more = changed({**OPENED, "partitionkey": "x", "dataschema": "urn:x"}, "data.mood", "calm")
    assert from_json(more) == from_json(OPENED)


@pytest.mark.parametrize(("given", "expected"), [(True, True), ("true", True), (False, False), ("false", False)])
def test_backfill_in_both_forms(given: object, expected: bool) -> None:
    result = from_json({**OPENED, "backfill": given})
    assert not isinstance(result, Rejection)
    assert result[1]["backfill"] is expected


def test_absent_optional_fields_get_their_defaults() -> None:
    data = {"scope": "platform", "component": "api", "impact": "cosmetic", "channel": "api"}
    bare = {name: OPENED[name] for name in ("specversion", "id", "type", "source", "subject", "time")}
    result = from_json({**bare, "data": data})
    assert not isinstance(result, Rejection)
    record = result[1]
    assert [record[name] for name in ("received_time", "backfill", "traceparent")] == [None, False, None]
    assert [record[name] for name in ("tenant_ids", "tier", "summary", "started_at")] == [[], None, None, None]
    assert to_json(*result) == {**bare, "data": {"scope": "platform", "tenant_ids": [], **{k: data[k] for k in data}}}


def test_a_default_list_is_not_shared() -> None:
    data = {"scope": "platform", "component": "api", "impact": "cosmetic", "channel": "api"}
    first, second = from_json({**OPENED, "data": data}), from_json({**OPENED, "data": data})
    assert not isinstance(first, Rejection)
    assert not isinstance(second, Rejection)
    assert first[1]["tenant_ids"] is not second[1]["tenant_ids"]


def test_severity_is_needed_even_where_it_is_null() -> None:
    event = json.loads((ROOT / "schemas/golden/incident.severity_set.json").read_text(encoding="utf-8"))
    result = from_json(event)
    assert not isinstance(result, Rejection)
    assert to_json(*result)["data"]["severity"] is None  # type: ignore[index]
    refused = from_json(changed(event, "data.severity", REMOVE))
    assert isinstance(refused, Rejection)
    assert "data.severity: is missing" in refused.message


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("0", 0),
        ("3600", 3_600_000_000),
        ("3600.0", 3_600_000_000),
        ("36e2", 3_600_000_000),
        ("0.1", 100_000),
        ("0.000001", 1),
        ("40068.000001", 40_068_000_001),
        ("-1.5", -1_500_000),
        ("253402300799.999999", 253_402_300_799_999_999),
    ],
)
def test_durations_are_exact(text: str, micros: int) -> None:
    line = format_line(CLOSED).replace("3600.5", text)
    result = parse_line(line)
    assert not isinstance(result, Rejection), result
    assert result[1]["clocks"][0]["wall_s"] == micros  # type: ignore[index]
    assert parse_line(format_line(to_json(*result))) == result


@pytest.mark.parametrize(
    "text", ["0.0000001", "1e-7", "1e30", "1e400", "1e-999999999", "0e-999999999", '"PT1H"', "true", "null"]
)
def test_durations_that_are_refused(text: str) -> None:
    result = parse_line(format_line(CLOSED).replace("3600.5", text))
    assert isinstance(result, Rejection)
    assert result.code == "invalid"
    assert "data.clocks[0].wall_s" in result.message


def test_floats_of_another_parser_are_exact_too() -> None:
    result = from_json(json.loads(format_line(CLOSED).replace("3600.5", "40068.000001")))
    assert not isinstance(result, Rejection)
    assert result[1]["clocks"][0]["wall_s"] == 40_068_000_001  # type: ignore[index]


def test_format_line_writes_decimals_plainly() -> None:
    assert format_line({"a": [Decimal("1E+2"), 0.5, None, "é"]}) == '{"a": [100, 0.5, null, "é"]}'


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "column 1"),
        ('{"a": }', "column 7"),
        ('{"a": 1} x', "column 10"),
        ('{"a": 1, "a": 2}', "'a' appears twice"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "-Infinity"),
        ('{"a": 1e9999999999999999999}', "not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": 1' + "0" * 5000 + "}", "not JSON"),
    ],
)
def test_lines_that_are_no_json(line: str, words: str) -> None:
    result = parse_line(line)
    assert isinstance(result, Rejection)
    assert result.code == "undecodable"
    assert words in result.message


def test_instants_without_rfc3339_form_are_still_shown() -> None:
    result = from_json(OPENED)
    assert not isinstance(result, Rejection)
    shown = to_json(result[0], {**result[1], "occurred_at": 2**62})
    assert shown["time"] == 2**62


@pytest.mark.parametrize("path", sorted((ROOT / "examples/data").glob("*.jsonl")), ids=lambda path: path.name)
def test_every_line_of_the_examples_is_read_and_written_back(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines
    for line in lines:
        result = parse_line(line)
        assert not isinstance(result, Rejection), (line, result)
        assert from_json(to_json(*result)) == result


def test_a_type_that_only_the_product_writes_is_no_input() -> None:
    """R27: somebody who publishes an output is told so, whatever its fields."""
    line = '{"specversion": "1.0", "id": "a", "type": "sla.met", "source": "/x", "subject": "i", "data": {}}'
    result = parse_line(line, inputs_only=True)
    assert isinstance(result, Rejection)
    assert (result.code, result.event_id) == ("unknown_type", "a")


def test_a_line_has_exact_numbers_and_text_as_it_is_wherever_they_stand() -> None:
    value = {
        "text": "障害\n",
        "list": [Decimal("1.50"), {"deep": Decimal("0.0000001")}, 2**70, None, True],
        "float": 0.5,
    }
    assert format_line(value) == (
        '{"text": "障害\\n", "list": [1.50, {"deep": 0.0000001}, 1180591620717411303424, null, true], "float": 0.5}'
    )
    assert format_line({**value, "list": []}) == '{"text": "障害\\n", "list": [], "float": 0.5}'
