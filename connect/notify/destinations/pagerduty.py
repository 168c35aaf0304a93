"""PagerDuty, Events API v2 (developer.pagerduty.com, "Send an Alert Event"). Pure but for secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model

from connect.feedback_links import LinkedIncident, deployment_of_key, has_link, quoted_incident, title_link
from connect.notify.destinations.answers import judge_service
from connect.notify.destinations.kind import (
    Destination,
    DestinationKind,
    KindConfig,
    PagerSeverity,
    PreparedRequest,
    Secrets,
)
from connect.notify.destinations.phrases import facts, title
from connect.notify.destinations.secrets import read_key_secret
from connect.notify.destinations.text import HEADERS, LONGEST_SUMMARY, json_body, plain
from connect.notify.message import DIGEST, Message
from connect.notify.triggers import JsonObject
from connect.secret_refs import SecretKeys
from streams.sla.instants import HOUR
from streams.sla.severity import SEVERITIES, by_severity

_API = "https://events.pagerduty.com/v2/enqueue"
_SEVERITIES: Mapping[str, PagerSeverity] = by_severity(("critical", "error", "warning", "info"))
_LONGEST_SUMMARY = 1024
_LONGEST_SOURCE = 255
_LONGEST_DETAIL = 1024


def _address(url: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s#]*)?", url):
        raise ValueError("this is not an address; allowed: https://host/path")
    return url


class _PagerSeverityKeys(BaseModel):
    """PagerDuty's severity for each of ours."""

    model_config = ConfigDict(extra="forbid", frozen=True)


if TYPE_CHECKING:
    PagerSeverityKeys = _PagerSeverityKeys
else:
    PagerSeverityKeys = create_model(
        "PagerSeverityKeys",
        __base__=_PagerSeverityKeys,
        __doc__=_PagerSeverityKeys.__doc__,
        **{name: (PagerSeverity | None, Field(None, description=f"Of {name}.")) for name in SEVERITIES},
    )


class PagerDutyKeys(BaseModel):
    """The keys of kind pagerduty."""

    routing_key: SecretKeys | None = Field(None, description="Integration key of a service (pagerduty).")
    api: Annotated[str, AfterValidator(_address)] | None = Field(
        None, description="Address of the Events API where it is not the usual one (pagerduty)."
    )
    severities: dict[Literal["*", "sla.warning", "sla.update_due", "sla.breached"], PagerSeverityKeys] | None = Field(
        None, description="PagerDuty's severities by type of alert; `*` is any (pagerduty)."
    )
    pages_per_minute: Annotated[int, Field(ge=1, le=6000)] | None = Field(
        None, description="Beyond this rate alerts become digests (pagerduty, slack)."
    )
    feedback: bool = Field(
        False, description="Whether titles end in the incident's id, so that the intake can place notes (pagerduty)."
    )


def configure(keys: PagerDutyKeys) -> KindConfig:
    """What the checked keys mean."""
    assert keys.routing_key is not None
    severities: dict[tuple[str, str], PagerSeverity] = {
        (event, severity): word
        for event, words in (keys.severities or {}).items()
        for severity, word in words.model_dump(exclude_none=True).items()
    }
    return KindConfig(
        keys.routing_key.ref(),
        api=keys.api,
        severities=severities,
        pages_per_minute=keys.pages_per_minute,
        title_links=keys.feedback,
    )


def check(keys: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The routing key is part of the body, so it needs an encrypted connection."""
    api = keys.get("api")
    if isinstance(api, str) and api.startswith("http:") and keys.get("allow_private") is not True:
        yield "api", "this is not encrypted; allowed: https, or allow_private: true"


def read_secrets(destination: Destination, environment: Mapping[str, str]) -> Secrets:
    """The routing key."""
    return Secrets(read_key_secret(destination, environment))


def prepare(destination: Destination, secrets: Secrets, incident: str, message: Message, _: int) -> PreparedRequest:
    """The request for a message."""
    body = event_body(destination, secrets.main, incident, message)
    return PreparedRequest(destination.api or _API, HEADERS, json_body(body))


def event_body(destination: Destination, routing_key: str, incident: str, message: Message) -> JsonObject:
    """The event for a message."""
    head = {
        "routing_key": routing_key,
        "event_action": message.action,
        "dedup_key": message.dedup_key(incident),
    }
    if message.action == "resolve":
        return head
    event = message.event
    data, about = event["data"], str(event["subject"])
    language = destination.language_of(message)
    summary = [plain(data["summary"], LONGEST_SUMMARY)] if data.get("summary") else []
    link = _link(message, about) if destination.title_links else None
    start = [title(event, language), *summary]
    named = [] if "digest" in data else [link or about]  # a digest's title counts its incidents
    heading = plain(" · ".join([*start, *named]), _LONGEST_SUMMARY)
    if link is None and has_link(heading):
        heading = plain(" · ".join([*start, quoted_incident(about)]), _LONGEST_SUMMARY)
    details = dict(facts(event, message.clock, language, destination.zone))
    return head | {
        "payload": {
            "summary": heading,
            "source": plain(about, _LONGEST_SOURCE),
            "severity": severity(destination, event["type"], data["severity"]),
            "timestamp": event["time"],
            "component": plain(data["component"], _LONGEST_SOURCE),
            "group": plain(data["policy"]["name"], _LONGEST_SOURCE),
            "class": event["type"],
            "custom_details": {name: plain(value, _LONGEST_DETAIL) for name, value in details.items()},
        },
        "client": "sla",
    }


def _link(message: Message, incident: str) -> str | None:
    """The incident as feedback finds it again; None for a digest, and for pages of releases without deployments."""
    if message.key is None or message.clock == DIGEST:
        return None
    deployment = deployment_of_key(message.key, incident, message.clock)
    return None if deployment is None else title_link(LinkedIncident(deployment, incident))


def severity(destination: Destination, event_type: str, ours: str) -> PagerSeverity:
    """PagerDuty's severity of an alert: the destination's own for the type, for any type, or the usual one."""
    for key in ((event_type, ours), ("*", ours)):
        if key in destination.severities:
            return destination.severities[key]
    return _SEVERITIES.get(ours, "error")


_REFUSALS = frozenset({"invalid event", "invalid", "error", "failed", "failure", "throttle exceeded"})


def _refuses(answer: Mapping[str, object]) -> bool:
    """In PagerDuty's words: gateways and stand-ins accept in words of their own, and would get the page again."""
    status = answer.get("status")
    return isinstance(status, str) and status.casefold() in _REFUSALS


PAGERDUTY = DestinationKind(
    name="pagerduty",
    keys=PagerDutyKeys,
    required_keys=("routing_key",),
    configure=configure,
    check=check,
    read_secrets=read_secrets,
    prepare=prepare,
    judge=partial(judge_service, service="PagerDuty", refuses=_refuses),
    reads_answers=True,
    pages_per_minute=30,
    give_up_after=6 * HOUR,
    concurrency=4,
    resolve_each_clock=True,
    unused_in_ends=frozenset({"clocks", "tenant_ids"}),
)
