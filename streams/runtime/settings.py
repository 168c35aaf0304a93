"""Settings of the runtime; streams/settings.py reads them from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """Settings of one worker process. Durations in the unit their name ends with."""

    app_id: str
    brokers: tuple[str, ...]
    prefix: str = "sla"
    partitions: int = 8
    max_batch: int = 4_000
    """Records in one transaction, at most."""
    max_timers: int = 2_000
    """Timers fired in one transaction, at most."""
    max_batch_s: float = 0.5
    """CPU time spent on one transaction, at most; far below its timeout, as all tasks share the CPU."""
    max_clock_skew_us: int = 0
    """How far this machine's clock may be ahead of the broker's (R11)."""
    max_future_skew_us: int = 5 * 60 * 1_000_000
    """How far the timestamp of a record may be ahead of the broker's clock (R11)."""
    queue_records: int = 12_000
    """Records of one topic queued in one task before its partition is paused."""
    queue_bytes: int = 16 * 1024 * 1024
    """Memory of the records of one topic queued in one task before its partition is paused."""
    session_timeout_ms: int = 10_000
    heartbeat_interval_ms: int = 1_000
    rebalance_timeout_ms: int = 30_000
    transaction_timeout_ms: int = 10_000
    request_timeout_ms: int = 15_000
    fetch_max_wait_ms: int = 100
    """aiokafka keeps one fetch in flight per broker: a drained partition waits this long for idle ones."""
    fetch_max_bytes: int = 1_048_576
    """Bytes of one partition in one fetch."""
    batch_bytes: int = 512 * 1024
    """Bytes of one record batch written; must stay below the topics' max.message.bytes."""
    compression: str | None = None
    group_instance_id: str | None = None
    """Static membership: a restarted worker gets its partitions back without a rebalance."""
    security: Mapping[str, object] = field(default_factory=dict)
    """Passed to every aiokafka client: security_protocol, sasl_mechanism, ssl_context and so on."""
    admin_security: Mapping[str, object] = field(default_factory=dict)
    """The same for kafka-python clients, which take token providers of another class."""

    def changelog(self, agent: str) -> str:
        """The changelog topic of an agent."""
        return f"{self.prefix}.{agent}-changelog"

    def group(self, agent: str) -> str:
        """The consumer group whose offsets an agent's transactions commit; Faust's own group is `app_id`."""
        return f"{self.app_id}-{agent}"

    def transactional_id(self, agent: str, partition: int) -> str:
        """Stable per task: what fences its former owner."""
        return f"{self.app_id}-{agent}-{partition}"
