"""The events that a silence has to be published as. They follow from the silence and the mapping alone."""

from __future__ import annotations

from connect.intake.formats import heartbeat
from connect.intake.heartbeats.silence_detector import Silence
from connect.intake.kafka_records import PreparedEvent, prepare
from connect.intake.mapping.rules import Source
from connect.intake.permissions import forbidden
from streams.sla.events import Rejection


def events_of(source: Source, silence: Silence) -> list[PreparedEvent] | str:
    """The opening, unless it was published, and the end, if there is one; or why the mapping gives none."""
    name = silence.monitor.name
    found = []
    if not silence.was_opened:
        rule = source.monitors.rule_for(name)
        if rule is None:
            return "the mapping no longer names the monitor"
        opened = heartbeat.opened(source, rule, name, silence.after, silence.missed_at)
        if isinstance(opened, str):
            return opened
        if (reason := forbidden(source, opened)) is not None:  # the mapping has changed since the heartbeat
            return reason
        found.append(opened)
    if silence.ended_at is not None:
        found.append(heartbeat.resolved(source, name, silence.after, silence.ended_at))
    prepared = []
    for each in map(prepare, found):
        if isinstance(each, Rejection):
            return each.message
        prepared.append(each)
    return prepared


def incident_of(silence: Silence) -> str:
    """The id of its incident."""
    return heartbeat.incident_of(silence.monitor.source, silence.monitor.name, silence.after)
