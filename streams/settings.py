"""Settings of workers and of what all processes share, prefix SLA_: the public contract, with its defaults."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from streams.configuration.environment import EnvironmentSettings, from_environment
from streams.configuration.fields import Duration, PositiveDuration, about
from streams.configuration.sections import HttpSection, KafkaSection, LogSection, RegistrySection
from streams.errors import SettingsError
from streams.policy.load import default_policies_dir, load_policies
from streams.runtime.settings import RuntimeSettings
from streams.sla.arrival import TimeLimits
from streams.sla.policy import Policies, UnknownPolicyError
from streams.topics import TopicSpec, declared


class RulesSection(EnvironmentSettings):
    """Rules and limits of decisions. The worker decides by these; `sla simulate`, `sla verify`, `sla what-if`, the
    intake and the board read what they need of them, so give all the same."""

    policies: Path | None = Field(
        None,
        description="Directory of policies; default: those shipped.",
        json_schema_extra=about(example="/etc/sla/policies"),
    )
    default_policy: str = Field("scalr-emergency", description="Policy of platform-wide incidents and unknown plans.")
    lateness_horizon: Duration = Field("P35D", description="Older events are rejected too_late (R5).")  # type: ignore[assignment]
    max_future_skew: Duration = Field("PT5M", description="Events further ahead are rejected future (R5).")  # type: ignore[assignment]
    orphan_after: Duration = Field("PT24H", description="How long events wait for an opening (R4).")  # type: ignore[assignment]
    backfill_quiet: Duration = Field("PT10M", description="Time without backfill that ends a load of history (R32).")  # type: ignore[assignment]
    retain_closed: Duration = Field("P120D", description="How long ended incidents stay amendable.")  # type: ignore[assignment]
    retain_markers: Duration = Field("P400D", description="How long ids of evicted incidents are remembered (R1).")  # type: ignore[assignment]
    max_update_windows: int = Field(
        10_000,
        ge=1,
        description="Update windows of one incident, at most (R28).",
        json_schema_extra=about(unit="windows"),
    )
    retain_months: int = Field(
        36,
        ge=6,
        description="Calendar months of statements that the ledger keeps, and what they need (R26). A lower value "
        "evicts older months at the next start.",
        json_schema_extra=about(unit="months"),
    )
    pseudonym_key: str = Field(
        "",
        repr=False,
        description="Key of erased tenants' pseudonyms (R29); not to be changed after the first.",
    )

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


class WorkerSection(EnvironmentSettings):
    """The worker. `sla topics` reads the number of partitions and replicas too, the notifier the session timeout."""

    app_id: str = Field(
        "sla",
        pattern=r"^\S(.*\S)?$",
        description="Names consumer groups and transactional ids; one per deployment.",
        json_schema_extra=about(allowed="any text without a space at either end"),
    )
    partitions: int = Field(
        8,
        ge=1,
        description="Partitions of every topic, fixed at creation.",
        json_schema_extra=about(unit="partitions"),
    )
    replication: int = Field(
        1,
        ge=1,
        description="Replication factor that `sla topics apply` asks for.",
        json_schema_extra=about(unit="replicas", example="3"),
    )
    max_clock_skew: Duration = Field("PT0S", description="How far this clock may be ahead of the broker's (R11).")  # type: ignore[assignment]
    mark_every: PositiveDuration = Field(
        "PT10S", description="How often incident partitions send the ledger a watermark."
    )  # type: ignore[assignment]
    health_host: str = Field(
        "127.0.0.1",
        description="Address of /live, /ready and /metrics.",
        json_schema_extra=about(allowed="an address or host name of this machine", example="0.0.0.0"),
    )
    health_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port of /live, /ready and /metrics; 0: any free one; none: not served.",
        json_schema_extra=about(allowed="a port, 0 to 65535", example="8080"),
    )
    max_batch: int = Field(
        4000, ge=1, description="Records in one transaction, at most.", json_schema_extra=about(unit="records")
    )
    max_batch_time: PositiveDuration = Field("PT0.5S", description="CPU time for one transaction, at most.")  # type: ignore[assignment]
    queue_bytes: int = Field(
        16 * 1024 * 1024,
        ge=1,
        description="Memory for records of one partition that are read and not applied.",
        json_schema_extra=about(unit="bytes"),
    )
    reject_share_limit: float = Field(
        0.5, ge=0, le=1, description="Above this share of rejected inputs a worker is not ready."
    )
    incidents_at_hand: int = Field(
        4000,
        ge=1,
        description="Incidents of a partition kept decoded in memory, some kilobytes each; others are kept as rows.",
        json_schema_extra=about(unit="incidents"),
    )
    early_input_bytes: int = Field(
        128 * 1024 * 1024,
        ge=1,
        description="Memory for inputs of one ledger partition that wait for an incident partition, about 0.9 KB each; "
        "beyond it the earliest is applied before its turn (R26).",
        json_schema_extra=about(unit="bytes"),
    )
    session_timeout: PositiveDuration = Field("PT10S", description="A silent worker loses its partitions after this.")  # type: ignore[assignment]


class Settings(KafkaSection, RegistrySection, RulesSection, WorkerSection, HttpSection, LogSection):
    """Every setting with the prefix SLA_. Durations are written in ISO 8601 and stored in microseconds."""

    def topics(self) -> list[TopicSpec]:
        """Every topic of this deployment as declared."""
        return declared(self.topic_prefix, self.partitions, self.replication)

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
            admin_security=self.client_security(),
        )


def read_settings(**given: object) -> Settings:
    """Settings from the environment; `given` takes precedence. Raises SettingsError naming each wrong variable."""
    return from_environment(Settings, given)
