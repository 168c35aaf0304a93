"""The fold of one incident (R2, R6–R18): facts in the order of event time become clocks, verdicts and impacts."""

from __future__ import annotations

from typing import NamedTuple

from streams.sla import events as ev
from streams.sla.clocks import BREACHED, CANCELLED, MET, OPEN, RESOLUTION, RESPONSE, UPDATE, Breach, Clock, Met
from streams.sla.episodes import Episode, Impact
from streams.sla.policy import Policies, Policy, SeverityTargets, UpdateTarget
from streams.sla.severity import Classification, Pinned, Subject, Terms, classify, pin


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


class Ending(NamedTuple):
    at: int
    reason: str  # resolved | merged | annulled


class Fold:
    """What follows from an opening and the facts after it, applied in order. `roll` lets deadlines pass."""

    __slots__ = (
        "annulled",
        "breaches",
        "by_hand",
        "classification",
        "classified_at",
        "clocks",
        "counts",
        "ending",
        "episodes",
        "evidence",
        "mets",
        "opened_at",
        "pauses",
        "pinned",
        "policies",
        "policy",
        "resolution",
        "responded_at",
        "response",
        "response_instance",
        "rolled",
        "subject",
        "update_count",
        "waiting",
        "window",
    )

    def __init__(self, opening: Fact, policies: Policies, terms: Terms) -> None:
        opened = opening.payload
        assert isinstance(opened, ev.Opened)
        self.policies = policies
        self.opened_at = opening.time
        self.subject = Subject(opened.scope, opened.tenant_ids, opened.component, opened.impact, opened.tier)
        self.pinned: Pinned = pin(policies, self.subject, opening.time, opened.channel, terms)
        self.policy: Policy = self.pinned.policy
        self.by_hand: str | None = None
        self.counts: bool | None = None
        self.pauses: list[tuple[int, int | None]] = []
        self.waiting: set[str] = set()
        self.ending: Ending | None = None
        self.annulled = False
        self.response: Clock | None = None
        self.resolution: Clock | None = None
        self.window: Clock | None = None
        self.response_instance = 1
        self.update_count = 0
        self.responded_at: int | None = None
        self.clocks: list[Clock] = []
        self.breaches: list[Breach] = []
        self.mets: list[Met] = []
        self.rolled = -1
        started = opened.started_at if opened.started_at is not None else opening.time
        self.episodes = [Episode(opening.time, started, self.subject)]
        self.evidence: list[ev.Position] = [opening.position]
        self.classification: Classification = self._classify()
        self.classified_at = opening.time
        self._start_clocks(opening.time)

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
                    self._end(at, "resolved", at if restored_at is None else restored_at)
                    self.evidence.append(fact.position)
            case ev.Reopened(started_at):
                if self.ending is not None and not self.annulled:
                    self._reopen(at, started_at)
                    self.evidence.append(fact.position)
            case ev.Reclassified():
                self._reclassified(fact.payload, at)
                self.evidence.append(fact.position)
            case ev.SeveritySet(severity):
                self.by_hand = severity
                self._reconsider(at)
            case ev.PolicyApplied(name, version):
                applied = self.policies.exact(name, version)
                if applied is not None and self.ending is None:
                    self.policy = applied
                    self._reconsider(at, retarget=True)
            case ev.UpdateRequested():
                self._update_requested(at)
            case ev.Waiting(on):
                self._wait(on, at, begins=True)
            case ev.WaitingEnded(on):
                self._wait(on, at, begins=False)
            case ev.Merged():
                if self.ending is None:
                    self._end(at, "merged", at)
                    self.evidence.append(fact.position)
            case ev.Amended():
                self._amended(fact.payload, at)
                self.evidence.append(fact.position)
            case ev.Annulled():
                self._annul(at)
                self.evidence.append(fact.position)
            case _:  # linked, or an opening that does not stand: kept, without effect
                pass

    def _responded(self, kind: str, payload: ev.Updated | ev.Responded, at: int) -> None:
        """R7, R8: the first qualifying fact is the response; later public updates by support meet update windows."""
        if self.ending is not None:
            return
        visibility = payload.visibility if isinstance(payload, ev.Updated) else None
        public_update = visibility == "public" and payload.who.kind == "support"
        if public_update and self.window is not None and self.window.start < at:
            self._meet(self.window, at)
            regular = not self.window.requested
            self.window = None
            if regular:
                self._open_window(at)
        if self.responded_at is None and self._qualifies(kind, payload.who.kind, visibility):
            if self.response is not None and self.response.state == OPEN:
                self._meet(self.response, at)
            self._response_over(at)

    def _qualifies(self, kind: str, who: str, visibility: str | None) -> bool:
        return any(
            r.event == kind and who in r.who and (r.visibility is None or visibility in r.visibility)
            for r in self.policy.responds
        )

    def _response_over(self, at: int) -> None:
        self.responded_at = at
        if self.window is None:
            self._open_window(at)

    def _update_requested(self, at: int) -> None:
        """R9: one window per request, only where updates come on request and none is open."""
        updates = self._updates()
        if self.ending is None and updates is not None and updates.on_request and self.window is None:
            self._open_window(at, requested=True)

    def _reclassified(self, fact: ev.Reclassified, at: int) -> None:
        old = self.subject
        self.subject = Subject(
            fact.scope if fact.scope is not None else old.scope,
            fact.tenant_ids if fact.tenant_ids is not None else old.tenant_ids,
            fact.component if fact.component is not None else old.component,
            fact.impact if fact.impact is not None else old.impact,
            fact.tier if fact.tier is not None else old.tier,
        )
        if self.ending is None:
            self.episodes[-1].change(at, self.subject)
        self._reconsider(at)

    def _amended(self, fact: ev.Amended, at: int) -> None:
        """R21: times concern the episode current at the amendment's time, counts the whole incident."""
        self.episodes[-1].amend(fact)
        if fact.counts_as_downtime is not None:
            self.counts = fact.counts_as_downtime
            self._reconsider(at)

    def _wait(self, on: str, at: int, *, begins: bool) -> None:
        """R14: only severities whose policy pauses on it stand still; downtime never does."""
        if begins:
            self.waiting.add(on)
        else:
            self.waiting.discard(on)
        if self._settle_pause(at):
            self._retarget(at)

    def _settle_pause(self, at: int) -> bool:
        """Begin or end the pause that the waiting and the severity call for; whether anything changed."""
        paused = bool(self.pauses) and self.pauses[-1][1] is None
        targets = self._targets()
        pausing = self.ending is None and targets is not None and bool(self.waiting & targets.pause_on)
        if pausing and not paused:
            self.pauses.append((at, None))
        elif paused and not pausing:
            begin = self.pauses.pop()[0]
            if begin < at:
                self.pauses.append((begin, at))
        else:
            return False
        return True

    # -- classification and targets ----------------------------------------------------------------------------------

    def _classify(self) -> Classification:
        pinned = self.pinned
        return classify(self.policy, self.subject, pinned.tenant_tier, pinned.no_contract, self.by_hand, self.counts)

    def _targets(self) -> SeverityTargets | None:
        decided = self.classification
        return self.policy.severities.get(decided.severity) if decided.covered else None

    def _updates(self) -> UpdateTarget | None:
        targets = self._targets()
        return targets.updates if targets is not None else None

    def _reconsider(self, at: int, *, retarget: bool = False) -> None:
        """Classify anew; a changed severity or coverage gives open clocks their new target (R13)."""
        before = self.classification
        self.classification = now = self._classify()
        if now[:2] != before[:2] or now.counts_as_downtime != before.counts_as_downtime:
            self.classified_at = at
        if self.ending is None and (retarget or now[:2] != before[:2]):
            self._settle_pause(at)
            self._retarget(at)

    def _aim(self, clock: Clock) -> bool:
        """Give a clock the current target of its metric; False when there is none."""
        targets = self._targets()
        if targets is None:
            return False
        hours = self.policy.calendar
        if clock.metric == UPDATE:
            updates = targets.updates
            if updates is None or (updates.on_request and not clock.requested):
                return False
            clock.requested = updates.on_request
            clock.aim(updates.target, hours, self.pauses, (), updates.remind_before)
            return True
        target = targets.response if clock.metric == RESPONSE else targets.resolution
        if target is None:
            return False
        clock.aim(target, hours, self.pauses, targets.warn_at, None)
        return True

    def _retarget(self, at: int) -> None:
        """R13: clocks neither met nor breached get the new target, counted from their start. The window comes first,
        because a response that breaches here opens one that has its target already."""
        if self.window is not None:
            self._retarget_clock(self.window, at)
            if self.window is not None and self.window.state == CANCELLED:
                self.window = None
        elif self.responded_at is not None:
            self._open_window(at)
        for clock in (self.response, self.resolution):
            if clock is not None and (
                clock.state == OPEN
                or (clock.state == CANCELLED and (clock.metric == RESOLUTION or self.responded_at is None))
            ):
                self._retarget_clock(clock, at)

    def _retarget_clock(self, clock: Clock, at: int) -> None:
        if not self._aim(clock):
            if clock.state == OPEN:
                clock.end(CANCELLED, at)
        elif clock.deadline is not None and clock.deadline <= at:
            self._breach(clock, at, reclassified=True)

    # -- clocks ------------------------------------------------------------------------------------------------------

    def _start_clocks(self, at: int) -> None:
        """R7, R15: response (and resolution) are measured from the opening, or from the reopening."""
        self.response = self._clock(RESPONSE, self.response_instance, at)
        self.resolution = self._clock(RESOLUTION, self.response_instance, at)

    def _clock(self, metric: str, instance: int, at: int) -> Clock:
        clock = Clock(metric, instance, at)
        if not self._aim(clock):
            clock.end(CANCELLED, at)
        self.clocks.append(clock)
        return clock

    def _open_window(self, at: int, *, requested: bool = False) -> None:
        """R8, R9: the next update window, where the severity has one of that kind."""
        updates = self._updates()
        if self.ending is not None or updates is None or updates.on_request != requested:
            return
        self.update_count += 1
        self.window = Clock(UPDATE, self.update_count, at, requested=requested)
        self._aim(self.window)
        self.clocks.append(self.window)

    def _meet(self, clock: Clock, at: int) -> None:
        clock.end(MET, at)
        if clock.deadline is not None:
            self.mets.append(Met(clock.key, at))

    def _breach(self, clock: Clock, at: int, *, reclassified: bool) -> None:
        """The deadline passed (R8, R11), or a change made it past (R13); what follows it starts at `at`."""
        clock.end(BREACHED, at)
        severity = self.classification.severity
        self.breaches.append(Breach(clock.key, at, reclassified, clock.revision, severity))
        if clock.metric == RESPONSE:
            if self.responded_at is None:
                self.responded_at = at
                if self.window is None:
                    self._open_window(at)
        elif clock.metric == UPDATE:
            self.window = None
            self._open_window(at)

    def next_deadline(self) -> Clock | None:
        """The open clock that runs out first."""
        first = None
        for clock in (self.response, self.resolution, self.window):
            if (
                clock is not None
                and clock.state == OPEN
                and clock.deadline is not None
                and (first is None or first.deadline is None or clock.deadline < first.deadline)
            ):
                first = clock
        return first

    def roll(self, before: int) -> None:
        """Let every deadline strictly before an instant pass: t ≤ deadline is met (R11)."""
        if self.ending is not None:
            return
        while (clock := self.next_deadline()) is not None:
            due = clock.deadline
            if due is None or due >= before:
                return
            self._breach(clock, due, reclassified=False)
            self.rolled = max(self.rolled, due)

    # -- ends --------------------------------------------------------------------------------------------------------

    def _end(self, at: int, reason: str, restored: int) -> None:
        """R8, R15, R16: open clocks are cancelled, also at exactly the deadline; resolution is met by resolving."""
        for clock in (self.response, self.resolution, self.window):
            if clock is not None and clock.state == OPEN:
                if clock.metric == RESOLUTION and reason == "resolved":
                    self._meet(clock, at)
                else:
                    clock.end(CANCELLED, at)
        self.window = None
        self.ending = Ending(at, reason)
        self.episodes[-1].restored = restored
        self._settle_pause(at)

    def _reopen(self, at: int, started_at: int | None) -> None:
        """R15: the next response instance from the reopening; window numbers run on; old verdicts stand."""
        self.ending = None
        self.responded_at = None
        self.response_instance += 1
        self.waiting.clear()
        self.episodes.append(Episode(at, started_at if started_at is not None else at, self.subject))
        self._start_clocks(at)

    def _annul(self, at: int) -> None:
        """R17: no breach stands, no downtime counts."""
        if self.annulled:
            return
        if self.ending is None:
            self._end(at, "annulled", at)
        self.annulled = True
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


def fold(facts: list[Fact], policies: Policies, terms: Terms) -> Fold | None:
    """Fold sorted facts from the start; None while they wait for their opening (R4)."""
    ordered = order(facts)
    if ordered is None:
        return None
    opening, rest = ordered
    folded = Fold(opening, policies, terms)
    for fact in rest:
        folded.apply(fact)
    return folded
