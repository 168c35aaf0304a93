"""One record of a topic as people and programs read it: a CloudEvents object, or one line of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from rich.text import Text

from cli.support.console import safe
from connect.kafka_io.reader import TopicRecord
from streams.replay.history import LOADED
from streams.runtime.dead_letter import RejectedHeaders, rejected_headers
from streams.serde.cloudevents_headers import extensions_of
from streams.serde.cloudevents_json import to_json
from streams.serde.codec import Decode, decode
from streams.serde.json_values import instant_to_json
from streams.sla.events import Rejection
from streams.sla.ids import output_id
from streams.sla.severity import by_severity

REJECTED_TYPE = "sla.rejected"
_SEVERITY_STYLES: dict[str, str] = by_severity(("bold red", "red", "yellow", "cyan"))
_TYPE_STYLES = {
    "sla.breached": "bold red",
    REJECTED_TYPE: "red",
    "sla.warning": "yellow",
    "sla.update_due": "yellow",
    "sla.met": "green",
    "sla.breach_retracted": "green",
    "credit.issued": "magenta",
}


class Undecodable(Exception):  # noqa: N818 -- it names what is wrong with the record
    """A record that is not an event of the product; its text has the coordinates."""


def event_of(record: TopicRecord, decode: Decode = decode) -> dict[str, object]:
    """The record as one CloudEvents object, its timestamp as `receivedtime` (R30).

    Backfilled inputs keep theirs, or none: it is the arrival that counts for them (R32); their timestamp is
    `loadedtime`. Raises Undecodable.
    """
    rejected = rejected_headers(record.headers)
    if rejected is not None:
        return _rejected(record, rejected, decode)
    if record.value is None:
        return _own_form(record, "state.deleted", {})
    decoded = decode(record.value, len(record.value))
    if isinstance(decoded, Rejection):
        where = f"{record.topic}, partition {record.partition}, offset {record.offset}"
        raise Undecodable(f"{where}: {decoded.code}: {decoded.message}")
    event_type, fields = decoded
    if event_type.startswith("state."):
        return _own_form(record, event_type, fields)
    event = to_json(event_type, fields) | extensions_of(record.headers)
    loaded = event.get("backfill") and "received_time" in fields
    return _received(event, record, LOADED if loaded else "receivedtime")


def _received(event: Mapping[str, object], record: TopicRecord, name: str = "receivedtime") -> dict[str, object]:
    head = {attribute: value for attribute, value in event.items() if attribute not in {"data", name}}
    return {**head, name: instant_to_json(record.arrival), "data": event["data"]}


def _rejected(record: TopicRecord, rejected: RejectedHeaders, decode: Decode) -> dict[str, object]:
    original = f"{rejected.topic}/{rejected.partition}/{rejected.offset}"
    data: dict[str, object] = {
        "code": rejected.code,
        "message": rejected.message,
        "topic": rejected.topic,
        "partition": rejected.partition,
        "offset": rejected.offset,
        "attempts": rejected.attempts,
    }
    decoded = decode(record.value, len(record.value or b""))
    if not isinstance(decoded, Rejection):
        data["id"] = decoded[1].get("event_id")
    event = {
        "specversion": "1.0",
        "id": output_id(REJECTED_TYPE, original, rejected.code, rejected.attempts),
        "type": REJECTED_TYPE,
        "source": "/sla/rejected",
        "subject": key_text(record) or original,
        "time": instant_to_json(rejected.arrived),
        "data": data,
    }
    return _received(event, record)


def _own_form(record: TopicRecord, event_type: str, fields: Mapping[str, object]) -> dict[str, object]:
    """A row of a changelog: no event, but in the same form."""
    return {
        "specversion": "1.0",
        "id": f"{record.topic}/{record.partition}/{record.offset}",
        "type": event_type,
        "source": f"/{record.topic}",
        "subject": key_text(record) or "-",
        "time": instant_to_json(record.arrival),
        "data": _plain(fields),
    }


def key_text(record: TopicRecord) -> str:
    """The key for people; the parts of a state key are separated by slashes."""
    return (record.key or b"").decode(errors="replace").replace("\x1f", "/")


def _plain(value: object) -> object:
    match value:
        case bytes():
            return value.hex()
        case dict():
            return {str(name): _plain(each) for name, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case _:
            return value


def line_of(event: Mapping[str, object]) -> Text:
    """One aligned, coloured line: time, type, severity, subject, tenants and content."""
    event_type = str(event["type"])
    data = cast(Mapping[str, object], event["data"])
    severity = str(data.get("severity") or "")
    line = Text(no_wrap=True, overflow="ignore")
    line.append(f"{_seconds(event['time']):<20}  ", style="dim")
    line.append(f"{event_type:<25} ", style=_TYPE_STYLES.get(event_type, ""))
    line.append(f"{severity:<2}  ", style=_SEVERITY_STYLES.get(severity, ""))
    line.append(f"{safe(event['subject']):<22} ", style="bold")
    line.append(f"{_tenants(data):<16} ")
    line.append(safe(_what(event_type, data)))
    return line


def _seconds(instant: object) -> str:
    """An RFC 3339 instant without its fraction."""
    return f"{str(instant).split('.', maxsplit=1)[0].rstrip('Z')}Z"


def _tenants(data: Mapping[str, object]) -> str:
    if data.get("scope") == "platform":
        return "everyone"
    listed = data.get("tenant_ids")
    if isinstance(listed, list) and listed:
        return safe(listed[0]) + (f" +{len(listed) - 1}" if len(listed) > 1 else "")
    return safe(data.get("tenant_id") or "")


def _what(event_type: str, data: Mapping[str, object]) -> str:
    clock = f"{data.get('metric', 'update')} {data.get('instance')}"
    if event_type.startswith(("audit.", "action.")):
        return _audited(event_type, data)
    match event_type:
        case "sla.warning":
            share = f"{100 * cast(float, data['threshold']):g} %"
            return f"{clock}: {share} of the time has passed, deadline {_seconds(data['deadline'])}"
        case "sla.update_due":
            return f"{clock} is due by {_seconds(data['deadline'])}"
        case "sla.breached":
            return f"{clock} missed its deadline {_seconds(data['deadline'])} ({data['cause']})"
        case "sla.breach_retracted":
            return f"{clock}: breach of {_seconds(data['deadline'])} taken back ({data['cause']})"
        case "sla.met":
            return f"{clock} met at {_seconds(data['met_at'])}, deadline {_seconds(data['deadline'])}"
        case "incident.classified":
            return f"{data['component']}: rule {data['rule']}, {data['coverage']}".replace("_", " ")
        case "sla.rejected":
            where = f"{data['topic']}/{data['partition']}/{data['offset']}"
            return f"{data['code']}: {data['message']} ({where})"
        case "credit.statement":
            availability = cast(Mapping[str, object], data["availability"])
            status = f"{data['month']} revision {data['revision']} ({data['status']})"
            return f"{status}: {availability['percent']} %, credit {_money(data['credit'])}"
        case "credit.issued":
            return f"{data['month']}: {_money(data['amount'])} ({data['cause']})"
        case _:
            return "  ".join(f"{name}={_brief(value)}" for name, value in data.items() if _is_telling(name, value))


def _audited(event_type: str, data: Mapping[str, object]) -> str:
    """What was done to what, what came of it and why, by whom and from where."""
    if event_type.startswith("audit."):
        did = data.get("action") or data["what"]
        about, outcome, roles = data.get("about"), data["outcome"], data.get("roles")
    else:
        did, about, outcome, roles = data.get("action"), data.get("incident_id"), event_type.partition(".")[2], None
    done = " ".join(str(each) for each in (did, about) if each)
    reason = f" ({data['reason']})" if data.get("reason") else ""
    who = f" by {data['person']}" if data.get("person") else ""
    having = f" [{', '.join(map(str, roles))}]" if isinstance(roles, list) and roles else ""
    return f"{done}: {outcome}{reason}{who}{having} from {data['address']} ({data['way']})".removeprefix(": ")


def _money(value: object) -> str:
    from streams.money import formatted

    amount = cast(Mapping[str, object], value)
    return formatted(cast(int, amount["amount_minor"]), str(amount["currency"]))


def _is_telling(name: str, value: object) -> bool:
    return value not in (None, "", []) and name not in {
        "policy",
        "scope",
        "tenant_ids",
        "severity",
        "title",
        "tenant_id",
    }


def _brief(value: object) -> str:
    match value:
        case dict():
            return ",".join(str(each) for each in value.values() if each is not None)
        case list():
            return f"[{len(value)}]"
        case _:
            return str(value)
