"""What names the same many tenants again and again takes the memory of one list (R23, R28)."""

from __future__ import annotations

import tracemalloc
from typing import Any

from streams.serde.codec import decode, encode
from streams.sla.credits.impact_index import Impacts
from streams.sla.credits.maintenance import Maintenance
from streams.sla.erasure import Erasures
from streams.sla.events import Event, MaintenanceScheduled, Position
from streams.sla.facts import to_event
from streams.sla.impact import ImpactCopy, impact_copy
from streams.sla.instants import DAY, HOUR
from streams.sla.tenant_lists import FEW, shared

NAMES = [f"customer-{number:04}" for number in range(1_000)]
PLACE = Position("t", 0, 0)


def window(number: int) -> Event:
    """A weekly window, as it is read from a topic: every name is another object."""
    start = number * 7 * DAY
    fields: dict[str, Any] = {
        "event_id": f"w{number}",
        "source": "/t",
        "subject": f"weekly-{number}",
        "occurred_at": start,
        "received_time": None,
        "backfill": False,
        "traceparent": None,
        "who": None,
        "maintenance_id": f"weekly-{number}",
        "scope": "tenants",
        "tenant_ids": NAMES,
        "components": ["api"],
        "start": start + DAY,
        "end": start + DAY + HOUR,
        "announced_at": start,
    }
    decoded = decode(encode("maintenance.scheduled", fields), 1 << 20)
    assert isinstance(decoded, tuple)
    event = to_event(*decoded)
    assert isinstance(event, Event)
    return event


def outage(number: int) -> ImpactCopy:
    interval = {"component": "api", "impact": "complete_outage", "start": number, "end": None, "counts": None}
    names = [name.encode().decode() for name in NAMES]
    intervals = [{**interval, "scope": "tenants", "tenant_ids": names}]
    return impact_copy({"incident_id": f"i{number}", "incident_revision": 1, "intervals": intervals, "evidence": []})


def test_windows_that_name_the_same_tenants_share_the_list() -> None:
    maintenance = Maintenance()
    maintenance.add(window(0), 0, PLACE)
    tracemalloc.start()
    try:
        for number in range(1, 31):
            maintenance.add(window(number), 0, PLACE)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept / 30 < 16 * 1024, "a list of its own takes 130 KiB"
    plans = maintenance.between(NAMES[0], 0, 400 * DAY)
    assert len(plans) == 31
    assert all(plan.excluded(NAMES[-1], "api", 0) for plan in plans)


def test_impact_lists_that_name_the_same_tenants_share_the_list() -> None:
    first, second = outage(1), outage(2)
    assert first.impacts[0].tenant_ids == tuple(NAMES)
    assert first.impacts[0].tenant_ids is second.impacts[0].tenant_ids


def test_lists_are_shared_after_an_erasure_too() -> None:
    impacts = Impacts()
    for number in range(2):
        impacts.put(outage(number))
    first, second = impacts.erase_tenant(NAMES[0], "erased-1")
    assert first.impacts[0].tenant_ids == ("erased-1", *NAMES[1:])
    assert first.impacts[0].tenant_ids is second.impacts[0].tenant_ids

    maintenance, erasures = Maintenance(), Erasures(b"key")
    for number in range(2):
        maintenance.add(window(number), 0, PLACE)
    erasures.add(erasures.pseudonym(NAMES[0]))
    erased = [event.payload for event, _, _ in maintenance.erase_tenant(NAMES[0], erasures)]
    lists = [payload.tenant_ids for payload in erased if isinstance(payload, MaintenanceScheduled)]
    assert lists[0][0] == erasures.pseudonym(NAMES[0])
    assert lists[0] is lists[1]


def test_a_list_keeps_its_order_and_short_ones_are_not_searched() -> None:
    names = ("b", "a")
    assert shared(names) == (names, {"a", "b"})
    assert shared(names).names is names
    many = tuple(reversed(NAMES[:FEW]))
    assert shared(many).names == many
    assert shared(tuple(NAMES[:FEW])).names == tuple(NAMES[:FEW])
