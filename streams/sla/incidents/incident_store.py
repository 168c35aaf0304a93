"""All incidents of one partition: identity, buffering, limits, timers, retention (R1, R4, R5, R28, R32)."""

from __future__ import annotations

from collections.abc import Iterable

from streams.sla import events as ev
from streams.sla.arrival import TimeLimits, check_time, own_arrival
from streams.sla.contracts import Contract
from streams.sla.decisions import Duplicate, Rejected
from streams.sla.erasure import Erasure
from streams.sla.incidents import contract_facts, contract_retention, episodes
from streams.sla.incidents.causes import Cause
from streams.sla.incidents.contract_facts import Erased
from streams.sla.incidents.fold import Fact
from streams.sla.incidents.lru_cache import UNLIMITED, NoSteps, StepReader
from streams.sla.incidents.present_state import size_of, state_of
from streams.sla.incidents.reevaluation import QueueProgress
from streams.sla.incidents.state import IncidentState
from streams.sla.incidents.steps import (
    NAMING,
    Applied,
    Buffered,
    Evicted,
    InputDecision,
    Orphaned,
    Reevaluated,
    Rewritten,
    StepIndex,
    TimerDecision,
    TombstoneExpired,
    traced,
)
from streams.sla.incidents.stored_incident import StoredIncident
from streams.sla.policy import Policies


class IncidentStore:
    """The incidents of one partition. Instants are microseconds; `arrival` is the broker's append time (R32)."""

    def __init__(
        self,
        policies: Policies,
        time_limits: TimeLimits,
        steps: StepReader | None = None,
        max_cached: int = UNLIMITED,
    ) -> None:
        """`max_cached` is how many incidents are cached as objects; all others are read from `steps` on access."""
        self._state = IncidentState(policies, time_limits, NoSteps() if steps is None else steps, max_cached)
        self.erasures = self._state.erasures
        self.queue = self._state.queue
        self.timers = self._state.schedule.timers

    # -- contract terms and erasures (R20, R29) ----------------------------------------------------------------------

    def restore_contract(self, tenant: str, contract: Contract) -> bool:
        """Add contract terms without re-evaluating any incident; False when they are known already."""
        return self._state.contracts.add(tenant, contract)

    def has_contract(self, tenant: str) -> bool:
        """Whether there are contract terms of a tenant, of whatever time."""
        return self._state.contracts.has(tenant)

    def apply_contract(
        self, tenant: str, contract: Contract, arrival: int, *, at_once: int = UNLIMITED
    ) -> list[Reevaluated | Rewritten]:
        """A contract fact reached this partition: re-evaluate the retained incidents that it concerns. When there are
        more than `at_once`, they are queued: `fire` re-evaluates them."""
        return contract_facts.apply_contract(self._state, tenant, contract, arrival, at_once)

    def reevaluate(self, incident_id: str) -> Reevaluated | Rewritten | None:
        """Rewrite or re-evaluate a queued incident, before anything else is decided on it; None when it is not."""
        return contract_facts.reevaluate(self._state, incident_id)

    def restore_queue(self, progress: QueueProgress) -> None:
        """Restore a row of the queue of re-evaluations, after all other rows."""
        contract_facts.restore_queue(self._state, progress)

    def erase(self, tenant: str, home: int, cause: Cause, arrival: int, *, at_once: int = UNLIMITED) -> Erased:
        """Replace a tenant by its pseudonym everywhere; `home` is the partition of its account. When it has more than
        `at_once` incidents, they are queued: `fire` rewrites them."""
        return contract_facts.erase_tenant(self._state, tenant, home, cause, arrival, at_once)

    def resume_erasures(self, erasures: Iterable[Erasure]) -> None:
        """Queue the incidents that name a tenant of these erasures, after all other rows but those of the queue of
        re-evaluations."""
        contract_facts.resume_erasures(self._state, erasures)

    def names_erased(self, incident_id: str) -> bool:
        """Whether an incident still names an erased tenant: it may not be published before it is rewritten (R29)."""
        return incident_id in self._state.rewrites

    @property
    def waiting_since(self) -> int | None:
        """The arrival of the oldest contract fact or erasure that has not been applied to all of its incidents."""
        queued = [at for at in (self.queue.waiting_since, self._state.rewrites.waiting_since) if at is not None]
        return min(queued, default=None)

    # -- facts -------------------------------------------------------------------------------------------------------

    def interrupted(self, incident_id: str) -> bool:
        """Whether an incident is quarantined, or queued to be rewritten or re-evaluated: its next input ends that."""
        state = self._state
        return (
            incident_id in state.queue.pending
            or incident_id in state.rewrites.pending
            or state.schedule.timers.quarantined(incident_id)
        )

    def apply(
        self, event: ev.Event, arrival: int, position: ev.Position, *, accepted_before: bool = False
    ) -> InputDecision:
        """Apply one checked event. The caller has fired the timers that were due before `arrival`. `accepted_before`
        says that a release with fewer checks accepted it."""
        subject = event.subject
        state = self._state
        if not state.retention.scheduled and state.contracts:  # the first input after a start
            contract_retention.schedule(state, arrival)
        stored = state.cache.get(subject)
        if stored is not None and (known := stored.find(event)) is not None:
            if known.digest == event.digest:
                return Duplicate()
            message = f"event {event.id} of {event.source} arrived before with other content; the first stands"
            return Rejected(ev.Rejection("conflict", message, event.id))
        rejection = check_time(event, arrival, state.time_limits, instants=not accepted_before)
        rejection = rejection or self._rejection(event, stored)
        if rejection is not None:
            return Rejected(rejection)
        if stored is None:
            stored = state.cache.create(subject)
        if event.backfill:
            state.schedule.expect_backfill(arrival)
            arrival = own_arrival(event, arrival)
        fact = Fact.of(event, arrival, position)
        return self._add(stored, fact, event.traceparent)

    def _rejection(self, event: ev.Event, stored: StoredIncident | None) -> ev.Rejection | None:
        """Why an event that arrived in time can't be applied (R1, R18, R28)."""
        subject = event.subject
        if self._state.schedule.has_tombstone(subject):
            return ev.Rejection("too_late", f"incident {subject} ended long ago and is no longer stored", event.id)
        if isinstance(event.payload, ev.PolicyApplied) and not self._state.policies.exact(*event.payload):
            message = f"this deployment has no policy {event.payload.policy} version {event.payload.version}"
            return ev.Rejection("invalid", message, event.id)
        oversize = None if stored is None else stored.oversize(event)
        return None if oversize is None else ev.Rejection("oversize", oversize, event.id)

    def _add(self, stored: StoredIncident, fact: Fact, traceparent: str | None) -> InputDecision:
        state = self._state
        timeline = state.folded(stored)
        if fact.rank != 0 and not timeline.facts:
            self.buffer(fact, timeline.id)
            return Buffered(fact)
        new = [*stored.buffered, fact]
        stored.buffered = []
        for each in new:
            timeline.processed_until = max(timeline.processed_until, each.arrival)
        was_redacted = stored.redacted
        state.index_tenants(stored, new)
        if stored.redacted:
            new = [state.redacted(fact) for fact in new]
            if not was_redacted:
                state.redact(stored)
                timeline = state.folded(stored)
        timeline.add(new, state.context)
        rewritten = stored.redacted and not was_redacted
        decision = state.rewritten(stored, fact.arrival) if rewritten else state.applied(stored, new)
        return decision if traceparent is None else decision._replace(outputs=traced(decision.outputs, traceparent))

    def buffer(self, fact: Fact, incident_id: str) -> None:
        """Keep a fact of an unknown incident until its opening arrives (R4). Also how a buffered fact is restored."""
        stored = self._state.cache.get_or_create(incident_id)
        stored.buffered.append(fact)
        self._state.schedule.set(stored)

    def redacted(self, incident_id: str) -> bool:
        """Whether an incident names an erased tenant, so that its facts are kept redacted (R29)."""
        return bool(self.erasures) and self._state.cache.known(incident_id).redacted

    def ever_concerned(self, incident_id: str) -> set[str] | None:
        """Every tenant that a fact of an incident names; None where any fact has platform scope, even if the incident
        has another scope now."""
        found: set[str] = set()
        for fact in self._state.cache.known(incident_id).timeline.facts:
            if isinstance(fact.payload, NAMING):
                if fact.payload.scope == "platform":
                    return None
                found.update(fact.payload.tenant_ids or ())
        return found

    # -- timers ------------------------------------------------------------------------------------------------------

    def next_due(self) -> int | None:
        """The earliest instant of which a timer fires once time has passed it."""
        state, due = self._state, self._state.schedule.timers.next_due()
        if not (state.queue.pending or state.rewrites.pending):
            return due
        queued = self._first_queued()
        return due if queued is None else queued[0] if due is None else min(due, queued[0])

    def _first_queued(self) -> tuple[int, str] | None:
        """When the next queued incident is due, and which it is."""
        rewriting, queued = self._state.rewrites.first_due(), self.queue.first_due()
        return rewriting if queued is None or (rewriting is not None and rewriting[0] <= queued[0]) else queued

    def first_due(self, before: int, *, backfill_idle: bool = False) -> tuple[int, str] | None:
        """The earliest timer due strictly before an instant, as (due, incident). Timers of backfilled incidents wait
        until no more backfill is expected (R32); `backfill_idle` says that none follows."""
        timer = self._state.schedule.timers.first_due(before, backfill_idle=backfill_idle)
        queued = self._first_queued()
        if queued is None or queued[0] >= before:
            return timer
        return queued if timer is None or queued[0] <= timer[0] else timer

    def fire(self, before: int, *, seen_at: int | None = None, backfill_idle: bool = False) -> TimerDecision | None:
        """Fire the earliest due timer; None when there is none. `seen_at` is the instant of processing that breaches
        report as `detected_at`; without it, the instant at which they could first be known."""
        first_due = self.first_due(before, backfill_idle=backfill_idle)
        return None if first_due is None else self.fire_first(first_due, before, seen_at=seen_at)

    def fire_first(self, first_due: tuple[int, str], before: int, *, seen_at: int | None = None) -> TimerDecision:
        """`fire` for a caller that knows what `first_due` returned."""
        due, incident_id = first_due
        if incident_id == contract_retention.EVICTION:
            return contract_retention.step(self._state, before)
        return self._fire(incident_id, due, due if seen_at is None else seen_at)

    def _fire(self, incident_id: str, due: int, seen_at: int) -> TimerDecision:
        decision = self.reevaluate(incident_id)
        if decision is not None:
            return decision
        if self._state.schedule.has_tombstone(incident_id):
            self._state.schedule.remove(incident_id)
            return TombstoneExpired(incident_id)
        stored = self._state.cache.get(incident_id)
        assert stored is not None, f"a timer of {incident_id}, which is not known"
        if stored.buffered:
            return self._orphan(stored, due)
        timeline = self._state.folded(stored)
        if timeline.due() == due:
            timeline.fire(due, seen_at)
            return self._state.applied(stored, [])
        if self._state.schedule.set(stored)[0] != due:  # the row names a timer that led to nothing, or there is none
            return Applied([], None)
        return self._evict(stored, due)

    def load_due(self, before: int, limit: int) -> None:
        """Decode and fold the incidents of up to `limit` timers that are due before an instant, so that `fire` finds
        them cached. Changes nothing else, and raises nothing: `fire` finds what is wrong with an incident."""
        state = self._state
        if state.queue.pending or state.rewrites.pending:  # these are folded as they were before, and then anew
            return
        try:
            loaded = [state.cache.get(incident_id) for incident_id in state.schedule.timers.soonest(before, limit)]
            for stored in loaded:
                if stored is not None:
                    state.folded(stored)
        except Exception:
            return

    def _orphan(self, stored: StoredIncident, due: int) -> Orphaned:
        """R4: facts whose opening does not come in time are orphans, each rejected once."""
        limit = due - self._state.time_limits.orphan_after
        orphans = tuple(fact for fact in stored.first_to_expire() if fact.arrival <= limit)
        expired = frozenset(orphans)
        stored.buffered = [fact for fact in stored.buffered if fact not in expired]
        if stored.buffered:
            self._state.schedule.set(stored)
        else:
            self._state.cache.discard(stored.timeline.id)
            self._state.schedule.remove(stored.timeline.id)
        return Orphaned(stored.timeline.id, orphans)

    def _evict(self, stored: StoredIncident, due: int) -> Evicted:
        """R1: an incident that ended long ago leaves only a tombstone of its id."""
        incident_id = stored.timeline.id
        self._state.tenants.remove_incident(incident_id, stored.timeline.tenants())
        self._state.queue.discard(incident_id)
        self._state.cache.discard(incident_id)
        until = due + self._state.time_limits.retain_markers
        self._state.schedule.add_tombstone(incident_id, until)
        return Evicted(incident_id, stored.steps, until)

    # -- state -------------------------------------------------------------------------------------------------------

    def present_state(self, incident_id: str) -> ev.Output | None:
        """The present state of an incident as `incident.state`; None for one that is evicted, not known, or not opened
        yet. The number of recorded steps is its revision."""
        stored = self._state.cache.get(incident_id)
        if stored is None or not stored.timeline.facts:
            return None
        return state_of(self._state.folded(stored), stored.steps)

    def contradictory_times(self, incident_id: str) -> episodes.ContradictoryTimes | None:
        """The times of an incident that has a state, where its end is said to be before its beginning or opening."""
        stored = self._state.cache.get(incident_id)
        return None if stored is None else self._state.folded(stored).live.episodes[-1].contradictory

    def size_of_state(self, incident_id: str) -> int:
        """About how many bytes the state of an incident takes; 0 for one that is not known."""
        stored = self._state.cache.get(incident_id)
        return 0 if stored is None else size_of(stored.timeline)

    def cached(self) -> list[str]:
        """The ids of the cached incidents, sorted: all that are retained where the cache has no limit."""
        return self._state.cache.ids()

    def quarantine(self, incident_id: str) -> None:
        """Stop the timers of an incident, which crashed, until its next input; its state is kept (R27)."""
        self._state.quarantine(incident_id)

    def release(self, incident_id: str) -> bool:
        """Let a quarantined incident's timers fire again; False when it was not quarantined."""
        if not self._state.schedule.timers.release(incident_id):
            return False
        stored = self._state.cache.get(incident_id)
        if stored is not None:
            self._state.folded(stored)
            self._state.schedule.set(stored)
        return True

    def last_input(self, incident_id: str) -> ev.Position | None:
        """The position of the last input about an incident."""
        stored = self._state.cache.get(incident_id)
        facts = [] if stored is None else [*stored.timeline.facts, *stored.buffered]
        return max(facts, key=lambda fact: fact.arrival).position if facts else None

    def restore_step(self, incident_id: str, index: StepIndex) -> None:
        """Index one recorded step of an incident, called in their order. The rest of it is decoded on access."""
        self._state.schedule.restore(incident_id, (index.due, index.deferred))
        if index.tenants or index.opened_at is not None:
            self._state.tenants.add(incident_id, index.tenants, index.opened_at)

    def restore_tombstone(self, incident_id: str, until: int) -> None:
        """Restore the id of an evicted incident (R1)."""
        self._state.schedule.add_tombstone(incident_id, until)

    def restore_backfill_idle(self, at: int) -> None:
        """Restore the instant after which no more backfill is expected (R32)."""
        self._state.schedule.timers.expect_backfill_until(at)

    @property
    def backfill_idle_at(self) -> int:
        """No more backfill is expected after this instant (R32)."""
        return self._state.schedule.timers.backfill_idle_at

    def trim_cache(self) -> None:
        """Evict incidents beyond the size of the cache; called between two inputs or timers."""
        self._state.cache.evict()
