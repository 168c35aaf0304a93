"""The document model of a policy file: every key with its default and unit (severities: targets.py)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from streams.config_files import scalars as kind
from streams.config_files.scalars import Duration, Interval, Percent
from streams.policy.targets import PolicyKeys, SeveritiesKeys, SparseKeys
from streams.sla.instants import DAY, HOUR
from streams.sla.severity import DEFAULT_SEVERITY, Severity

Impact = Literal["complete_outage", "critical_performance", "material_aspect", "processing_delay", "cosmetic"]
Tier = Literal[1, 2, 3, "unknown"]
Scope = Literal["tenants", "platform"]
ComponentId = Annotated[str, Field(pattern=kind.COMPONENT_ID)]
Impacts = Annotated[list[Impact], Field(min_length=1), kind.UNIQUE]
Line = Annotated[str, Field(min_length=1, max_length=200)]


class Title(PolicyKeys):
    """A text in both languages."""

    en: Line
    """The text in English."""
    ja: Line
    """The text in Japanese."""


class ComponentKeys(PolicyKeys):
    """A part of the service that incidents name."""

    title: Title
    """What customers call it."""
    covered: bool
    """Whether incidents of it have response and update targets."""
    guaranteed: bool
    """Whether its downtime counts against the guarantee."""


class WhenKeys(SparseKeys):
    """What an incident must be for the rule to match: one value of every key that is present; `{}` matches all."""

    impact: Impacts | None = None
    """Impacts. Default: any."""
    tier: Annotated[list[Tier], Field(min_length=1), kind.UNIQUE] | None = None
    """Tiers of the customer, `unknown` for none. Default: any, unknown too."""
    component: Annotated[list[ComponentId], Field(min_length=1), kind.UNIQUE] | None = None
    """Declared components. Default: any."""
    scope: Annotated[list[Scope], Field(min_length=1), kind.UNIQUE] | None = None
    """Whether it concerns named tenants or the whole platform. Default: either."""


class RuleKeys(PolicyKeys):
    """One rule of classification."""

    name: Annotated[str, Field(pattern=kind.RULE_NAME), AfterValidator(kind.check_rule_name)]
    """Shown with every incident it decides; `default` is reserved."""
    when: WhenKeys
    """What it matches."""
    severity: Severity
    """The severity of incidents that match."""


class RespondsKeys(SparseKeys):
    """A fact that counts as the first response."""

    event: Literal["incident.responded", "incident.updated"]
    """Type of the event."""
    who: Annotated[
        list[Literal["support", "customer", "monitor", "system"]],
        kind.UNIQUE,
        Field(min_length=1),
    ]
    """Kinds of author that count."""
    visibility: Annotated[list[Literal["public", "internal"]], Field(min_length=1), kind.UNIQUE] | None = None
    """Of updates: which visibility counts. Default: either."""

    @model_validator(mode="after")
    def _fits(self) -> RespondsKeys:
        if self.visibility is not None and self.event != "incident.updated":
            raise ValueError(f"{self.event} has no visibility; allowed: visibility only with incident.updated")
        return self


class CalendarKeys(PolicyKeys):
    """The vendor's business time."""

    zone: kind.Zone = "UTC"
    """IANA time zone of the hours. Default: UTC."""
    hours: Annotated[dict[kind.Days, kind.Span], Field(min_length=1), AfterValidator(kind.check_week)] = Field(
        default={"mon-fri": "09:00-17:00"}
    )
    """Open hours by weekday or span of weekdays, local time; absent days are closed. Default: Monday-Friday 9 to 17."""
    holidays: kind.Holidays | None = None
    """ISO 3166 country, or country-subdivision, whose public holidays are closed. Default: null, none."""


class GuaranteeKeys(PolicyKeys):
    """The uptime promise."""

    percent: Percent = "99.9"
    """Smallest share of the month in percent, exact text. Default: "99.9"."""


class DowntimeKeys(PolicyKeys):
    """What counts as downtime of a guaranteed component."""

    impacts: Impacts = Field(default=["complete_outage", "critical_performance", "material_aspect"])
    """Impacts that count. Default: complete_outage, critical_performance, material_aspect."""


class MaintenanceKeys(PolicyKeys):
    """Announced work that is not downtime."""

    notice: Duration = Field(default=0, json_schema_extra={"default": "PT0S"})
    """How long before its start it must be announced, ISO 8601. Default: PT0S, not after the start."""


class CreditKeys(PolicyKeys):
    """The credit for a month in which availability was too low."""

    below_percent: Percent = "99"
    """Credit is due below this availability, percent as text. Default: "99"."""
    percent_per_point: Percent = "10"
    """Share of the month's charge per percentage point below, percent as text. Default: "10"."""
    cap_percent: Percent = "100"
    """Largest share of the month's charge, percent as text. Default: "100"."""
    step: Literal["whole", "started", "pro_rata"] = "whole"
    """Which points count: completed ones, started ones, or exact fractions. Default: whole."""
    claim: Literal["required", "automatic"] = "required"
    """Whether a customer must claim the credit. Default: required."""
    claim_within: Duration = Field(default=60 * DAY, json_schema_extra={"default": "P60D"})
    """How long after the final statement a claim is possible, ISO 8601. Default: P60D."""


class StatementKeys(PolicyKeys):
    """When the month's statements are made."""

    grace: Duration = Field(default=72 * HOUR, json_schema_extra={"default": "PT72H"})
    """Time for late evidence between the month's end and its final statement, ISO 8601. Default: PT72H."""
    provisional_every: Interval = Field(default=24 * HOUR, json_schema_extra={"default": "PT24H"})
    """Interval of provisional statements during the month, ISO 8601, PT1S or more. Default: PT24H."""
    adjust_after: Duration = Field(default=HOUR, json_schema_extra={"default": "PT1H"})
    """How long changes after the final statement are collected before one adjustment, ISO 8601. Default: PT1H."""


class PolicyDocument(PolicyKeys):
    """A support policy: severities and their targets, coverage, calendar, uptime guarantee and credits."""

    policy: Annotated[str, Field(pattern=kind.POLICY_NAME)]
    """Name; in a policies tree the directory has the same."""
    version: Annotated[str, Field(pattern=kind.VERSION)]
    """Label of this version, a text; in a policies tree it is also the file's name."""
    effective_from: kind.Instant = None
    """Incidents opened from this instant on (RFC 3339) get this version; null: from the beginning. Default: null."""
    title: Title
    """What customers call the plan."""
    components: Annotated[dict[ComponentId, ComponentKeys], Field(min_length=1)]
    """The parts of the service, by id; incidents of any other are not covered."""
    severities: SeveritiesKeys
    """What each severity promises."""
    rules: list[RuleKeys] = Field(default=[])
    """Tried in order, the first match decides. Default: none, so `default_severity` always decides."""
    default_severity: Severity = Field(
        DEFAULT_SEVERITY, description=f"Where no rule matches. Default: {DEFAULT_SEVERITY}."
    )
    responds: Annotated[list[RespondsKeys], Field(min_length=1)] = Field(
        default=[
            RespondsKeys(event="incident.responded", who=["support"]),
            RespondsKeys(event="incident.updated", who=["support"], visibility=["public"]),
        ]
    )
    """Facts that count as the first response. Default: a response or a public update by support."""
    calendar: CalendarKeys = Field(default=CalendarKeys())
    """Business time. Default: UTC, Monday-Friday 9 to 17, no holidays."""
    guarantee: GuaranteeKeys = Field(default=GuaranteeKeys())
    """The uptime promise. Default: 99.9 percent."""
    downtime: DowntimeKeys = Field(default=DowntimeKeys())
    """What counts as downtime. Default: the three most severe impacts."""
    maintenance: MaintenanceKeys = Field(default=MaintenanceKeys())
    """Announced work. Default: no notice needed."""
    credit: CreditKeys = Field(default=CreditKeys())
    """Credits. Default: 10 percent per completed point under 99, at most 100, on request within 60 days."""
    statements: StatementKeys = Field(default=StatementKeys())
    """Times of the statements. Default: 72 hours of grace, evaluated daily, corrections after an hour."""
