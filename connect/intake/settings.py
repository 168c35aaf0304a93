"""Settings of the intake from environment variables with the prefix SLA_INTAKE_. Kafka's are the worker's (SLA_…)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from streams.settings import Duration, from_environment

_MIB = 1024 * 1024


class IntakeSettings(BaseSettings):
    """The settings of an intake. Durations are ISO 8601 in the environment and microseconds in the fields."""

    model_config = SettingsConfigDict(env_prefix="SLA_INTAKE_", frozen=True, extra="ignore", validate_default=True)

    mapping: Path = Field(Path("intake.yaml"), description="The mapping file.")
    host: str = Field("127.0.0.1", description="Address to listen at.")
    port: int = Field(8088, ge=0, le=65535, description="Port to listen at; 0: any free one.")
    max_body: int = Field(
        16 * _MIB,
        ge=1024,
        le=64 * _MIB,
        description="Largest size of a request body in bytes (413). Signed bodies have at most 4 MiB.",
    )
    max_in_flight: int = Field(
        64 * _MIB,
        ge=8 * _MIB,
        description="Limit of bytes of bodies in memory, and again of records that Kafka has not acknowledged (503).",
    )
    body_timeout: Duration = Field("PT15S", description="Time in which the body of a request has to arrive (408).")  # type: ignore[assignment]
    ack_timeout: Duration = Field("PT5S", description="Time in which Kafka has to acknowledge (503).")  # type: ignore[assignment]
    retry_after: int = Field(5, ge=1, le=59, description="Seconds in Retry-After; Zendesk obeys values below 60.")
    stop_within: Duration = Field("PT20S", description="Time that open requests have at shutdown.")  # type: ignore[assignment]


def read_intake_settings(**given: object) -> IntakeSettings:
    """Settings from the environment; arguments take precedence. Raises SettingsError naming each wrong variable."""
    return from_environment(IntakeSettings, given)
