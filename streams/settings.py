"""Worker settings from the environment, prefix SLA_: the table of the public contract, with its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from streams.config_files.scalars import parse_duration
from streams.errors import SettingsError
from streams.http_connections import ConnectionLimits
from streams.policy.load import default_policies_dir, load_policies
from streams.runtime.settings import RuntimeSettings
from streams.schema_registry.client import Compatibility, SchemaRegistry
from streams.sla.arrival import TimeLimits
from streams.sla.policy import Policies, UnknownPolicyError

SettingsT = TypeVar("SettingsT", bound=BaseSettings)

#: An ISO 8601 duration (PT5M, P35D) as microseconds.
Duration = Annotated[int, BeforeValidator(parse_duration)]


class Settings(BaseSettings):
    """Every setting of a worker. Durations are written in ISO 8601 and stored in microseconds."""

    model_config = SettingsConfigDict(env_prefix="SLA_", frozen=True, extra="ignore", validate_default=True)

    brokers: str = Field("127.0.0.1:9092", description="Bootstrap servers, separated by commas.")
    app_id: str = Field("sla", description="Names consumer groups and transactional ids; one per deployment.")
    topic_prefix: str = Field("sla", pattern=r"^[A-Za-z0-9._-]+$", description="First part of every topic name.")
    partitions: int = Field(8, ge=1, description="Partitions of every topic, fixed at creation.")
    replication: int = Field(1, ge=1, description="Replication factor that `sla topics apply` asks for.")
    policies: Path | None = Field(None, description="Directory of policies; default: those shipped.")
    default_policy: str = Field("scalr-emergency", description="Policy of platform-wide incidents and unknown plans.")
    lateness_horizon: Duration = Field("P35D", description="Older events are rejected too_late (R5).")  # type: ignore[assignment]
    max_future_skew: Duration = Field("PT5M", description="Events further ahead are rejected future (R5).")  # type: ignore[assignment]
    orphan_after: Duration = Field("PT24H", description="How long events wait for an opening (R4).")  # type: ignore[assignment]
    max_clock_skew: Duration = Field("PT0S", description="How far this clock may be ahead of the broker's (R11).")  # type: ignore[assignment]
    backfill_quiet: Duration = Field("PT10M", description="Time without backfill that ends a load of history (R32).")  # type: ignore[assignment]
    retain_closed: Duration = Field("P120D", description="How long ended incidents stay amendable.")  # type: ignore[assignment]
    retain_markers: Duration = Field("P400D", description="How long ids of evicted incidents are remembered (R1).")  # type: ignore[assignment]
    max_update_windows: int = Field(10_000, ge=1, description="Update windows of one incident, at most (R28).")
    retain_months: int = Field(
        36, ge=6, description="Calendar months of statements that the ledger keeps, and what they need (R26)."
    )
    pseudonym_key: str = Field(
        "",
        repr=False,
        description="Key of erased tenants' pseudonyms (R29); not to be changed after the first.",
    )
    mark_every: Duration = Field("PT10S", description="How often incident partitions send the ledger a watermark.")  # type: ignore[assignment]
    health_host: str = Field("127.0.0.1", description="Address of /live, /ready and /metrics.")
    health_port: int | None = Field(None, description="Port of /live, /ready and /metrics; none: not served.")
    http_max_connections: int = Field(
        0, ge=0, description="Open HTTP connections; 0: half of the files that the process may open, 2,048 at most."
    )
    http_max_connections_per_address: int = Field(
        0, ge=0, description="HTTP connections from one address (IPv6: one /64 network); 0: half of all."
    )
    http_head_timeout: Duration = Field("PT10S", description="Time in which the head of a request has to arrive.")  # type: ignore[assignment]
    log_format: Literal["json", "console"] | None = Field(None, description="Default: console on terminals.")
    log_level: str = Field("INFO", description="Level of the product's own logs.")
    security_protocol: str = Field("PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.")
    sasl_mechanism: str | None = Field(None, description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.")
    sasl_username: str | None = None
    sasl_password: str | None = Field(None, repr=False)
    ssl_cafile: Path | None = Field(None, description="CA certificates of the brokers.")
    schema_registry_url: str | None = Field(
        None, description="Base of a schema registry's Confluent-compatible interface; none: single-object encoding."
    )
    schema_registry_username: str | None = None
    schema_registry_password: str | None = Field(None, repr=False)
    schema_registry_token: str | None = Field(None, repr=False, description="Bearer token, instead of a user.")
    schema_registry_cafile: Path | None = Field(None, description="CA certificates of the registry.")
    schema_registry_timeout: Duration = Field("PT5S", description="One request to it, at most.")  # type: ignore[assignment]
    schema_registry_compatibility: Compatibility = Field(
        "FULL_TRANSITIVE", description="What each subject has to have; what the schema gate holds releases to."
    )
    schema_registry_register: bool = Field(True, description="False: schemas and compatibility are only checked.")
    schema_registry_write: bool = Field(True, description="False: Confluent framing is read, but not written.")
    max_batch: int = Field(4000, ge=1, description="Records in one transaction, at most.")
    max_batch_time: Duration = Field("PT0.5S", description="CPU time for one transaction, at most.")  # type: ignore[assignment]
    queue_bytes: int = Field(
        16 * 1024 * 1024, ge=1, description="Memory for records of one partition that are read and not applied."
    )
    reject_share_limit: float = Field(
        0.5, ge=0, le=1, description="Above this share of rejected inputs a worker is not ready."
    )
    incidents_at_hand: int = Field(
        4000,
        ge=1,
        description="Incidents of a partition kept decoded in memory, some kilobytes each; others are kept as rows.",
    )
    session_timeout: Duration = Field("PT10S", description="A silent worker loses its partitions after this.")  # type: ignore[assignment]

    def time_limits(self) -> TimeLimits:
        return TimeLimits(
            lateness=self.lateness_horizon,
            future_skew=self.max_future_skew,
            orphan_after=self.orphan_after,
            backfill_quiet=self.backfill_quiet,
            retain_closed=self.retain_closed,
            retain_markers=self.retain_markers,
            max_update_windows=self.max_update_windows,
            retain_months=self.retain_months,
            pseudonym_key=self.pseudonym_key.encode(),
        )

    def load_policies(self) -> Policies:
        """Raises PolicyError for a mistake in a policy file, SettingsError when there is no default policy."""
        root = self.policies if self.policies is not None else default_policies_dir()
        try:
            return Policies.of(load_policies(root), self.default_policy)
        except UnknownPolicyError as error:
            raise SettingsError(f"SLA_DEFAULT_POLICY: {error} (in {root})") from error

    def bootstrap(self) -> tuple[str, ...]:
        return tuple(broker.strip() for broker in self.brokers.split(",") if broker.strip())

    def runtime(self) -> RuntimeSettings:
        return RuntimeSettings(
            app_id=self.app_id,
            brokers=self.bootstrap(),
            prefix=self.topic_prefix,
            partitions=self.partitions,
            max_batch=self.max_batch,
            max_batch_s=self.max_batch_time / 1_000_000,
            queue_bytes=self.queue_bytes,
            max_clock_skew_us=self.max_clock_skew,
            max_future_skew_us=self.max_future_skew,
            session_timeout_ms=self.session_timeout // 1000,
            heartbeat_interval_ms=max(self.session_timeout // 10_000, 100),
            security=self.aiokafka_security(),
        )

    def connection_limits(self) -> ConnectionLimits:
        return ConnectionLimits(
            self.http_max_connections, self.http_max_connections_per_address, self.http_head_timeout / 1_000_000
        )

    def schema_registry(self) -> SchemaRegistry | None:
        """The schema registry, where there is one. Raises SettingsError."""
        if not self.schema_registry_url:
            return None
        return SchemaRegistry(
            self.schema_registry_url,
            username=self.schema_registry_username,
            password=self.schema_registry_password,
            token=self.schema_registry_token,
            cafile=self.schema_registry_cafile,
            timeout_s=self.schema_registry_timeout / 1_000_000,
            compatibility=self.schema_registry_compatibility,
            register=self.schema_registry_register,
            write=self.schema_registry_write,
        )

    def aiokafka_security(self) -> Mapping[str, object]:
        """The security options of aiokafka clients, with a TLS context."""
        if self.security_protocol == "PLAINTEXT":
            return {}
        from aiokafka.helpers import create_ssl_context

        security: dict[str, object] = {"security_protocol": self.security_protocol}
        if "SSL" in self.security_protocol:
            security["ssl_context"] = create_ssl_context(cafile=str(self.ssl_cafile) if self.ssl_cafile else None)
        return security | self._sasl()

    def client_security(self) -> Mapping[str, object]:
        """The security options of kafka-python clients."""
        if self.security_protocol == "PLAINTEXT":
            return {}
        security: dict[str, object] = {"security_protocol": self.security_protocol}
        if self.ssl_cafile is not None:
            security["ssl_cafile"] = str(self.ssl_cafile)
        return security | self._sasl()

    def _sasl(self) -> dict[str, object]:
        if self.sasl_mechanism is None:
            return {}
        return {
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": self.sasl_password,
        }


def read_settings(**given: object) -> Settings:
    """Settings from the environment; `given` takes precedence. Raises SettingsError naming each wrong variable."""
    return from_environment(Settings, given)


def from_environment(settings: type[SettingsT], given: Mapping[str, object]) -> SettingsT:
    """Settings of any class; `given` takes precedence. Raises SettingsError naming each wrong variable."""
    try:
        return settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        prefix = settings.model_config["env_prefix"]
        problems = (
            f"{prefix}{'_'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}"
            for problem in error.errors()
        )
        raise SettingsError("; ".join(problems)) from error
