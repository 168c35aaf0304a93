"""Impact lists by incident, indexed by tenant and time: the cost of a statement does not grow with the length of the
history (R22)."""

from __future__ import annotations

from collections.abc import Iterable

from streams.sla.credits.time_index import PLATFORM, TimeIndex
from streams.sla.impact import Impact, ImpactCopy
from streams.sla.tenant_lists import shared

_Buckets = dict[tuple[str, ...], set[int | None]]
"""Index keys of intervals, and the buckets that these are listed in."""


def _buckets_of(copy: ImpactCopy) -> _Buckets:
    found: _Buckets = {}
    for impact in copy.impacts:
        keys = (PLATFORM,) if impact.scope == "platform" else impact.tenant_ids
        found.setdefault(keys, set()).update(TimeIndex.buckets_of(impact.start, impact.end))
    return found


class Impacts:
    """The highest revision of each incident's impact list, indexed by tenant and time."""

    __slots__ = ("_index", "_lists")

    def __init__(self) -> None:
        self._lists: dict[str, ImpactCopy] = {}
        self._index = TimeIndex()

    def get(self, incident_id: str) -> ImpactCopy | None:
        return self._lists.get(incident_id)

    def __getitem__(self, incident_id: str) -> ImpactCopy:
        return self._lists[incident_id]

    def put(self, copy: ImpactCopy) -> None:
        """Replace an incident's list."""
        old = self._lists.get(copy.incident_id)
        before, after = {} if old is None else _buckets_of(old), _buckets_of(copy)
        self._lists[copy.incident_id] = copy
        if before != after:  # a change within a month changes nothing, however many tenants the incident has
            self._unlist(copy.incident_id, before)
            for keys, buckets in after.items():
                for key in keys:
                    self._index.add_to(key, buckets, copy.incident_id)

    def _unlist(self, incident_id: str, listed: _Buckets) -> None:
        for keys, buckets in listed.items():
            for key in keys:
                self._index.discard_from(key, buckets, incident_id)

    def names(self) -> list[str]:
        """Every incident that has a list."""
        return list(self._lists)

    def remove(self, incident_id: str) -> None:
        """Evict an incident's list."""
        self._unlist(incident_id, _buckets_of(self._lists.pop(incident_id)))

    def tenants(self) -> list[str]:
        """Every tenant that a list names."""
        return [key for key in self._index if key != PLATFORM]

    def erase_tenant(self, tenant: str, pseudonym: str) -> list[ImpactCopy]:
        """Replace an erased tenant's name by its pseudonym; returns the lists that changed (R29)."""
        changed = []
        for incident_id in sorted(self._index.names(tenant)):
            old = self._lists[incident_id]
            named = (
                shared(tuple(pseudonym if one == tenant else one for one in i.tenant_ids)).names for i in old.impacts
            )
            impacts = tuple(i._replace(tenant_ids=names) for i, names in zip(old.impacts, named, strict=True))
            self._lists[incident_id] = old._replace(impacts=impacts)
            changed.append(self._lists[incident_id])
        if changed:
            self._index.rename(tenant, pseudonym)
        return changed

    def between(self, tenant: str, start: int, end: int) -> list[ImpactCopy]:
        """Lists that may affect a tenant within [start, end), ordered by incident id."""
        return [self._lists[name] for name in sorted(self._index.between((PLATFORM, tenant), start, end))]

    def count(self, tenant: str, start: int, end: int) -> int:
        """At least as many as `between` returns, without looking at any."""
        return self._index.count((PLATFORM, tenant), start, end)

    def changes_with_time(self, tenant: str, instant: int, end: int) -> bool:
        """Whether an impact may cover time between an instant and an end: then the month's result changes as time
        passes, without any input."""
        return instant < end and any(
            impact.start < end and (impact.end is None or impact.end > instant)
            for copy in self.between(tenant, instant, end)
            for impact in copy.impacts
        )


def tenants_of(impacts: Iterable[Impact]) -> set[str]:
    """The tenants that impacts name; `PLATFORM` among them when one is platform-wide."""
    named: set[str] = set()
    for impact in impacts:
        named.update(impact.tenant_ids)
        if impact.scope == "platform":
            named.add(PLATFORM)
    return named
