"""Books and ledgers rebuilt from their recorded rows go on exactly like the ones that never stopped."""

from __future__ import annotations

import json
import re

import pytest
from histories import LAGS, PATIENT, arriving, stories
from hypothesis import given, settings
from hypothesis import strategies as st
from story import Line, contract, opened, policies, resolved, tell_one, texts

from streams.replay.simulate import Simulation
from streams.serde.cloudevents_json import format_line
from streams.sla.contracts import Contract
from streams.sla.credits import rechecks
from streams.sla.credits.ledger import Ledger
from streams.sla.credits.month_close import MonthRow
from streams.sla.credits.posted import LedgerDecision, Posted
from streams.sla.credits.recheck_queue import Recheck
from streams.sla.decisions import Duplicate
from streams.sla.events import Event, Position
from streams.sla.impact import ImpactCopy
from streams.sla.incidents.fold import Fact
from streams.sla.incidents.incident_store import IncidentStore
from streams.sla.incidents.lru_cache import UNLIMITED
from streams.sla.incidents.steps import (
    Applied,
    Decision,
    Evicted,
    InputDecision,
    Reevaluated,
    Rewritten,
    Step,
    StepIndex,
    TimerDecision,
    TombstoneExpired,
)
from streams.sla.instants import DAY, HOUR, MINUTE, Month, format_rfc3339, parse_rfc3339
from streams.topics import TOPIC_OF


class Store(IncidentStore):
    """A store that records its rows, and can be rebuilt from them. Its cache holds one incident, so that every other is
    loaded from its rows."""

    def __init__(self) -> None:
        super().__init__(policies(), PATIENT, self, 1)
        self.rows: list[Step] = []
        self.buffered: dict[tuple[str, str, str], Fact] = {}
        self.tombstones: dict[str, int] = {}
        self.terms: list[tuple[str, Contract]] = []

    def steps(self, incident_id: str) -> list[Step]:
        return [step for step in self.rows if step.incident_id == incident_id]

    def _record(self, decision: Decision) -> None:
        match decision:
            case Applied(step=Step() as step) | Reevaluated(step=Step() as step):
                self.rows.append(step)
                for fact in step.facts:
                    self.buffered.pop((step.incident_id, fact.source, fact.id), None)
            case Evicted(gone, _, until):
                self.rows = [step for step in self.rows if step.incident_id != gone]
                self.tombstones[gone] = until
            case TombstoneExpired(gone):
                del self.tombstones[gone]
            case _:
                pass

    def apply(self, event: Event, arrival: int, position: Position, *, accepted_before: bool = False) -> InputDecision:
        self.trim_cache()
        decision = super().apply(event, arrival, position, accepted_before=accepted_before)
        self._record(decision)
        return decision

    def apply_contract(
        self, tenant: str, contract: Contract, arrival: int, *, at_once: int = UNLIMITED
    ) -> list[Reevaluated | Rewritten]:
        self.terms.append((tenant, contract))
        decisions = super().apply_contract(tenant, contract, arrival, at_once=at_once)
        for decision in decisions:
            self._record(decision)
        return decisions

    def fire(self, before: int, *, seen_at: int | None = None, backfill_idle: bool = False) -> TimerDecision | None:
        self.trim_cache()
        decision = super().fire(before, seen_at=seen_at, backfill_idle=backfill_idle)
        if decision is not None:
            self._record(decision)
        return decision

    def buffer(self, fact: Fact, incident_id: str) -> None:
        self.buffered[incident_id, fact.source, fact.id] = fact
        super().buffer(fact, incident_id)

    def rebuilt(self) -> Store:
        store = Store()
        for tenant, terms in self.terms:
            store.restore_contract(tenant, terms)
        store.terms = list(self.terms)
        store.rows = list(self.rows)
        for step in self.rows:
            store.restore_step(step.incident_id, StepIndex.of(step))
        for (incident_id, _, _), fact in self.buffered.items():
            store.buffer(fact, incident_id)
        for incident_id, until in self.tombstones.items():
            store.restore_tombstone(incident_id, until)
        store.tombstones = dict(self.tombstones)
        store.restore_backfill_idle(self.backfill_idle_at)
        return store


class Books(Ledger):
    """A ledger that records its rows, and can be rebuilt from them."""

    def __init__(self) -> None:
        super().__init__(policies(), PATIENT)
        self.events: list[tuple[Event, int, Position]] = []
        self.copies: dict[str, ImpactCopy] = {}
        self.rows: dict[tuple[str, Month], MonthRow] = {}
        self.queued: dict[int, Recheck] = {}
        self.seen = 0

    def steps(self, incident_id: str) -> list[Step]:
        return [step for step in self.rows if step.incident_id == incident_id]

    def _recorded(self, posted: Posted) -> None:
        self.rows |= {(row.tenant, row.month): row for row in posted.months}
        for number, item in posted.rechecks.items():
            self.queued.pop(number, None)
            if item is not None:
                self.queued[number] = item

    def apply(self, event: Event, arrival: int, position: Position) -> LedgerDecision:
        decision = super().apply(event, arrival, position)
        if isinstance(decision, Posted):
            self._recorded(decision)
            self.events.append((event, arrival, position))
            self.seen = max(self.seen, arrival)
        return decision

    def apply_impacts(self, copy: ImpactCopy, arrival: int, *, backfill: bool) -> Posted | Duplicate:
        decision = super().apply_impacts(copy, arrival, backfill=backfill)
        if isinstance(decision, Posted):
            self._recorded(decision)
            self.copies[copy.incident_id] = copy
            self.seen = max(self.seen, arrival)
        return decision

    def fire(self, before: int, *, backfill_idle: bool = False) -> Posted | None:
        posted = super().fire(before, backfill_idle=backfill_idle)
        if posted is not None:
            self._recorded(posted)
        return posted

    def rebuilt(self) -> Books:
        ledger = Books()
        for event, arrival, position in self.events:
            ledger.restore_fact(event, arrival, position)
        for copy in self.copies.values():
            ledger.store_impacts(copy)
        for row in self.rows.values():
            ledger.restore_month(row)
        for item in self.queued.values():
            ledger.restore_recheck(item)
        ledger.queued = dict(self.queued)
        ledger.events, ledger.copies, ledger.rows = list(self.events), dict(self.copies), dict(self.rows)
        ledger.seen = self.seen
        ledger.restored(self.seen, self.backfill_idle_at)
        return ledger


def told(lines: list[Line], stops: set[int], end: int, pauses: tuple[int, ...] = ()) -> dict[str, list[str]]:
    """What is said in each topic when the process stops before the numbered lines, and at instants after the last line.
    The order across topics is nobody's to rely on, and slices of queued work change it."""
    simulation = Simulation(policies(), PATIENT)
    simulation._incidents, simulation._ledger = Store(), Books()

    def restart() -> None:
        book, ledger = simulation._incidents, simulation._ledger
        assert isinstance(book, Store)
        assert isinstance(ledger, Books)
        simulation._incidents, simulation._ledger = book.rebuilt(), ledger.rebuilt()

    said = []
    for number, line in enumerate(texts(lines), 1):
        if number in stops:
            restart()
        said += list(simulation.read(number, line))
    for pause in pauses:
        said += list(simulation.finish(pause))
        restart()
    said += list(simulation.finish(end))
    found: dict[str, list[str]] = {}
    for output in said:
        if format_line(output):
            topic = TOPIC_OF.get(str(output["type"]), "")
            found.setdefault(topic, []).append(f"{tell_one(output)} {output['id']}")
    return found


END = parse_rfc3339("2026-06-20T00:00:00Z")


@settings(max_examples=settings.default.max_examples * 2 // 5)
@given(stories(), st.data())
def test_a_rebuilt_state_continues_exactly(lines: list[Line], data: st.DataObject) -> None:
    lags = data.draw(st.lists(LAGS, min_size=len(lines), max_size=len(lines)))
    lags[-3] = min(lags[-3], 300)
    arrived = arriving(lines, lags)
    stops = data.draw(st.sets(st.integers(1, len(lines)), min_size=1))
    once = parse_rfc3339("2026-03-12T00:00:00Z") + data.draw(st.integers(0, 40 * 96)) * 15 * MINUTE
    with pytest.MonkeyPatch.context() as patch:
        if data.draw(st.booleans()):  # every recheck is queued
            patch.setattr(rechecks, "MONTHS_AT_ONCE", -1)
        assert told(arrived, stops, END, (once,)) == told(arrived, set(), END)


def test_a_restart_in_a_long_outage_states_nothing_of_days_gone_by() -> None:
    lines = [contract("2026-02-20T00:00:00Z"), opened("10:00"), resolved("20 10:00")]
    days = tuple(parse_rfc3339(f"2026-03-{day:02d}T12:00:00Z") for day in (5, 9, 13))
    silent = told(lines[:2], set(), days[-1])
    assert told(lines[:2], set(), days[-1], days[:-1]) == silent


NEW_MONTH = parse_rfc3339("2026-04-01T00:00:00Z")


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([contract("2026-02-20T00:00:00Z"), opened("2026-03-31T20:00:00Z")], id="the-month-before"),
        pytest.param(
            [contract("2026-02-20T00:00:00Z"), opened("2026-03-31T23:59:00Z", started="2026-04-01T00:00:30Z")],
            id="begins-in-the-new-month-and-arrives-in-the-last-one",
        ),
        pytest.param(
            [
                contract("2026-02-20T00:00:00Z", end="2026-03-20T00:00:00Z"),
                contract("2026-02-20T00:01:00Z", start="2026-05-01T00:00:00Z", id="second"),
                opened("10:00"),
            ],
            id="lasts-while-there-is-no-contract",
        ),
    ],
)
def test_r26_a_restart_in_an_outage_skips_no_statement_of_the_next_month(lines: list[Line]) -> None:
    """An outage that lasts changes the next month without any input."""
    end = NEW_MONTH + 70 * DAY
    silent = told(lines, set(), end)
    for hour in (-12, 1, 12, 24 * 4, 24 * 30 + 12):
        assert told(lines, set(), end, (NEW_MONTH + hour * HOUR,)) == silent


def at_the_end_of_the_month(lines: list[Line], days: int) -> list[Line]:
    """A story that began in the first days of March, so many days later."""

    def later(found: re.Match[str]) -> str:
        return format_rfc3339(parse_rfc3339(found[0]) + days * DAY)

    return [json.loads(re.sub(r"2026-03-0\d[^\"]*Z", later, json.dumps(line))) for line in lines]


@settings(max_examples=settings.default.max_examples * 3 // 10)
@given(stories(), st.data())
def test_r26_a_restart_near_the_end_of_a_month_changes_no_statement(lines: list[Line], data: st.DataObject) -> None:
    if data.draw(st.booleans()):
        lines = [line for line in lines if line["type"] != "incident.resolved"]  # an outage that lasts
    lines = at_the_end_of_the_month(lines, data.draw(st.integers(26, 29)))
    lags = data.draw(st.lists(st.sampled_from([0, 0, 1, 60, 24 * 60]), min_size=len(lines), max_size=len(lines)))
    arrived = arriving(lines, lags)
    stops = data.draw(st.sets(st.integers(1, len(lines))))
    pauses = tuple(sorted(data.draw(st.sets(st.integers(-16, 30), min_size=1, max_size=4))))
    assert told(arrived, stops, END, tuple(NEW_MONTH + pause * 6 * HOUR for pause in pauses)) == told(
        arrived, set(), END
    )
