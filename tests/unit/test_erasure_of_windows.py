"""R29: an erasure looks at the windows that name its tenant, however many others name many."""

from __future__ import annotations

import pytest
from story import micros, policies

from streams.sla.arrival import TimeLimits
from streams.sla.credits.ledger import Ledger
from streams.sla.credits.posted import Posted
from streams.sla.erasure import Erasures
from streams.sla.events import Event, MaintenanceScheduled, Payload, Position, TenantErased
from streams.sla.instants import DAY

PLACE = Position("t", 0, 0)
START = micros("2026-01-01T00:00:00Z")


def event(name: str, kind: str, subject: str, payload: Payload) -> Event:
    return Event(name, "/m", kind, subject, START, payload, False, None, None, b"x")


def test_r29_an_erasure_does_not_ask_of_every_name_in_every_window(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(policies(), TimeLimits())
    others = tuple(f"t{number}" for number in range(200))
    for number in range(20):
        tenants = ("acme", *others) if number == 7 else others
        payload = MaintenanceScheduled("tenants", tenants, ("api",), START + DAY, START + 2 * DAY, START)
        ledger.apply(event(f"e{number}", "maintenance.scheduled", f"m{number}", payload), START, PLACE)
    asked, pseudonym = [], Erasures.pseudonym

    def counting(self: Erasures, tenant: str) -> str:
        asked.append(tenant)
        return pseudonym(self, tenant)

    monkeypatch.setattr(Erasures, "pseudonym", counting)
    decision = ledger.apply(event("gone", "tenant.erased", "acme", TenantErased()), START, PLACE)
    assert isinstance(decision, Posted)
    assert decision.erased is not None
    (window,) = decision.erased.maintenance
    assert window[0].subject == "m7"
    assert isinstance(window[0].payload, MaintenanceScheduled)
    assert window[0].payload.tenant_ids[0] == ledger.erasures.pseudonym("acme")
    assert len(asked) < 2 * len(others), "those of one window, not of twenty"
