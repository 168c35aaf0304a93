"""What `sla intake test` shows of a heartbeat: the incident that the silence of its monitor would open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connect.intake.mapping.rules import Source
    from connect.intake.translate import Translation

#: The address of a monitor begins with this.
HEARTBEATS = "/v1/heartbeats/"


def silence(source: Source, name: str) -> Translation:
    """The opening, as if the monitor was last heard at the beginning of this day (UTC), or why heartbeats of it are
    refused."""
    from connect.intake.formats import heartbeat
    from connect.intake.kafka_records import prepare
    from connect.intake.outcome import RejectedItem
    from connect.intake.translate import Translation
    from connect.intake.web.heartbeats import checked_monitor
    from connect.intake.web.responses import FORBIDDEN, RequestRejected
    from streams.sla.events import Rejection
    from streams.sla.instants import DAY
    from streams.time_source import SystemTimeSource

    last = SystemTimeSource().now() // DAY * DAY
    try:
        rule = checked_monitor(source, name, last)
    except RequestRejected as error:
        code = "forbidden" if error.status == FORBIDDEN else "invalid"
        return Translation(rejected=[RejectedItem("", code, error.reason)])
    opened = heartbeat.opened(source, rule, name, last, last + rule.every + rule.grace)
    assert not isinstance(opened, str), opened
    prepared = prepare(opened)
    assert not isinstance(prepared, Rejection), prepared
    return Translation([prepared])


def views(source: Source, path: str | None) -> Iterator[tuple[str, object]]:
    """What the mapping sees of the monitor that an address names."""
    name = (path or "").removeprefix(HEARTBEATS)
    rule = source.monitors.rule_for(name)
    if rule is not None:
        yield name, rule.view(name)
