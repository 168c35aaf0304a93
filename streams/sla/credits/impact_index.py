"""Impact lists by incident, indexed by tenant and time: a statement costs the same however long the past is (R22)."""

from __future__ import annotations

from collections.abc import Iterator

from streams.sla.impact import Impact, ImpactCopy
from streams.sla.instants import DAY

BUCKET = 32 * DAY
#: An interval that spans more buckets than this is not listed in each; every month looks at it.
MOST_BUCKETS = 40
PLATFORM = ""
"""The index key of platform-wide lists, beside those of tenants."""


class Impacts:
    """The highest revision of each incident's impact list, indexed by tenant and time bucket."""

    __slots__ = ("_buckets", "_lists")

    def __init__(self) -> None:
        self._lists: dict[str, ImpactCopy] = {}
        self._buckets: dict[str, dict[int | None, set[str]]] = {}

    def get(self, incident_id: str) -> ImpactCopy | None:
        return self._lists.get(incident_id)

    def __getitem__(self, incident_id: str) -> ImpactCopy:
        return self._lists[incident_id]

    def put(self, copy: ImpactCopy) -> None:
        """Replace an incident's list."""
        old = self._lists.get(copy.incident_id)
        if old is not None:
            for key, bucket in self._index_keys(old):
                self._discard(key, bucket, copy.incident_id)
        self._lists[copy.incident_id] = copy
        for key, bucket in self._index_keys(copy):
            self._buckets.setdefault(key, {}).setdefault(bucket, set()).add(copy.incident_id)

    def _discard(self, key: str, bucket: int | None, incident_id: str) -> None:
        buckets = self._buckets.get(key, {})
        incidents = buckets.get(bucket)
        if incidents is not None:
            incidents.discard(incident_id)
            if not incidents:
                del buckets[bucket]
                if not buckets:
                    del self._buckets[key]

    def erase_tenant(self, tenant: str, pseudonym: str) -> list[ImpactCopy]:
        """Replace an erased tenant's name by its pseudonym; returns the lists that changed (R29)."""
        changed = []
        for incident_id in sorted(set().union(*self._buckets.get(tenant, {}).values())):
            old = self._lists[incident_id]
            named = (tuple(pseudonym if one == tenant else one for one in i.tenant_ids) for i in old.impacts)
            impacts = tuple(i._replace(tenant_ids=names) for i, names in zip(old.impacts, named, strict=True))
            changed.append(old._replace(impacts=impacts))
            self.put(changed[-1])
        return changed

    @staticmethod
    def _index_keys(copy: ImpactCopy) -> Iterator[tuple[str, int | None]]:
        for impact in copy.impacts:
            keys = (PLATFORM,) if impact.scope == "platform" else impact.tenant_ids
            buckets: list[int | None] = [None]
            if impact.end is not None and impact.end - impact.start < MOST_BUCKETS * BUCKET:
                buckets = [*range(impact.start // BUCKET, impact.end // BUCKET + 1)]
            for key in keys:
                for bucket in buckets:
                    yield key, bucket

    def between(self, tenant: str, start: int, end: int) -> list[ImpactCopy]:
        """Lists that may affect a tenant within [start, end), ordered by incident id."""
        found: set[str] = set()
        for key in (PLATFORM, tenant):
            buckets = self._buckets.get(key)
            if buckets is not None:
                for bucket in (None, *range(start // BUCKET, end // BUCKET + 1)):
                    found |= buckets.get(bucket, set())
        return [self._lists[incident_id] for incident_id in sorted(found)]

    def changes_with_time(self, tenant: str, instant: int, end: int) -> bool:
        """Whether an impact may cover time between an instant and an end: then the month's result changes as time
        passes, without any input."""
        return instant < end and any(
            impact.start < end and (impact.end is None or impact.end > instant)
            for copy in self.between(tenant, instant, end)
            for impact in copy.impacts
        )


def tenants_of(impacts: set[Impact]) -> set[str]:
    """The tenants that impacts name; `PLATFORM` among them when one is platform-wide."""
    named = {tenant for impact in impacts for tenant in impact.tenant_ids}
    return named | {PLATFORM} if any(impact.scope == "platform" for impact in impacts) else named
