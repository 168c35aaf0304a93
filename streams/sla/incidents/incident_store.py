"""All incidents of one partition: identity, waiting for openings, limits, timers, retention (R1, R4, R5, R28, R32)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from streams.sla import events as ev
from streams.sla.arrival import TimeLimits, check_time, own_arrival
from streams.sla.contracts import Contract, ContractCopies
from streams.sla.erasure import Erasures
from streams.sla.incidents.fold import Fact
from streams.sla.incidents.lru_cache import EVERYTHING, IncidentCache, Nothing, Recorded
from streams.sla.incidents.steps import Decision, Step
from streams.sla.incidents.stored_incident import StoredIncident
from streams.sla.incidents.timeline import Cause, Timeline
from streams.sla.policy import Policies
from streams.sla.timers import Timers


class Erased(NamedTuple):
    """What an erasure rewrites: the tenant's contract terms under its pseudonym `name`, and its incidents (R29)."""

    name: str
    contracts: list[Contract]
    decisions: list[Decision]


class IncidentStore:
    """The incidents of one partition. Instants are microseconds; `arrival` is the broker's append time (R32)."""

    def __init__(
        self, policies: Policies, time_limits: TimeLimits, recorded: Recorded | None = None, at_hand: int = EVERYTHING
    ) -> None:
        """`at_hand` is how many incidents are kept as objects beside what is `recorded` of all."""
        self._policies = policies
        self._time_limits = time_limits
        self._shelf = IncidentCache(Nothing() if recorded is None else recorded, at_hand, self._woken)
        self._markers: dict[str, int] = {}
        self._contracts = ContractCopies()
        self._concerned: dict[str, set[str]] = {}
        self._timers = Timers()
        self.erasures = Erasures(time_limits.pseudonym_key)

    # -- contract terms (R20) ----------------------------------------------------------------------------------------

    def know(self, tenant: str, contract: Contract) -> bool:
        """Keep a copy of contract terms without judging by it; also how one is restored."""
        return self._contracts.add(tenant, contract)

    def learn(self, tenant: str, contract: Contract, arrival: int) -> list[Decision]:
        """A contract fact reached this partition: re-fold every retained incident it concerns (R20)."""
        if self._contracts.knows(tenant, contract):
            return []
        cause = Cause("contract.set", contract.time, contract.source, f"{tenant}/{contract.id}")
        decisions = []
        concerned = [self._shelf.known(one) for one in sorted(self._concerned.get(tenant, ()))]
        for kept in concerned:
            self._hydrated(kept)  # by the terms that were known before
        self.know(tenant, contract)
        for kept in concerned:
            timeline = kept.timeline
            if timeline.folded is None:
                continue
            if not timeline.backfilled:
                timeline.clock = max(timeline.clock, arrival)
            timeline.reconsider_terms(cause, self._policies, self._contracts)
            decisions.append(self._decision(kept, []))
        return decisions

    def erase(self, tenant: str, home: int, cause: Cause, arrival: int) -> Erased:
        """A tenant is known by its pseudonym alone from now on; `home` is the partition of its account (R29)."""
        name = self.erasures.pseudonym(tenant)
        self.erasures.add(name, home)
        contracts = self._contracts.rename(tenant, name)
        concerned = sorted(self._concerned.pop(tenant, ()))
        return Erased(name, contracts, [self._rewrite(self._shelf.known(one), cause, arrival) for one in concerned])

    def _rewrite(self, kept: StoredIncident, cause: Cause, arrival: int) -> Decision:
        """One step in place of all: the facts without what an erased tenant may not leave, and what was said. An
        incident whose decision crashes on it is to be set aside, but its names go all the same (R27)."""
        self._bare(kept)
        timeline, crashed = kept.timeline, None
        try:
            if not self._hydrated(kept).backfilled:
                timeline.clock = max(timeline.clock, arrival)
            timeline.differ(cause, self._policies, self._contracts)
        except Exception as error:
            crashed = f"{type(error).__name__}: {error}"
            self.quarantine(timeline.id)
        self._index_tenants(kept, timeline.facts)
        return self._whole(kept)._replace(crashed=crashed)

    def _bare(self, kept: StoredIncident) -> None:
        """Take from an incident's facts what an erased tenant may not leave; it is folded when touched."""
        old = kept.timeline
        facts = [fact._replace(payload=self.erasures.payload(fact.payload)) for fact in old.facts]
        kept.bare, kept.timeline = True, Timeline(old.id)
        kept.timeline.restore(facts, old.said.entries(), old.clock)

    def _whole(self, kept: StoredIncident) -> Decision:
        """What follows, with a step that stands for all steps so far."""
        timeline = kept.timeline
        outputs, _ = timeline.take()
        steps, kept.steps = kept.steps, 1
        due, held = self._schedule(kept)
        kept.recorded_due = due
        step = Step(timeline.id, 0, list(timeline.facts), timeline.said.entries(), timeline.clock, due, held)
        return Decision(outputs, step, replaces=steps)

    # -- facts -------------------------------------------------------------------------------------------------------

    def apply(self, event: ev.Event, arrival: int, position: ev.Position) -> Decision:
        """Fold one checked event in. The caller has let timers due before `arrival` act."""
        subject = event.subject
        kept = self._shelf.get(subject)
        if kept is not None and (known := kept.find(event)) is not None:
            if known.digest == event.digest:
                return Decision([], duplicate=True)
            message = f"event {event.id} of {event.source} arrived before with other content; the first stands"
            return Decision([], rejection=ev.Rejection("conflict", message, event.id))
        refused = check_time(event, arrival, self._time_limits) or self._refused(event, kept)
        if refused is not None:
            return Decision([], rejection=refused)
        if kept is None:
            kept = self._shelf.make(subject)
        fact = Fact.of(event, own_arrival(event, arrival), position)
        if event.backfill:
            self._timers.quiet_not_before(arrival + self._time_limits.backfill_quiet)
        return self._add(kept, fact, event.traceparent)

    def _refused(self, event: ev.Event, kept: StoredIncident | None) -> ev.Rejection | None:
        """Why an event that is in time can't be applied all the same (R1, R18, R28)."""
        subject = event.subject
        if subject in self._markers:
            return ev.Rejection("too_late", f"incident {subject} ended long ago and is no longer kept", event.id)
        if isinstance(event.payload, ev.PolicyApplied) and not self._policies.exact(*event.payload):
            message = f"this deployment has no policy {event.payload.policy} version {event.payload.version}"
            return ev.Rejection("invalid", message, event.id)
        oversize = None if kept is None else kept.oversize(event)
        return None if oversize is None else ev.Rejection("oversize", oversize, event.id)

    def _add(self, kept: StoredIncident, fact: Fact, traceparent: str | None) -> Decision:
        timeline = self._hydrated(kept)
        if fact.rank != 0 and not timeline.facts:
            self.wait(fact, timeline.id)
            return Decision([], waiting=True)
        new = [*kept.waiting, fact]
        kept.waiting = []
        for each in new:
            timeline.clock = max(timeline.clock, each.arrival)
        was_bare = kept.bare
        self._index_tenants(kept, new)
        if kept.bare:
            new = [fact._replace(payload=self.erasures.payload(fact.payload)) for fact in new]
            if not was_bare:
                self._bare(kept)
                timeline = self._hydrated(kept)
        timeline.add(new, self._policies, self._contracts)
        decision = self._decision(kept, new) if was_bare or not kept.bare else self._whole(kept)
        if traceparent is not None:
            decision = decision._replace(outputs=[o._replace(traceparent=traceparent) for o in decision.outputs])
        return decision

    def wait(self, fact: Fact, subject: str) -> None:
        """Keep a fact of an unknown incident until its opening comes (R4). Also how a waiting fact is restored."""
        kept = self._shelf.make(subject)
        kept.waiting.append(fact)
        self._schedule(kept)

    def _index_tenants(self, kept: StoredIncident, facts: Iterable[Fact]) -> None:
        for fact in facts:
            for tenant in map(self.erasures.name, getattr(fact.payload, "tenant_ids", None) or ()):
                self._concerned.setdefault(tenant, set()).add(kept.timeline.id)
                kept.bare = kept.bare or tenant in self.erasures

    def bare(self, incident_id: str) -> bool:
        """Whether an incident names an erased tenant, so that its facts are kept bare (R29)."""
        return self._shelf.known(incident_id).bare

    def tenants(self, incident_id: str) -> set[str]:
        """Every tenant that a fact of an incident names."""
        return set(self._shelf.known(incident_id).timeline.tenants())

    def ever_platform(self, incident_id: str) -> bool:
        """Whether any fact of an incident says that it concerns everyone, though it may not any more."""
        facts = self._shelf.known(incident_id).timeline.facts
        return any(getattr(fact.payload, "scope", None) == "platform" for fact in facts)

    # -- timers ------------------------------------------------------------------------------------------------------

    def next_due(self) -> int | None:
        """The earliest instant at which a timer acts once time has passed it."""
        return self._timers.next_due()

    def first_due(self, before: int, *, quiet: bool = False) -> tuple[int, str] | None:
        """The earliest timer due strictly before an instant, as (due, incident). Timers of backfilled incidents wait
        until the load has been quiet (R32), or until `quiet` says that no more is to come."""
        return self._timers.first_due(before, quiet=quiet)

    def fire(self, before: int, *, seen_at: int | None = None, quiet: bool = False) -> Decision | None:
        """Let the earliest ripe timer act; None when there is none. `seen_at` is the instant of processing that
        breaches report as `detected_at`; without it, the instant at which they could first be known."""
        first_due = self.first_due(before, quiet=quiet)
        if first_due is None:
            return None
        due, key = first_due
        return self._fire(key, due, due if seen_at is None else seen_at)

    def _fire(self, key: str, due: int, seen_at: int) -> Decision:
        if key in self._markers:
            del self._markers[key]
            self._timers.set(key, None)
            return Decision([], forgotten=key)
        kept = self._shelf.get(key)
        assert kept is not None, f"a timer of {key}, which is not known"
        if kept.waiting:
            return self._give_up(kept, due)
        timeline = self._hydrated(kept)
        wanted, _ = self._schedule(kept)
        if wanted != due:  # its record named an instant at which nothing was said, or nothing is to come
            return Decision([])
        if timeline.due() is not None:
            timeline.fire(due, seen_at)
            return self._decision(kept, [])
        return self._evict(kept, due)

    def _give_up(self, kept: StoredIncident, due: int) -> Decision:
        """R4: an opening that does not come in time leaves its facts orphans, each rejected once."""
        limit = due - self._time_limits.orphan_after
        orphans = tuple(f for f in kept.first_to_give_up() if f.arrival <= limit)
        gone = frozenset(orphans)
        kept.waiting = [f for f in kept.waiting if f not in gone]
        if not kept.waiting:
            self._shelf.discard(kept.timeline.id)
            self._timers.set(kept.timeline.id, None)
        else:
            self._schedule(kept)
        return Decision([], orphans=orphans, subject=kept.timeline.id)

    def _evict(self, kept: StoredIncident, due: int) -> Decision:
        """R1: an incident that ended long ago leaves only a marker of its id."""
        incident_id = kept.timeline.id
        for tenant in set(kept.timeline.tenants()):
            concerned = self._concerned.get(tenant, set())
            concerned.discard(incident_id)
            if not concerned:
                self._concerned.pop(tenant, None)
        self._shelf.discard(incident_id)
        until = due + self._time_limits.retain_markers
        self.mark(incident_id, until)
        return Decision([], evicted=(incident_id, kept.steps, until))

    def mark(self, incident_id: str, until: int) -> None:
        """Remember an evicted incident's id until an instant."""
        self._markers[incident_id] = until
        self._timers.set(incident_id, until)

    # -- state -------------------------------------------------------------------------------------------------------

    def _woken(self, kept: StoredIncident) -> None:
        if self.erasures:
            kept.bare = any(tenant in self.erasures for tenant in kept.timeline.tenants())

    def _hydrated(self, kept: StoredIncident) -> Timeline:
        timeline = kept.timeline
        if timeline.folded is None and timeline.facts:
            timeline.refold(self._policies, self._contracts)
        return timeline

    def _decision(self, kept: StoredIncident, facts: list[Fact]) -> Decision:
        timeline = kept.timeline
        outputs, entries = timeline.take()
        due, held = self._schedule(kept)
        step = None
        # A timer that acts with nothing to say is not worth a row: woken too early it says nothing again. Too late is
        # another matter.
        earlier = due is not None and (kept.recorded_due is None or due < kept.recorded_due)
        if facts or entries or earlier:
            step = Step(timeline.id, kept.steps, facts, entries, timeline.clock, due, held)
            kept.steps += 1
            kept.recorded_due = due
        return Decision(outputs, step)

    def quarantine(self, incident_id: str) -> None:
        """Its timers crash: they act no more until the next input about it; its state is kept (R27)."""
        self._timers.quarantine(incident_id)

    def release(self, incident_id: str) -> bool:
        """Let a quarantined incident's timers act again; False when it was not quarantined."""
        if not self._timers.release(incident_id):
            return False
        kept = self._shelf.get(incident_id)
        if kept is not None:
            self._hydrated(kept)
            self._schedule(kept)
        return True

    def last_input(self, incident_id: str) -> ev.Position | None:
        """Where the input about an incident lies that arrived last."""
        kept = self._shelf.get(incident_id)
        facts = [] if kept is None else [*kept.timeline.facts, *kept.waiting]
        return max(facts, key=lambda fact: fact.arrival).position if facts else None

    def _schedule(self, kept: StoredIncident) -> tuple[int | None, bool]:
        """Set an incident's timer: when, and whether it is held back until a load of history is through (R32)."""
        timeline = kept.timeline
        if kept.waiting:
            first = kept.first_to_give_up()
            due: int | None = min(f.arrival for f in first) + self._time_limits.orphan_after
            held = first[0].backfill
        else:
            due = timeline.due()
            held = timeline.folded is not None and timeline.backfilled
            if due is None and timeline.folded is not None and timeline.folded.ending is not None:
                due = timeline.clock + self._time_limits.retain_closed
        self._set_timer(timeline.id, due, held=held)
        return due, held

    def _set_timer(self, incident_id: str, due: int | None, *, held: bool) -> None:
        self._timers.set(incident_id, None if held else due, due if held else None)

    def restore_step(self, incident_id: str, due: int | None, held: bool, tenants: Iterable[str]) -> None:
        """One of an incident's recorded steps is back, in their order: index what it names. The rest of it is read when
        the incident is woken."""
        self._set_timer(incident_id, due, held=held)
        for tenant in tenants:
            self._concerned.setdefault(tenant, set()).add(incident_id)

    def restore_quiet(self, until: int) -> None:
        self._timers.quiet_not_before(until)

    @property
    def quiet_at(self) -> int:
        """No backfill is expected after this instant (R32)."""
        return self._timers.quiet_at

    def put_back(self) -> None:
        """Keep no more incidents at hand than there may be; between two inputs or timers."""
        self._shelf.put_back()
