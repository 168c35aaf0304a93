"""Golden bytes: what a released schema version wrote reads the same for ever; and the schemas' own house rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import avro.io
import avro.schema
import pytest

from schemas import registry
from streams.serde.cloudevents_json import from_json, to_json
from streams.serde.codec import decode, encode
from streams.sla.events import CONTRACT_TYPES, INCIDENT_RANK, Rejection

SCHEMAS = Path(__file__).parents[2] / "schemas"
STEMS = sorted(path.stem for path in (SCHEMAS / "avro").glob("*.avsc") if not path.stem.startswith("state."))
LATEST = sorted(name for name in registry.load().latest if not name.startswith("state."))
OUTPUTS = {
    "incident.classified",
    "incident.closed",
    "incident.state",
    "sla.warning",
    "sla.update_due",
    "sla.breached",
    "sla.breach_retracted",
    "sla.met",
    "impact.changed",
    "incident.link_changed",
    "credit.statement",
    "credit.issued",
    "time.mark",
    "audit.signed_in",
    "audit.sign_in_failed",
    "audit.signed_out",
    "audit.denied",
    "audit.acted",
    "action.proposed",
    "action.approved",
    "action.declined",
    "action.withdrawn",
}


def golden(stem: str) -> tuple[dict[str, Any], bytes]:
    folder = SCHEMAS / "golden"
    text = (folder / f"{stem}.json").read_text(encoding="utf-8")
    return json.loads(text), bytes.fromhex((folder / f"{stem}.hex").read_text(encoding="utf-8"))


def test_there_is_a_schema_for_each_event_type_of_the_contract() -> None:
    assert set(LATEST) == set(INCIDENT_RANK) | CONTRACT_TYPES | OUTPUTS


@pytest.mark.parametrize("stem", STEMS)
def test_golden_bytes_decode_to_the_golden_record(stem: str) -> None:
    obj, value = golden(stem)
    result = decode(value)
    assert not isinstance(result, Rejection)
    assert to_json(*result) == obj


@pytest.mark.parametrize("name", LATEST)
def test_the_latest_version_encodes_to_its_golden_bytes(name: str) -> None:
    version = registry.load().latest[name].version
    obj, value = golden(name if version == 1 else f"{name}.v{version}")
    result = from_json(obj)
    assert not isinstance(result, Rejection)
    assert encode(*result) == value


@pytest.mark.parametrize("stem", STEMS)
def test_another_avro_library_reads_the_golden_bytes(stem: str) -> None:
    definition = json.loads((SCHEMAS / f"avro/{stem}.avsc").read_text(encoding="utf-8"))
    schema = avro.schema.parse(json.dumps(registry.without_logical_types(definition)))
    _, value = golden(stem)
    stream = BytesIO(value[10:])
    record = avro.io.DatumReader(schema, schema).read(avro.io.BinaryDecoder(stream))
    assert stream.read() == b""
    result = decode(value)
    assert not isinstance(result, Rejection)
    assert record.items() <= result[1].items()


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, list):
        for item in schema:
            yield from nodes(item)
    elif isinstance(schema, dict):
        yield schema
        for name in ("type", "items", "fields"):
            if isinstance(schema.get(name), dict | list):
                yield from nodes(schema[name])


@pytest.mark.parametrize("stem", STEMS)
def test_everything_is_documented_and_enumerations_can_grow(stem: str) -> None:
    definition = json.loads((SCHEMAS / f"avro/{stem}.avsc").read_text(encoding="utf-8"))
    for node in nodes(definition):
        assert "doc" in node or "name" not in node, node
        if node["type"] == "enum":
            assert node["default"] == "unknown"
            assert node["symbols"][-1] == "unknown"


def test_a_named_type_means_the_same_in_every_file() -> None:
    meanings: dict[str, Any] = {}
    for name in LATEST:
        for node in nodes(registry.load().latest[name].definition):
            if node["type"] in ("record", "enum"):
                expanded = _without_references(node)
                assert meanings.setdefault(node["name"], expanded) == expanded, (name, node["name"])


def _without_references(node: Any) -> Any:
    """A type's JSON, where a nested type stands by its name, whether it is defined there or only named."""
    if node["type"] == "enum":
        return node
    fields = []
    for field in node["fields"]:
        inner = field["type"]
        fields.append({**field, "type": inner["name"] if isinstance(inner, dict) and "name" in inner else inner})
    return {**node, "fields": fields}
