"""Plans, components and tenants that an event names and nothing knows: counted and logged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import structlog

from agents.context import AgentContext
from streams.kafka.partitioner import partition_of
from streams.log_damper import LogDamper
from streams.sla.credits.ledger import Ledger
from streams.sla.events import ContractSet, Event, MaintenanceScheduled
from streams.sla.policy import Policies

EVERY_S = 1.0
_MAX_NAME_CHARACTERS = 256


class UnknownNames:
    """Counts and logs the unknown names that a partition's inputs have: at most one log event a second for each
    kind."""

    def __init__(self, context: AgentContext, now: Callable[[], float] = time.monotonic) -> None:
        self._context = context
        self._now = now
        self._logger = structlog.get_logger("agents.unknown_references").bind(partition=context.partition)
        self._damper = LogDamper(EVERY_S)

    def report(self, kind: str, name: str, event_type: str, subject: str) -> None:
        """`kind` is plan, component or tenant."""
        self._context.count.unknown_reference(kind)
        left_out = self._damper.admit(kind, self._now())
        if left_out is None:
            return
        self._logger.warning(
            "unknown_reference",
            kind=kind,
            name=name[:_MAX_NAME_CHARACTERS],
            event_type=event_type,
            subject=subject[:_MAX_NAME_CHARACTERS],
            left_out=left_out,
        )


class UnknownReferences:
    """Warns of unknown references of one ledger partition's inputs; the events are applied all the same, as what they
    name may still come (R2)."""

    def __init__(self, context: AgentContext, policies: Policies, ledger: Ledger) -> None:
        self._names = UnknownNames(context)
        self._context = context
        self._policies = policies
        self._ledger = ledger
        self._components = {
            name for versions in policies.by_name.values() for policy in versions for name in policy.components
        }

    def check(self, event: Event, *, copied: bool = False) -> None:
        """Count and log what an applied event names in vain. Of a maintenance every ledger partition has a copy: the
        first names unknown components, each its own unknown tenants."""
        for kind, name in self._unknown(event, copied=copied):
            self._names.report(kind, name, event.type, event.subject)

    def _unknown(self, event: Event, *, copied: bool) -> Iterator[tuple[str, str]]:
        payload = event.payload
        if isinstance(payload, ContractSet) and not self._policies.knows(payload.plan):
            yield "plan", payload.plan
        if isinstance(payload, MaintenanceScheduled):
            if not copied:
                yield from (("component", name) for name in payload.components if name not in self._components)
            yield from (("tenant", name) for name in payload.tenant_ids if self._is_unknown_here(name))

    def _is_unknown_here(self, tenant: str) -> bool:
        home = self._ledger.erasures.home(tenant)
        own = partition_of(tenant, self._context.topics.partitions) if home is None else home
        return own == self._context.partition and not self._ledger.has_contract(tenant)
