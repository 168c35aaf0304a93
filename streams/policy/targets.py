"""What a policy file promises per severity: its targets, update windows, warnings, pauses and channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, create_model, model_serializer, model_validator

from streams.config_files import scalars as kind
from streams.config_files.config_keys import ConfigKeys
from streams.config_files.scalars import PositiveDuration, format_duration
from streams.sla.severity import CHARACTERS, REQUIRED_SEVERITIES, SEVERITIES, Severity

Channel = Literal["monitor", "phone", "ticket", "api"]


class PolicyKeys(ConfigKeys, strict=True):
    """The keys of one mapping in a policy file: no value is converted to another type."""


class SparseKeys(PolicyKeys):
    """A mapping whose absent keys mean something: they stay absent when defaults are filled in."""

    @model_validator(mode="before")
    @classmethod
    def _no_nulls(cls, data: object) -> object:
        given = data if isinstance(data, dict) else {}
        if empty := [str(key) for key in given if given[key] is None and key in cls.model_fields]:
            raise ValueError(f"{empty[0]} is empty; allowed: a value, or leave the key out")
        return data

    @model_serializer(mode="wrap")
    def _present(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}


class TargetKeys(SparseKeys):
    """How much time there is: either `within` or `business_days`."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["within"]}, {"required": ["business_days"]}]},
    )
    within: PositiveDuration | None = None
    """ISO 8601 duration on the clock that `clock` names."""
    clock: Literal["always", "business"] | None = None
    """Which time `within` counts: `always` (24x7) or `business` (hours of the calendar). Default: always."""
    business_days: Annotated[int, Field(ge=1, le=366)] | None = None
    """Working days: due at the same local time on the n-th following one."""

    @model_validator(mode="after")
    def _one(self) -> TargetKeys:
        if (self.within is None) == (self.business_days is None):
            raise ValueError("needs exactly one measure; allowed: either within (with clock) or business_days")
        if self.business_days is not None and self.clock is not None:
            raise ValueError("clock means nothing for business_days; allowed: clock only beside within")
        return self

    @model_serializer(mode="wrap")
    def _present(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        always = {"clock": "always"} if self.within is not None and self.clock is None else {}
        return {key: value for key, value in handler(self).items() if value is not None} | always


class UpdateKeys(SparseKeys):
    """Status updates: either regular (`every`) or `on_request`."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["every"]}, {"required": ["on_request"]}]})
    every: PositiveDuration | None = None
    """Longest time between two public updates, ISO 8601."""
    clock: Literal["always", "business"] | None = None
    """Which time `every` counts: `always` (24x7) or `business`. Default: always."""
    remind_before: PositiveDuration | None = None
    """How long before the end of a window the reminder comes, ISO 8601. Default: a sixth of `every`."""
    on_request: TargetKeys | None = None
    """No regular windows: an update is due this long after a request for one."""

    @property
    def reminder(self) -> int:
        """Microseconds before the end of a window; 0 for updates on request."""
        return self.remind_before or (self.every or 0) // 6

    @model_validator(mode="after")
    def _one(self) -> UpdateKeys:
        if (self.every is None) == (self.on_request is None):
            raise ValueError("needs exactly one rhythm; allowed: either every (with remind_before) or on_request")
        if self.every is None and (self.clock is not None or self.remind_before is not None):
            raise ValueError("clock and remind_before belong to every; allowed: on_request alone")
        if self.every is not None and self.reminder >= self.every:
            every = format_duration(self.every)
            raise ValueError(f"remind_before must be shorter than every; allowed: above PT0S and below {every}")
        return self

    @model_serializer(mode="wrap")
    def _present(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        filled = {"clock": self.clock or "always", "remind_before": format_duration(self.reminder)}
        given = {key: value for key, value in handler(self).items() if value is not None}
        return given | filled if self.every is not None else given


class SeverityKeys(PolicyKeys):
    """What a severity promises."""

    response: TargetKeys | None
    """Time to the first response; null: no target."""
    updates: UpdateKeys | None = None
    """Status updates until resolved; null: no target. Default: null."""
    resolution: TargetKeys | None = None
    """Time to the resolution; null: no target. Default: null."""
    warn_at: kind.Thresholds = Field(default=[0.5, 0.75, 0.9])
    """Shares of the response and resolution time at which to warn, increasing. Default: half, three quarters, 90 %."""
    pause_on: Annotated[list[Literal["customer", "third_party"]], kind.UNIQUE] = Field(default=[])
    """Parties whose answer pauses the clocks while the incident waits for it. Default: none."""
    channels: Annotated[list[Channel], kind.UNIQUE] = Field(default=[])
    """Channels through which customers report it. Default: any."""


def severity_field(name: Severity, character: str) -> tuple[type[SeverityKeys], Any]:
    """The key of a severity: required in the first release, without any target by default since (R18)."""
    meaning = f"What the {character} ones promise."
    if name in REQUIRED_SEVERITIES:
        return SeverityKeys, Field(description=meaning)
    return SeverityKeys, Field(default=SeverityKeys(response=None), description=f"{meaning} Default: no targets.")


if TYPE_CHECKING:
    SeveritiesKeys = PolicyKeys
else:
    SeveritiesKeys = create_model(
        "SeveritiesKeys",
        __base__=PolicyKeys,
        __module__=__name__,
        __doc__=f"The severities, from {SEVERITIES[0]} to {SEVERITIES[-1]}.",
        **{name: severity_field(name, character) for name, character in CHARACTERS.items()},
    )
