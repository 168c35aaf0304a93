"""What follows from one input or timer of an incident: outputs, a row of its log, or a refusal."""

from __future__ import annotations

from typing import NamedTuple

from streams.sla import events as ev
from streams.sla.incidents.fold import Fact
from streams.sla.incidents.published import Entry


class Step(NamedTuple):
    """What one input or timer changed of one incident: a row of its log. `number` counts from 0. `due` is when the
    incident wants waking next, `held` whether the quiet after a load of history is waited for then (R32)."""

    incident_id: str
    number: int
    facts: list[Fact]
    entries: list[Entry]
    clock: int
    due: int | None = None
    held: bool = False

    def tenants(self) -> list[str]:
        """Every tenant that a fact of this step names."""
        named: list[str] = []
        for fact in self.facts:
            if isinstance(fact.payload, ev.Opened | ev.Reclassified):  # no other names whom it concerns
                named += fact.payload.tenant_ids or ()
        return named


class Decision(NamedTuple):
    """What follows from one input or timer. `rejected` names waiting facts given up as orphans (R4); `evicted` is the
    number of steps whose rows may go, leaving a marker until the given instant (R1). `replaces` is how many steps
    `step` stands for from now on (R29); `crashed` says why its incident could not be folded then."""

    outputs: list[ev.Output]
    step: Step | None = None
    rejection: ev.Rejection | None = None
    duplicate: bool = False
    waiting: bool = False
    orphans: tuple[Fact, ...] = ()
    evicted: tuple[str, int, int] | None = None
    forgotten: str | None = None
    subject: str | None = None
    replaces: int = 0
    crashed: str | None = None
