"""The checkpoint of a task: one row of its changelog, written in each of its transactions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from streams.runtime.runtime_rows import RuntimeRow

CHECKPOINT_KEY: Final = b"@applied"
_ROW: Final = RuntimeRow("checkpoint", "state.applied.v2.avsc", "state.applied.avsc")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Next offset per input topic, stream time in microseconds since the epoch, and the ids of the topics that the
    offsets are of, as far as they are known."""

    offsets: dict[str, int]
    time: int
    topic_ids: Mapping[str, bytes] = field(default_factory=dict)


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Avro single-object encoding."""
    return _ROW.encode(
        {"offsets": checkpoint.offsets, "time": checkpoint.time, "topic_ids": dict(checkpoint.topic_ids)}
    )


def decode_checkpoint(row: bytes) -> Checkpoint:
    """Read what `encode_checkpoint` wrote, in this version or an earlier one; ValueError for anything else."""
    found = _ROW.decode(row)
    return Checkpoint(dict(found["offsets"]), int(found["time"]), dict(found.get("topic_ids", {})))
