"""Positions of deciding inputs, and their summary where they are too many to be listed (R28)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import chain
from typing import Any, NamedTuple

from streams.sla.canonical_json import quoted
from streams.sla.events import Position

MAX_POSITIONS = 1_000
"""An output lists at most this many positions. With ids of 128 characters that is less than 1 MiB."""


class OffsetRange(NamedTuple):
    """Where to read `inputs` of the summarised inputs: they lie within these offsets, both included."""

    topic: str
    partition: int
    first_offset: int
    last_offset: int
    inputs: int


class PositionsSummary(NamedTuple):
    """Positions that are too many to be listed. `digest` is the SHA-256 (hexadecimal) of the RFC 8785 canonical JSON
    of their list, sorted; there is one range for each partition of a topic."""

    inputs: int
    digest: str
    ranges: tuple[OffsetRange, ...]

    def as_data(self) -> dict[str, object]:
        """The record of the contract."""
        return {"inputs": self.inputs, "digest": self.digest, "ranges": [one._asdict() for one in self.ranges]}

    @classmethod
    def of_data(cls, data: Mapping[str, Any] | None) -> PositionsSummary | None:
        """Undo `as_data`."""
        if data is None:
            return None
        ranges = tuple(OffsetRange(**one) for one in data["ranges"])
        return cls(data["inputs"], data["digest"], ranges)


def summarize_positions(positions: Sequence[Position]) -> PositionsSummary:
    """The summary of an incident's positions."""
    ordered = sorted(positions)
    objects = (
        f'{{"offset":{offset},"partition":{partition},"topic":{quoted(topic)}}}' for topic, partition, offset in ordered
    )
    return PositionsSummary(len(ordered), digest_of(objects), ranges_of(ordered))


def evidence_data(positions: Sequence[Position], summary: PositionsSummary | None = None) -> dict[str, object]:
    """The fields `evidence` and `evidence_summary` of an impact list: at most `MAX_POSITIONS` are listed."""
    if summary is None and len(positions) > MAX_POSITIONS:
        summary = summarize_positions(positions)
    listed = positions if summary is None else ()
    return {
        "evidence": [position._asdict() for position in listed],
        "evidence_summary": None if summary is None else summary.as_data(),
    }


def digest_of(objects: Iterable[str]) -> str:
    """The digest of a list whose items are given in canonical JSON."""
    return sha256(f"[{','.join(objects)}]".encode()).hexdigest()


def ranges_of(positions: Iterable[Position], others: Iterable[OffsetRange] = ()) -> tuple[OffsetRange, ...]:
    """One range for each partition of a topic, in order; it covers positions and other ranges."""
    found: dict[tuple[str, int], tuple[int, int, int]] = {}
    single = ((topic, partition, offset, offset, 1) for topic, partition, offset in positions)
    for topic, partition, first, last, inputs in chain(single, others):
        lowest, highest, count = found.get((topic, partition), (first, last, 0))
        found[topic, partition] = min(lowest, first), max(highest, last), count + inputs
    return tuple(OffsetRange(*place, *bounds) for place, bounds in sorted(found.items()))
