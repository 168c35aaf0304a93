"""The runtime's own changelog rows: Avro single-object encoding, over the schemas in schemas/avro."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

_MAGIC: Final = b"\xc3\x01"


class RuntimeRow:
    """Writes rows with the first of the schemas, reads those of all: the others are of earlier versions."""

    def __init__(self, what: str, *schema_files: str) -> None:
        self._what = what
        self._readable = dict(map(_load, schema_files))
        self._header, self._schema = next(iter(self._readable.items()))

    def encode(self, fields: Mapping[str, object]) -> bytes:
        """The row with these fields."""
        out = io.BytesIO()
        out.write(self._header)
        fastavro.schemaless_writer(out, self._schema, fields)
        return out.getvalue()

    def decode(self, row: bytes) -> dict[str, Any]:
        """The fields of a row; ValueError for anything else."""
        writer = self._readable.get(row[: len(self._header)])
        if writer is None:
            raise ValueError(f"the {self._what} row starts with {row[:10].hex()}, not with {self._header.hex()}")
        found = fastavro.schemaless_reader(io.BytesIO(row[len(self._header) :]), writer, None)
        if not isinstance(found, dict):
            raise TypeError(f"the {self._what} row is not a record")
        return found


def _load(file_name: str) -> tuple[bytes, Any]:
    """The header of rows, and the schema without logical types: instants stay integers here."""
    schema = json.loads(resources.files("schemas").joinpath(f"avro/{file_name}").read_text())
    header = _MAGIC + bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))
    fields = [{**each, "type": "long"} if each["name"] == "time" else each for each in schema["fields"]]
    return header, fastavro.parse_schema({**schema, "fields": fields})
