"""One incident as kept: its facts, what was said, and the difference when a fact or a timer comes (R1–R3, R9–R12)."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from typing import NamedTuple

from streams.sla.events import Output
from streams.sla.incidents.classification import Classification, Terms
from streams.sla.incidents.clocks import OPEN, UPDATE, Breach, ClockKey, SlaClock
from streams.sla.incidents.episodes import LISTED, Listed
from streams.sla.incidents.fold import Fact, Fold, fold
from streams.sla.incidents.outputs import OutputBuilder, closed_digest, impacts_digest
from streams.sla.incidents.published import Entry, Kind, PublishedState, classified_entry
from streams.sla.policy import Policies

RETRACTION_CAUSES = {
    "incident.annulled": "annulled",
    "incident.merged": "merged",
    "incident.resolved": "resolved",
    "incident.amended": "amended",
}


#: What changes the policy or the flags of an incident without being a fact about it: it is classified anew then, for
#: else an old flag or policy would stand for ever.
REBASED = frozenset(["contract.set", "incident.policy_applied"])


class Cause(NamedTuple):
    """What led to a step, as far as outputs tell: a fact has all of this too."""

    type: str
    time: int
    source: str
    id: str


#: Facts that, newest-last, can end an incident or change its impacts.
DESCRIBED = frozenset(
    ["incident.resolved", "incident.reopened", "incident.reclassified", "incident.merged", "incident.amended"]
)


#: An incident with fewer facts, and that is nearly every one, is searched quicker than an index of it is kept.
INDEXED = 16


class Timeline:
    """Facts sorted by meaning, the fold over them, and what has been said of it.

    `clock` is the instant this incident has reached: nothing due before it is left undone. Outputs go to `outputs`,
    their entries to `entries`; the caller takes both after each step.
    """

    __slots__ = (
        "_index",
        "_judged",
        "_reporter",
        "clock",
        "entries",
        "facts",
        "folded",
        "id",
        "listed",
        "outputs",
        "pending",
        "said",
        "seen_breaches",
        "seen_mets",
    )

    def __init__(self, incident_id: str) -> None:
        self.id = incident_id
        self.facts: list[Fact] = []
        self.listed = Listed()
        self._index: dict[tuple[str, str], Fact] = {}
        self.folded: Fold | None = None
        self._reporter: OutputBuilder
        self._judged: Classification | None = None
        """The fold's classification, if what was said is that: whatever changes it, its policy or its flags makes
        another one."""
        self.said = PublishedState()
        self.clock = 0
        self.pending: list[Breach] = []
        self.seen_breaches = 0
        self.seen_mets = 0
        self.outputs: list[Output] = []
        self.entries: list[Entry] = []

    # -- what is known -----------------------------------------------------------------------------------------------

    def find(self, source: str, event_id: str) -> Fact | None:
        """The fact with that identity (R1)."""
        if len(self.facts) < INDEXED:
            for fact in self.facts:
                if fact.id == event_id and fact.source == source:
                    return fact
            return None
        if not self._index:
            self._index = {(fact.source, fact.id): fact for fact in self.facts}
        return self._index.get((source, event_id))

    def _keep(self, fact: Fact) -> None:
        insort(self.facts, fact)
        if isinstance(fact.payload, LISTED):
            self.listed = self.listed.plus([fact.payload])
        if self._index:
            self._index[fact.source, fact.id] = fact

    @property
    def backfilled(self) -> bool:
        """Whether the opening that stands is history being loaded (R5, R32)."""
        return self.live.backfill

    @property
    def live(self) -> Fold:
        assert self.folded is not None, f"incident {self.id} has no opening yet"
        return self.folded

    def restore(self, facts: list[Fact], entries: list[Entry], clock: int) -> None:
        """Take back one recorded step."""
        for fact in facts:
            self._keep(fact)
        for entry in entries:
            self.said.add(entry)
        self.clock = max(self.clock, clock)

    def refold(self, policies: Policies, terms: Terms) -> None:
        """Fold all facts anew, up to the instant reached, and find the breaches that follow but are not said yet."""
        self.folded = fold(self.facts, policies, terms)
        if self.folded is not None:
            self._judged = None
            self._reporter = OutputBuilder(self.id, self.folded, backfill=self.folded.backfill)
            self.folded.roll(self.clock)
            said = self.said.breaches
            self.pending = [b for b in self.folded.breaches if b.key not in said and not b.reclassified]
            self.seen_breaches = len(self.folded.breaches)
            self.seen_mets = len(self.folded.mets)

    # -- steps -------------------------------------------------------------------------------------------------------

    def add(self, new: list[Fact], policies: Policies, terms: Terms) -> None:
        """Fold new facts in and say what differs. A single newest-last fact takes the cheap path; a late one, or the
        opening that others waited for, a re-fold (R2, R12)."""
        cause = new[-1]
        folded = self.folded
        if (
            folded is not None
            and len(new) == 1
            and cause > self.facts[-1]
            and (cause.time > folded.opened_at or self.facts[0].time == cause.time)
            and cause.time > folded.rolled
            and cause.type != "incident.annulled"
        ):
            self._keep(cause)
            folded.apply(cause)
            folded.roll(self.clock)
            self._classify(cause)
            for breach in folded.breaches[self.seen_breaches :]:
                self._new_breach(breach)
            for met in folded.mets[self.seen_mets :]:
                self._say(Entry.of_clock(Kind.MET, met.key, met.at), self._reporter.met(met))
            self.seen_breaches, self.seen_mets = len(folded.breaches), len(folded.mets)
            if cause.type in DESCRIBED:
                self._describe(cause)
            return
        for fact in new:
            self._keep(fact)
        self.differ(cause, policies, terms)

    def differ(self, cause: Fact | Cause, policies: Policies, terms: Terms) -> None:
        """Fold anew and say the whole difference: retractions, verdicts, description (R12)."""
        self.refold(policies, terms)
        if self.folded is None:
            return
        folded = self.folded
        self._classify(cause)
        following = {breach.key for breach in folded.breaches}
        because = RETRACTION_CAUSES.get(cause.type, "late_evidence")
        gone = [key for key in self.said.breaches if key not in following]
        revisions = {(clock.metric, clock.instance): clock.revision for clock in folded.clocks} if gone else {}
        for key in gone:
            revision = max(revisions.get(key[:2], 0), 0)
            output = self._reporter.retracted(key, revision, max(cause.time, folded.opened_at), because)
            self._say(Entry.of_clock(Kind.RETRACTED, key), output)
        for breach in folded.breaches:
            if breach.reclassified and breach.key not in self.said.breaches:
                self._new_breach(breach)
        for met in folded.mets:
            if self.said.mets.get(met.key[:2]) != (met.key.deadline, met.at):
                self._say(Entry.of_clock(Kind.MET, met.key, met.at), self._reporter.met(met))
        self._describe(cause)

    def reconsider_terms(self, cause: Fact | Cause, policies: Policies, terms: Terms) -> None:
        """A contract fact arrived late: fold anew if it changes what was known of the tenants (R20)."""
        if self.live.terms_changed():
            self.differ(cause, policies, terms)

    def due(self) -> int | None:
        """The next instant at which a timer acts, never before the instant reached (R11)."""
        folded = self.folded
        if folded is None:
            return None
        nominal = min([breach.at for breach in self.pending]) if self.pending else None
        if folded.ending is None:
            for clock in (folded.response, folded.resolution, folded.window):
                if clock is not None and clock.state == OPEN and clock.deadline is not None:
                    at = min(clock.deadline, self._next_notice(clock))
                    nominal = at if nominal is None or at < nominal else nominal
        return None if nominal is None else max(nominal, self.clock)

    def fire(self, due: int, detected_at: int) -> None:
        """Time has passed `due`: say what became true by then (R8–R11)."""
        folded = self.live
        folded.roll(due + 1)
        for breach in folded.breaches[self.seen_breaches :]:
            self.pending.append(breach)
        self.seen_breaches = len(folded.breaches)
        first_due = [breach for breach in self.pending if breach.at <= due]
        self.pending = [breach for breach in self.pending if breach.at > due]
        for breach in first_due:
            self._breached(breach, detected_at)
        self._notices(due)
        self.clock = max(self.clock, due + 1)

    # -- saying ------------------------------------------------------------------------------------------------------

    def _say(self, entry: Entry, output: Output) -> None:
        self.said.add(entry)
        self.entries.append(entry)
        self.outputs.append(output)

    def _new_breach(self, breach: Breach) -> None:
        if breach.reclassified:
            self._breached(breach, self.clock)
        else:
            self.pending.append(breach)

    def _breached(self, breach: Breach, detected_at: int) -> None:
        judged = breach.key[:2] in self.said.judged
        output = self._reporter.breached(breach, max(detected_at, breach.at), judged_before=judged)
        self._say(Entry.of_clock(Kind.BREACHED, breach.key), output)

    def _classify(self, cause: Fact | Cause) -> None:
        """The classification when it or its basis differs from what was said, before its verdicts."""
        folded, said = self.live, self.said.classified
        if folded.classification is self._judged:
            return
        flags = (*folded.classification.flags, *folded.pinned.flags)
        entry = classified_entry(
            folded.classification, f"{folded.policy.name}/{folded.policy.version} {','.join(flags)}"
        )
        core, _, _ = entry.text.rpartition("|")
        if core != said.rpartition("|")[0] or (entry.text != said and cause.type in REBASED):
            previous = said.partition("|")[0] or None
            output = self._reporter.classified(previous, (cause.type, cause.source, cause.id))
            self._say(entry, output)
        if entry.text == self.said.classified:
            self._judged = folded.classification

    def _describe(self, cause: Fact | Cause) -> None:
        """Ending and impacts, each when it differs from what was said."""
        folded, said = self.live, self.said
        if folded.ending is not None:
            digest = closed_digest(folded)
            if digest != said.closed:
                self._say(Entry(Kind.CLOSED, text=digest), self._reporter.closed(digest))
        elif said.closed:
            self._note(Entry(Kind.CLOSED, text=""))
        impacts = folded.impacts()
        digest = impacts_digest(impacts)
        if digest != said.impacts and (impacts or said.impacts):
            revision = said.impacts_revision + 1
            output = self._reporter.impact_changed(impacts, revision, max(cause.time, folded.opened_at))
            self._say(Entry(Kind.IMPACTS, at=revision, text=digest), output)
        if folded.merged_into != said.link:
            self._link(cause)

    def _link(self, cause: Fact | Cause) -> None:
        """R16: a merge leaves a link on both incidents; one that no longer follows is taken off both."""
        folded, old = self.live, self.said.link
        at, revision = max(cause.time, folded.opened_at), self.said.link_revision + 1
        entry = Entry(Kind.LINK, at=revision, text=folded.merged_into)
        outputs = self._reporter.links(old, folded.merged_into, revision, at)
        self._note(entry)
        self.outputs += outputs

    def _note(self, entry: Entry) -> None:
        self.said.add(entry)
        self.entries.append(entry)

    def _next_notice(self, clock: SlaClock) -> int:
        """The instant of the next reminder or warning of a clock; its deadline when none is left."""
        assert clock.deadline is not None
        given = self.said.notices.get(clock.key, 0)
        if clock.metric == UPDATE:
            remind_at = clock.remind_at()
            return clock.deadline if given or remind_at is None else remind_at
        return clock.warnings[given][0] if given < len(clock.warnings) else clock.deadline

    def _notices(self, due: int) -> None:
        """Reminders (R9) and warnings (R10) due by `due`; warnings due together collapse into the highest."""
        folded = self.live
        if folded.ending is not None:
            return
        for clock in (folded.response, folded.resolution, folded.window):
            if clock is None or clock.state != OPEN or clock.deadline is None:
                continue
            given = self.said.notices.get(clock.key, 0)
            if clock.metric == UPDATE:
                remind_at = clock.remind_at()
                if not given and remind_at is not None and remind_at <= due:
                    self._noticed(clock.key, 1, self._reporter.update_due(clock, remind_at))
                continue
            passed = bisect_right(clock.warnings, due, key=lambda mark: mark[0])
            if passed > given:
                at, fraction = clock.warnings[passed - 1]
                self._noticed(clock.key, passed, self._reporter.warning(clock, at, float(fraction)))

    def _noticed(self, key: ClockKey, count: int, output: Output) -> None:
        self._say(Entry.of_clock(Kind.NOTICED, key, count), output)

    def take(self) -> tuple[list[Output], list[Entry]]:
        """Outputs and entries since the last call."""
        taken = self.outputs, self.entries
        self.outputs, self.entries = [], []
        return taken

    def tenants(self) -> Iterator[str]:
        """Every tenant that a fact of this incident names."""
        for fact in self.facts:
            yield from getattr(fact.payload, "tenant_ids", None) or ()
