"""What follows from one input or timer of an incident: a closed union, of which callers match every case."""

from __future__ import annotations

from typing import NamedTuple, assert_never

from streams.sla import events as ev
from streams.sla.decisions import Duplicate, Rejected
from streams.sla.incidents.fold import Fact
from streams.sla.incidents.published import PublishedEntry

#: The facts that name tenants.
NAMING = (ev.Opened, ev.Reclassified)


class Step(NamedTuple):
    """What one input or timer changed of one incident: a row of its log. `number` counts from 0. `processed_until` is
    the instant up to which everything due has been done; `due` is the incident's next timer, `deferred` whether that
    waits until no more backfill is expected (R32). Instants in microseconds."""

    incident_id: str
    number: int
    facts: list[Fact]
    entries: list[PublishedEntry]
    processed_until: int
    due: int | None = None
    deferred: bool = False

    def names(self) -> tuple[list[str], int | None]:
        """Every tenant that a fact of this step names, and the time of the earliest opening in it, if it has one."""
        tenants: list[str] = []
        opened_at = None
        for fact in self.facts:
            if isinstance(fact.payload, NAMING):
                tenants += fact.payload.tenant_ids or ()
                if fact.rank == 0 and (opened_at is None or fact.time < opened_at):
                    opened_at = fact.time
        return tenants, opened_at


class StepIndex(NamedTuple):
    """What is known of a recorded step before it is decoded: the incident's next timer, whether it is deferred, tenants
    that the step names, and the time of an opening in it: `tenant_index.UNKNOWN` where the row does not tell."""

    due: int | None
    deferred: bool
    tenants: list[str]
    opened_at: int | None

    @classmethod
    def of(cls, step: Step) -> StepIndex:
        """The index of a step."""
        return cls(step.due, step.deferred, *step.names())


class Applied(NamedTuple):
    """An input, a timer or a contract fact took effect. `step` is None when there is nothing to record."""

    outputs: list[ev.Output]
    step: Step | None


class Buffered(NamedTuple):
    """The event waits for its incident's opening (R4)."""

    fact: Fact


class Orphaned(NamedTuple):
    """Buffered facts whose opening did not come in time: each is to be rejected as `orphan` (R4)."""

    incident_id: str
    facts: tuple[Fact, ...]


class Reevaluated(NamedTuple):
    """A contract fact led to another judgement of the incident (R20). `arrival` is that of the latest input on which it
    rests."""

    outputs: list[ev.Output]
    step: Step | None
    arrival: int


class Evicted(NamedTuple):
    """The incident ended long ago: its rows, numbered from 0 to `steps` - 1, are to be deleted. A tombstone of its id
    stays until the given instant (R1)."""

    incident_id: str
    steps: int
    tombstone_until: int


class TombstoneExpired(NamedTuple):
    """The tombstone of an evicted incident is to be deleted (R1)."""

    incident_id: str


class ContractsEvicted(NamedTuple):
    """Copies of contract terms that are to be deleted, as (tenant, source, id) (R26)."""

    facts: list[tuple[str, str, str]]


class Rewritten(NamedTuple):
    """The incident names an erased tenant: `step` replaces its rows, which are numbered from 0 to `replaces` - 1 (R29).
    `arrival` is that of the latest input on which it rests. `crashed` says why the incident could not be folded; it is
    quarantined then (R27)."""

    outputs: list[ev.Output]
    step: Step
    replaces: int
    arrival: int
    crashed: str | None = None


def traced(outputs: list[ev.Output], traceparent: str | None) -> list[ev.Output]:
    """The outputs as part of a trace; as they are where there is none."""
    return outputs if traceparent is None else [output._replace(traceparent=traceparent) for output in outputs]


InputDecision = Applied | Duplicate | Rejected | Buffered | Rewritten
TimerDecision = Applied | Reevaluated | Rewritten | Orphaned | Evicted | TombstoneExpired | ContractsEvicted
Decision = InputDecision | TimerDecision


def outputs_of(decision: Decision) -> list[ev.Output]:
    """The outputs to publish, in order."""
    match decision:
        case Applied(outputs=outputs) | Reevaluated(outputs=outputs) | Rewritten(outputs=outputs):
            return outputs
        case Duplicate() | Rejected() | Buffered() | Orphaned() | Evicted() | TombstoneExpired() | ContractsEvicted():
            return []
        case _:
            assert_never(decision)
