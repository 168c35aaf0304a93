"""One incident: its facts, what was published of it, and what a new fact or timer adds (R1–R3, R9–R12)."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator

from streams.sla.events import Output
from streams.sla.incidents.causes import DESCRIBED, REBASED, RETRACTION_CAUSES, Cause
from streams.sla.incidents.classification import STANDING_FLAGS, Classification
from streams.sla.incidents.clocks import OPEN, UPDATE, Breach, ClockKey, SlaClock
from streams.sla.incidents.episodes import LISTED, Listed
from streams.sla.incidents.fold import Fact, Fold, FoldContext, fold
from streams.sla.incidents.outputs import OutputBuilder, closed_digest, impacts_digest
from streams.sla.incidents.published import (
    BreachEntry,
    ClassificationEntry,
    ClosingEntry,
    ImpactsEntry,
    LinkEntry,
    MetEntry,
    NoticeEntry,
    PublishedEntry,
    PublishedState,
    RetractionEntry,
)

#: From this many facts on an index finds a fact by its identity; with fewer, as nearly always, a search is faster.
INDEXED = 16


class Timeline:
    """Facts sorted by meaning, the fold over them, and what has been published of it.

    Everything due before `processed_until` has been done. Outputs are collected in `outputs`, their entries in
    `entries`; the caller takes both after each step.
    """

    __slots__ = (
        "_builder",
        "_index",
        "_listed",
        "_published_classification",
        "entries",
        "facts",
        "folded",
        "handled_breaches",
        "handled_mets",
        "id",
        "outdated",
        "outputs",
        "pending",
        "processed_until",
        "published",
    )

    def __init__(self, incident_id: str) -> None:
        self.id = incident_id
        self.facts: list[Fact] = []
        self._listed: Listed | None = None
        self._index: dict[tuple[str, str], Fact] = {}
        self.folded: Fold | None = None
        self._builder: OutputBuilder
        self._published_classification: Classification | None = None
        """The fold's classification once it is known to be published: a change of it, of the policy or of the flags
        makes another object."""
        self.published = PublishedState()
        self.processed_until = 0
        self.outdated = False
        """Whether a breach is published that does not follow any more, although no fact has come: a policy version that
        is in force since before the opening was added, or the time zone data changed."""
        self.pending: list[Breach] = []
        self.handled_breaches = 0
        self.handled_mets = 0
        self.outputs: list[Output] = []
        self.entries: list[PublishedEntry] = []

    # -- facts -----------------------------------------------------------------------------------------------

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

    def _insert(self, fact: Fact) -> None:
        insort(self.facts, fact)
        if self._listed is not None and isinstance(fact.payload, LISTED):
            self._listed = self._listed.plus([fact.payload])
        if self._index:
            self._index[fact.source, fact.id] = fact

    @property
    def listed(self) -> Listed:
        """How long the impact list may become; most incidents are never asked."""
        if self._listed is None:
            self._listed = Listed().plus([fact.payload for fact in self.facts])
        return self._listed

    @property
    def live(self) -> Fold:
        assert self.folded is not None, f"incident {self.id} has no opening yet"
        return self.folded

    def restore(self, facts: list[Fact], entries: list[PublishedEntry], processed_until: int) -> None:
        """Restore one recorded step."""
        for fact in facts:
            self._insert(fact)
        for entry in entries:
            self.published.add(entry)
        self.processed_until = max(self.processed_until, processed_until)

    def refold(self, context: FoldContext) -> None:
        """Fold all facts anew, up to `processed_until`, and find the breaches that follow but are not published yet."""
        folded = fold(self.facts, context)
        if folded is not None:
            folded.roll(self.processed_until)
            self._published_classification = None
            self._builder = OutputBuilder(self.id, folded, backfill=folded.backfill)
            published = self.published.breaches
            self.pending = [b for b in folded.breaches if b.key not in published and not b.reclassified]
            self.outdated = bool(published) and not published.keys() <= {breach.key for breach in folded.breaches}
            self.handled_breaches = len(folded.breaches)
            self.handled_mets = len(folded.mets)
        self.folded = folded  # not before: what raises raises again on the next access

    # -- steps -------------------------------------------------------------------------------------------------------

    def add(self, new: list[Fact], context: FoldContext) -> None:
        """Fold new facts in and publish what differs. A single fact that is the last in order of meaning is folded in;
        a late one, or the opening that others waited for, folds everything anew (R2, R12), and so does the first one
        after what is published became outdated (R3)."""
        cause = new[-1]
        folded = self.folded
        if (
            folded is not None
            and not self.outdated
            and len(new) == 1
            and cause > self.facts[-1]
            and (cause.time > folded.opened_at or self.facts[0].time == cause.time)
            and cause.time > folded.rolled
            and cause.type != "incident.annulled"
        ):
            self._insert(cause)
            folded.apply(cause)
            folded.roll(self.processed_until)
            if folded.classification is not self._published_classification:
                self._classify(cause)
            for breach in folded.breaches[self.handled_breaches :]:
                self._new_breach(breach)
            for met in folded.mets[self.handled_mets :]:
                self._publish(MetEntry(met.key, met.at), self._builder.met(met))
            self.handled_breaches, self.handled_mets = len(folded.breaches), len(folded.mets)
            if cause.type in DESCRIBED:
                self._publish_description(cause)
            return
        for fact in new:
            self._insert(fact)
        self.differ(cause, context)

    def differ(self, cause: Fact | Cause, context: FoldContext) -> None:
        """Fold anew and publish the whole difference: classification, retractions, verdicts, ending, impacts (R12)."""
        self.refold(context)
        if self.folded is None:
            return
        folded = self.folded
        self._classify(cause)
        following = {breach.key for breach in folded.breaches}
        because = RETRACTION_CAUSES.get(cause.type, "late_evidence")
        gone = [key for key in self.published.breaches if key not in following]
        revisions = {(clock.metric, clock.instance): clock.revision for clock in folded.clocks} if gone else {}
        for key in gone:
            revision = max(revisions.get(key[:2], 0), 0)
            output = self._builder.retracted(key, revision, max(cause.time, folded.opened_at), because)
            self._publish(RetractionEntry(key), output)
        self.outdated = False
        for breach in folded.breaches:
            if breach.reclassified and breach.key not in self.published.breaches:
                self._new_breach(breach)
        for met in folded.mets:
            if self.published.mets.get(met.key[:2]) != (met.key.deadline, met.at):
                self._publish(MetEntry(met.key, met.at), self._builder.met(met))
        self._publish_description(cause)

    def reevaluate(self, cause: Cause, arrival: int, context: FoldContext) -> None:
        """A contract fact that concerns the incident arrived: publish the whole difference (R20)."""
        if not next((fact.backfill for fact in self.facts if fact.rank == 0), False):
            self.processed_until = max(self.processed_until, arrival)
        self.differ(cause, context)

    def due(self) -> int | None:
        """The instant of the next timer, never before `processed_until` (R11)."""
        folded = self.folded
        if folded is None:
            return None
        nominal = min([breach.at for breach in self.pending]) if self.pending else None
        if folded.ending is None:
            for clock in (folded.response, folded.resolution, folded.window):
                if clock is not None and clock.state == OPEN and clock.deadline is not None:
                    at = min(clock.deadline, self.next_reminder(clock))
                    nominal = at if nominal is None or at < nominal else nominal
        return None if nominal is None else max(nominal, self.processed_until)

    def fire(self, due: int, detected_at: int) -> None:
        """Time has passed `due`: publish what became true by then (R8–R11)."""
        folded = self.live
        folded.roll(due + 1)
        if folded.windows_exhausted:
            self._classify(Cause("update.limit", due, "", str(folded.max_update_windows)))
        for breach in folded.breaches[self.handled_breaches :]:
            self.pending.append(breach)
        self.handled_breaches = len(folded.breaches)
        first_due = [breach for breach in self.pending if breach.at <= due]
        self.pending = [breach for breach in self.pending if breach.at > due]
        for breach in first_due:
            self._breached(breach, detected_at)
        self._notices(due)
        self.processed_until = max(self.processed_until, due + 1)

    # -- publishing --------------------------------------------------------------------------------------------------

    def _publish(self, entry: PublishedEntry, output: Output) -> None:
        self.published.add(entry)
        self.entries.append(entry)
        self.outputs.append(output)

    def _new_breach(self, breach: Breach) -> None:
        if breach.reclassified:
            self._breached(breach, self.processed_until)
        else:
            self.pending.append(breach)

    def _breached(self, breach: Breach, detected_at: int) -> None:
        judged = breach.key[:2] in self.published.judged
        output = self._builder.breached(breach, max(detected_at, breach.at), judged_before=judged)
        self._publish(BreachEntry(breach.key), output)

    def _classify(self, cause: Fact | Cause) -> None:
        """Publish the classification when it or its basis differs from what was published, before its verdicts."""
        folded, published = self.live, self.published.classification
        decided = folded.classification
        if decided is self._published_classification:
            return
        flags = (*decided.flags, *folded.pinned.flags)
        basis = f"{folded.policy.name}/{folded.policy.version} {','.join(flags)}"
        entry = ClassificationEntry(decided.severity, decided.covered, decided.counts_as_downtime, basis)
        if (
            published is None
            or not entry.same_verdict(published)
            or any((flag in flags) != (flag in published.basis) for flag in STANDING_FLAGS)
            or (entry != published and cause.type in REBASED)
        ):
            previous = None if published is None else published.severity
            output = self._builder.classified(previous, (cause.type, cause.source, cause.id))
            self._publish(entry, output)
        if entry == self.published.classification:
            self._published_classification = decided

    def _publish_description(self, cause: Fact | Cause) -> None:
        """Publish ending, impacts and link, each when it differs from what was published."""
        folded, published = self.live, self.published
        if folded.ending is not None:
            digest = closed_digest(folded)
            if digest != published.closing.digest:
                self._publish(ClosingEntry(digest), self._builder.closed(digest))
        elif published.closing.digest is not None:
            self._record(ClosingEntry(None))
        impacts = folded.impacts()
        digest = impacts_digest(impacts)
        if digest != published.impacts.digest and (impacts or published.impacts.revision):
            revision = published.impacts.revision + 1
            output = self._builder.impact_changed(impacts, revision, max(cause.time, folded.opened_at))
            self._publish(ImpactsEntry(revision, digest), output)
        if folded.merged_into != published.link.into:
            self._publish_link(cause)

    def _publish_link(self, cause: Fact | Cause) -> None:
        """R16: a merge leaves a link on both incidents; one that no longer follows is removed from both."""
        folded, old = self.live, self.published.link
        at, revision = max(cause.time, folded.opened_at), old.revision + 1
        outputs = self._builder.links(old.into, folded.merged_into, revision, at)
        self._record(LinkEntry(revision, folded.merged_into))
        self.outputs += outputs

    def _record(self, entry: PublishedEntry) -> None:
        self.published.add(entry)
        self.entries.append(entry)

    def next_reminder(self, clock: SlaClock) -> int:
        """The instant of the next reminder or warning of a clock; its deadline when none is left."""
        assert clock.deadline is not None
        given = self.published.notices.get(clock.key, 0)
        if clock.metric == UPDATE:
            remind_at = clock.remind_at
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
            given = self.published.notices.get(clock.key, 0)
            if clock.metric == UPDATE:
                remind_at = clock.remind_at
                if not given and remind_at is not None and remind_at <= due:
                    self._noticed(clock.key, 1, self._builder.update_due(clock, remind_at))
                continue
            passed = bisect_right(clock.warnings, due, key=lambda mark: mark[0])
            if passed > given:
                at, fraction = clock.warnings[passed - 1]
                self._noticed(clock.key, passed, self._builder.warning(clock, at, float(fraction)))

    def _noticed(self, key: ClockKey, count: int, output: Output) -> None:
        self._publish(NoticeEntry(key, count), output)

    def take(self) -> tuple[list[Output], list[PublishedEntry]]:
        """Outputs and entries since the last call."""
        taken = self.outputs, self.entries
        self.outputs, self.entries = [], []
        return taken

    def tenants(self) -> Iterator[str]:
        """Every tenant that a fact of this incident names."""
        for fact in self.facts:
            yield from getattr(fact.payload, "tenant_ids", None) or ()
