"""The names of one tenant in topics: its id before its erasure, its pseudonym since then (R29)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache

from streams.sla.erasure import ERASED, Erasures


class ErasedNames:
    """Tells by the key of the pseudonyms which names are one tenant's."""

    def __init__(self, key: bytes = b"") -> None:
        self._pseudonym = cache(Erasures(key).pseudonym)

    def same(self, name: str, tenant: str) -> bool:
        """Whether a record's name is this tenant's; both may be an id or a pseudonym."""
        if name == tenant:
            return True
        if name.startswith(ERASED) and name == self._pseudonym(tenant):
            return True
        return tenant.startswith(ERASED) and tenant == self._pseudonym(name)

    def pseudonyms(self, names: Collection[str]) -> Mapping[str, str]:
        """The pseudonym of each name of which there are records under both."""
        if not any(name.startswith(ERASED) for name in names):
            return {}
        return {name: pseudonym for name in names if (pseudonym := self._pseudonym(name)) in names}
