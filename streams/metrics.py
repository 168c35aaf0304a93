"""Metrics of the agents, in base units; labels never carry incident or tenant ids."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from streams.runtime.metrics import REGISTRY

INPUTS = Counter("sla_inputs", "Inputs by what became of them", ["agent", "result"], registry=REGISTRY)
OUTPUTS = Counter("sla_outputs", "Outputs by type", ["agent", "type"], registry=REGISTRY)
REJECTED = Counter("sla_rejected", "Rejected inputs by code (R27)", ["agent", "code"], registry=REGISTRY)
FORWARDED = Counter("sla_forwarded", "Records forwarded to their own partition", ["agent"], registry=REGISTRY)
SCHEMA_REGISTRY_REQUESTS = Counter(
    "sla_schema_registry_requests", "Questions to the schema registry by result", ["result"], registry=REGISTRY
)
SCHEMA_IDS_AWAITED = Gauge(
    "sla_schema_ids_awaited", "Schema ids that the registry is being asked for", registry=REGISTRY
)


class AgentCounters:
    """The counters of one agent with their labels bound once: binding costs more than counting."""

    def __init__(self, agent: str) -> None:
        self.applied = INPUTS.labels(agent, "applied")
        self.duplicate = INPUTS.labels(agent, "duplicate")
        self.forwarded = FORWARDED.labels(agent)
        self._agent = agent
        self._outputs: dict[str, Counter] = {}

    def output(self, kind: str) -> None:
        """Count one output."""
        counter = self._outputs.get(kind)
        if counter is None:
            counter = self._outputs[kind] = OUTPUTS.labels(self._agent, kind)
        counter.inc()

    def rejected(self, code: str) -> None:
        """Count one rejected input."""
        REJECTED.labels(self._agent, code).inc()
