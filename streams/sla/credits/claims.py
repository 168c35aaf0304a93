"""Claims that come too late (R26): known when they arrive, or once the contract of their month is."""

from __future__ import annotations

from typing import NamedTuple

from streams.sla.credits.account import Account
from streams.sla.events import CreditClaimed, Event, Position, Rejection
from streams.sla.instants import Month, format_rfc3339


class RejectedClaim(NamedTuple):
    """A claim that was stored before it was known until when its month can be claimed, and that came later."""

    tenant: str
    source: str
    position: Position
    arrival: int
    rejection: Rejection


def reject_claim(account: Account, event: Event) -> Rejection | None:
    """A claim after `claimable_until` is too late; one made before the month is over is stored."""
    assert isinstance(event.payload, CreditClaimed)
    month = Month(event.payload.month)
    state = account.state_of(month)
    terms = account.terms(month)
    if state.settled is not None:
        until = state.claimable_until
    elif terms is not None:
        until = terms.claimable_until
    else:
        return None
    if event.time <= until:
        return None
    return Rejection("too_late", f"{month} could be claimed until {format_rfc3339(until)}", event.id)


def reject_stored_claims(account: Account, month: Month) -> list[RejectedClaim]:
    """Take out the claims of a month with a final statement, of which the earliest came too late: nothing else tells
    those who claimed."""
    del account.claims[month]
    found = []
    for identity, stored in sorted(account.facts.items()):
        payload = stored.event.payload
        if isinstance(payload, CreditClaimed) and payload.month == month:
            rejection = reject_claim(account, stored.event)
            assert rejection is not None
            del account.facts[identity]
            named = rejection._replace(message=f"claim {stored.event.id}: {rejection.message}")
            found.append(RejectedClaim(account.tenant, identity[0], stored.position, stored.arrival, named))
    return found
