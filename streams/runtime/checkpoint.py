"""The checkpoint of a task: one row of its changelog, written in each of its transactions."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

CHECKPOINT_KEY: Final = b"@applied"

_SCHEMA: Final[dict[str, Any]] = json.loads(resources.files("schemas").joinpath("avro/state.applied.avsc").read_text())
# Instants stay integers here; the logical type is for other readers of the topic.
_PLAIN: Final = {
    **_SCHEMA,
    "fields": [_SCHEMA["fields"][0], {**_SCHEMA["fields"][1], "type": "long"}],
}
_PARSED: Final = fastavro.parse_schema(_PLAIN)
_HEADER: Final = b"\xc3\x01" + bytes.fromhex(fingerprint(to_parsing_canonical_form(_SCHEMA), "CRC-64-AVRO"))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Next offset per input topic, and the stream time in microseconds since the epoch."""

    offsets: dict[str, int]
    time: int


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Avro single-object encoding."""
    out = io.BytesIO()
    out.write(_HEADER)
    fastavro.schemaless_writer(out, _PARSED, {"offsets": checkpoint.offsets, "time": checkpoint.time})
    return out.getvalue()


def decode_checkpoint(row: bytes) -> Checkpoint:
    """Read what `encode_checkpoint` wrote; ValueError for anything else."""
    if not row.startswith(_HEADER):
        raise ValueError(f"the checkpoint row starts with {row[:10].hex()}, not with {_HEADER.hex()}")
    found = fastavro.schemaless_reader(io.BytesIO(row[len(_HEADER) :]), _PARSED, None)
    if not isinstance(found, dict):
        raise TypeError("the checkpoint row is not a record")
    return Checkpoint(offsets=dict(found["offsets"]), time=int(found["time"]))
