"""Statements beside the events they were made from: each is recounted from what was known when it was made (R30, R32).

A statement of instant T is made when time first passes T, from every line before. One of a month that was past when
its contract arrived is made when the load has been quiet; what is still to be made at the end knows every line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heapify, heappop

from streams.replay.history import (
    CONTRACT_TOPIC,
    INCIDENT_TOPIC,
    ReplayClock,
    TimeAdvance,
    apply_contract_fact,
    fire_timers,
)
from streams.serde.cloudevents_json import parse_line
from streams.sla.arrival import TimeLimits
from streams.sla.credits.recompute import Recomputation
from streams.sla.credits.submitted import SubmittedStatement, TermDifference
from streams.sla.credits.verify import check_against
from streams.sla.events import INCIDENT_RANK, Event, Position, Rejection
from streams.sla.facts import to_event
from streams.sla.impact import impact_copy
from streams.sla.incidents.incident_store import IncidentStore
from streams.sla.incidents.steps import Decision, outputs_of
from streams.sla.policy import Policies


class Log:
    """Recorded events, line by line, as `simulate` reads them; answers what a tenant-month came to so far."""

    def __init__(self, policies: Policies, time_limits: TimeLimits, *, backfill: bool = False) -> None:
        self._book = IncidentStore(policies, time_limits)
        self._arrivals = ReplayClock(time_limits, backfill=backfill)
        self.recomputation = Recomputation(policies, time_limits)

    def read(self, number: int, line: str) -> Iterator[TimeAdvance]:
        """Apply one line (numbered from 1). When it lets time pass, that comes out before it is applied."""
        parsed = parse_line(line, inputs_only=True)
        if isinstance(parsed, Rejection):
            return
        record = parsed[1]
        event = to_event(*parsed)
        time, received = record["occurred_at"], record.get("received_time")
        assert isinstance(time, int)
        backfill = bool(record["backfill"])
        self._arrivals.reads(time, received if isinstance(received, int) else None)
        passed = self._arrivals.passed(backfill=backfill)
        if passed is not None:
            yield passed
            for decision in fire_timers(self._book, passed):
                self._impacts(decision)
        if not isinstance(event, Rejection):
            self._apply(event._replace(backfill=self._arrivals.loaded(backfill=backfill)), number)

    def _apply(self, event: Event, number: int) -> None:
        arrival = self._arrivals.arrival
        if event.type in INCIDENT_RANK:
            self._impacts(self._book.apply(event, arrival, Position(INCIDENT_TOPIC, 0, number - 1)))
            return
        position = Position(CONTRACT_TOPIC, 0, number - 1)
        if self.recomputation.add(event, arrival, position):
            for decision in apply_contract_fact(self._book, event, arrival, position):
                self._impacts(decision)

    def _impacts(self, decision: Decision) -> None:
        for output in outputs_of(decision):
            if output.type == "impact.changed":
                self.recomputation.put_impacts(impact_copy(output.data))


def check_with_events(
    statements: list[SubmittedStatement], lines: Iterable[str], log: Log
) -> dict[int, TermDifference | None]:
    """What each statement (by its index) differs in from the events; None for one that they come to."""
    due = [(given.time, index) for index, given in enumerate(statements)]
    heapify(due)
    held: list[int] = []
    found: dict[int, TermDifference | None] = {}
    settled = True
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        loading = True
        for passed in log.read(number, line):
            loading = False
            while due and due[0][0] < passed.before:
                held.append(heappop(due)[1])
                settled = False
            if not settled:
                made = [index for index in held if _made(statements[index], log.recomputation, passed)]
                held = [index for index in held if index not in set(made)]
                found |= {index: check_against(statements[index], log.recomputation) for index in made}
                settled = passed.quiet
        settled = settled and not loading and '"contract.set"' not in line
    found |= {index: check_against(statements[index], log.recomputation) for index in [*held, *(i for _, i in due)]}
    return found


def _made(given: SubmittedStatement, recomputation: Recomputation, passed: TimeAdvance) -> bool:
    known_at = recomputation.known_at(given.tenant)
    return known_at is not None and (passed.quiet or given.time > known_at)
