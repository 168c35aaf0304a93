"""What a source may publish: types of events, CloudEvents sources, and tenants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from connect.intake.mapping.rules import Source
from connect.intake.outcome import Event
from streams.sla.events import INCIDENT_RANK

#: Events that need two people (R17): `allow` has to name each of them, `incident.*` does not include them.
FOUR_EYES = frozenset(["incident.amended", "incident.annulled", "incident.policy_applied"])
#: Names that a reason lists. A request may have thousands of items, each with its reason.
_SHOWN = 20
#: From so many tenants of one event on, they are looked up in a set, which is made for it.
_IN_A_SET = 20


def forbidden(source: Source, event: Event) -> str | None:
    """Why the source may not publish an event that is valid otherwise, or None."""
    event_type, event_source = str(event.get("type")), str(event.get("source"))
    if not _allows_type(source, event_type):
        hint = f"; name {event_type} itself to allow it" if event_type in FOUR_EYES else ""
        return f"{source.name} may not publish {event_type}; its `allow` names {', '.join(source.allow)}{hint}"
    if event_source != source.source and event_source in source.identities:
        return f"{source.name} may not publish events of source {event_source}, which is another source of this intake"
    if event_source != source.source and not any(_matches(each, event_source) for each in source.allow_sources):
        own = _listed((source.source, *source.allow_sources))
        return f"{source.name} may not publish events of source {event_source[:120]}; allowed: {own} (`allow_sources`)"
    return None if not source.only_tenants else _other_tenant(source, event_type, event)


def _listed(names: Sequence[str], conjunction: str = ", ") -> str:
    shown = conjunction.join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else shown


def _allows_type(source: Source, event_type: str) -> bool:
    if event_type in FOUR_EYES:
        return event_type in source.allow
    return any(_matches(each, event_type) for each in source.allow)


def _matches(pattern: str, text: str) -> bool:
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def _other_tenant(source: Source, event_type: str, event: Event) -> str | None:
    """Why an event reaches beyond the tenants of a tenant-scoped source, or None.

    Nothing here knows whom an incident of some id affects. So the ids of a scoped source's incidents and maintenance
    windows begin with its name, and it reaches no others; feedback reaches those of sources limited to its tenants.
    """
    data = event.get("data")
    fields: Mapping[str, object] = data if isinstance(data, dict) else {}
    tenants = fields.get("tenant_ids")
    named = [str(each) for each in tenants] if isinstance(tenants, list | tuple) else []
    ids: list[object] = []
    if event_type in INCIDENT_RANK:
        ids = [event.get("subject"), *([fields.get("into")] if event_type == "incident.merged" else [])]
    elif event_type.startswith("maintenance."):
        ids = [event.get("subject"), fields.get("maintenance_id")]
    else:
        named += [str(each) for each in (event.get("subject"), fields.get("tenant_id")) if each is not None]
    if fields.get("scope") == "platform":
        return f"{source.name} may not affect the whole platform; its tenants are {_listed(source.only_tenants)}"
    allowed = source.only_tenants if len(named) < _IN_A_SET else frozenset(source.only_tenants)
    for tenant in named:
        if tenant not in allowed:
            return f"{source.name} may not affect tenant {tenant[:128]}; allowed: {_listed(source.only_tenants)}"
    prefixes = source.id_prefixes or (f"{source.name}-",)
    for identity in ids:
        if identity is not None and not str(identity).startswith(prefixes):
            known = _listed(prefixes, " or ")
            return f"{source.name} may not reach {str(identity)[:128]}; its ids begin with {known}"
    return None
