"""`POST /v1/heartbeats/{monitor}`: a heartbeat, acknowledged once Kafka has it."""

from __future__ import annotations

from aiohttp import web

from connect.intake.formats import heartbeat
from connect.intake.heartbeats.rows import MonitorId
from connect.intake.heartbeats.service import Heartbeats
from connect.intake.kafka_records import prepare
from connect.intake.mapping.monitors import MONITOR_NAME, MonitorRule
from connect.intake.mapping.rules import Source
from connect.intake.permissions import forbidden
from connect.intake.record_publisher import Unavailable
from connect.intake.web.responses import ACCEPTED, FORBIDDEN, UNPROCESSABLE, RequestRejected, unacknowledged
from streams.config_files.scalars import format_duration
from streams.errors import SlaError
from streams.sla.events import Rejection


async def acknowledged(
    heartbeats: Heartbeats, source: Source, name: str, rule: MonitorRule, retry_after_s: int
) -> web.Response:
    """The response once Kafka has the heartbeat of a checked monitor. Raises RequestRejected 422, 503."""
    try:
        await heartbeats.beat(MonitorId(source.name, name))
    except Unavailable as error:
        raise unacknowledged(error, "send the heartbeat again", retry_after_s) from error
    except SlaError as error:
        raise RequestRejected(UNPROCESSABLE, str(error)) from error
    accepted = {"monitor": name, "every": format_duration(rule.every), "grace": format_duration(rule.grace)}
    return web.json_response(accepted, status=ACCEPTED)


async def forgotten(heartbeats: Heartbeats, source: Source, name: str, retry_after_s: int) -> web.Response:
    """The response once Kafka has it that a monitor is no longer watched. Raises RequestRejected 404, 503."""
    try:
        known = await heartbeats.forget(MonitorId(source.name, name))
    except Unavailable as error:
        raise unacknowledged(error, "send the request again", retry_after_s) from error
    if not known:
        raise RequestRejected(404, f"no heartbeat of {name[:60]!r} from {source.name} is known")
    return web.json_response({"monitor": name}, status=ACCEPTED)


def checked_monitor(source: Source, name: str, now: int) -> MonitorRule:
    """The rule of a monitor whose silence would be an incident that the source may publish. Raises RequestRejected.

    A monitor that is silent can't be told of a mistake, so its heartbeats are refused as long as there is one.
    """
    rule = source.monitors.rule_for(name) if MONITOR_NAME.fullmatch(name) else None
    if rule is None:
        known = source.monitors.allowed_names()
        raise RequestRejected(404, f"{source.name} has no monitor {name[:60]!r}; allowed: {known}")
    opened = heartbeat.opened(source, rule, name, now, now + rule.every + rule.grace)
    if isinstance(opened, str):
        raise RequestRejected(UNPROCESSABLE, f"the mapping makes no incident of its silence: {opened}")
    if isinstance(prepared := prepare(opened), Rejection):
        raise RequestRejected(UNPROCESSABLE, f"its silence would be no valid incident: {prepared.message}")
    if (reason := forbidden(source, opened)) is not None:
        raise RequestRejected(FORBIDDEN, reason)
    return rule
