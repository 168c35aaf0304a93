"""The keys of a mapping file, as pydantic checks them."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from connect.feedback_links import check_deployment
from connect.intake.formats.registry import FORMATS
from connect.intake.mapping.body_keys import AuthenticationKeys, BodyKeys
from connect.intake.mapping.entry_keys import Conditions, MappingRuleKeys, ScalarText
from connect.intake.mapping.feedback_rules import FeedbackType, Visibility
from connect.intake.mapping.monitors import MONITOR_PATTERN
from connect.secret_refs import SecretKeys
from streams.config_files.config_keys import ConfigKeys
from streams.config_files.scalars import close_to, parse_duration
from streams.sla.events import CONTRACT_TYPES, INCIDENT_RANK
from streams.sla.instants import DAY, SECOND
from streams.topics import DEFAULT_PREFIX

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_SOURCE = re.compile(r"/[!-~]{1,100}")
_MIN_EVERY, _MAX_EVERY = 5 * SECOND, 31 * DAY
_MIN_GRACE, _MAX_GRACE = 10 * SECOND, 7 * DAY
_MIN_REPLAY_WINDOW, _MAX_REPLAY_WINDOW = 10 * SECOND, 3600 * SECOND


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name of a source; allowed: lower-case letters, digits and `-`, at most 40")
    return name


def _source(value: str) -> str:
    if not _SOURCE.fullmatch(value):
        raise ValueError(f"{value!r} is not a source; allowed: a path such as /alerts/prod, at most 101 characters")
    return value


def _source_pattern(value: str) -> str:
    if value != "*" and not _SOURCE.fullmatch(value.removesuffix("*")):
        raise ValueError(f"{value!r} is not a source; allowed: /monitors/eu, /monitors/* or *")
    return value


def _format(value: str) -> str:
    if value not in FORMATS:
        raise ValueError(f"{value!r} is unknown here{close_to(value, FORMATS)}; allowed: {', '.join(FORMATS)}")
    return value


def _type(value: str) -> str:
    known = [*INCIDENT_RANK, *sorted(CONTRACT_TYPES)]
    groups = {name.partition(".")[0] + ".*" for name in known}
    if value not in groups and value not in known:
        raise ValueError(f"{value!r} is not an input event; allowed: {', '.join(sorted(groups))}, or one type of event")
    return value


def _window(value: int) -> int:
    if not _MIN_REPLAY_WINDOW <= value <= _MAX_REPLAY_WINDOW:
        raise ValueError("a replay window is out of bounds; allowed: PT10S to PT1H")
    return value


def _monitor(name: str) -> str:
    if not MONITOR_PATTERN.fullmatch(name):
        allowed = "at most 60 letters, digits, `_`, `-` and `.`, and a final `*` for any ending"
        raise ValueError(f"{name!r} is not a name of monitors; allowed: {allowed}")
    return name


def _every(value: int) -> int:
    if not _MIN_EVERY <= value <= _MAX_EVERY:
        raise ValueError("the time between heartbeats is out of bounds; allowed: PT5S to P31D")
    return value


def _grace(value: int) -> int:
    if not _MIN_GRACE <= value <= _MAX_GRACE:
        raise ValueError("the grace of heartbeats is out of bounds; allowed: PT10S to P7D")
    return value


SourceName = Annotated[str, AfterValidator(_name)]
SourcePath = Annotated[str, AfterValidator(_source)]


class RateKeys(ConfigKeys):
    """How many requests a source may make."""

    per_second: float = Field(50.0, description="Requests per second, on average.", gt=0, le=100_000)
    burst: int = Field(100, description="Largest burst of requests.", ge=1, le=1_000_000)


def _one_tenant(tenant: str) -> str:
    if tenant == "*":
        raise ValueError("`*` is no tenant; allowed: ids of tenants, or leave only_tenants out for all")
    return tenant


class StatesKeys(ConfigKeys):
    """What a ticket system's status names mean."""

    resolved: list[ScalarText] | None = Field(None, description="Names that end the incident.")
    waiting_customer: list[ScalarText] | None = Field(None, description="Names that wait for the customer.")
    waiting_third_party: list[ScalarText] | None = Field(None, description="Names that wait for a third party.")

    @model_validator(mode="after")
    def _one_meaning_each(self) -> Self:
        listed: dict[str, str] = {}
        for meaning in type(self).model_fields:
            for name in getattr(self, meaning) or ():
                before = listed.setdefault(name.casefold(), meaning)
                if before != meaning:
                    raise ValueError(f"{name!r} is in {before} and in {meaning}; list a status name once")
        return self


class FeedbackRuleKeys(ConfigKeys):
    """What one event of a tool becomes. A plain text stands for `becomes`."""

    becomes: FeedbackType = Field(description="Type of the event that is published.")
    visibility: Visibility | None = Field(None, description="Who may read the update (incident.updated).")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        return {"becomes": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _visible_to(self) -> Self:
        if (self.becomes == "incident.updated") != (self.visibility is not None):
            raise ValueError(
                "incident.updated needs a visibility, and nothing else has one; allowed: "
                "{becomes: incident.updated, visibility: internal}, or public, which meets update clocks"
            )
        return self


class MonitorKeys(ConfigKeys):
    """How often a monitor is heard."""

    every: Annotated[int, BeforeValidator(parse_duration), AfterValidator(_every)] = Field(
        description="The longest usual time between two heartbeats."
    )
    grace: Annotated[int, BeforeValidator(parse_duration), AfterValidator(_grace)] = Field(
        60 * SECOND, description="How late a heartbeat may be before its absence is an incident."
    )


class SourceKeys(ConfigKeys):
    """One sender."""

    format: Annotated[str, AfterValidator(_format)] = Field(description="Format of its requests.")
    secrets: list[SecretKeys] | None = Field(
        None, description="Tokens, passwords or signing keys; any of them proves the sender.", min_length=1
    )
    authentication: AuthenticationKeys | None = Field(
        None, description="How the sender authenticates (format json); default: bearer."
    )
    body: BodyKeys | None = Field(None, description="Where things are in the body (format json).")
    source: SourcePath | None = Field(
        None, description="CloudEvents source of its events; default: /intake/ and its name."
    )
    rate: RateKeys = Field(RateKeys.model_validate({}), description="How many requests it may make.")
    allow: list[Annotated[str, AfterValidator(_type)]] = Field(
        ["incident.*"], description="Types of events that it may publish (format api).", min_length=1
    )
    allow_sources: list[Annotated[str, AfterValidator(_source_pattern)]] = Field(
        [], description="CloudEvents sources beside its own that its events may have; a final `*` is any ending."
    )
    only_tenants: list[Annotated[ScalarText, AfterValidator(_one_tenant)]] = Field(
        [],
        description="The tenants that its events may affect, with ids that begin with its name; default: all.",
        min_length=1,
    )
    replay_window: Annotated[int, BeforeValidator(parse_duration), AfterValidator(_window)] = Field(
        300_000_000, description="How old a signed timestamp may be (formats zendesk, slack, json)."
    )
    ignore: list[Annotated[Conditions, Field(min_length=1)]] = Field(
        [], description="Payloads that are not incidents: every path of an entry has one of its values."
    )
    component: list[MappingRuleKeys] = Field([], description="Rules for the component.")
    impact: list[MappingRuleKeys] = Field([], description="Rules for the impact.")
    tier: list[MappingRuleKeys] = Field([], description="Rules for the tier.")
    tenants: list[MappingRuleKeys] = Field([], description='Where the tenants come from; "*" is everyone.')
    summary: list[MappingRuleKeys] = Field([], description="Rules for the summary.")
    states: StatesKeys = Field(
        StatesKeys.model_validate({}), description="What status names mean (formats zendesk, jira, statuspage)."
    )
    monitors: dict[Annotated[str, AfterValidator(_monitor)], MonitorKeys] = Field(
        {}, description="Names of monitors; a final `*` is any ending (format heartbeat)."
    )
    events: dict[str, FeedbackRuleKeys] = Field(
        {}, description="What each event of the tool becomes; the others become nothing (formats pagerduty, slack)."
    )
    who: list[MappingRuleKeys] = Field(
        [], description="Where the id of the person is who acts (formats pagerduty, slack)."
    )
    incident: list[MappingRuleKeys] = Field(
        [], description="Which incident that exists already the posts are about (format statuspage)."
    )
    component_incidents: bool = Field(
        False, description="Whether the status of a component of the page opens an incident (format statuspage)."
    )
    opening_with_updates: bool = Field(
        False,
        description="Whether an update of a ticket publishes its opening too, in case that the webhook of its creation "
        "was lost (formats jira, zendesk).",
    )
    deployment: Annotated[str, AfterValidator(check_deployment)] = Field(
        DEFAULT_PREFIX,
        description="SLA_NOTIFY_DEPLOYMENT of the notifier whose pages and posts these are "
        "(formats pagerduty, slack, statuspage).",
        min_length=1,
    )


class MappingKeys(ConfigKeys):
    """The whole file."""

    version: Literal[1] = Field(description="Version of this format: 1.")
    sources: dict[SourceName, SourceKeys] = Field(description="Each sender by its name.", min_length=1)
