"""Loads every Avro schema of the product and finds it by event type, by fingerprint and by record name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

import fastavro.schema

#: Avro schema as JSON: what json.loads gives for an .avsc file.
Definition = Mapping[str, object]

_FILE_NAME = re.compile(r"(?P<name>[a-z0-9_]+(?:\.[a-z0-9_]+)*?)(?:\.v(?P<version>[1-9][0-9]*))?\.avsc")
_VERSION_LIKE = re.compile(r"\.v[0-9]+$")


class Schema(NamedTuple):
    """One version of one record type.

    `parsed` is for fastavro and has no logical types, so that instants stay integers (microseconds, UTC);
    `definition` is the file as it is; `fingerprint` is CRC-64-AVRO, little-endian, as single-object encoding has it.
    """

    name: str
    version: int
    full_name: str
    definition: Definition
    parsed: Definition
    fingerprint: bytes
    field_names: frozenset[str]


class Registry(NamedTuple):
    """The schemas by what a reader or writer knows of them. `latest` is what is written; older versions are read."""

    latest: Mapping[str, Schema]
    by_fingerprint: Mapping[bytes, Schema]
    name_of_record: Mapping[str, str]


def split_file_name(file_name: str) -> tuple[str, int]:
    """`incident.opened.avsc` is version 1 of incident.opened, `incident.opened.v2.avsc` its version 2.

    Raises ValueError for any other form of name.
    """
    match = _FILE_NAME.fullmatch(file_name)
    if match is None or _VERSION_LIKE.search(match["name"]):
        raise ValueError(f"{file_name}: expected <event type>.avsc or <event type>.v<number>.avsc")
    return match["name"], int(match["version"] or 1)


def without_logical_types(schema: object) -> object:
    """The same schema with every logical type taken off; canonical form and fingerprint stay what they were."""
    if isinstance(schema, dict):
        return {
            key: value if key in {"default", "doc"} else without_logical_types(value)
            for key, value in schema.items()
            if key != "logicalType"
        }
    if isinstance(schema, list):
        return [without_logical_types(item) for item in schema]
    return schema


def fingerprint(schema: object) -> bytes:
    """The 8 bytes CRC-64-AVRO of the parsing canonical form, little-endian (Avro 1.11, Schema Fingerprints)."""
    canonical = fastavro.schema.to_parsing_canonical_form(schema)
    return bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))


def parse(schema: object) -> Definition:
    """Prepare a schema for fastavro, without logical types. Raises fastavro.schema.SchemaParseException."""
    parsed: Definition = fastavro.schema.parse_schema(without_logical_types(schema))
    return parsed


def build(files: Iterable[tuple[str, str]]) -> Registry:
    """The registry of the given (file name, text) pairs. Raises ValueError when two do not go together."""
    latest: dict[str, Schema] = {}
    by_fingerprint: dict[bytes, Schema] = {}
    name_of_record: dict[str, str] = {}
    for (name, version), text in sorted((split_file_name(file_name), text) for file_name, text in files):
        definition = json.loads(text)
        namespace = definition.get("namespace")
        full_name = f"{namespace}.{definition['name']}" if namespace else definition["name"]
        if name_of_record.setdefault(full_name, name) != name:
            raise ValueError(f"record {full_name} is both {name_of_record[full_name]} and {name}")
        names = frozenset(field["name"] for field in definition["fields"])
        schema = Schema(name, version, full_name, definition, parse(definition), fingerprint(definition), names)
        latest[name] = by_fingerprint[schema.fingerprint] = schema
    return Registry(latest, by_fingerprint, name_of_record)


@lru_cache(maxsize=1)
def load() -> Registry:
    """The registry of the .avsc files that the product ships."""
    folder = resources.files("schemas") / "avro"
    return build(
        (item.name, item.read_text(encoding="utf-8")) for item in folder.iterdir() if item.name.endswith(".avsc")
    )
