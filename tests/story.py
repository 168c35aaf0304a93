"""Incidents told in one line per event, run through `sla simulate`'s core, and what it said in one line per output.

Times are written `10:00` (on Monday 2026-03-02, UTC), `1 10:00` (a day later) or as RFC 3339. Outputs read
`breached update 1 13:00`: type, clock, instant. Ids are counted per call of `run`, in the order of the lines.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Any
from unittest.mock import patch

from streams.policy.load import default_policies_dir, load_policies
from streams.replay import simulate as simulation
from streams.replay.simulate import simulate
from streams.serde.cloudevents_headers import extensions_of
from streams.serde.cloudevents_json import format_line
from streams.serde.codec import encode_output
from streams.sla.arrival import TimeLimits
from streams.sla.events import Output
from streams.sla.instants import DAY, MINUTE, SECOND, format_rfc3339, parse_rfc3339
from streams.sla.policy import CreditRule, Policies, Policy, SeverityTargets

MONDAY = parse_rfc3339("2026-03-02T00:00:00Z")
SUPPORT = {"kind": "support", "id": "ann"}
CUSTOMER = {"kind": "customer", "id": "cho"}
APPROVER = {"kind": "support", "id": "bob"}

Line = dict[str, Any]


@cache
def shipped() -> Policy:
    return next(p for p in load_policies(default_policies_dir()) if p.name == "scalr-emergency")


def policies(*others: Policy, default: str = "scalr-emergency") -> Policies:
    return Policies.of([shipped(), *others] if default == "scalr-emergency" else others, default)


def with_severity(policy: Policy, name: str, **changes: Any) -> Policy:
    """The policy with one severity's targets changed."""
    targets: SeverityTargets = replace(policy.severities[name], **changes)
    return replace(policy, severities={**policy.severities, name: targets})


def with_credit(policy: Policy, **changes: Any) -> Policy:
    rule: CreditRule = replace(policy.credit, **changes)
    return replace(policy, credit=rule)


def micros(text: str) -> int:
    """The instant that a time of a story means."""
    if "T" in text:
        return parse_rfc3339(text)
    day, _, clock = text.rpartition(" ")
    hours, minutes, *seconds = clock.split(":")
    whole = int(hours) * 60 + int(minutes)
    return MONDAY + int(day or 0) * DAY + whole * MINUTE + (int(seconds[0]) * SECOND if seconds else 0)


def rfc(text: str | None) -> str | None:
    return None if text is None else format_rfc3339(micros(text))


def told(text: str | None) -> str:
    """An RFC 3339 time as stories write it."""
    if text is None:
        return "never"
    day, rest = divmod(parse_rfc3339(text) - MONDAY, DAY)
    clock = f"{rest // (60 * MINUTE):02d}:{rest // MINUTE % 60:02d}"
    if rest % MINUTE:
        clock += f":{rest % MINUTE / SECOND:04.1f}" if rest % SECOND else f":{rest % MINUTE // SECOND:02d}"
    return f"{day} {clock}" if day else clock


def event(kind: str, time: str, subject: str, data: Line, **more: Any) -> Line:
    """A line without an id; `of`, `id`, `source`, `received`, `backfill` may be given."""
    given = {"of": subject, "source": "/desk", **more}
    line: Line = {"specversion": "1.0", "type": kind, "source": given["source"], "subject": given["of"]}
    if "id" in given:
        line["id"] = given["id"]
    line["time"] = rfc(time)
    if "received" in given:
        line["receivedtime"] = rfc(given["received"])
    if given.get("backfill"):
        line["backfill"] = True
    return line | {"data": {key: value for key, value in data.items() if value is not None}}


def _incident(kind: str, time: str, more: dict[str, Any], **data: Any) -> Line:
    return event(f"incident.{kind}", time, "inc", data, **more)


def opened(
    time: str,
    impact: str = "complete_outage",
    *,
    component: str = "api",
    tenants: Iterable[str] | None = None,
    tier: int | None = None,
    channel: str = "monitor",
    started: str | None = None,
    **more: Any,
) -> Line:
    """Platform-wide unless tenants are listed."""
    return _incident(
        "opened",
        time,
        more,
        scope="platform" if tenants is None else "tenants",
        tenant_ids=None if tenants is None else list(tenants),
        component=component,
        impact=impact,
        tier=tier,
        channel=channel,
        started_at=rfc(started),
    )


def responded(time: str, who: Line = SUPPORT, **more: Any) -> Line:
    return _incident("responded", time, more, who=who)


def updated(time: str, who: Line = SUPPORT, visibility: str = "public", **more: Any) -> Line:
    return _incident("updated", time, more, who=who, visibility=visibility)


def requested(time: str, **more: Any) -> Line:
    return _incident("update_requested", time, more, who=CUSTOMER)


def reclassified(time: str, *, of: str = "inc", received: str | None = None, **data: Any) -> Line:
    if "tenants" in data:
        data |= {"scope": "tenants", "tenant_ids": data.pop("tenants")}
    return _incident("reclassified", time, {"of": of} | ({"received": received} if received else {}), **data)


def severity_set(time: str, severity: str | None, **more: Any) -> Line:
    line = _incident("severity_set", time, more, who=SUPPORT, reason="judged")
    line["data"]["severity"] = severity
    return line


def waiting(time: str, on: str = "customer", **more: Any) -> Line:
    return _incident("waiting", time, more, on=on)


def waiting_ended(time: str, on: str = "customer", **more: Any) -> Line:
    return _incident("waiting_ended", time, more, on=on)


def resolved(time: str, restored: str | None = None, **more: Any) -> Line:
    return _incident("resolved", time, more, restored_at=rfc(restored))


def reopened(time: str, started: str | None = None, **more: Any) -> Line:
    return _incident("reopened", time, more, started_at=rfc(started))


def linked(time: str, ticket: str = "T-1", **more: Any) -> Line:
    return _incident("linked", time, more, ticket_id=ticket)


def merged(time: str, into: str = "other", **more: Any) -> Line:
    return _incident("merged", time, more, into=into)


def amended(
    time: str, started: str | None = None, restored: str | None = None, counts: bool | None = None, **more: Any
) -> Line:
    who = {"who": SUPPORT, "approver": APPROVER, "reason": "log read"}
    times = {"started_at": rfc(started), "restored_at": rfc(restored)}
    return _incident("amended", time, more, counts_as_downtime=counts, **times, **who)


def policy_applied(time: str, policy: str, version: str, **more: Any) -> Line:
    who = {"who": SUPPORT, "approver": APPROVER, "reason": "agreed"}
    return _incident("policy_applied", time, more, policy=policy, version=version, **who)


def annulled(time: str, **more: Any) -> Line:
    return _incident("annulled", time, more, who=SUPPORT, approver=APPROVER, reason="drill")


def contract(
    time: str,
    start: str | None = None,
    *,
    of: str = "acme",
    end: str | None = None,
    plan: str = "scalr-emergency",
    charge: int = 100_000,
    currency: str = "USD",
    tier: int | None = None,
    zone: str | None = None,
    member: bool = True,
    **more: Any,
) -> Line:
    data = {
        "tenant_id": of,
        "valid_from": rfc(start if start is not None else time),
        "valid_to": rfc(end),
        "plan": plan,
        "monthly_charge": {"amount_minor": charge, "currency": currency},
        "tier": tier,
        "time_zone": zone,
        "emergency_member": member,
    }
    return event("contract.set", time, of, data, **more)


def claimed(time: str, month: str, *, of: str = "acme", **more: Any) -> Line:
    return event("credit.claimed", time, of, {"tenant_id": of, "month": month, "who": CUSTOMER}, **more)


def maintenance(
    time: str,
    start: str,
    end: str,
    *,
    of: str = "m-1",
    components: Iterable[str] = ("api",),
    tenants: Iterable[str] | None = None,
    announced: str | None = None,
    **more: Any,
) -> Line:
    data = {
        "maintenance_id": of,
        "scope": "platform" if tenants is None else "tenants",
        "tenant_ids": None if tenants is None else list(tenants),
        "components": list(components),
        "start": rfc(start),
        "end": rfc(end),
        "announced_at": rfc(announced if announced is not None else time),
    }
    return event("maintenance.scheduled", time, of, data, **more)


def maintenance_cancelled(time: str, *, of: str = "m-1", **more: Any) -> Line:
    return event("maintenance.cancelled", time, of, {"maintenance_id": of}, **more)


def erased(time: str, *, of: str = "acme", **more: Any) -> Line:
    return event("tenant.erased", time, of, {"tenant_id": of, "who": SUPPORT, "reason": "left us"}, **more)


def texts(lines: Iterable[Line | str]) -> list[str]:
    """JSON lines; events without an id are called e1, e2, … by their line."""
    return [
        line if isinstance(line, str) else json.dumps({"id": f"e{number}", **line})
        for number, line in enumerate(lines, 1)
    ]


_as_json = simulation._json


def run(
    *lines: Line | str,
    until: str | None = None,
    using: Policies | None = None,
    backfill: bool = False,
    time_limits: TimeLimits | None = None,
    states: bool = False,
    extensions: bool = False,
) -> list[Line]:
    """What simulate says to the lines, with the final states if asked; every output goes through its JSON form. With
    `extensions` outputs have what only the headers of Kafka have."""
    using = using or policies()
    end = None if until is None else micros(until)
    with patch.object(simulation, "_json", _with_extensions if extensions else _as_json):
        outputs = simulate(texts(lines), using, until=end, backfill=backfill, time_limits=time_limits, states=states)
        return [json.loads(format_line(output)) for output in outputs]


def _with_extensions(output: Output, source: str) -> Line:
    _, headers = encode_output(output, source)
    return _as_json(output, source) | extensions_of(headers)


def tell(outputs: Iterable[Line], *kinds: str) -> list[str]:
    """One line per output; of the named kinds (`breached`, `closed`, …) only."""
    told_lines = [tell_one(output) for output in outputs]
    return [line for line in told_lines if not kinds or line.split()[0] in kinds]


def tell_one(output: Line) -> str:
    data, kind = output["data"], output["type"].split(".")[1]
    clock = f"{data.get('metric', 'update')} {data.get('instance')}"
    match output["type"]:
        case "incident.classified":
            flags = "".join(f" !{flag}" for flag in data["flags"])
            uncovered = "" if data["coverage"] == "covered" else " not_covered"
            counts = " counts" if data["counts_as_downtime"] else ""
            return f"classified {data['severity']} {data['rule']}{uncovered}{counts}{flags}"
        case "incident.closed":
            verdicts = "".join(f" {c['metric']}{c['instance']}={c['verdict']}" for c in data["clocks"])
            return f"closed {data['reason']} {told(data['closed_at'])}{verdicts}"
        case "sla.breached":
            cause = "" if data["cause"] == "elapsed" else f" {data['cause']}"
            moved = "" if data["deadline"] == output["time"] else f" at {told(output['time'])}"
            return f"breached {clock} {told(data['deadline'])}{moved}{cause}"
        case "sla.breach_retracted":
            return f"retracted {clock} {told(data['deadline'])} {data['cause']}"
        case "sla.met":
            return f"met {clock} {told(data['met_at'])}"
        case "sla.warning":
            return f"warning {clock} {data['threshold']} {told(data['due_at'])}"
        case "sla.update_due":
            asked = " requested" if data["requested"] else ""
            return f"update_due {data['instance']} {told(data['due_at'])}{asked}"
        case "sla.rejected":
            return f"rejected {data['code']} line {data['line']}"
        case "impact.changed":
            spans = [f" {i['component']}:{i['impact']}:{told(i['start'])}–{told(i['end'])}" for i in data["intervals"]]
            return f"changed{','.join(spans)}"
        case "credit.statement":
            return (
                f"statement {data['tenant_id']} {data['month']} {data['status']} {data['revision']}"
                f" down {data['downtime_s']} credit {data['credit']['amount_minor']}"
            )
        case "credit.issued":
            return f"issued {data['tenant_id']} {data['month']} {data['amount']['amount_minor']} {data['cause']}"
        case _:
            return kind


def statements(outputs: Iterable[Line], tenant: str = "acme") -> dict[str, Line]:
    """The statement with the highest revision of every month of a tenant."""
    latest: dict[str, Line] = {}
    for output in outputs:
        data = output["data"]
        if output["type"] == "credit.statement" and data["tenant_id"] == tenant:
            known = latest.get(data["month"])
            if known is None or known["revision"] < data["revision"]:
                latest[data["month"]] = data
    return latest
