"""Incidents at hand and those that are only recorded: who goes back, who stays, and how they come again."""

from __future__ import annotations

from story import policies

from streams.sla import events as ev
from streams.sla.arrival import TimeLimits
from streams.sla.contracts import Contract
from streams.sla.incidents.fold import Fact
from streams.sla.incidents.incident_store import IncidentStore
from streams.sla.incidents.lru_cache import IncidentCache
from streams.sla.incidents.steps import Decision, Step
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
        if decision.step is not None:
            self.kept.setdefault(decision.step.incident_id, []).append(decision.step)
        return decision

    def steps(self, incident_id: str) -> list[Step]:
        self.asked += 1
        return self.kept.get(incident_id, [])


def test_what_was_not_used_for_longest_goes_back() -> None:
    records = Records()
    shelf = IncidentCache(records, 2, lambda kept: None)
    for name in "abc":
        shelf.make(name)
    shelf.get("a")
    shelf.put_back()
    records.asked = 0
    assert shelf.get("a") is not None
    assert shelf.get("c") is not None
    assert records.asked == 0
    assert shelf.get("b") is None, "nothing was recorded of it"


def test_facts_that_wait_for_an_opening_are_in_no_step_and_stay() -> None:
    shelf = IncidentCache(Records(), 1, lambda kept: None)
    waiting = shelf.make("waits")
    update = event("waits", "incident.updated", START, ev.Updated(ev.Who("support", "ann"), "public"))
    waiting.waiting.append(Fact.of(update, START, ev.Position("t", 0, 0)))
    for name in "abc":
        shelf.make(name)
    shelf.put_back()
    assert shelf.get("waits") is waiting


def test_who_comes_back_is_as_it_went_and_is_announced() -> None:
    records, woken = Records(), list[StoredIncident]()
    book = IncidentStore(policies(), TimeLimits(), records, 1)
    records.take(book.apply(event("one", "incident.opened", START, OPENED), START, ev.Position("t", 0, 0)))
    shelf = IncidentCache(records, 1, woken.append)
    kept = shelf.known("one")
    assert woken == [kept]
    assert (kept.steps, kept.recorded_due) == (1, book.next_due())
    assert [fact.type for fact in kept.timeline.facts] == ["incident.opened"]


def restored(records: Records) -> IncidentStore:
    book = IncidentStore(policies(), TimeLimits(), records, 1)
    for steps in records.kept.values():
        for step in steps:
            book.restore_step(step.incident_id, step.due, step.held, step.tenants())
    return book


def test_a_restart_reads_no_steps_before_an_incident_is_touched() -> None:
    records = Records()
    book = IncidentStore(policies(), TimeLimits(), records, 1)
    for number in range(20):
        opening = event(f"incident-{number}", "incident.opened", START + number, OPENED)
        records.take(book.apply(opening, START + number, ev.Position("t", 0, number)))
    records.asked = 0
    again = restored(records)
    assert again.next_due() == book.next_due()
    assert records.asked == 0
    assert again.fire(START + 10 * DAY) is not None
    assert records.asked == 1


def test_woken_too_early_it_says_nothing_and_is_woken_again_in_time() -> None:
    """A row may name a timer that has acted since with nothing to say."""
    records = Records()
    book = IncidentStore(policies(), TimeLimits(), records, 1)
    records.take(book.apply(event("one", "incident.opened", START, OPENED), START, ev.Position("t", 0, 0)))
    due = book.next_due()
    assert due is not None
    records.kept["one"] = [step._replace(due=due - MINUTE) for step in records.kept["one"]]
    early = restored(records)
    assert early.next_due() == due - MINUTE
    assert early.fire(due) == Decision([])
    assert early.next_due() == due
    assert early.fire(due) is None


def test_a_row_that_names_a_timer_of_an_incident_with_none_does_not_evict_it() -> None:
    records = Records()
    book = IncidentStore(policies(), TimeLimits(), records, 1)
    records.take(book.apply(event("one", "incident.opened", START, OPENED), START, ev.Position("t", 0, 0)))
    ended = event("one", "incident.resolved", START + MINUTE, ev.Resolved(None))
    records.take(book.apply(ended, START + MINUTE, ev.Position("t", 0, 1)))
    records.kept["one"][-1] = records.kept["one"][-1]._replace(due=START + HOUR)
    again = restored(records)
    assert again.fire(START + 2 * HOUR) == Decision([])
    assert again.next_due() == book.next_due(), "it is retained as long as ever"


def test_contract_terms_wake_whom_they_concern_by_the_terms_known_before() -> None:
    """R20: a late contract fact changes what was said, also of an incident that was put back meanwhile."""
    terms = ev.ContractSet(START - HOUR, None, "scalr-emergency", ev.Money(100, "USD"), 1, None, emergency_member=False)
    said = []
    for at_hand in (1, 10):
        records = Records()
        book = IncidentStore(policies(), TimeLimits(), records, at_hand)
        for number, name in enumerate(("one", "other", "third")):
            records.take(book.apply(event(name, "incident.opened", START, OPENED), START, ev.Position("t", 0, number)))
            book.put_back()
        fact = ev.Event("c", "/billing", "contract.set", "acme", START, terms, False, None, None, b"d")
        contract = Contract.of(fact, ev.Position("c", 0, 0))
        decisions = book.learn("acme", contract, START + MINUTE)
        said.append([(o.type, o.subject, o.id) for each in decisions for o in each.outputs])
        assert book.learn("acme", contract, START + MINUTE) == []
    assert said[0] == said[1]
    assert {kind for kind, _, _ in said[0]} >= {"incident.classified"}
