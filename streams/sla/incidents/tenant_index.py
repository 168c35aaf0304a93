"""Which retained incidents name a tenant, and when each was opened: what a contract fact concerns (R20)."""

from __future__ import annotations

from collections.abc import Iterable

#: Opening time of an incident whose rows do not tell it before they are decoded.
UNKNOWN = -1


class TenantIndex:
    """Incidents by tenant, without their facts."""

    __slots__ = ("_incidents", "_opened_at")

    def __init__(self) -> None:
        self._incidents: dict[str, set[str]] = {}
        self._opened_at: dict[str, int] = {}

    def add(self, incident_id: str, tenants: Iterable[str], opened_at: int | None) -> None:
        """Add tenants that an incident names. `opened_at` is the time of an opening, UNKNOWN where there may be one,
        None where there is none; the earliest opening is the one that stands (R2)."""
        for tenant in tenants:
            self._incidents.setdefault(tenant, set()).add(incident_id)
        if opened_at is not None:
            known = self._opened_at.get(incident_id)
            if known is None or opened_at < known:
                self._opened_at[incident_id] = opened_at

    def set_opened_at(self, incident_id: str, opened_at: int) -> None:
        """The incident was decoded: this is when it was opened."""
        self._opened_at[incident_id] = opened_at

    def opened_at(self, incident_id: str) -> int:
        """When an incident was opened, or UNKNOWN."""
        return self._opened_at.get(incident_id, UNKNOWN)

    def of(self, tenant: str) -> list[str]:
        """The incidents that name a tenant, sorted."""
        return sorted(self._incidents.get(tenant, ()))

    def earliest(self, tenant: str) -> int | None:
        """When the first opened of the incidents that name a tenant was opened, or UNKNOWN; None without any."""
        return min(map(self.opened_at, self._incidents.get(tenant, ())), default=None)

    def tenants(self) -> list[str]:
        """Every tenant that an incident names."""
        return list(self._incidents)

    def rename(self, tenant: str, name: str) -> None:
        """A tenant has another name (R29)."""
        incidents = self._incidents.pop(tenant, None)
        if incidents:
            self._incidents.setdefault(name, set()).update(incidents)

    def remove_incident(self, incident_id: str, tenants: Iterable[str]) -> None:
        """The incident is not retained any more; `tenants` are all that it names."""
        self._opened_at.pop(incident_id, None)
        for tenant in set(tenants):
            incidents = self._incidents.get(tenant, set())
            incidents.discard(incident_id)
            if not incidents:
                self._incidents.pop(tenant, None)
