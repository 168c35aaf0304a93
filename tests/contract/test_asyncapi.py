"""The AsyncAPI document: generated, valid, true of topics, bytes and headers; and the page that shows it."""

from __future__ import annotations

import copy
import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
from jsonschema import Draft7Validator, FormatChecker
from typer.testing import CliRunner

from cli.main import app
from schemas import registry
from streams.asyncapi import document
from streams.asyncapi.markdown import anchor, markdown
from streams.kafka.records import UnreadBatch
from streams.runtime import dead_letter
from streams.runtime.dead_letter import rejected
from streams.runtime.processor import Record
from streams.serde.codec import decode
from streams.serde.input_records import input_record
from streams.sla.events import REJECT_CODES, Rejection
from streams.topics import declared

ROOT = Path(__file__).parents[2]
DOCUMENT = json.loads(document.FILE.read_text(encoding="utf-8"))
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]
LATEST = {each["title"]: each for each in MESSAGES.values() if each["title"] != each["name"]}
EVENTS = {
    each["name"]: each for each in MESSAGES.values() if each["name"] != "rejected" and each["title"] not in LATEST
}
TYPES = sorted(name for name in registry.load().latest if not name.startswith("state."))
OFFICIAL = Draft7Validator(json.loads((Path(__file__).parent / "asyncapi" / "asyncapi-3.0.0.json").read_text()))
AGAIN = "write it anew: python -m streams.asyncapi.document"


def golden(event_type: str) -> bytes:
    schema = registry.load().latest[event_type]
    stem = event_type if schema.version == 1 else f"{event_type}.v{schema.version}"
    return bytes.fromhex((ROOT / "schemas" / "golden" / f"{stem}.hex").read_text(encoding="utf-8"))


def test_the_committed_document_is_the_one_that_is_made() -> None:
    assert document.FILE.read_text(encoding="utf-8") == document.text(document.published()), AGAIN


def test_the_page_shows_the_committed_document() -> None:
    assert document.PAGE.read_text(encoding="utf-8") == markdown(DOCUMENT), AGAIN


def test_the_official_schema_finds_it_valid() -> None:
    assert [f"{each.json_path}: {each.message[:200]}" for each in OFFICIAL.iter_errors(DOCUMENT)] == []


@pytest.mark.parametrize(
    ("where", "wrong"),
    [
        (("channels", "alerts", "bindings", "kafka", "partitions"), 0),
        (("channels", "alerts", "bindings", "kafka", "topicConfiguration", "cleanup.policy"), "delete"),
        (("operations", "sendAlerts", "action"), "publish"),
        (("components", "messages", "SlaMet", "bindings", "kafka", "schemaIdLocation"), "value"),
    ],
)
def test_the_official_schema_is_strict(where: tuple[str, ...], wrong: object) -> None:
    broken = copy.deepcopy(DOCUMENT)
    *path, last = where
    place = broken
    for name in path:
        place = place[name]
    place[last] = wrong
    assert not OFFICIAL.is_valid(broken)


def test_every_event_type_is_in_the_one_topic_that_carries_it() -> None:
    carried = [name for spec in declared() for name in spec.types]
    assert sorted(carried) == TYPES
    for channel, spec in ((_channel(spec.name), spec) for spec in declared() if spec.types):
        names = [MESSAGES[name]["name"] for name in channel["messages"]]
        assert names == list(spec.types)


def test_a_topic_of_latest_events_says_so_and_has_a_key_of_its_own() -> None:
    (message,) = LATEST.values()
    statement = EVENTS["credit.statement"]
    assert message["payload"] == statement["payload"]
    assert message["bindings"]["kafka"]["key"] != statement["bindings"]["kafka"]["key"]
    assert _channel("sla.tenant-months")["messages"].keys() == {"LatestCreditStatement"}
    assert (
        "[credit.statement](#creditstatement)" in document.PAGE.read_text(encoding="utf-8").split("### the latest")[1]
    )


def test_topics_without_types_of_the_contract_are_left_out_but_the_rejected() -> None:
    named = {channel["address"] for channel in DOCUMENT["channels"].values()}
    assert named == {spec.name for spec in declared() if spec.types or spec.latest_of} | {"sla.rejected"}


def test_channels_have_the_settings_that_are_applied() -> None:
    specs = {spec.name: spec for spec in declared()}
    for channel in DOCUMENT["channels"].values():
        binding, spec = channel["bindings"]["kafka"], specs[channel["address"]]
        assert (binding["topic"], binding["partitions"], binding["replicas"]) == (spec.name, 8, 1)
        applied = {name: _as_kafka_has_it(value) for name, value in binding["topicConfiguration"].items()}
        assert applied == spec.config()


@pytest.mark.parametrize("event_type", TYPES)
def test_it_receives_what_others_publish_and_sends_the_rest(event_type: str) -> None:
    decoded = decode(golden(event_type))
    assert not isinstance(decoded, Rejection)
    ready = input_record(*decoded)
    (operation,) = [
        each
        for each in DOCUMENT["operations"].values()
        if any(MESSAGES[message["$ref"].rpartition("/")[2]]["title"] == event_type for message in each["messages"])
    ]
    channel = DOCUMENT["channels"][operation["channel"]["$ref"].rpartition("/")[2]]
    if operation["action"] == "receive":
        assert not isinstance(ready, Rejection)
        assert channel["address"] == f"sla.{ready.topic}"
    else:
        assert isinstance(ready, Rejection)


@pytest.mark.parametrize("event_type", TYPES)
def test_an_example_written_with_its_schema_is_the_golden_bytes(event_type: str) -> None:
    message = EVENTS[event_type]
    schema = registry.without_logical_types(message["payload"]["schema"])
    stream = BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), message["examples"][0]["payload"])
    assert stream.getvalue() == golden(event_type)[10:]


@pytest.mark.parametrize("event_type", TYPES)
def test_an_examples_headers_are_as_documented(event_type: str) -> None:
    message = EVENTS[event_type]
    headers = message["examples"][0]["headers"]
    assert _misfits(message["headers"], headers) == []
    assert set(headers) <= set(DOCUMENT["components"]["schemas"]["CloudEventHeaders"]["properties"])
    assert _misfits(message["headers"], {**headers, "ce_type": "incident.exploded"})
    assert _misfits(message["headers"], {**headers, "ce_time": "yesterday"})


@pytest.mark.parametrize("code", REJECT_CODES)
def test_a_rejects_headers_are_as_documented(code: str) -> None:
    record = Record("sla.incident-events", 3, 42, 1_000_000, b"inc-1", b"?", [])
    headers = {
        name: value.decode() for name, value in rejected(record, code, "why", "sla.rejected", 3).headers if value
    }
    assert _misfits(MESSAGES["Rejected"]["headers"], headers) == []
    assert set(headers) == set(MESSAGES["Rejected"]["headers"]["required"])


def test_the_headers_of_a_reject_that_is_not_kept_are_documented() -> None:
    unread = UnreadBatch.of(40, 42, 45_000, "00" * 32, 32 * 1024 * 1024)
    for value in (b"x" * (dead_letter.MAX_ORIGINAL_BYTES + 1), unread):
        record = Record("sla.incident-events", 3, 42, 1_000_000, b"inc-1", value, [("name", b"v")])
        sent = rejected(record, "oversize", "why", "sla.rejected", 3)
        headers = {name: text.decode() for name, text in sent.headers}
        assert _misfits(MESSAGES["Rejected"]["headers"], headers) == []
        assert set(headers) <= set(MESSAGES["Rejected"]["headers"]["properties"])
        assert sent.value is None


def test_a_deployments_own_document() -> None:
    options = ["--prefix", "eu.sla", "--partitions", "32", "--replication", "3", "--brokers", "a:9092,b:9092"]
    printed = CliRunner().invoke(app, ["topics", "asyncapi", *options])
    assert printed.exit_code == 0, printed.output
    document = json.loads(printed.stdout)
    assert list(OFFICIAL.iter_errors(document)) == []
    assert set(document["channels"]) == set(DOCUMENT["channels"])
    alerts = document["channels"]["alerts"]
    assert alerts["address"] == "eu.sla.alerts"
    assert (alerts["bindings"]["kafka"]["partitions"], alerts["bindings"]["kafka"]["replicas"]) == (32, 3)
    assert document["servers"]["kafka"]["variables"]["bootstrap"]["enum"] == ["a:9092", "b:9092"]
    shown = CliRunner().invoke(app, ["topics", "asyncapi", *options, "--markdown"])
    assert shown.stdout == markdown(document)
    replaced = CliRunner().invoke(app, ["topics", "asyncapi", *options, "--html"])
    assert replaced.exit_code == 2
    assert "--markdown" in replaced.stderr
    nobody = CliRunner().invoke(app, ["topics", "asyncapi", "--brokers", " "])
    assert (nobody.exit_code, nobody.stderr.count("\n")) == (2, 1)


def test_every_link_of_the_page_leads_to_a_place_in_it() -> None:
    text = document.PAGE.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    assert len(set(map(anchor, headings))) == len(headings)
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= set(map(anchor, headings))
    assert {*EVENTS, *(channel["address"] for channel in DOCUMENT["channels"].values())} <= set(headings)


def test_tables_of_the_page_have_the_same_cells_in_every_row() -> None:
    text = document.PAGE.read_text(encoding="utf-8")
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) > len(EVENTS)
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table


@pytest.mark.parametrize("event_type", ["credit.statement", "incident.closed", "impact.changed"])
def test_the_page_names_every_field_also_of_nested_records(event_type: str) -> None:
    text = document.PAGE.read_text(encoding="utf-8")
    section = text.partition(f"### {event_type}\n")[2].partition("\n##")[0]
    shown = set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))
    decoded = decode(golden(event_type))
    assert not isinstance(decoded, Rejection)
    assert shown == _paths(decoded[1])


def _channel(address: str) -> dict[str, Any]:
    (found,) = [channel for channel in DOCUMENT["channels"].values() if channel["address"] == address]
    return found


def _as_kafka_has_it(value: object) -> str:
    return value if isinstance(value, str) else ",".join(value) if isinstance(value, list) else json.dumps(value)


def _misfits(schema: dict[str, Any], headers: dict[str, str]) -> list[str]:
    whole = {**schema, "components": DOCUMENT["components"]}
    checker = FormatChecker()
    checker.checks("date-time")(lambda text: re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text) is not None)
    return [each.message for each in Draft7Validator(whole, format_checker=checker).iter_errors(headers)]


def _paths(value: object, path: str = "") -> set[str]:
    match value:
        case dict():
            return {
                found
                for name, inner in value.items()
                for place in [f"{path}.{name}".lstrip(".")]
                for found in {place, *_paths(inner, place)}
            }
        case list():
            return {found for inner in value for found in _paths(inner, f"{path}[]")}
        case _:
            return set()
