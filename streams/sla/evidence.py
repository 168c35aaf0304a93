"""Positions of deciding inputs, and their summary where they are too many to be listed (R28)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from streams.sla.canonical_json import quoted
from streams.sla.events import Position

_T = TypeVar("_T")

MAX_POSITIONS = 1_000
"""An output lists at most this many positions. With ids of 128 characters that is less than 1 MiB."""
_FEW = 16
"""Nothing is kept of so few positions."""

Made = dict[Callable[..., Any], tuple[Any, ...]]
"""A function → what it made of each of the first records of lists that begin alike."""


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


class PositionRecords(list[dict[str, object]]):
    """Positions as records of the contract. Lists of one incident begin with what an earlier one had; `made` is common
    to those that do, so that nothing is made of a record twice."""

    __slots__ = ("made",)

    def __init__(self, records: Iterable[dict[str, object]], made: Made) -> None:
        super().__init__(records)
        self.made = made

    def each(self, make: Callable[[dict[str, Any]], _T]) -> tuple[_T, ...]:
        """What a function makes of each record."""
        found = self.made.get(make, ())
        if len(found) < len(self):
            found = self.made[make] = (*found, *map(make, self[len(found) :]))
        return found[: len(self)]


def positions_of(records: list[dict[str, Any]]) -> tuple[Position, ...]:
    """The positions that records of the contract name."""
    return records.each(_position) if isinstance(records, PositionRecords) else tuple(map(_position, records))


def _position(record: Mapping[str, Any]) -> Position:
    return Position(record["topic"], record["partition"], record["offset"])


class EvidenceLog:
    """The positions of an incident's deciding inputs, in the order of their meaning. Each change of an incident states
    all of them: what was made of the first positions is kept, so that one more costs no more than itself."""

    __slots__ = ("_made", "_positions", "_records", "_summary")

    def __init__(self, positions: Iterable[Position]) -> None:
        self._positions = [*positions]
        self._records: list[dict[str, object]] = []
        self._made: Made = {}
        self._summary: _RunningSummary | None = None

    def append(self, position: Position) -> None:
        """Add a position."""
        self._positions.append(position)

    def as_data(self) -> dict[str, object]:
        """The fields `evidence` and `evidence_summary` of an impact list: at most `MAX_POSITIONS` are listed."""
        positions, records = self._positions, self._records
        if len(positions) <= _FEW:
            return {"evidence": [position._asdict() for position in positions], "evidence_summary": None}
        if len(positions) <= MAX_POSITIONS:
            records += [position._asdict() for position in positions[len(records) :]]
            return {"evidence": PositionRecords(records, self._made), "evidence_summary": None}
        if self._summary is None:
            self._summary, self._records, self._made = _RunningSummary(), [], {}
        self._summary.extend(positions[self._summary.inputs :])
        return {"evidence": [], "evidence_summary": self._summary.state().as_data()}


class _RunningSummary:
    """The summary of positions that grow in number, mostly in order."""

    def __init__(self) -> None:
        self._sorted: list[Position] = []
        self._ranges: tuple[OffsetRange, ...] = ()
        #: The SHA-256 of the first so many of the sorted positions.
        self._hash, self._hashed = sha256(b"["), 0

    @property
    def inputs(self) -> int:
        return len(self._sorted)

    def extend(self, positions: list[Position]) -> None:
        """Add positions."""
        ordered = sorted(positions)
        if self._sorted and ordered and ordered[0] < self._sorted[-1]:
            self._sorted = sorted([*self._sorted, *ordered])
            self._hash, self._hashed = sha256(b"["), 0
        else:
            self._sorted += ordered
        self._ranges = ranges_of(ordered, self._ranges)

    def state(self) -> PositionsSummary:
        """The summary of all positions so far."""
        new = ",".join(map(_canonical, self._sorted[self._hashed :]))
        if new:
            self._hash.update(f"{',' if self._hashed else ''}{new}".encode())
            self._hashed = len(self._sorted)
        whole = self._hash.copy()
        whole.update(b"]")
        return PositionsSummary(len(self._sorted), whole.hexdigest(), self._ranges)


def _canonical(position: Position) -> str:
    """A position in canonical JSON."""
    topic, partition, offset = position
    return f'{{"offset":{offset},"partition":{partition},"topic":{quoted(topic)}}}'


def evidence_data(positions: Iterable[Position], summary: PositionsSummary | None = None) -> dict[str, object]:
    """The fields `evidence` and `evidence_summary` of an impact list of these positions, or of their summary."""
    if summary is not None:
        return {"evidence": [], "evidence_summary": summary.as_data()}
    return EvidenceLog(positions).as_data()


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
