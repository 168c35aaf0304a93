"""The state of a partition's incidents, shared by every decision on one of them."""

from __future__ import annotations

from collections.abc import Iterable

from streams.sla.arrival import TimeLimits
from streams.sla.contracts import ContractCopies
from streams.sla.erasure import Erasures
from streams.sla.incidents.contract_retention import EVICTION, ContractRetention
from streams.sla.incidents.fold import Fact, FoldContext
from streams.sla.incidents.incident_queue import IncidentQueue
from streams.sla.incidents.lru_cache import IncidentCache, StepReader
from streams.sla.incidents.reevaluation import ReevaluationQueue
from streams.sla.incidents.schedule import Schedule
from streams.sla.incidents.steps import NAMING, Applied, Rewritten, Step, traced
from streams.sla.incidents.stored_incident import StoredIncident
from streams.sla.incidents.tenant_index import TenantIndex
from streams.sla.incidents.timeline import Timeline
from streams.sla.policy import Policies


class IncidentState:
    """Incidents, their timers, the contract terms they are judged by, and who was erased."""

    __slots__ = (
        "cache",
        "context",
        "contracts",
        "erasures",
        "policies",
        "queue",
        "retention",
        "rewrites",
        "schedule",
        "tenants",
        "time_limits",
    )

    def __init__(self, policies: Policies, time_limits: TimeLimits, steps: StepReader, max_cached: int) -> None:
        self.policies = policies
        self.time_limits = time_limits
        self.cache = IncidentCache(steps, max_cached, self._loaded)
        self.contracts = ContractCopies()
        self.context = FoldContext(policies, self.contracts, time_limits.max_update_windows)
        self.tenants = TenantIndex()
        self.schedule = Schedule(time_limits)
        self.erasures = Erasures(time_limits.pseudonym_key)
        self.queue = ReevaluationQueue()
        self.rewrites: IncidentQueue[str] = IncidentQueue()
        """Incidents whose rows still name an erased tenant, by its pseudonym (R29)."""
        self.retention = ContractRetention()

    def folded(self, stored: StoredIncident) -> Timeline:
        """The incident's timeline, folded."""
        timeline = stored.timeline
        if timeline.folded is None and timeline.facts:
            timeline.refold(self.context)
        return timeline

    def index_tenants(self, stored: StoredIncident, facts: Iterable[Fact]) -> None:
        """Index the tenants that new facts name, and the opening among them."""
        timeline = stored.timeline
        for fact in facts:
            if isinstance(fact.payload, NAMING):
                named = [self.erasures.name(each) for each in fact.payload.tenant_ids or ()]
                self.tenants.add(timeline.id, named, fact.time if fact.rank == 0 else None)
                stored.redacted = stored.redacted or any(tenant in self.erasures for tenant in named)

    def applied(self, stored: StoredIncident, facts: list[Fact], *, changed: bool = False) -> Applied:
        """What follows, with a step of the new facts where there is something to record. `changed` says that the
        incident's state changed even if there is no fact and no output. What follows from no fact of the incident, but
        from a timer or a contract fact, belongs to the trace of its opening."""
        timeline = stored.timeline
        outputs, entries = timeline.take()
        if outputs and not facts:
            outputs = traced(outputs, timeline.live.traceparent)
        due_at, deferred = self.schedule.set(stored)
        # A timer that leads to no output needs no row: fired again after a restart it leads to none again. A timer
        # that is earlier than the last row says does need one.
        earlier = due_at is not None and (stored.recorded_due is None or due_at < stored.recorded_due)
        if not (facts or entries or earlier or changed):
            return Applied(outputs, None)
        step = Step(timeline.id, stored.steps, facts, entries, timeline.processed_until, due_at, deferred)
        stored.steps += 1
        stored.recorded_due = due_at
        return Applied(outputs, step)

    def redacted(self, fact: Fact) -> Fact:
        """A fact of an incident that names an erased tenant, as it is stored (R29): its trace goes as other external
        ids do."""
        return fact._replace(payload=self.erasures.payload(fact.payload), traceparent=None)

    def redact(self, stored: StoredIncident) -> None:
        """Remove from an incident's facts what may not stay of an erased tenant; it is folded on the next access."""
        old = stored.timeline
        facts = [self.redacted(fact) for fact in old.facts]
        stored.redacted, stored.timeline = True, Timeline(old.id)
        stored.timeline.restore(facts, old.published.entries(), old.processed_until)

    def rewritten(self, stored: StoredIncident, arrival: int) -> Rewritten:
        """What follows from an input that came at `arrival`, with one step that replaces all steps so far. Its number
        is the next one, so that the number of steps, which is the state's revision, never falls."""
        timeline = stored.timeline
        outputs, _ = timeline.take()
        replaces = stored.steps
        stored.steps += 1
        stored.recorded_due, deferred = self.schedule.set(stored)
        entries = timeline.published.entries()
        step = Step(
            timeline.id,
            replaces,
            list(timeline.facts),
            entries,
            timeline.processed_until,
            stored.recorded_due,
            deferred,
        )
        return Rewritten(outputs, step, replaces, arrival)

    def quarantine(self, incident_id: str) -> None:
        """An incident whose decisions crash has no timer and no re-evaluation until its next input (R27). It is still
        rewritten where it names an erased tenant, unless that is what crashed. An eviction of contract terms that
        crashed is no incident's, so no input would release it: the next start tries it again."""
        if incident_id == EVICTION:
            self.retention.scheduled = True  # the next input of this run must not plan it again
            self.schedule.timers.set(EVICTION, None)
            return
        self.queue.discard(incident_id)
        if self.schedule.timers.quarantined(incident_id):
            self.rewrites.discard(incident_id)
        self.schedule.timers.quarantine(incident_id)

    def _loaded(self, stored: StoredIncident) -> None:
        timeline = stored.timeline
        opened_at = min((fact.time for fact in timeline.facts if fact.rank == 0), default=None)
        if opened_at is not None:
            self.tenants.set_opened_at(timeline.id, opened_at)
        if self.erasures:
            stored.redacted = any(tenant in self.erasures for tenant in timeline.tenants())
