"""Settings of the intake from the environment, prefix SLA_INTAKE_; those of Kafka are the worker's (SLA_…)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from streams.errors import SettingsError
from streams.settings import Duration

_MIB = 1024 * 1024


class IntakeSettings(BaseSettings):
    """Every setting of an intake. Durations are written in ISO 8601 and held in microseconds."""

    model_config = SettingsConfigDict(env_prefix="SLA_INTAKE_", frozen=True, extra="ignore", validate_default=True)

    mapping: Path = Field(Path("intake.yaml"), description="The mapping file.")
    host: str = Field("127.0.0.1", description="Address to listen at.")
    port: int = Field(8088, ge=0, le=65535, description="Port to listen at; 0: any free one.")
    max_body: int = Field(_MIB, ge=1024, le=4 * _MIB, description="Bytes of one request, at most (413).")
    max_in_flight: int = Field(
        64 * _MIB,
        ge=8 * _MIB,
        description="Bytes of bodies, and again of records on their way to Kafka, at most (503).",
    )
    body_timeout: Duration = Field("PT15S", description="A request's body has to arrive within this.")  # type: ignore[assignment]
    ack_timeout: Duration = Field("PT5S", description="Kafka has to acknowledge within this (503).")  # type: ignore[assignment]
    retry_after: int = Field(5, ge=1, le=59, description="Seconds that Retry-After asks for; Zendesk obeys below 60.")
    stop_within: Duration = Field("PT20S", description="At the end, requests under way may take this.")  # type: ignore[assignment]


def read_intake_settings(**given: object) -> IntakeSettings:
    """Settings from the environment; what is given wins. Raises SettingsError naming each variable that is wrong."""
    try:
        return IntakeSettings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        problems = "; ".join(
            f"SLA_INTAKE_{'_'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}"
            for problem in error.errors()
        )
        raise SettingsError(problems) from error
