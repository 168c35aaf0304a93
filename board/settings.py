"""Settings of the board from the environment, prefix SLA_BOARD_; those of Kafka are the worker's (SLA_…)."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from streams.settings import Duration, from_environment
from streams.sla.instants import SECOND


def is_loopback(host: str) -> bool:
    """Whether a host name or address is reachable from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _loopback(host: str) -> str:
    if not is_loopback(host):
        raise ValueError(
            f"{host!r} is not a loopback address. The board has no sign-in yet, so whoever reaches it sees every "
            "tenant's data; allowed: 127.0.0.1, ::1 or localhost. From another machine, use an SSH tunnel"
        )
    return host


def _at_least_a_second(duration: int) -> int:
    if duration < SECOND:
        raise ValueError("must be PT1S or longer")
    return duration


WorkersEvery = Annotated[Duration, AfterValidator(_at_least_a_second)]


class BoardSettings(BaseSettings):
    """The settings of a board. Durations are ISO 8601 in the environment and microseconds in the fields."""

    model_config = SettingsConfigDict(env_prefix="SLA_BOARD_", frozen=True, extra="ignore", validate_default=True)

    host: Annotated[str, AfterValidator(_loopback)] = Field(
        "127.0.0.1", description="Address to listen at; only loopback addresses are allowed."
    )
    port: int = Field(8090, ge=0, le=65535, description="Port to listen at; 0: any free one.")
    database_url: str = Field(
        "sqlite:///.sla/board.db",
        repr=False,  # it may contain a password
        description="SQLAlchemy URL of the read model: sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE.",
    )
    workers_every: WorkersEvery = Field(  # type: ignore[assignment]
        "PT10S", description="How often the progress of the workers is read from Kafka, at least PT1S."
    )
    job_memory_bytes: int = Field(
        2 * 1024**3,
        ge=256 * 1024**2,
        description="Address space of a verification or what-if run, in bytes, at least 268435456 (256 MiB).",
    )
    retention: Duration = Field("P400D", description="Events and ended incidents are deleted after this.")  # type: ignore[assignment]


def read_board_settings(**given: object) -> BoardSettings:
    """Settings from the environment; arguments take precedence. Raises SettingsError naming each wrong variable."""
    return from_environment(BoardSettings, given)
