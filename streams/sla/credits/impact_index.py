"""Impact lists by incident, found by tenant and time, so that a statement's cost does not grow with the past (R22)."""

from __future__ import annotations

from collections.abc import Iterator

from streams.sla.impact import Impact, ImpactCopy
from streams.sla.instants import DAY

BUCKET = 32 * DAY
#: What lasts longer than this many buckets is looked at in every month instead of being listed in each.
MOST_BUCKETS = 40
PLATFORM = ""
"""The key under which platform-wide lists lie, beside the tenants'."""


class Impacts:
    """The highest revision of each incident's impact list, indexed by whom and when it touches."""

    __slots__ = ("_buckets", "_known")

    def __init__(self) -> None:
        self._known: dict[str, ImpactCopy] = {}
        self._buckets: dict[str, dict[int | None, set[str]]] = {}

    def get(self, incident_id: str) -> ImpactCopy | None:
        return self._known.get(incident_id)

    def __getitem__(self, incident_id: str) -> ImpactCopy:
        return self._known[incident_id]

    def put(self, copy: ImpactCopy) -> None:
        """Replace an incident's list."""
        old = self._known.get(copy.incident_id)
        if old is not None:
            for whom, bucket in self._places(old):
                self._discard(whom, bucket, copy.incident_id)
        self._known[copy.incident_id] = copy
        for whom, bucket in self._places(copy):
            self._buckets.setdefault(whom, {}).setdefault(bucket, set()).add(copy.incident_id)

    def _discard(self, whom: str, bucket: int | None, incident_id: str) -> None:
        buckets = self._buckets.get(whom, {})
        found = buckets.get(bucket)
        if found is not None:
            found.discard(incident_id)
            if not found:
                del buckets[bucket]
                if not buckets:
                    del self._buckets[whom]

    def rename(self, tenant: str, name: str) -> list[ImpactCopy]:
        """The lists that named a tenant, with another name for it (R29)."""
        renamed = []
        for incident_id in sorted(set().union(*self._buckets.get(tenant, {}).values())):
            old = self._known[incident_id]
            named = (tuple(name if one == tenant else one for one in i.tenant_ids) for i in old.impacts)
            impacts = tuple(i._replace(tenant_ids=names) for i, names in zip(old.impacts, named, strict=True))
            renamed.append(old._replace(impacts=impacts))
            self.put(renamed[-1])
        return renamed

    @staticmethod
    def _places(copy: ImpactCopy) -> Iterator[tuple[str, int | None]]:
        for impact in copy.impacts:
            touched = (PLATFORM,) if impact.scope == "platform" else impact.tenant_ids
            buckets: list[int | None] = [None]
            if impact.end is not None and impact.end - impact.start < MOST_BUCKETS * BUCKET:
                buckets = [*range(impact.start // BUCKET, impact.end // BUCKET + 1)]
            for whom in touched:
                for bucket in buckets:
                    yield whom, bucket

    def between(self, tenant: str, start: int, end: int) -> list[ImpactCopy]:
        """Lists that may touch a tenant within [start, end), in the order of their incidents' ids."""
        found: set[str] = set()
        for whom in (PLATFORM, tenant):
            buckets = self._buckets.get(whom)
            if buckets is not None:
                for bucket in (None, *range(start // BUCKET, end // BUCKET + 1)):
                    found |= buckets.get(bucket, set())
        return [self._known[incident_id] for incident_id in sorted(found)]

    def lasting(self, tenant: str, instant: int, end: int) -> bool:
        """Whether an impact may touch the time between an instant and an end: what is weighed changes as time passes,
        though no input comes."""
        return instant < end and any(
            impact.start < end and (impact.end is None or impact.end > instant)
            for copy in self.between(tenant, instant, end)
            for impact in copy.impacts
        )


def tenants_of(impacts: set[Impact]) -> set[str]:
    """The tenants that impacts name; `PLATFORM` among them when one is platform-wide."""
    named = {tenant for impact in impacts for tenant in impact.tenant_ids}
    return named | {PLATFORM} if any(impact.scope == "platform" for impact in impacts) else named
