"""Cached incidents and those that are kept as rows: which are evicted, which stay, and how they are loaded."""

from __future__ import annotations

from story import policies

from streams.sla import events as ev
from streams.sla.arrival import TimeLimits
from streams.sla.contracts import Contract
from streams.sla.incidents.fold import Fact
from streams.sla.incidents.incident_store import IncidentStore
from streams.sla.incidents.lru_cache import IncidentCache
from streams.sla.incidents.steps import Applied, Decision, Step, StepIndex
from streams.sla.incidents.stored_incident import StoredIncident
from streams.sla.instants import DAY, HOUR, MINUTE, parse_rfc3339

START = parse_rfc3339("2026-03-02T10:00:00Z")
OPENED = ev.Opened("tenants", ("acme",), "api", "complete_outage", None, "monitor", None)


def event(incident: str, kind: str, at: int, payload: ev.Payload) -> ev.Event:
    return ev.Event(f"{kind}-{at}", "/desk", kind, incident, at, payload, False, None, None, b"digest")


class Records:
    """Steps by incident; counts how often they are asked for."""

    def __init__(self) -> None:
        self.kept: dict[str, list[Step]] = {}
        self.asked = 0

    def take(self, decision: Decision) -> Decision:
        if isinstance(decision, Applied) and decision.step is not None:
            self.kept.setdefault(decision.step.incident_id, []).append(decision.step)
        return decision

    def steps(self, incident_id: str) -> list[Step]:
        self.asked += 1
        return self.kept.get(incident_id, [])


def test_the_least_recently_used_is_evicted() -> None:
    records = Records()
    cache = IncidentCache(records, 2, lambda stored: None)
    for name in "abc":
        cache.get_or_create(name)
    cache.get("a")
    cache.evict()
    records.asked = 0
    assert cache.get("a") is not None
    assert cache.get("c") is not None
    assert records.asked == 0
    assert cache.get("b") is None, "nothing was recorded of it"


def test_buffered_facts_are_in_no_step_so_their_incident_stays() -> None:
    cache = IncidentCache(Records(), 1, lambda stored: None)
    buffering = cache.get_or_create("waits")
    update = event("waits", "incident.updated", START, ev.Updated(ev.Who("support", "ann"), "public"))
    buffering.buffered.append(Fact.of(update, START, ev.Position("t", 0, 0)))
    for name in "abc":
        cache.get_or_create(name)
    cache.evict()
    assert cache.get("waits") is buffering


def test_an_incident_is_loaded_as_it_was_and_announced() -> None:
    records, loaded = Records(), list[StoredIncident]()
    store = IncidentStore(policies(), TimeLimits(), records, 1)
    records.take(store.apply(event("one", "incident.opened", START, OPENED), START, ev.Position("t", 0, 0)))
    cache = IncidentCache(records, 1, loaded.append)
    stored = cache.known("one")
    assert loaded == [stored]
    assert (stored.steps, stored.recorded_due) == (1, store.next_due())
    assert [fact.type for fact in stored.timeline.facts] == ["incident.opened"]


def restored(records: Records) -> IncidentStore:
    store = IncidentStore(policies(), TimeLimits(), records, 1)
    for steps in records.kept.values():
        for step in steps:
            store.restore_step(step.incident_id, StepIndex.of(step))
    return store


def test_a_restart_reads_no_steps_before_an_incident_is_touched() -> None:
    records = Records()
    store = IncidentStore(policies(), TimeLimits(), records, 1)
    for number in range(20):
        opening = event(f"incident-{number}", "incident.opened", START + number, OPENED)
        records.take(store.apply(opening, START + number, ev.Position("t", 0, number)))
    records.asked = 0
    again = restored(records)
    assert again.next_due() == store.next_due()
    assert records.asked == 0
    assert again.fire(START + 10 * DAY) is not None
    assert records.asked == 1


def test_a_timer_that_is_too_early_leads_to_nothing_and_fires_again_in_time() -> None:
    """A row may name a timer that has fired since without output."""
    records = Records()
    store = IncidentStore(policies(), TimeLimits(), records, 1)
    records.take(store.apply(event("one", "incident.opened", START, OPENED), START, ev.Position("t", 0, 0)))
    due = store.next_due()
    assert due is not None
    records.kept["one"] = [step._replace(due=due - MINUTE) for step in records.kept["one"]]
    early = restored(records)
    assert early.next_due() == due - MINUTE
    assert early.fire(due) == Applied([], None)
    assert early.next_due() == due
    assert early.fire(due) is None


def test_a_row_that_names_a_timer_of_an_incident_with_none_does_not_evict_it() -> None:
    records = Records()
    store = IncidentStore(policies(), TimeLimits(), records, 1)
    records.take(store.apply(event("one", "incident.opened", START, OPENED), START, ev.Position("t", 0, 0)))
    ended = event("one", "incident.resolved", START + MINUTE, ev.Resolved(None))
    records.take(store.apply(ended, START + MINUTE, ev.Position("t", 0, 1)))
    records.kept["one"][-1] = records.kept["one"][-1]._replace(due=START + HOUR)
    again = restored(records)
    assert again.fire(START + 2 * HOUR) == Applied([], None)
    assert again.next_due() == store.next_due(), "it is retained as long as ever"


def test_contract_terms_load_whom_they_concern_by_the_terms_known_before() -> None:
    """R20: a late contract fact changes what was published, also of an incident that was evicted meanwhile."""
    terms = ev.ContractSet(START - HOUR, None, "scalr-emergency", ev.Money(100, "USD"), 1, None, emergency_member=False)
    published = []
    for max_cached in (1, 10):
        records = Records()
        store = IncidentStore(policies(), TimeLimits(), records, max_cached)
        for number, name in enumerate(("one", "other", "third")):
            records.take(store.apply(event(name, "incident.opened", START, OPENED), START, ev.Position("t", 0, number)))
            store.trim_cache()
        fact = ev.Event("c", "/billing", "contract.set", "acme", START, terms, False, None, None, b"d")
        contract = Contract.of(fact, ev.Position("c", 0, 0))
        decisions = store.apply_contract("acme", contract, START + MINUTE)
        published.append([(o.type, o.subject, o.id) for each in decisions for o in each.outputs])
        assert store.apply_contract("acme", contract, START + MINUTE) == []
    assert published[0] == published[1]
    assert {kind for kind, _, _ in published[0]} >= {"incident.classified"}
