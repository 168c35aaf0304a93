"""What a person who is limited to tenants may see: incidents of these tenants and of everybody, without a trace of
other tenants in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, false, or_, select

from board.changes import Change
from board.store.chunks import chunks
from board.store.tables import incident, incident_tenant, named_tenant

#: Fields of events that name another incident.
_OTHER_INCIDENTS: Final = ("into", "other", "merged_into")


@dataclass(frozen=True, slots=True)
class TenantScope:
    """`tenants`: what the person is limited to; None: every tenant."""

    tenants: frozenset[str] | None = None

    def sees(self, tenant_id: str) -> bool:
        """Whether the person may see a tenant."""
        return self.tenants is None or tenant_id in self.tenants

    def own(self, tenant_ids: Iterable[str]) -> tuple[str, ...]:
        """Those tenants that the person may see, in the same order."""
        return tuple(each for each in tenant_ids if self.sees(each))

    def tenant_condition(self, column: ColumnElement[str]) -> list[ColumnElement[bool]]:
        """That a column has one of the tenants; empty where there is no limit."""
        return [] if self.tenants is None else [column.in_(sorted(self.tenants))]

    def incident_conditions(self, tenant: str | None = None) -> list[ColumnElement[bool]]:
        """That a row of `incident` is to be seen, and concerns `tenant` by name if one is given. A tenant that the
        person does not see has none: else the answer would tell which incidents concern it."""
        if tenant is not None:
            return [incident.c.incident_id.in_(_concerning([tenant]))] if self.sees(tenant) else [false()]
        if self.tenants is None:
            return []
        return [or_(incident.c.scope == "platform", incident.c.incident_id.in_(_concerning(sorted(self.tenants))))]

    def visible(self, connection: Connection, incident_ids: Iterable[str]) -> frozenset[str]:
        """Those of some incidents that are to be seen."""
        if self.tenants is None:
            return frozenset(incident_ids)
        found: set[str] = set()
        for some in chunks(sorted(incident_ids)):
            wanted = select(incident.c.incident_id).where(incident.c.incident_id.in_(some), *self.incident_conditions())
            found.update(connection.execute(wanted).scalars())
        return frozenset(found)

    def change(self, connection: Connection, change: Change) -> Change | None:
        """What a change is to the person: the names that concern its tenants; None when there is nothing left. An
        incident that concerned them before is named too, because a page may still show it."""
        if self.tenants is None:
            return change
        seen = set(self.visible(connection, change.incidents))
        for some in chunks(sorted(change.incidents - seen)):
            wanted = select(named_tenant.c.subject).where(
                named_tenant.c.kind == "incident",
                named_tenant.c.subject.in_(some),
                named_tenant.c.tenant_id.in_(sorted(self.tenants)),
            )
            seen.update(connection.execute(wanted).scalars())
        months = frozenset(each for each in change.tenant_months if self.sees(each[0]))
        if not seen and not months and not change.resync:
            return None
        return replace(change, incidents=frozenset(seen), tenant_months=months, rejects=False, notifications=False)

    def event_data(self, event_type: str, data: Mapping[str, Any], visible: frozenset[str]) -> Mapping[str, Any]:
        """The data of an event as the person may see it: its own tenants alone, no text and author of an internal
        update, no id of an incident that is not `visible`."""
        if self.tenants is None:
            return data
        if event_type == "incident.updated" and data.get("visibility") != "public":
            return {"visibility": data.get("visibility")}
        shown = {
            name: value
            for name, value in data.items()
            if name not in _OTHER_INCIDENTS or value is None or value in visible
        }
        if shown.get("tenant_ids") is not None:
            shown["tenant_ids"] = list(self.own(shown["tenant_ids"]))
        return shown


#: The scope of a person without a limit.
EVERY_TENANT: Final = TenantScope()


def other_incidents(data: Iterable[Mapping[str, Any]]) -> set[str]:
    """The incidents that the data of some events name besides their own."""
    return {str(each[name]) for each in data for name in _OTHER_INCIDENTS if each.get(name) is not None}


def _concerning(tenants: list[str]) -> Any:
    return select(incident_tenant.c.incident_id).where(incident_tenant.c.tenant_id.in_(tenants))
