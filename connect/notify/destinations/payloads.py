"""A message as a request: PagerDuty Events v2, Slack incoming webhooks, Standard Webhooks. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from standardwebhooks import Webhook

from connect.notify.destinations.phrases import facts, title
from connect.notify.page import Message, dedup_key
from connect.notify.routing.rules import PAGERDUTY_URL, Destination
from connect.notify.triggers import JsonObject
from streams.serde.cloudevents_json import format_line
from streams.sla.instants import to_datetime

_SUMMARY = 1024
_SOURCE = 255
_DETAIL = 1024
_HEADER = 150
_SECTION = 3000
_FIELD = 400
_SHORTEST_HIDDEN = 6
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_MARKS = {"sla.warning": "⏳", "sla.update_due": "🔔", "sla.breached": "🚨"}
_ENDED = "✅"


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a destination's secrets hold. It has no text form."""

    main: str
    signing: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Secrets(…)"

    def hide(self, text: str) -> str:
        """The text without them. What comes after an address's host is secret too, and servers like to repeat it."""
        hidden = [self.main, *self.signing]
        if "://" in self.main:
            path = self.main.partition("://")[2].partition("/")[2]
            hidden += [f"/{path}", *(part for part in re.split(r"[/?&=]", path) if len(part) >= _SHORTEST_HIDDEN)]
        for secret in sorted(hidden, key=len, reverse=True):
            if len(secret) >= _SHORTEST_HIDDEN:
                text = text.replace(secret, "***")
        return text


#: For dry runs: what stands where secrets would.
MASKED = Secrets("***", ())


@dataclass(frozen=True, slots=True)
class Prepared:
    """A POST request of JSON."""

    url: str
    headers: Mapping[str, str]
    body: bytes


def prepare(destination: Destination, secrets: Secrets, incident: str, message: Message, now: int) -> Prepared:
    """The request that says a message at `now`, which only a webhook's signature depends on."""
    headers = {"Content-Type": "application/json", "User-Agent": "sla-notify"}
    match destination.kind:
        case "pagerduty":
            body = pagerduty(destination, secrets.main, incident, message)
            return Prepared(destination.url or PAGERDUTY_URL, headers, _json(body))
        case "slack":
            return Prepared(secrets.main, headers, _json(slack(destination, message)))
        case "webhook":
            content = format_line(webhook(destination, incident, message))
            moment = to_datetime(now)
            signatures = " ".join(Webhook(key).sign(message.id, moment, content) for key in secrets.signing)
            signed = {
                "webhook-id": message.id,
                "webhook-timestamp": str(int(moment.timestamp())),
                "webhook-signature": signatures,
            }
            return Prepared(secrets.main, headers | signed, content.encode())
    assert_never(destination.kind)


def pagerduty(destination: Destination, routing_key: str, incident: str, message: Message) -> JsonObject:
    """An event of PagerDuty's Events API v2 (developer.pagerduty.com, "Send an Alert Event")."""
    head = {
        "routing_key": routing_key,
        "event_action": message.action,
        "dedup_key": dedup_key(incident, message.clock),
    }
    if message.action == "resolve":
        return head
    event = message.event
    data = event["data"]
    language = message.language or destination.language
    details = dict(facts(event, message.clock, language, destination.zone))
    return head | {
        "payload": {
            "summary": plain(f"{title(event, language)} · {incident}", _SUMMARY),
            "source": plain(incident, _SOURCE),
            "severity": destination.pager_severity(event["type"], data["severity"]),
            "timestamp": event["time"],
            "component": plain(data["component"], _SOURCE),
            "group": plain(data["policy"]["name"], _SOURCE),
            "class": event["type"],
            "custom_details": {name: plain(value, _DETAIL) for name, value in details.items()},
        },
        "client": "sla",
    }


def slack(destination: Destination, message: Message) -> JsonObject:
    """A message of Slack's incoming webhooks: a fallback text and blocks (docs.slack.dev, "Block Kit")."""
    event = message.event
    mark = _ENDED if message.action == "resolve" else _MARKS.get(event["type"], _ENDED)
    language = message.language or destination.language
    heading = f"{mark} {title(event, language)}"
    told = facts(event, message.clock, language, destination.zone)
    lines = "\n".join(f"*{name}*: {_mrkdwn(plain(value, _FIELD))}" for name, value in told)
    return {
        "text": _mrkdwn(plain(heading, _HEADER)),
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": plain(heading, _HEADER), "emoji": False}},
            {"type": "section", "text": {"type": "mrkdwn", "text": cut(lines, _SECTION), "verbatim": True}},
        ],
    }


def webhook(destination: Destination, incident: str, message: Message) -> JsonObject:
    """The body of a Standard Webhook; the same over all tries."""
    event = message.event
    key = {"dedup_key": dedup_key(incident, message.clock)} if message.clock else {}
    text = title(event, message.language or destination.language)
    about = {"event_id": event["id"], "action": message.action, **key, "text": text}
    return {"type": event["type"], "timestamp": event["time"], "data": {**event["data"], **about}}


def plain(text: object, longest: int) -> str:
    """On one line, without control characters, cut with … where it is too long."""
    return cut(_CONTROL.sub(" ", str(text)).strip() or "-", longest)


def cut(text: str, longest: int) -> str:
    """At most `longest` UTF-16 units, as these services count."""
    if len(text) * 2 <= longest or len(text.encode("utf-16-le")) <= 2 * longest:
        return text
    return text.encode("utf-16-le")[: 2 * (longest - 1)].decode("utf-16-le", "ignore") + "…"


def _mrkdwn(text: str) -> str:
    """Text in which Slack finds no links, no mentions."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _json(body: JsonObject) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()
