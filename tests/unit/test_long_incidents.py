"""Incidents with hundreds of facts: identity, limits, episodes and pauses stay what they are in short ones."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from story import MONDAY, policies

from streams.runtime.processor import MAX_WRITE_BYTES
from streams.serde.codec import Codec
from streams.sla import events as ev
from streams.sla.arrival import TimeLimits
from streams.sla.calendar import Pauses, deadline
from streams.sla.decisions import Duplicate, Rejected
from streams.sla.erasure import Erasures
from streams.sla.evidence import MAX_POSITIONS
from streams.sla.incidents.classification import Subject
from streams.sla.incidents.episodes import Episode, Listed
from streams.sla.incidents.incident_store import IncidentStore
from streams.sla.incidents.steps import InputDecision
from streams.sla.instants import HOUR, LATEST, MINUTE
from streams.sla.policy import BusinessHours, Target

SUPPORT = ev.Who("support", "ann")
OPENED = ev.Opened("tenants", ("acme",), "api", "complete_outage", None, "monitor", None)
ALWAYS = BusinessHours("UTC", ((0, 24 * 60),) * 7, None)


def apply(book: IncidentStore, name: str, minute: int, payload: ev.Payload, digest: bytes = b"") -> InputDecision:
    kind = "incident.opened" if isinstance(payload, ev.Opened) else "incident.updated"
    time = MONDAY + minute * MINUTE
    event = ev.Event(name, "/desk", kind, "inc-1", time, payload, False, None, None, digest)
    return book.apply(event, MONDAY + 24 * HOUR, ev.Position("in", 0, minute))


@pytest.mark.parametrize("facts", [3, 15, 16, 17, 200])
def test_r1_any_fact_is_known_again(facts: int) -> None:
    """Those that came in order, late, and after some were looked up already."""
    book = IncidentStore(policies(), TimeLimits())
    apply(book, "open", 0, OPENED)
    for number in range(1, facts):
        minute = number if number % 3 else 1000 - number
        assert not isinstance(apply(book, f"fact-{number}", minute, ev.Updated(SUPPORT, "public")), Duplicate)
    for number in range(1, facts):
        again = apply(book, f"fact-{number}", number, ev.Updated(SUPPORT, "public"))
        assert isinstance(again, Duplicate)
        other = apply(book, f"fact-{number}", number, ev.Updated(SUPPORT, "public"), b"other")
        assert isinstance(other, Rejected)
        assert other.rejection.code == "conflict"


def test_r28_what_an_impact_list_may_weigh_adds_up() -> None:
    changed = ev.Reclassified(None, None, None, "tenants", ("acme", "beta-corp"))
    payloads = [OPENED, changed, ev.Updated(SUPPORT, "public"), ev.Reopened(None)]
    assert Listed().plus(payloads) == Listed().plus(payloads[:2]).plus(payloads[2:]) == Listed(3, 6 + 11, 2 * 41, 3)


@pytest.mark.parametrize("length", [1, 12, 39, 128])
@pytest.mark.parametrize("tenants", [1, 40, 1_000])
def test_r28_the_longest_impact_list_can_be_written_whoever_of_its_tenants_is_erased(length: int, tenants: int) -> None:
    component, impact = "é" * 128, "complete_outage"
    names = tuple(chr(0x4E00 + number) + "é" * (length - 1) for number in range(tenants))
    payload = ev.Opened("tenants", names, component, impact, None, "monitor", None)
    one = Listed().plus([payload])
    intervals = bisect_left(range(1, 2_200), True, key=lambda count: one._replace(intervals=count).too_long)
    assert intervals >= 1, "a list of one interval is never too long"
    erasures = Erasures(b"key")
    for name in names:
        erasures.add(erasures.pseudonym(name))
    fields = {
        "event_id": "0" * 36,
        "source": "/sla/incidents",
        "subject": "é" * 128,
        "occurred_at": LATEST,
        "incident_id": "é" * 128,
        "incident_revision": 1 << 30,
        "policy": {"name": "é" * 128, "version": "é" * 128, "digest": "0" * 64},
        "scope": "tenants",
        "tenant_ids": list(erasures.names(names)),
        "intervals": [
            {
                "component": component,
                "impact": impact,
                "start": LATEST,
                "end": LATEST,
                "counts": True,
                "scope": "tenants",
                "tenant_ids": list(erasures.names(names)),
            }
        ]
        * intervals,
        "evidence": [{"topic": "t" * 200, "partition": 1 << 30, "offset": 1 << 60}] * MAX_POSITIONS,
    }
    assert len(Codec().encode("impact.changed", fields)) <= MAX_WRITE_BYTES


def test_r21_episodes_share_changes_but_not_those_that_came_later() -> None:
    def subject(component: str) -> Subject:
        return Subject("platform", (), component, "complete_outage", None)

    first = Episode(0, 0, [(0, subject("ui"))])
    first.change(10, subject("api"))
    first.restored = 20
    second = first.reopened(30, 5)
    second.change(40, subject("backups"))
    first.amended_restored = 50

    def told(episode: Episode) -> list[tuple[str, int, int | None]]:
        return [(impact.component, impact.start, impact.end) for impact in episode.impacts(None)]

    assert told(first) == [("ui", 0, 10), ("api", 10, 50)]
    assert told(second) == [("ui", 5, 10), ("api", 10, 40), ("backups", 40, None)]


def test_r14_a_pause_that_ends_and_is_reopened_is_as_it_was() -> None:
    pauses = Pauses([(10 * MINUTE, 20 * MINUTE)])
    pauses.begin(30 * MINUTE)
    target = Target(within=25 * MINUTE, clock="business")
    for start in (0, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE):
        assert deadline(target, ALWAYS, start, pauses) is None
    for at, due in ((30, 35), (45, 50)):
        begin = pauses.end(at * MINUTE)
        assert deadline(target, ALWAYS, 0, pauses) == due * MINUTE
        pauses.reopen(begin)
        assert pauses.open
        assert deadline(target, ALWAYS, 0, pauses) is None
