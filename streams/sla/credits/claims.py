"""Claims that come too late (R26): known when they arrive, or once the contract of their month is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from streams.sla.credits.account import Account
from streams.sla.events import CreditClaimed, Event, Position, Rejection
from streams.sla.instants import Month, format_rfc3339

CLAIMS_PER_STEP = 200
"""Stored claims that are rejected in one step, so that other work comes between."""


class RejectedClaim(NamedTuple):
    """A claim that was stored before it was known until when its month can be claimed, and that came later."""

    tenant: str
    source: str
    position: Position
    arrival: int
    rejection: Rejection


def reject_claim(account: Account, event: Event) -> Rejection | None:
    """A claim after `claimable_until` is too late. Before the final statement only one that is too late by every policy
    is rejected: a contract fact that is yet to come may give the month another plan, with other terms of claims (R2).
    Any other is stored and judged by the final statement."""
    assert isinstance(event.payload, CreditClaimed)
    month = Month(event.payload.month)
    rejection, terms = late_claim(account, event), account.terms(month)
    if account.state_of(month).settled is None and terms is not None:
        return rejection if event.time > terms.period.end + account.policies.longest_claim else None
    return rejection


def late_claim(account: Account, event: Event) -> Rejection | None:
    """Why a claim is too late, by the final statement of its month or else by the terms known so far."""
    assert isinstance(event.payload, CreditClaimed)
    month = Month(event.payload.month)
    state, terms = account.state_of(month), account.terms(month)
    if state.settled is not None:
        until = state.claimable_until
    elif terms is not None:
        until = terms.claimable_until
    else:
        return None
    if event.time <= until:
        return None
    return Rejection("too_late", _too_late(month, until), event.id)


def _too_late(month: Month, until: int) -> str:
    return f"{month} could be claimed until {format_rfc3339(until)}"


def late_claims(account: Account, month: Month, until: int) -> list[tuple[str, str]]:
    """The identities of the stored claims of a month that its final statement finds too late, whether or not another
    was in time: nothing else tells those who claimed."""
    if month not in account.claims:
        return []
    return sorted(
        identity
        for identity, stored in account.facts.items()
        if isinstance(stored.event.payload, CreditClaimed)
        and stored.event.payload.month == month
        and stored.event.time > until
    )


def reject_late_claims(
    account: Account, month: Month, until: int, identities: Iterable[tuple[str, str]]
) -> list[RejectedClaim]:
    """Take out claims that `late_claims` found."""
    return [_taken_out(account, identity, _too_late(month, until)) for identity in identities]


def reject_unstated_claims(account: Account, identities: Iterable[tuple[str, str]]) -> list[RejectedClaim]:
    """Take out claims of months that are not kept any more and never had a statement: nothing else tells those who
    claimed."""
    found = []
    for identity in sorted(identities):
        payload = account.facts[identity].event.payload
        assert isinstance(payload, CreditClaimed)
        account.claims.pop(Month(payload.month), None)
        why = f"{payload.month} had no statement, and is not kept any more (SLA_RETAIN_MONTHS)"
        found.append(_taken_out(account, identity, why))
    return found


def _taken_out(account: Account, identity: tuple[str, str], why: str) -> RejectedClaim:
    stored = account.facts.pop(identity)
    rejection = Rejection("too_late", f"claim {stored.event.id}: {why}", stored.event.id)
    return RejectedClaim(account.tenant, identity[0], stored.position, stored.arrival, rejection)
