"""Routes as rows of the topic `notifications`, so that all notifiers of a deployment, and the next start, know by which
routes an alert goes. Pure.

Each notifier reads a routing file of its own: while a changed one is rolled out they differ, and so does the file of a
start from the one before. By files alone an alert could then be left to a destination that another notifier serves, and
be left out there.

A row may land long after it was written, as one that was given up while Kafka did not answer. So each has a number, one
above that of the routes in force when it was made, and counts if that is above the number of the last one that counts:
of several that were made after the same routes the first in the log does (ADR 34).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from connect.notify.page_store_rows import UNREADABLE, StateRow
from connect.notify.routing.rules import Match, Route
from streams.serde.cloudevents_json import format_line

#: The rows are in one partition, so that all notifiers read them in one order.
PARTITION = 0
#: No destination has an empty name.
_PREFIX = b"\x1frouting\x1f"
#: Changes of routes that are kept: a destination that is behind by more goes by the oldest of them.
MOST_RECORDED = 100


class RecordedRoutes(NamedTuple):
    """Routes that are in force from an offset of each partition of the alerts on; from the beginning where there is
    none. `at` is when that was recorded, in milliseconds."""

    key: bytes
    routes: tuple[Route, ...]
    digest: str
    """Of the routing file."""
    begins: Mapping[int, int]
    at: int
    shared: bool = False
    """Whether other notifiers had partitions then: they learned of it a little later."""
    number: int = 0
    """0 in rows of releases before, which count wherever they are."""

    @property
    def named(self) -> frozenset[str]:
        """The destinations that alerts are led to."""
        return frozenset(name for route in self.routes for name in route.to)


def recorded_key(at: int, digest: str) -> bytes:
    return _PREFIX + f"{at:015}-{digest}".encode()


def is_recorded(key: bytes | None) -> bool:
    """Whether a row is of routes."""
    return key is not None and key.startswith(_PREFIX)


def recorded_row(found: RecordedRoutes) -> StateRow:
    value = {
        "at": found.at,
        "digest": found.digest,
        "shared": found.shared,
        "number": found.number,
        "begins": {str(partition): offset for partition, offset in found.begins.items()},
        "routes": [
            {
                # An empty list matches nothing, and an absent one everything.
                "match": {
                    name: sorted(values)
                    for name in Match.__slots__
                    if (values := getattr(each.match, name)) is not None
                },
                "to": list(each.to),
                "continues": each.continues,
                "language": each.language,
            }
            for each in found.routes
        ],
    }
    return StateRow(found.key, format_line(value).encode())


def read_recorded(key: bytes, value: bytes) -> RecordedRoutes | None:
    """None for a row that no notifier of this release wrote."""
    try:
        row: Mapping[str, Any] = json.loads(value)
        if not row["routes"]:
            return None
        return RecordedRoutes(
            key,
            tuple(_route(each) for each in row["routes"]),
            str(row["digest"]),
            {int(partition): int(offset) for partition, offset in row["begins"].items()},
            int(row["at"]),
            bool(row["shared"]),
            int(row.get("number", 0)),
        )
    except UNREADABLE:
        return None


def outdated_rows(recorded: Iterable[RecordedRoutes]) -> Sequence[StateRow]:
    """The rows that delete the oldest."""
    return [StateRow(each.key, None) for each in list(recorded)[:-MOST_RECORDED]]


def _route(row: Mapping[str, Any]) -> Route:
    language = row["language"]
    if language not in {None, "en", "ja"}:
        raise ValueError("a language is en or ja, or absent")
    match = Match(**{str(name): frozenset(map(str, values)) for name, values in row["match"].items()})
    return Route(match, tuple(map(str, row["to"])), bool(row["continues"]), language)
