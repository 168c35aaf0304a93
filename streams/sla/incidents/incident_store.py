"""All incidents of one partition: identity, buffering, limits, timers, retention (R1, R4, R5, R28, R32)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from streams.sla import events as ev
from streams.sla.arrival import TimeLimits, check_time, own_arrival
from streams.sla.contracts import Contract, ContractCopies
from streams.sla.decisions import Duplicate, Rejected
from streams.sla.erasure import Erasures
from streams.sla.incidents.fold import Fact
from streams.sla.incidents.lru_cache import UNLIMITED, IncidentCache, NoSteps, StepReader
from streams.sla.incidents.schedule import Due, Schedule
from streams.sla.incidents.steps import (
    Applied,
    Buffered,
    Evicted,
    InputDecision,
    Orphaned,
    Rewritten,
    Step,
    TimerDecision,
    TombstoneExpired,
)
from streams.sla.incidents.stored_incident import StoredIncident
from streams.sla.incidents.timeline import Cause, Timeline
from streams.sla.policy import Policies


class Erased(NamedTuple):
    """What an erasure rewrites: the tenant's contract terms under its `pseudonym`, and its incidents (R29)."""

    pseudonym: str
    contracts: list[Contract]
    decisions: list[Rewritten]


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
        self._policies = policies
        self._time_limits = time_limits
        self._cache = IncidentCache(NoSteps() if steps is None else steps, max_cached, self._loaded)
        self._contracts = ContractCopies()
        self._incidents_of: dict[str, set[str]] = {}
        """Tenant → the retained incidents that name it."""
        self._schedule = Schedule(time_limits)
        self.erasures = Erasures(time_limits.pseudonym_key)

    # -- contract terms (R20) ----------------------------------------------------------------------------------------

    def restore_contract(self, tenant: str, contract: Contract) -> bool:
        """Add contract terms without re-evaluating any incident; False when they are known already."""
        return self._contracts.add(tenant, contract)

    def apply_contract(self, tenant: str, contract: Contract, arrival: int) -> list[Applied]:
        """A contract fact reached this partition: re-evaluate every retained incident it concerns (R20)."""
        if self._contracts.knows(tenant, contract):
            return []
        cause = Cause("contract.set", contract.time, contract.source, f"{tenant}/{contract.id}")
        decisions = []
        concerned = [self._cache.known(one) for one in sorted(self._incidents_of.get(tenant, ()))]
        for stored in concerned:
            self._folded(stored)  # by the terms that were known before
        self.restore_contract(tenant, contract)
        for stored in concerned:
            timeline = stored.timeline
            if timeline.folded is None:
                continue
            if not timeline.backfilled:
                timeline.processed_until = max(timeline.processed_until, arrival)
            timeline.reconsider_contracts(cause, self._policies, self._contracts)
            decisions.append(self._applied(stored, []))
        return decisions

    # -- erased tenants (R29) ----------------------------------------------------------------------------------------

    def erase(self, tenant: str, home: int, cause: Cause, arrival: int) -> Erased:
        """Replace a tenant by its pseudonym everywhere; `home` is the partition of its account."""
        pseudonym = self.erasures.pseudonym(tenant)
        self.erasures.add(pseudonym, home)
        contracts = self._contracts.rename(tenant, pseudonym)
        concerned = sorted(self._incidents_of.pop(tenant, ()))
        decisions = [self._rewrite(self._cache.known(one), cause, arrival) for one in concerned]
        return Erased(pseudonym, contracts, decisions)

    def _rewrite(self, stored: StoredIncident, cause: Cause, arrival: int) -> Rewritten:
        """Redact one incident and publish what follows. An incident that can't be folded is quarantined (R27); its
        names are removed all the same."""
        self._redact(stored)
        timeline, crashed = stored.timeline, None
        try:
            if not self._folded(stored).backfilled:
                timeline.processed_until = max(timeline.processed_until, arrival)
            timeline.differ(cause, self._policies, self._contracts)
        except Exception as error:
            crashed = f"{type(error).__name__}: {error}"
            self.quarantine(timeline.id)
        self._index_tenants(stored, timeline.facts)
        return self._rewritten(stored)._replace(crashed=crashed)

    def _redact(self, stored: StoredIncident) -> None:
        """Remove the data of an erased tenant from an incident's facts; it is folded on the next access."""
        old = stored.timeline
        facts = [fact._replace(payload=self.erasures.payload(fact.payload)) for fact in old.facts]
        stored.redacted, stored.timeline = True, Timeline(old.id)
        stored.timeline.restore(facts, old.published.entries(), old.processed_until)

    def _rewritten(self, stored: StoredIncident) -> Rewritten:
        """What follows, with one step that replaces all steps so far."""
        timeline = stored.timeline
        outputs, _ = timeline.take()
        replaces, stored.steps = stored.steps, 1
        due = self._schedule.set(stored)
        stored.recorded_due = due.at
        entries = timeline.published.entries()
        step = Step(timeline.id, 0, list(timeline.facts), entries, timeline.processed_until, *due)
        return Rewritten(outputs, step, replaces)

    # -- facts -------------------------------------------------------------------------------------------------------

    def apply(self, event: ev.Event, arrival: int, position: ev.Position) -> InputDecision:
        """Apply one checked event. The caller has fired the timers that were due before `arrival`."""
        subject = event.subject
        stored = self._cache.get(subject)
        if stored is not None and (known := stored.find(event)) is not None:
            if known.digest == event.digest:
                return Duplicate()
            message = f"event {event.id} of {event.source} arrived before with other content; the first stands"
            return Rejected(ev.Rejection("conflict", message, event.id))
        rejection = check_time(event, arrival, self._time_limits) or self._rejection(event, stored)
        if rejection is not None:
            return Rejected(rejection)
        if stored is None:
            stored = self._cache.get_or_create(subject)
        fact = Fact.of(event, own_arrival(event, arrival), position)
        if event.backfill:
            self._schedule.expect_backfill(arrival)
        return self._add(stored, fact, event.traceparent)

    def _rejection(self, event: ev.Event, stored: StoredIncident | None) -> ev.Rejection | None:
        """Why an event that arrived in time can't be applied (R1, R18, R28)."""
        subject = event.subject
        if self._schedule.has_tombstone(subject):
            return ev.Rejection("too_late", f"incident {subject} ended long ago and is no longer stored", event.id)
        if isinstance(event.payload, ev.PolicyApplied) and not self._policies.exact(*event.payload):
            message = f"this deployment has no policy {event.payload.policy} version {event.payload.version}"
            return ev.Rejection("invalid", message, event.id)
        oversize = None if stored is None else stored.oversize(event)
        return None if oversize is None else ev.Rejection("oversize", oversize, event.id)

    def _add(self, stored: StoredIncident, fact: Fact, traceparent: str | None) -> InputDecision:
        timeline = self._folded(stored)
        if fact.rank != 0 and not timeline.facts:
            self.buffer(fact, timeline.id)
            return Buffered(fact)
        new = [*stored.buffered, fact]
        stored.buffered = []
        for each in new:
            timeline.processed_until = max(timeline.processed_until, each.arrival)
        was_redacted = stored.redacted
        self._index_tenants(stored, new)
        if stored.redacted:
            new = [fact._replace(payload=self.erasures.payload(fact.payload)) for fact in new]
            if not was_redacted:
                self._redact(stored)
                timeline = self._folded(stored)
        timeline.add(new, self._policies, self._contracts)
        rewritten = stored.redacted and not was_redacted
        decision = self._rewritten(stored) if rewritten else self._applied(stored, new)
        if traceparent is not None:
            decision = decision._replace(outputs=[o._replace(traceparent=traceparent) for o in decision.outputs])
        return decision

    def buffer(self, fact: Fact, incident_id: str) -> None:
        """Keep a fact of an unknown incident until its opening arrives (R4). Also how a buffered fact is restored."""
        stored = self._cache.get_or_create(incident_id)
        stored.buffered.append(fact)
        self._schedule.set(stored)

    def _index_tenants(self, stored: StoredIncident, facts: Iterable[Fact]) -> None:
        for fact in facts:
            for tenant in map(self.erasures.name, getattr(fact.payload, "tenant_ids", None) or ()):
                self._incidents_of.setdefault(tenant, set()).add(stored.timeline.id)
                stored.redacted = stored.redacted or tenant in self.erasures

    def redacted(self, incident_id: str) -> bool:
        """Whether an incident names an erased tenant, so that its facts are kept redacted (R29)."""
        return self._cache.known(incident_id).redacted

    def tenants(self, incident_id: str) -> set[str]:
        """Every tenant that a fact of an incident names."""
        return set(self._cache.known(incident_id).timeline.tenants())

    def ever_platform(self, incident_id: str) -> bool:
        """Whether any fact of an incident has platform scope, even if it has another scope now."""
        facts = self._cache.known(incident_id).timeline.facts
        return any(getattr(fact.payload, "scope", None) == "platform" for fact in facts)

    # -- timers ------------------------------------------------------------------------------------------------------

    def next_due(self) -> int | None:
        """The earliest instant of which a timer fires once time has passed it."""
        return self._schedule.timers.next_due()

    def first_due(self, before: int, *, backfill_idle: bool = False) -> tuple[int, str] | None:
        """The earliest timer due strictly before an instant, as (due, incident). Timers of backfilled incidents wait
        until no more backfill is expected (R32); `backfill_idle` says that none follows."""
        return self._schedule.timers.first_due(before, backfill_idle=backfill_idle)

    def fire(self, before: int, *, seen_at: int | None = None, backfill_idle: bool = False) -> TimerDecision | None:
        """Fire the earliest due timer; None when there is none. `seen_at` is the instant of processing that breaches
        report as `detected_at`; without it, the instant at which they could first be known."""
        first_due = self.first_due(before, backfill_idle=backfill_idle)
        if first_due is None:
            return None
        due, incident_id = first_due
        return self._fire(incident_id, due, due if seen_at is None else seen_at)

    def _fire(self, incident_id: str, due: int, seen_at: int) -> TimerDecision:
        if self._schedule.has_tombstone(incident_id):
            self._schedule.remove(incident_id)
            return TombstoneExpired(incident_id)
        stored = self._cache.get(incident_id)
        assert stored is not None, f"a timer of {incident_id}, which is not known"
        if stored.buffered:
            return self._orphan(stored, due)
        timeline = self._folded(stored)
        if self._schedule.set(stored).at != due:  # the row names a timer that led to nothing, or there is none
            return Applied([], None)
        if timeline.due() is not None:
            timeline.fire(due, seen_at)
            return self._applied(stored, [])
        return self._evict(stored, due)

    def _orphan(self, stored: StoredIncident, due: int) -> Orphaned:
        """R4: facts whose opening does not come in time are orphans, each rejected once."""
        limit = due - self._time_limits.orphan_after
        orphans = tuple(fact for fact in stored.first_to_expire() if fact.arrival <= limit)
        expired = frozenset(orphans)
        stored.buffered = [fact for fact in stored.buffered if fact not in expired]
        if stored.buffered:
            self._schedule.set(stored)
        else:
            self._cache.discard(stored.timeline.id)
            self._schedule.remove(stored.timeline.id)
        return Orphaned(stored.timeline.id, orphans)

    def _evict(self, stored: StoredIncident, due: int) -> Evicted:
        """R1: an incident that ended long ago leaves only a tombstone of its id."""
        incident_id = stored.timeline.id
        for tenant in set(stored.timeline.tenants()):
            incidents = self._incidents_of.get(tenant, set())
            incidents.discard(incident_id)
            if not incidents:
                self._incidents_of.pop(tenant, None)
        self._cache.discard(incident_id)
        until = due + self._time_limits.retain_markers
        self._schedule.add_tombstone(incident_id, until)
        return Evicted(incident_id, stored.steps, until)

    # -- state -------------------------------------------------------------------------------------------------------

    def _loaded(self, stored: StoredIncident) -> None:
        if self.erasures:
            stored.redacted = any(tenant in self.erasures for tenant in stored.timeline.tenants())

    def _folded(self, stored: StoredIncident) -> Timeline:
        timeline = stored.timeline
        if timeline.folded is None and timeline.facts:
            timeline.refold(self._policies, self._contracts)
        return timeline

    def _applied(self, stored: StoredIncident, facts: list[Fact]) -> Applied:
        timeline = stored.timeline
        outputs, entries = timeline.take()
        due = self._schedule.set(stored)
        # A timer that leads to no output needs no row: fired again after a restart it leads to none again. A timer
        # that is earlier than the last row says does need one.
        earlier = due.at is not None and (stored.recorded_due is None or due.at < stored.recorded_due)
        if not (facts or entries or earlier):
            return Applied(outputs, None)
        step = Step(timeline.id, stored.steps, facts, entries, timeline.processed_until, *due)
        stored.steps += 1
        stored.recorded_due = due.at
        return Applied(outputs, step)

    def quarantine(self, incident_id: str) -> None:
        """Stop the timers of an incident, which crashed, until its next input; its state is kept (R27)."""
        self._schedule.timers.quarantine(incident_id)

    def release(self, incident_id: str) -> bool:
        """Let a quarantined incident's timers fire again; False when it was not quarantined."""
        if not self._schedule.timers.release(incident_id):
            return False
        stored = self._cache.get(incident_id)
        if stored is not None:
            self._folded(stored)
            self._schedule.set(stored)
        return True

    def last_input(self, incident_id: str) -> ev.Position | None:
        """The position of the last input about an incident."""
        stored = self._cache.get(incident_id)
        facts = [] if stored is None else [*stored.timeline.facts, *stored.buffered]
        return max(facts, key=lambda fact: fact.arrival).position if facts else None

    def restore_step(self, incident_id: str, due: int | None, deferred: bool, tenants: Iterable[str]) -> None:
        """Index one recorded step of an incident, called in their order. The rest of it is decoded on access."""
        self._schedule.restore(incident_id, Due(due, deferred))
        for tenant in tenants:
            self._incidents_of.setdefault(tenant, set()).add(incident_id)

    def restore_tombstone(self, incident_id: str, until: int) -> None:
        """Restore the id of an evicted incident (R1)."""
        self._schedule.add_tombstone(incident_id, until)

    def restore_backfill_idle(self, at: int) -> None:
        """Restore the instant after which no more backfill is expected (R32)."""
        self._schedule.timers.expect_backfill_until(at)

    @property
    def backfill_idle_at(self) -> int:
        """No more backfill is expected after this instant (R32)."""
        return self._schedule.timers.backfill_idle_at

    def trim_cache(self) -> None:
        """Evict incidents beyond the size of the cache; called between two inputs or timers."""
        self._cache.evict()
