"""Registers the worker's schemas at its start, with the required compatibility, before it writes any event."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import structlog

from streams.errors import RegistryRefused
from streams.schema_registry.client import RegistryClient, SchemaRegistry
from streams.schema_registry.schema_source import ask_until_answered
from streams.schema_registry.subjects import register_subjects
from streams.serde.codec import Codec
from streams.serde.confluent_framing import Framing
from streams.time_source import TimeSource


class Registration:
    """A `streams.runtime.worker.Preparation`: retries while the registry does not answer, and ends the worker when the
    registry refuses a schema."""

    def __init__(
        self,
        client: RegistryClient,
        access: SchemaRegistry,
        prefix: str,
        *,
        codec: Codec,
        framing: Framing,
        clock: TimeSource,
    ) -> None:
        self._client = client
        self._access = access
        self._prefix = prefix
        self._codec = codec
        self._framing = framing
        self._clock = clock
        self._stopped = threading.Event()
        self._waits_for = "schemas are being registered"
        self._logger = structlog.get_logger("agents.schema_registration")

    async def prepare(self) -> None:
        """From now on events are written in Confluent framing, and this release's ids are known. Raises
        RegistryRefused."""
        thread = ThreadPoolExecutor(1, "registration")
        try:
            ids = await ask_until_answered(
                self._registered, self._clock, thread, fatal=RegistryRefused, on_failure=self._set_reason
            )
        finally:
            self._stopped.set()  # a shutdown waits for one request, not for all
            thread.shutdown(wait=False)
        self._codec.use_schema_ids(ids)
        self._framing.use(ids)
        self._waits_for = ""
        self._logger.info("schemas_registered", subjects=len(ids), compatibility=self._access.compatibility)

    def unready(self) -> list[dict[str, object]]:
        return [{"reason": self._waits_for}] if self._waits_for else []

    def _registered(self) -> dict[str, int]:
        return register_subjects(
            self._client, self._access, self._prefix, keep_going=lambda: not self._stopped.is_set()
        )

    def _set_reason(self, why: str) -> None:
        self._waits_for = why
