"""The Faust app of a worker: group membership, assignment and delivery of batches. It commits and produces nothing."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import faust
from aiokafka.structs import TopicPartition
from faust.app.base import BootStrategy

from streams.runtime.agent_spec import AgentSpec
from streams.runtime.interfaces import Batch
from streams.runtime.settings import RuntimeSettings
from streams.runtime.transport import BatchTopic, BatchTransport


class _ConsumerOnly(BootStrategy):  # type: ignore[misc]
    enable_web = False
    enable_kafka_producer = False  # each task has a producer of its own


def faust_app(
    settings: RuntimeSettings,
    agents: Iterable[AgentSpec],
    deliver: Callable[[str, Batch], None],
    on_out_of_range: Callable[[TopicPartition, int], None],
    on_fetch_failed: Callable[[Exception], None],
) -> faust.App:
    """Make the app. `deliver` gets each batch with the agent's name, `on_out_of_range` a position outside the log,
    `on_fetch_failed` any other error of a fetch, which is tried again."""
    app = faust.App(
        settings.app_id,
        broker=[f"kafka://{broker}" for broker in settings.brokers],
        autodiscover=False,
        datadir=os.curdir,  # Faust requires a value; nothing is written there
        Topic=BatchTopic,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        web_enabled=False,
        broker_session_timeout=settings.session_timeout_ms / 1_000,
        broker_heartbeat_interval=settings.heartbeat_interval_ms / 1_000,
        broker_request_timeout=max(settings.request_timeout_ms, settings.session_timeout_ms) / 1_000,
    )
    app._create_directories = lambda: None  # a worker must start on a read-only file system
    app.boot_strategy = _ConsumerOnly(app)
    app.transport = BatchTransport(app, settings, on_out_of_range, on_fetch_failed)
    for spec in agents:
        channel = app.topic(*spec.topics, key_type=bytes, value_type=bytes, acks=False, internal=False)
        app.agent(channel, name=spec.name)(_deliverer(spec.name, deliver))
    return app


def _deliverer(agent: str, deliver: Callable[[str, Batch], None]) -> Callable[[Any], Any]:
    async def handle(stream: Any) -> None:
        events: AsyncIterator[Any] = stream.noack().events()
        async for event in events:
            batches: Sequence[Batch] = event.value
            for batch in batches:
                deliver(agent, batch)

    handle.__name__ = agent
    return handle
