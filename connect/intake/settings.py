"""Settings of the intake from environment variables with the prefix SLA_INTAKE_. Kafka's are the worker's (SLA_…)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from streams.configuration.environment import EnvironmentSettings, from_environment
from streams.configuration.fields import PositiveDuration, about

_MIB = 1024 * 1024


class IntakeSettings(EnvironmentSettings):
    """The intake. Durations are ISO 8601 in the environment and microseconds in the fields."""

    model_config = SettingsConfigDict(env_prefix="SLA_INTAKE_")

    mapping: Path = Field(
        Path("intake.yaml"),
        description="The mapping file.",
        json_schema_extra=about(example="/etc/sla/intake/mapping.yaml"),
    )
    host: str = Field(
        "127.0.0.1",
        description="Address to listen at.",
        json_schema_extra=about(allowed="an address or host name of this machine", example="0.0.0.0"),
    )
    port: int = Field(
        8088,
        ge=0,
        le=65535,
        description="Port to listen at; 0: any free one.",
        json_schema_extra=about(allowed="a port, 0 to 65535"),
    )
    max_body: int = Field(
        16 * _MIB,
        ge=1024,
        le=64 * _MIB,
        description="Largest size of a request body (413). Signed bodies have at most 4 MiB.",
        json_schema_extra=about(unit="bytes"),
    )
    max_in_flight: int = Field(
        64 * _MIB,
        ge=8 * _MIB,
        description="Limit of bodies in memory, and again of records that Kafka has not acknowledged (503).",
        json_schema_extra=about(unit="bytes"),
    )
    body_timeout: PositiveDuration = Field(
        "PT15S", description="Time in which the body of a request has to arrive (408)."
    )  # type: ignore[assignment]
    ack_timeout: PositiveDuration = Field("PT5S", description="Time in which Kafka has to acknowledge (503).")  # type: ignore[assignment]
    retry_after: int = Field(
        5,
        ge=1,
        le=59,
        description="Retry-After of refused requests; Zendesk obeys values below 60.",
        json_schema_extra=about(unit="seconds"),
    )
    operator_token: str | None = Field(
        None,
        repr=False,
        description="Token with which `sla intake watch` reads the last requests; without it none is kept.",
    )
    recent_requests: int = Field(
        100,
        ge=1,
        le=10_000,
        description="How many of the last requests are kept for the operator.",
        json_schema_extra=about(unit="requests"),
    )
    recent_bytes: int = Field(
        4 * _MIB,
        ge=64 * 1024,
        le=256 * _MIB,
        description="Memory of the last requests; of one, at most an eighth of it as a body.",
        json_schema_extra=about(unit="bytes"),
    )
    stop_within: PositiveDuration = Field("PT6S", description="Time that open requests have at shutdown.")  # type: ignore[assignment]


def read_intake_settings(**given: object) -> IntakeSettings:
    """Settings from the environment; arguments take precedence. Raises SettingsError naming each wrong variable."""
    return from_environment(IntakeSettings, given)
