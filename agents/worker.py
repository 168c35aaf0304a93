"""Composes the worker: settings, policies, agents, runtime."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import structlog
from opentelemetry.trace import Tracer

from agents import incidents, ledger
from agents.context import Topics
from agents.schema_registration import Registration
from streams.config_files.problems import PolicyError
from streams.errors import SlaError
from streams.internal_topics import LEGACY, is_wrapped
from streams.logs import configure_logs
from streams.package_conflicts import package_conflicts
from streams.runtime.agent_spec import AgentSpec
from streams.runtime.run_loop import CommitInterval
from streams.runtime.worker import run_worker
from streams.schema_registry.client import RegistryClient
from streams.schema_registry.schema_source import BackgroundSchemas
from streams.serde.codec import Codec
from streams.serde.confluent_framing import Framing
from streams.service_process import run_process
from streams.settings import Settings, read_settings
from streams.sla.instants import SECOND
from streams.sla.policy import Policies
from streams.time_source import SystemTimeSource, TimeSource
from streams.tracing.exporting import start_traces

MS = SECOND // 1_000
INCIDENTS_COMMIT_INTERVAL = CommitInterval(per_record=10 * MS, maximum=60 * MS, offsets_only=SECOND // 2)
#: Statements are not urgent: longer commit intervals leave more CPU time to alerts.
LEDGER_COMMIT_INTERVAL = CommitInterval(per_record=50 * MS, maximum=300 * MS, offsets_only=SECOND // 2)


def agent_specs(
    settings: Settings,
    policies: Policies,
    clock: TimeSource,
    *,
    codec: Codec | None = None,
    framing: Framing | None = None,
    tracer: Tracer | None = None,
) -> list[AgentSpec]:
    """The agents of a worker: what each reads, and what runs on each of its partitions. All partitions share a codec,
    so each schema id is requested once, and the tracer."""
    codec = codec or Codec()
    topics = Topics(settings.topic_prefix, settings.partitions)
    time_limits = settings.time_limits()

    def incidents_of(partition: int) -> incidents.IncidentsProcessor:
        return incidents.IncidentsProcessor(
            partition,
            topics,
            policies,
            time_limits,
            clock=clock,
            mark_every=settings.mark_every,
            max_cached=settings.incidents_at_hand,
            codec=codec,
            framing=framing,
            reject_limit=settings.reject_share_limit,
            tracer=tracer,
        )

    def ledger_of(partition: int) -> ledger.LedgerProcessor:
        return ledger.LedgerProcessor(
            *(partition, topics, policies, time_limits),
            clock=clock,
            codec=codec,
            framing=framing,
            reject_limit=settings.reject_share_limit,
            early_bytes=settings.early_input_bytes,
        )

    legacy = topics.name(LEGACY)
    internal = {agent: topics.internal(agent) for agent in (incidents.NAME, ledger.NAME)}
    shared_options: dict[str, Any] = {
        "legacy_topics": (legacy,),
        "internal": frozenset({*internal.values(), legacy}),
        "from_agent": is_wrapped,
    }

    def writes(*suffixes: str) -> tuple[str, ...]:
        return (*map(topics.name, suffixes), topics.name("rejected"), *internal.values())

    return [
        AgentSpec(
            incidents.NAME,
            tuple(map(topics.name, incidents.INPUTS)),
            incidents_of,
            INCIDENTS_COMMIT_INTERVAL,
            writes=writes("incidents", "alerts", "impacts", "incident-state"),
            compacted=frozenset({topics.name("incident-state")}),
            purges=frozenset({internal[incidents.NAME]}),
            **shared_options,
        ),
        AgentSpec(
            ledger.NAME,
            tuple(map(topics.name, ledger.INPUTS)),
            ledger_of,
            LEDGER_COMMIT_INTERVAL,
            writes=writes("credits", "tenant-months"),
            compacted=frozenset({topics.name("tenant-months")}),
            purges=frozenset({internal[ledger.NAME]}),
            background=True,
            **shared_options,
        ),
    ]


async def work(settings: Settings, clock: TimeSource | None = None) -> int:
    """Run a worker until SIGTERM or SIGINT; its exit code."""
    traces = start_traces("sla-worker", os.environ)
    try:
        return await _work(settings, clock or SystemTimeSource(), traces.tracer)
    finally:
        await traces.stop()


async def _work(settings: Settings, clock: TimeSource, tracer: Tracer | None) -> int:
    policies, access = settings.load_policies(), settings.schema_registry()
    if access is None:
        return await _run(settings, agent_specs(settings, policies, clock, tracer=tracer), clock)
    client, framing = RegistryClient(access), Framing()
    source = BackgroundSchemas(client, clock)
    codec = Codec(source)
    specs = agent_specs(settings, policies, clock, codec=codec, framing=framing, tracer=tracer)
    registration = Registration(client, access, settings.topic_prefix, codec=codec, framing=framing, clock=clock)
    try:
        return await _run(settings, specs, clock, registration if access.write else None)
    finally:
        await source.stop()


async def _run(
    settings: Settings, specs: Sequence[AgentSpec], clock: TimeSource, registration: Registration | None = None
) -> int:
    return await run_worker(
        settings.runtime(),
        specs,
        clock=clock,
        health_host=settings.health_host,
        connection_limits=settings.connection_limits(),
        health_port=settings.health_port,
        preparation=registration,
    )


def main() -> int:
    """Start a worker with the settings of the environment; exit code 2 when they are invalid."""
    try:
        settings = read_settings()
        configure_logs(
            json=None if settings.log_format is None else settings.log_format == "json", level=settings.log_level
        )
        if not settings.bootstrap():
            raise SlaError("no brokers are named; set SLA_BROKERS")
        foreign = package_conflicts()
        if foreign:
            raise SlaError("; ".join(foreign))
        return run_process(work(settings))
    except (SlaError, PolicyError, OSError) as error:
        structlog.get_logger("agents.worker").error("worker_start_failed", reason=str(error))
        return 2
