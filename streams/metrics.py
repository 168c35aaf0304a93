"""Metrics of the agents, in base units; labels never carry incident or tenant ids."""

from __future__ import annotations

from prometheus_client import Counter

from streams.runtime.metrics import REGISTRY

INPUTS = Counter("sla_inputs", "Inputs by what became of them", ["agent", "result"], registry=REGISTRY)
OUTPUTS = Counter("sla_outputs", "Outputs by type", ["agent", "type"], registry=REGISTRY)
REJECTED = Counter("sla_rejected", "Rejected inputs by code (R27)", ["agent", "code"], registry=REGISTRY)
FORWARDED = Counter("sla_forwarded", "Records forwarded to their own partition", ["agent"], registry=REGISTRY)
