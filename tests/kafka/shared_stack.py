"""A worker on the broker that all tests share: what a test needs that neither stops nor fills a broker."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Self

from cli.embedded_kafka.node_files import free_port
from cli.kafka_io.topic_admin import apply_topics
from cli.local.stack import PARTITIONS, WORKER, Stack
from streams.topics import declared
from tests.preloaded import PreloadedProcess, start
from tests.preloaded.commands import IMPORTS


class SharedStack(Stack):
    """A deployment under a prefix of its own, which is its app id too; a context manager. `folder` has the log."""

    bootstrap = ""

    def __init__(
        self,
        broker: str,
        prefix: str,
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        partitions: int = PARTITIONS,
    ) -> None:
        self.bootstrap = broker
        self.prefix = prefix
        self.log = folder / "worker.log"
        self.health_port = free_port()
        self.names = {"SLA_BROKERS": broker, "SLA_TOPIC_PREFIX": prefix, "SLA_APP_ID": prefix}
        """Settings that lead a command here."""
        self._environment = {**(environment or {}), **self.names}
        self._partitions = partitions
        self._worker = None

    def topic(self, name: str) -> str:
        """A topic's name with the prefix."""
        return f"{self.prefix}.{name}"

    def apply_topics(self) -> None:
        apply_topics(self.bootstrap, declared(self.prefix, self._partitions, 1))

    def _launched(self, environment: Mapping[str, str], log: BinaryIO) -> PreloadedProcess:  # type: ignore[override]
        return start(WORKER[1:], IMPORTS["worker"], env=environment, output=log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_worker()
