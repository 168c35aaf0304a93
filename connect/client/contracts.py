"""Publishes contract facts: terms, maintenance windows, claims, erasures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from connect.client.delivery import Delivery
from connect.client.outgoing import Envelope, Instant, listed
from connect.client.publisher import Publisher
from streams.sla.events import Money, Scope, Who


class ContractPublisher(Publisher):
    """Publishes the facts of billing and operations. Each method sends one event and returns its Delivery at once.

    Every method also accepts the arguments of `Envelope`. All raise InvalidEvent for what the product would reject, and
    BrokerUnavailable when Kafka accepts nothing; nothing was sent then.
    """

    def contract_set(
        self,
        tenant: str,
        *,
        valid_from: Instant,
        plan: str,
        monthly_charge: Money,
        emergency_member: bool,
        valid_to: Instant | None = None,
        tier: int | None = None,
        time_zone: str | None = None,
        who: Who | None = None,
        **envelope: Unpack[Envelope],
    ) -> Delivery:
        """A tenant's terms from `valid_from` on, until `valid_to` or further terms. `plan` names a policy,
        `monthly_charge` is in minor units, `time_zone` is an IANA name. For the same `valid_from` the latest `time`
        counts; zone and currency are those of the tenant's earliest fact."""
        data = {
            "tenant_id": tenant,
            "valid_from": valid_from,
            "valid_to": valid_to,
            "plan": plan,
            "monthly_charge": monthly_charge,
            "tier": tier,
            "time_zone": time_zone,
            "emergency_member": emergency_member,
            "who": who,
        }
        return self._send("contract.set", tenant, data, envelope)

    def credit_claimed(self, tenant: str, *, month: str, who: Who, **envelope: Unpack[Envelope]) -> Delivery:
        """A tenant claims its credit of a month, `YYYY-MM`; a repeated claim has no effect."""
        return self._send("credit.claimed", tenant, {"tenant_id": tenant, "month": month, "who": who}, envelope)

    def maintenance_scheduled(
        self,
        maintenance: str,
        *,
        scope: Scope,
        components: Sequence[str],
        start: Instant,
        end: Instant,
        announced_at: Instant,
        tenant_ids: Sequence[str] | None = None,
        who: Who | None = None,
        **envelope: Unpack[Envelope],
    ) -> Delivery:
        """A maintenance window [start, end) of some components. For the same id the latest `time` counts."""
        data = {
            "maintenance_id": maintenance,
            "scope": scope,
            "tenant_ids": listed(tenant_ids),
            "components": listed(components),
            "start": start,
            "end": end,
            "announced_at": announced_at,
            "who": who,
        }
        return self._send("maintenance.scheduled", maintenance, data, envelope)

    def maintenance_cancelled(
        self, maintenance: str, *, who: Who | None = None, **envelope: Unpack[Envelope]
    ) -> Delivery:
        """Cancel a window: it excludes no downtime, not even in the past."""
        data = {"maintenance_id": maintenance, "who": who}
        return self._send("maintenance.cancelled", maintenance, data, envelope)

    def tenant_erased(self, tenant: str, *, who: Who, reason: str, **envelope: Unpack[Envelope]) -> Delivery:
        """A tenant's names and texts vanish from state and later outputs; the input topics keep theirs (R29)."""
        return self._send("tenant.erased", tenant, {"tenant_id": tenant, "who": who, "reason": reason}, envelope)
