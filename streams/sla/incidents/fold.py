"""The fold of one incident (R2, R13–R21): facts in the order of event time become clocks, verdicts and impacts."""

from __future__ import annotations

from typing import NamedTuple, assert_never

from streams.sla import events as ev
from streams.sla.evidence import EvidenceLog
from streams.sla.impact import Impact
from streams.sla.incidents.classification import Classification, ContractLookup, Pinned, Subject, classify, pin
from streams.sla.incidents.clock_rules import MAX_UPDATE_WINDOWS, Ending, SlaClocks
from streams.sla.incidents.clocks import BREACHED, CANCELLED
from streams.sla.incidents.episodes import Episode
from streams.sla.policy import Policies


class Fact(NamedTuple):
    """One accepted input of an incident. The tuple's own order is the order of meaning (R2)."""

    time: int
    rank: int
    id: str
    source: str
    type: str
    payload: ev.Payload
    arrival: int
    digest: bytes
    position: ev.Position
    backfill: bool
    traceparent: str | None = None

    @classmethod
    def of(cls, event: ev.Event, arrival: int, position: ev.Position) -> Fact:
        """The fact of an accepted event; `arrival` is its arrival for its own incident (R32)."""
        rank = ev.INCIDENT_RANK[event.type]
        return cls(
            event.time,
            rank,
            event.id,
            event.source,
            event.type,
            event.payload,
            arrival,
            event.digest,
            position,
            event.backfill,
            event.traceparent,
        )

    def event(self, incident_id: str) -> ev.Event:
        """The input event again, without its transport fields."""
        return ev.Event(
            self.id,
            self.source,
            self.type,
            incident_id,
            self.time,
            self.payload,
            self.backfill,
            self.arrival if self.backfill else None,
            None,
            self.digest,
        )


class FoldContext(NamedTuple):
    """What an incident's facts are judged by, beside themselves."""

    policies: Policies
    contracts: ContractLookup
    max_update_windows: int = MAX_UPDATE_WINDOWS


class Fold(SlaClocks):
    """What follows from an opening and the facts after it, applied in order. `roll` lets deadlines pass."""

    __slots__ = (
        "annulled",
        "backfill",
        "by_hand",
        "channel",
        "classified_at",
        "contracts",
        "counts",
        "episodes",
        "evidence",
        "merged_into",
        "opened_at",
        "opened_by",
        "phone_call_id",
        "pinned",
        "policies",
        "resolved_by",
        "subject",
        "summary",
        "ticket_id",
        "traceparent",
    )

    def __init__(self, opening: Fact, context: FoldContext) -> None:
        opened = opening.payload
        assert isinstance(opened, ev.Opened)
        self.policies, self.contracts, max_update_windows = context
        self.windows_exhausted = False
        self.opened_at = opening.time
        self.opened_by = opening.source
        self.traceparent = opening.traceparent
        self.resolved_by = ""
        self.backfill = opening.backfill
        self.channel = opened.channel
        self.summary = opened.summary
        self.ticket_id = opened.ticket_id
        self.phone_call_id: str | None = None
        self.subject = Subject(opened.scope, opened.tenant_ids, opened.component, opened.impact, opened.tier)
        self.pinned: Pinned = pin(self.policies, self.subject, opening.time, opened.channel, self.contracts)
        self.by_hand: str | None = None
        self.counts: bool | None = None
        self.annulled = False
        self.merged_into: str | None = None
        started = opened.started_at if opened.started_at is not None else opening.time
        self.episodes = [Episode(opening.time, started, [(started, self.subject)])]
        self.evidence = EvidenceLog([opening.position])
        self.classified_at = opening.time
        self.policy = self.pinned.policy
        super().__init__(self.pinned.policy, self._classify(), opening.time, max_update_windows)

    # -- facts -------------------------------------------------------------------------------------------------------

    def apply(self, fact: Fact) -> None:
        """Fold one later fact in. Facts earlier than the opening count as at the opening (R2)."""
        at = max(fact.time, self.opened_at)
        self.roll(at)
        match fact.payload:
            case ev.Updated() | ev.Responded():
                self._responded(fact.type, fact.payload, at)
            case ev.Resolved(restored_at):
                if self.ending is None:
                    self._end(at, "resolved", self._restored(fact, at if restored_at is None else restored_at))
                    self.resolved_by = fact.source
                    if restored_at is None and fact.time < at and not self.episodes[-1].taken_back:
                        self.episodes[-1].reported_end = fact.time
                    self.evidence.append(fact.position)
            case ev.Reopened(started_at):
                self._reopened(fact, at, started_at)
            case ev.Reclassified():
                self._reclassified(fact.payload, at)
                self.evidence.append(fact.position)
            case ev.SeveritySet(severity):
                self.by_hand = severity
                self._reconsider(at)
            case ev.PolicyApplied(name, version):
                applied = self.policies.exact(name, version)
                if applied is not None and self.ending is None and applied is not self.policy:
                    self.policy = applied
                    self._reconsider(at, retarget=True)
            case ev.UpdateRequested():
                self._update_requested(at)
            case ev.Waiting(on):
                self._wait(on, at, begins=True)
            case ev.WaitingEnded(on):
                self._wait(on, at, begins=False)
            case ev.Merged(into):
                if self.ending is None:
                    self._end(at, "merged", at)
                    self.merged_into = into
                    self.evidence.append(fact.position)
            case ev.Amended():
                self._amended(fact.payload, at)
                self.evidence.append(fact.position)
            case ev.Annulled():
                self._annul(at)
                self.evidence.append(fact.position)
            case ev.Linked(ticket_id, phone_call_id):
                self.ticket_id = ticket_id or self.ticket_id
                self.phone_call_id = phone_call_id or self.phone_call_id
            case ev.Opened():
                pass  # another opening has no effect
            case (
                ev.ContractSet()
                | ev.CreditClaimed()
                | ev.MaintenanceScheduled()
                | ev.MaintenanceCancelled()
                | ev.TenantErased()
            ):
                raise TypeError(f"{fact.type} is not a fact of an incident")
            case _:
                assert_never(fact.payload)

    def _reclassified(self, fact: ev.Reclassified, at: int) -> None:
        old = self.subject
        self.subject = Subject(
            fact.scope if fact.scope is not None else old.scope,
            fact.tenant_ids if fact.tenant_ids is not None else old.tenant_ids,
            fact.component if fact.component is not None else old.component,
            fact.impact if fact.impact is not None else old.impact,
            fact.tier if fact.tier is not None else old.tier,
        )
        if fact.scope is not None:
            # The tenants changed, and with them tier and flags; the policy stays pinned (R18, R20).
            found = pin(self.policies, self.subject, self.opened_at, self.channel, self.contracts)
            self.pinned = found._replace(policy=self.pinned.policy)
        self.episodes[-1].change(at, self.subject)
        self._reconsider(at)

    def _amended(self, fact: ev.Amended, at: int) -> None:
        """R21: times concern the episode current at the amendment's time, counts the whole incident."""
        self.episodes[-1].amend(fact)
        if fact.counts_as_downtime is not None:
            self.counts = fact.counts_as_downtime
            self._reconsider(at)

    # -- classification ------------------------------------------------------------------------------------------------

    def _classify(self) -> Classification:
        pinned = self.pinned
        decided = classify(self.policy, self.subject, pinned.tenant_tier, pinned.no_contract, self.by_hand, self.counts)
        return self._with_limit(decided)

    def _reconsider(self, at: int, *, retarget: bool = False) -> None:
        """Classify anew; a changed severity or coverage gives open clocks their new target (R13)."""
        before = self.classification
        self.classification = now = self._classify()
        if now[:2] != before[:2] or now.counts_as_downtime != before.counts_as_downtime:
            self.classified_at = at
        if self.ending is None and (retarget or now[:2] != before[:2]):
            self._update_pause(at)
            self._retarget(at)

    # -- ends --------------------------------------------------------------------------------------------------------

    def _end(self, at: int, reason: str, restored: int) -> None:
        """R15, R16: the clocks stop, and the outage ends when it is reported to have ended."""
        self._stop(at, reason)
        self.episodes[-1].restored = restored

    def _restored(self, fact: Fact, restored: int) -> int:
        """The end of the outage by a resolution: of a monitor not before an end that it reported and took back."""
        return max(restored, self.episodes[-1].taken_back) if fact.source == self.opened_by else restored

    def _reopened(self, fact: Fact, at: int, started_at: int | None) -> None:
        """R15: an ended incident is open again. A monitor that reports its own outage as never ended takes back only
        its own resolution, and the outage continues: a merge and a resolution by others stand."""
        if self.ending is None or self.annulled:
            return
        episode = self.episodes[-1]
        if (
            self.channel == "monitor"
            and fact.source == self.opened_by
            and started_at is not None
            and episode.restored is not None
            and started_at < episode.restored
        ):
            if self.ending.reason != "resolved" or self.resolved_by != fact.source:
                return
            episode.taken_back = max(episode.restored, episode.taken_back)
            episode.restored = episode.reported_end = None
        else:
            self.episodes.append(episode.reopened(at, started_at if started_at is not None else at))
        self._reopen(at)
        self.evidence.append(fact.position)

    def _reopen(self, at: int) -> None:
        """R15: the next response instance starts at the reopening; window numbers continue; old verdicts remain."""
        self.ending = None
        self.merged_into = None
        self.responded_at = self.answered_at = None
        self.response_instance += 1
        self.waiting.clear()
        self._start_clocks(at)

    def _annul(self, at: int) -> None:
        """R17: every breach is retracted, no downtime counts."""
        if self.annulled:
            return
        if self.ending is None:
            self._end(at, "annulled", at)
        self.annulled = True
        self.merged_into = None
        self.ending = Ending(at, "annulled")
        for clock in self.clocks:
            if clock.state == BREACHED:
                clock.state = CANCELLED
        self.breaches.clear()

    def impacts(self) -> list[Impact]:
        """Which component had which impact when; empty once annulled (R17, R21)."""
        if self.annulled:
            return []
        return [impact for episode in self.episodes for impact in episode.impacts(self.counts)]


def order(facts: list[Fact]) -> tuple[Fact, list[Fact]] | None:
    """The opening that stands and the facts after it, in order of meaning (R2); None while there is no opening."""
    opening = next((fact for fact in facts if fact.rank == 0), None)
    if opening is None:
        return None
    rest = [fact for fact in facts if fact is not opening]
    if rest and rest[0].time < opening.time:
        rest.sort(key=lambda f: (max(f.time, opening.time), f.rank, f.time, f.id, f.source))
    return opening, rest


def fold(facts: list[Fact], context: FoldContext) -> Fold | None:
    """Fold sorted facts from the start; None while they wait for their opening (R4)."""
    ordered = order(facts)
    if ordered is None:
        return None
    opening, rest = ordered
    folded = Fold(opening, context)
    for fact in rest:
        folded.apply(fact)
    return folded
