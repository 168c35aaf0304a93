"""The trace of a run as text: what happened, with all records that were written, by virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .incidents import ROWS

if TYPE_CHECKING:
    from .world import World

_LONGEST_VALUE = 300
#: Shown also where the trace is of one incident.
_ALWAYS = ("fault", "started", "resumed", "healed", "group_stable", "member_expired", "topic_created", "topic_deleted")


def lines_of(world: World, incident: str = "") -> Iterator[str]:
    """All lines, or those that name an incident and the faults."""
    found = [(at, process, what, ", ".join(f"{name}={value}" for name, value in more.items()))
             for at, process, what, more in world.lines]  # fmt: skip
    for where, log in (*world.broker.deleted, *world.broker.logs.items()):
        for at, by, record, late in log.history:
            value = (record.value or b"-")[:_LONGEST_VALUE] if where.topic == ROWS else b"..."
            what = "late row" if late else "row" if where.topic == ROWS else where.topic
            owner = "".join(f" {name}={text.decode()}" for name, text in record.headers)
            key = (record.key or b"").decode().replace("\x1f", "|")
            found.append(
                (at, by, what, f"{where.partition}@{record.offset} {key}{owner} {value.decode(errors='replace')}")
            )
    for name, group in world.broker.groups.items():
        for at, by, generation, where, offset, text in group.commits:
            found.append((at, by, "commit", f"{name} {generation} {where.topic}/{where.partition}@{offset} {text}"))
    for at, by, what, more in sorted(found, key=lambda each: each[0]):
        if not incident or what in _ALWAYS or incident in more:
            yield f"{at:9.3f} {by} {what}: {more}"
