"""A tenant's contract over time (R24): the terms in force at an instant, independent of the order of arrival."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from sys import intern
from typing import NamedTuple

from streams.sla.events import ContractSet, Event, Money, Position
from streams.sla.instants import LATEST


class Contract(NamedTuple):
    """One `contract.set`. The order of its first four fields is the order of precedence (R24); two sources may use
    one id (R1)."""

    valid_from: int
    time: int
    id: str
    source: str
    valid_to: int | None
    plan: str
    charge: Money
    tier: int | None
    time_zone: str | None
    emergency_member: bool
    position: Position

    @classmethod
    def of(cls, event: Event, position: Position) -> Contract:
        """The contract of a contract fact. Every incident partition holds the terms of all tenants, so texts that they
        share are interned."""
        terms = event.payload
        assert isinstance(terms, ContractSet)
        charge = terms.monthly_charge
        return cls(
            terms.valid_from,
            event.time,
            event.id,
            intern(event.source),
            terms.valid_to,
            intern(terms.plan),
            charge._replace(currency=intern(charge.currency)),
            terms.tier,
            None if terms.time_zone is None else intern(terms.time_zone),
            terms.emergency_member,
            position._replace(topic=intern(position.topic)),
        )

    def event(self, tenant: str) -> Event:
        """The contract fact again, without its transport fields."""
        terms = ContractSet(
            self.valid_from,
            self.valid_to,
            self.plan,
            self.charge,
            self.tier,
            self.time_zone,
            self.emergency_member,
        )
        return Event(self.id, self.source, "contract.set", tenant, self.time, terms, False, None, None, b"")


class Span(NamedTuple):
    """Terms in force over a half-open interval."""

    start: int
    end: int
    contract: Contract


class TermsChange(NamedTuple):
    """What a contract fact changes at instants within [start, end): `after` is in force there in place of `before`."""

    start: int
    end: int
    before: Contract | None
    after: Contract

    def concerns(self, opened_at: int) -> bool:
        """Whether an incident that was opened then is judged by other terms now (R20)."""
        if not self.start <= opened_at < self.end:
            return False
        return _judged_by(self.before, opened_at) != _judged_by(self.after, opened_at)


def _judged_by(contract: Contract | None, instant: int) -> tuple[str, int | None, bool] | None:
    if contract is None or (contract.valid_to is not None and contract.valid_to <= instant):
        return None
    return contract.plan, contract.tier, contract.emergency_member


def _precedence(contract: Contract) -> tuple[int, int, str, str]:
    return contract[:4]


def _age(contract: Contract) -> tuple[int, str, str]:
    return contract[1:4]


class ContractHistory:
    """All contract facts of one tenant, in order of precedence."""

    __slots__ = ("_currencies", "_facts", "_first", "_zones")

    def __init__(self, facts: Iterable[Contract] = ()) -> None:
        self._facts: list[Contract] = sorted(facts, key=_precedence)
        self._first: Contract | None = min(self._facts, key=_age, default=None)
        self._zones = {contract.time_zone for contract in self._facts}
        self._currencies = {contract.charge.currency for contract in self._facts}

    def add(self, contract: Contract) -> None:
        insort(self._facts, contract, key=_precedence)
        self._zones.add(contract.time_zone)
        self._currencies.add(contract.charge.currency)
        if self._first is None or _age(contract) < _age(self._first):
            self._first = contract

    def __len__(self) -> int:
        return len(self._facts)

    def __iter__(self) -> Iterator[Contract]:
        return iter(self._facts)

    @property
    def first(self) -> Contract:
        """The earliest fact: zone, currency and the beginning of statements come from it (R24)."""
        assert self._first is not None
        return self._first

    @property
    def zone(self) -> str:
        return self.first.time_zone or "UTC"

    @property
    def currency(self) -> str:
        return self.first.charge.currency

    def at(self, instant: int) -> Contract | None:
        index = bisect_right(self._facts, instant, key=lambda contract: contract.valid_from)
        if not index:
            return None
        ruling = self._facts[index - 1]
        return None if ruling.valid_to is not None and ruling.valid_to <= instant else ruling

    def change(self, contract: Contract) -> TermsChange | None:
        """What one of the facts changes; None when another one with the same `valid_from` rules in its place."""
        index = bisect_left(self._facts, _precedence(contract), key=_precedence)
        following = self._facts[index + 1].valid_from if index + 1 < len(self._facts) else LATEST + 1
        if following == contract.valid_from:
            return None
        return TermsChange(contract.valid_from, following, self._facts[index - 1] if index else None, contract)

    def superseded(self, instant: int) -> list[Contract]:
        """The first facts, which apply to no instant after this one, because another one does."""
        later = bisect_right(self._facts, instant, key=lambda contract: contract.valid_from)
        return self._facts[: max(later - 1, 0)]

    def spans(self, start: int, end: int) -> list[Span]:
        """Terms in force within [start, end), without gaps in time under contract being filled."""
        return [*self._spans_backwards(start, end)][::-1]

    def last_span(self, start: int, end: int) -> Span | None:
        """The last of the terms in force within [start, end), found without the others; None when there are none."""
        return next(self._spans_backwards(start, end), None)

    def _spans_backwards(self, start: int, end: int) -> Iterator[Span]:
        following = end
        for index in range(bisect_left(self._facts, end, key=lambda contract: contract.valid_from) - 1, -1, -1):
            contract = self._facts[index]
            begin = max(contract.valid_from, start)
            until = min(following, contract.valid_to if contract.valid_to is not None else LATEST)
            if begin < until:
                yield Span(begin, until, contract)
            if contract.valid_from <= start:
                return  # of those from before the beginning only the last rules
            following = contract.valid_from

    def last_instant(self) -> int:
        """The end of the last known contract."""
        last = self._facts[-1]
        return LATEST if last.valid_to is None else last.valid_to

    def flags(self) -> tuple[str, ...]:
        """Later zones and currencies that differ from the first fact's are ignored and flagged (R24)."""
        flags = []
        if self._zones - {None, self.zone}:
            flags.append("zone_change_ignored")
        if len(self._currencies) > 1:
            flags.append("currency_change_ignored")
        return tuple(flags)


class ContractCopies:
    """Copies of the contract facts of every tenant, from the partitions of the ledger agent (R20)."""

    __slots__ = ("_histories", "_known")

    def __init__(self) -> None:
        self._histories: dict[str, ContractHistory] = {}
        self._known: set[tuple[str, str, str]] = set()

    def __bool__(self) -> bool:
        return bool(self._known)

    def has(self, tenant: str) -> bool:
        """Whether there is any copy of a tenant's terms."""
        return tenant in self._histories

    def at(self, tenant: str, instant: int) -> Contract | None:
        """The terms in force at an instant."""
        history = self._histories.get(tenant)
        return history.at(instant) if history is not None else None

    def knows(self, tenant: str, contract: Contract) -> bool:
        """Whether there is a copy of these terms."""
        return (tenant, contract.source, contract.id) in self._known

    def add(self, tenant: str, contract: Contract) -> bool:
        """Add a copy of contract terms; False when it is known already."""
        if self.knows(tenant, contract):
            return False
        self._known.add((tenant, contract.source, contract.id))
        self._histories.setdefault(tenant, ContractHistory()).add(contract)
        return True

    def change(self, tenant: str, contract: Contract) -> TermsChange | None:
        """What a contract fact that was added changes for the tenant's incidents."""
        return self._histories[tenant].change(contract)

    def find(self, tenant: str, source: str, event_id: str) -> Contract | None:
        """A tenant's contract fact by its identity."""
        history = self._histories.get(tenant, ())
        return next((c for c in history if c.id == event_id and c.source == source), None)

    def tenants(self) -> list[str]:
        """The tenants whose terms are known, sorted."""
        return sorted(self._histories)

    def evict(self, tenant: str, until: int) -> list[Contract]:
        """Remove the facts of a tenant that apply to no instant after `until`; returns them."""
        history = self._histories.get(tenant, ContractHistory())
        superseded = history.superseded(until)
        if superseded:
            self._known.difference_update((tenant, contract.source, contract.id) for contract in superseded)
            self._histories[tenant] = ContractHistory(list(history)[len(superseded) :])
        return superseded

    def rename(self, tenant: str, name: str) -> list[Contract]:
        """Replace a tenant's name in its terms (R29); returns the terms."""
        history = self._histories.pop(tenant, ContractHistory())
        for contract in history:
            self._known.discard((tenant, contract.source, contract.id))
            self.add(name, contract)
        return list(history)
