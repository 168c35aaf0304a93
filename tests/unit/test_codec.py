"""Framings, fingerprints, headers and every way in which bytes are refused."""

from __future__ import annotations

import json

import pytest

from schemas import registry
from streams.serde.codec import MAX_RECORD_BYTES, Codec, decode, encode, encode_output, headers_for
from streams.serde.confluent_framing import Framing
from streams.serde.record_readers import RecordReader
from streams.sla.events import Output, Rejection

UPDATED = {
    "event_id": "e-1",
    "source": "/desk",
    "subject": "inc-1",
    "occurred_at": 1_769_850_000_000_000,
    "received_time": None,
    "backfill": False,
    "traceparent": None,
    "who": {"kind": "support", "id": None},
    "visibility": "public",
    "text": "原因が分かった",
}
VALUE = encode("incident.updated", UPDATED)
DEFINITION = registry.load().latest["incident.updated"].definition


class Source:
    """A schema registry in memory."""

    def __init__(self, schemas: dict[int, object]) -> None:
        self.schemas = schemas
        self.asked = 0

    def schema_for(self, schema_id: int) -> object | None:
        self.asked += 1
        return self.schemas.get(schema_id)


def confluent(schema_id: int, value: bytes = VALUE) -> bytes:
    return b"\x00" + schema_id.to_bytes(4, "big") + value[10:]


def code(result: object) -> str:
    assert isinstance(result, Rejection), result
    assert result.code in {"undecodable", "unknown_schema", "unknown_type", "oversize"}
    return result.code


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ("null", "8a8f25cce724dd63"),
        (
            {"type": "record", "name": "Example", "fields": [{"name": "foobar", "type": "string"}]},
            "b75d6f7da238cf70",
        ),
    ],
)
def test_fingerprint_vectors(schema: object, expected: str) -> None:
    assert registry.fingerprint(schema).hex() == expected


def test_logical_types_and_docs_leave_the_fingerprint() -> None:
    plain = registry.without_logical_types(DEFINITION)
    assert "logicalType" not in json.dumps(plain)
    assert registry.fingerprint(plain) == registry.fingerprint(DEFINITION)


def test_single_object_starts_with_marker_and_fingerprint() -> None:
    assert VALUE[:10] == b"\xc3\x01" + registry.load().latest["incident.updated"].fingerprint
    assert decode(VALUE) == ("incident.updated", UPDATED)


@pytest.mark.parametrize("given", [DEFINITION, json.dumps(DEFINITION)], ids=["parsed", "text"])
def test_confluent_framing_is_read_and_asked_for_once(given: object) -> None:
    source = Source({7: given})
    codec = Codec(source)
    for _ in range(3):
        assert codec.decode(confluent(7)) == ("incident.updated", UPDATED)
    assert source.asked == 1
    assert codec.decode(VALUE) == ("incident.updated", UPDATED)


def test_confluent_framing_is_written_where_ids_are_known() -> None:
    framing = Framing({"incident.updated": 7})
    assert framing(VALUE) == confluent(7)
    assert Codec(Source({7: DEFINITION})).decode(framing(VALUE)) == ("incident.updated", UPDATED)
    for other in (encode("state.mark", {"partition": 1, "until": 2}), confluent(7), b"", b"\xc3\x01"):
        assert framing(other) == other
    assert Framing()(VALUE) == VALUE


def test_confluent_ids_are_kept_in_bounded_memory() -> None:
    source = Source(dict.fromkeys(range(2_500), DEFINITION))
    codec = Codec(source)
    for schema_id in range(2_500):
        assert codec.decode(confluent(schema_id)) == ("incident.updated", UPDATED)
    assert len(codec._known._confluent) <= 1_000


def test_an_unreachable_registry_is_not_a_rejection() -> None:
    class Down:
        def schema_for(self, schema_id: int) -> object | None:
            raise ConnectionError("down")

    with pytest.raises(ConnectionError):
        Codec(Down()).decode(confluent(7))


def test_a_grown_enumeration_and_a_new_field_are_read_by_the_older_reader() -> None:
    grown = json.loads(json.dumps(DEFINITION))
    for field in grown["fields"]:
        if field["name"] == "visibility":
            field["type"]["symbols"].insert(2, "partners")
    grown["fields"].append({"name": "mood", "type": "string", "default": ""})
    files = [("incident.updated.avsc", json.dumps(grown))]
    newer = Codec(registry=registry.build(files))
    value = newer.encode("incident.updated", {**UPDATED, "visibility": "partners", "mood": "calm"})
    decoded = Codec(Source({8: grown})).decode(confluent(8, value))
    assert decoded == ("incident.updated", {**UPDATED, "visibility": "unknown"})


def test_an_older_version_is_read_as_the_latest() -> None:
    second = json.loads(json.dumps(DEFINITION))
    second["fields"].append({"name": "mood", "type": ["null", "string"], "default": None})
    files = [("incident.updated.avsc", json.dumps(DEFINITION)), ("incident.updated.v2.avsc", json.dumps(second))]
    both = Codec(registry=registry.build(files))
    assert both.decode(VALUE) == ("incident.updated", {**UPDATED, "mood": None})
    value = both.encode("incident.updated", {**UPDATED, "mood": "calm"})
    assert value[:10] != VALUE[:10]
    assert both.decode(value) == ("incident.updated", {**UPDATED, "mood": "calm"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "undecodable"),
        (b"", "undecodable"),
        (b"\xc3", "undecodable"),
        (b"\xc3\x01\x00", "undecodable"),
        (b'{"specversion":"1.0"}', "undecodable"),
        (b"\x00\x00\x01", "undecodable"),
        (VALUE[:-1], "undecodable"),
        (VALUE[:10], "undecodable"),
        (VALUE + b"\x00", "undecodable"),
        (VALUE[:10] + b"\xff" * 40, "undecodable"),
        (VALUE.replace("原".encode(), b"\xff\xfe\xfd"), "undecodable"),
        (b"\xc3\x01" + b"\x01" * 8 + VALUE[10:], "unknown_schema"),
        (confluent(7), "unknown_schema"),
        (VALUE[:10] + b"\x00" * MAX_RECORD_BYTES, "oversize"),
    ],
)
def test_refused_bytes(value: bytes | None, expected: str) -> None:
    assert code(decode(value)) == expected


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (None, "unknown_schema"),
        ("not json", "unknown_schema"),
        ({"type": "nonsense"}, "unknown_schema"),
        ({"type": "record", "name": "Foreign", "fields": []}, "unknown_type"),
        ('"string"', "unknown_type"),
    ],
)
def test_refused_registry_schemas(schema: object, expected: str) -> None:
    assert code(Codec(Source({7: schema})).decode(confluent(7))) == expected


def test_every_prefix_and_every_single_byte_change_is_survived() -> None:
    for cut in range(len(VALUE)):
        assert code(decode(VALUE[:cut])) in {"undecodable", "unknown_schema"}
    for index in range(len(VALUE)):
        for byte in (0, 1, 127, 128, 255):
            decode(VALUE[:index] + bytes([byte]) + VALUE[index + 1 :])


def test_the_largest_record_is_read_and_the_limit_can_be_raised() -> None:
    room = MAX_RECORD_BYTES - len(encode("incident.updated", {**UPDATED, "text": "x" * 200_000})) + 200_000
    full = encode("incident.updated", {**UPDATED, "text": "x" * room})
    over = encode("incident.updated", {**UPDATED, "text": "x" * (room + 1)})
    assert len(full) == MAX_RECORD_BYTES
    assert not isinstance(decode(full), Rejection)
    assert code(decode(over)) == "oversize"
    assert not isinstance(decode(over, limit=1 << 30), Rejection)


@pytest.mark.parametrize(
    "change", [{"txt": "misspelt"}, {"visibility": "nowhere"}, {"occurred_at": "2026"}, {"who": None}]
)
def test_a_record_that_is_not_ours_is_a_bug(change: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        encode("incident.updated", {**UPDATED, **change})


def test_an_unknown_type_is_a_bug() -> None:
    with pytest.raises(KeyError):
        encode("incident.exploded", UPDATED)


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (0, b"1970-01-01T00:00:00Z"),
        (1_769_850_000_000_000, b"2026-01-31T09:00:00Z"),
        (1_769_850_000_250_000, b"2026-01-31T09:00:00.25Z"),
        (1_769_850_000_000_001, b"2026-01-31T09:00:00.000001Z"),
        (253_402_300_799_999_999, b"9999-12-31T23:59:59.999999Z"),
    ],
)
def test_headers_are_cloudevents_binary_mode(time: int, text: bytes) -> None:
    assert headers_for("sla.met", "id-1", "/sla/incidents", "障害-1", time, traceparent="00-ab-cd-01") == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"id-1"),
        ("ce_type", b"sla.met"),
        ("ce_source", b"/sla/incidents"),
        ("ce_time", text),
        ("ce_subject", "障害-1".encode()),
        ("content-type", b"application/avro"),
        ("traceparent", b"00-ab-cd-01"),
    ]
    assert "traceparent" not in dict(headers_for("sla.met", "id-1", "/sla/incidents", "i", time))


def test_an_output_becomes_value_and_headers() -> None:
    output = Output("time.mark", "id-1", "3", 1_000_000, {"partition": 3, "marked_until": 5}, backfill=True)
    value, headers = encode_output(output, "/sla/incidents")
    assert decode(value) == (
        "time.mark",
        {
            "event_id": "id-1",
            "source": "/sla/incidents",
            "subject": "3",
            "occurred_at": 1_000_000,
            "backfill": True,
            "traceparent": None,
            "partition": 3,
            "marked_until": 5,
        },
    )
    assert headers == headers_for("time.mark", "id-1", "/sla/incidents", "3", 1_000_000, backfill=True)
    assert ("ce_backfill", b"true") in headers
    late_value, late = encode_output(output._replace(incident_ended=2_000_000), "/sla/incidents")
    assert late_value == value
    assert set(late) - set(headers) == {("ce_incidentended", b"1970-01-01T00:00:02Z")}


@pytest.mark.parametrize("name", ["Incident.avsc", "a.v0.avsc", "a.json", ".avsc", "a..b.avsc"])
def test_file_names_that_are_no_schema(name: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        registry.split_file_name(name)


def test_one_record_name_belongs_to_one_type() -> None:
    text = '{"type": "record", "name": "A", "fields": []}'
    with pytest.raises(ValueError, match="is both"):
        registry.build([("a.avsc", text), ("b.avsc", text)])


def test_records_of_our_own_one_after_the_other() -> None:
    """How kept rows lie in memory: Avro says where each ends."""
    codec = Codec()
    mark = encode("state.mark", {"partition": 3, "until": 5})
    assert list(codec.decode_each(VALUE + mark + VALUE)) == [codec.decode(each) for each in (VALUE, mark, VALUE)]
    assert list(codec.decode_each(b"")) == []


@pytest.mark.parametrize(("tail", "code"), [(VALUE[:-1], "undecodable"), (b"\xc3\x01" + bytes(9), "unknown_schema")])
def test_the_first_that_can_not_be_read_ends_the_sequence(tail: bytes, code: str) -> None:
    found = list(Codec().decode_each(VALUE + tail + VALUE))[1:]
    assert [isinstance(each, Rejection) and each.code for each in found] in ([code], [code, code])


def test_the_first_fields_alone() -> None:
    read = Codec().prefix_reader("incident.updated", ("event_id", "source", "subject"))
    assert read(VALUE) == {"event_id": "e-1", "source": "/desk", "subject": "inc-1"}
    assert read(encode("state.mark", {"partition": 3, "until": 5})) is None
    with pytest.raises(AssertionError, match="begins with other fields"):
        Codec().prefix_reader("incident.updated", ("event_id", "subject"))


def test_a_record_for_which_there_is_no_memory_is_no_bad_record(monkeypatch: pytest.MonkeyPatch) -> None:
    def scarce(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(RecordReader, "read", scarce)
    with pytest.raises(MemoryError):
        decode(VALUE)
    with pytest.raises(MemoryError):
        list(Codec().decode_each(VALUE))
