"""Erased tenants (R29): their pseudonyms, a keyed hash, and events without their names."""

from __future__ import annotations

from hmac import digest
from typing import NamedTuple, TypeVar

from streams.sla.events import Event, Linked, Opened, Payload, Rejection, Who
from streams.sla.facts import stored_event
from streams.sla.impact import ImpactCopy
from streams.sla.redaction import redacted_record

_P = TypeVar("_P", bound=NamedTuple)
ERASED = "erased"
PSEUDONYM_BYTES = len(ERASED) + 33
"""The length of every pseudonym (`Erasures.pseudonym`)."""


class Erasure(NamedTuple):
    """The erasure of a tenant, which is known by its pseudonym alone: the identity and time of its event, and when it
    arrived. Instants in microseconds."""

    pseudonym: str
    source: str
    id: str
    time: int
    arrival: int


class Erasures:
    """The erased tenants, known only by pseudonym: a later event with the same tenant id gets the same pseudonym."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._homes: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._homes)

    def __contains__(self, name: str) -> bool:
        return name in self._homes

    def pseudonym(self, tenant: str) -> str:
        """HMAC-SHA-256 of the tenant's id, its first 128 bits in hex."""
        return f"{ERASED}-{digest(self._key, tenant.encode(), 'sha256').hex()[:32]}"

    @property
    def key_check(self) -> str:
        """Identifies the key that pseudonyms were made with, without revealing it."""
        return digest(self._key, b"\x00key check", "sha256").hex()[:32]

    def add(self, pseudonym: str, home: int = 0) -> None:
        """`home` is the partition where the tenant's account is: the pseudonym itself would hash to another."""
        self._homes[pseudonym] = home

    def home(self, name: str) -> int | None:
        """The partition of an erased tenant's account; None for one who is not erased."""
        return self._homes.get(name)

    def name(self, tenant: str) -> str:
        """The name to use for a tenant: the pseudonym once it is erased."""
        if not self._homes:
            return tenant
        hidden = self.pseudonym(tenant)
        return hidden if hidden in self._homes else tenant

    def names(self, tenants: tuple[str, ...]) -> tuple[str, ...]:
        """The names to use, each once, in the same order; the same tuple object when nothing changes."""
        if not self._homes:
            return tenants
        named = tuple(dict.fromkeys(map(self.name, tenants)))
        return tenants if named == tenants else named

    def impacts(self, copy: ImpactCopy) -> ImpactCopy:
        """An impact list with pseudonyms: its sender may not know of an erasure yet."""
        if not self._homes:
            return copy
        names = {tenants: self.names(tenants) for tenants in {impact.tenant_ids for impact in copy.impacts}}
        return copy._replace(impacts=tuple(i._replace(tenant_ids=names[i.tenant_ids]) for i in copy.impacts))

    def event(self, event: Event) -> Event:
        """A contract or maintenance event as it is stored; the same object when it names no erased tenant. Its digest
        is over what is left, so that a duplicate is still found (R1)."""
        if not self._homes:
            return event
        payload = self._with_pseudonyms(event.payload)
        subject = event.subject if event.type.startswith("maintenance.") else self.name(event.subject)
        if payload is event.payload and subject == event.subject:
            return event
        stored = stored_event(event.type, redacted_record(event._replace(subject=subject, payload=payload)))
        assert not isinstance(stored, Rejection)
        return stored

    def payload(self, payload: Payload) -> Payload:
        """What is stored of a fact about an incident that names an erased tenant: no persons, texts, tickets or
        calls."""
        if isinstance(payload, Linked):
            return Linked(*(None if name is None else ERASED for name in payload))
        if isinstance(payload, Opened):
            payload = payload._replace(summary=None, ticket_id=None)
        who = getattr(payload, "who", None)
        if isinstance(who, Who) and who.id is not None:
            payload = payload._replace(who=Who(who.kind, None))  # type: ignore[call-arg]
        return self._with_pseudonyms(payload)

    def _with_pseudonyms(self, payload: _P) -> _P:
        tenants = getattr(payload, "tenant_ids", None)
        if not tenants:
            return payload
        named = self.names(tenants)
        return payload if named is tenants else payload._replace(tenant_ids=named)
