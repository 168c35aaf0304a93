"""Settings of the notifier from the environment, prefix SLA_NOTIFY_; those of Kafka are the worker's (SLA_…)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from connect.feedback_links import check_deployment
from streams.configuration.environment import EnvironmentSettings, from_environment
from streams.configuration.fields import PositiveDuration, about


class NotifySettings(EnvironmentSettings):
    """The notifier. Durations are ISO 8601 in the environment and microseconds in the fields."""

    model_config = SettingsConfigDict(env_prefix="SLA_NOTIFY_")

    routes: Path = Field(
        Path("notify.yaml"),
        description="The routing file.",
        json_schema_extra=about(example="/etc/sla/notify/routing.yaml"),
    )
    host: str = Field(
        "127.0.0.1",
        description="Address of /live, /ready and /metrics.",
        json_schema_extra=about(allowed="an address or host name of this machine", example="0.0.0.0"),
    )
    port: int = Field(
        8089,
        ge=0,
        le=65535,
        description="Port of /live, /ready and /metrics; 0: any free one.",
        json_schema_extra=about(allowed="a port, 0 to 65535"),
    )
    deployment: Annotated[str, AfterValidator(check_deployment)] | None = Field(
        None,
        description="Name of this deployment in dedup keys; default: the topic prefix.",
        json_schema_extra=about(allowed="1 to 100 printable characters", example="production-eu"),
        min_length=1,
        max_length=100,
    )
    parked_retention: PositiveDuration = Field(
        "P90D",  # type: ignore[assignment]
        description="Parked messages, and what is left of removed destinations, are discarded after this.",
    )
    summaries: bool = Field(True, description="Whether pages show the summary of their incident.")
    start: Literal["latest", "earliest"] = Field(
        "latest", description="Where a new destination starts: at new alerts, or at all retained ones."
    )


def read_notify_settings(**given: object) -> NotifySettings:
    """Settings from the environment; arguments take precedence. Raises SettingsError naming each variable that is
    wrong."""
    return from_environment(NotifySettings, given)
