"""The clocks of one incident under its current severity (R7–R16): started, met, breached, retargeted, paused."""

from __future__ import annotations

from typing import NamedTuple

from streams.sla import events as ev
from streams.sla.calendar import Pauses
from streams.sla.incidents.classification import UPDATE_LIMIT, Classification
from streams.sla.incidents.clocks import (
    BREACHED,
    CANCELLED,
    MET,
    OPEN,
    RESOLUTION,
    RESPONSE,
    UPDATE,
    Breach,
    Met,
    SlaClock,
)
from streams.sla.policy import Policy, SeverityTargets, UpdateTarget

#: Update windows of one incident (R28): more than a year of silence at one an hour.
MAX_UPDATE_WINDOWS = 10_000


class Ending(NamedTuple):
    at: int
    reason: str  # resolved | merged | annulled


class SlaClocks:
    """Every clock of an incident, its verdicts, and the rules by which facts and time change them."""

    __slots__ = (
        "answered_at",
        "breaches",
        "classification",
        "clocks",
        "ending",
        "max_update_windows",
        "mets",
        "pauses",
        "policy",
        "resolution",
        "responded_at",
        "response",
        "response_instance",
        "rolled",
        "targeted",
        "update_count",
        "updated_at",
        "waiting",
        "window",
        "windows_exhausted",
    )

    def __init__(self, policy: Policy, classification: Classification, at: int, max_update_windows: int) -> None:
        self.max_update_windows = max_update_windows
        self.windows_exhausted = False
        self.policy = policy
        self.classification = classification
        self.pauses = Pauses()
        self.waiting: set[str] = set()
        self.ending: Ending | None = None
        self.response: SlaClock | None = None
        self.resolution: SlaClock | None = None
        self.window: SlaClock | None = None
        self.response_instance = 1
        self.update_count = 0
        self.responded_at: int | None = None
        """When the wait for a response was over: by a response or by its breach."""
        self.answered_at: int | None = None
        """When the first response came since the (re)opening, in time or not."""
        self.updated_at: int | None = None
        """When support published the last public update."""
        self.targeted = 0
        """How many clocks have or had a target."""
        self.clocks: list[SlaClock] = []
        self.breaches: list[Breach] = []
        self.mets: list[Met] = []
        self.rolled = -1
        self._start_clocks(at)

    # -- what facts do -----------------------------------------------------------------------------------------------

    def _responded(self, kind: str, payload: ev.Updated | ev.Responded, at: int) -> None:
        """R7, R8: the first qualifying fact is the response; later public updates by support meet update windows."""
        visibility = payload.visibility if isinstance(payload, ev.Updated) else None
        public_update = visibility == "public" and payload.who.kind == "support"
        if public_update:
            self.updated_at = at
        if self.ending is not None:
            return
        if public_update and self.window is not None and self.window.start < at:
            self._meet(self.window, at)
            regular = not self.window.requested
            self.window = None
            if regular:
                self._open_window(at)
        if self.answered_at is not None or not self._qualifies(kind, payload.who.kind, visibility):
            return
        self.answered_at = at
        if self.responded_at is None:
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

    def _wait(self, on: str, at: int, *, begins: bool) -> None:
        """R14: only severities whose policy pauses on it pause; downtime never does."""
        if begins:
            self.waiting.add(on)
        else:
            self.waiting.discard(on)
        if self._update_pause(at):
            for clock in (self.response, self.resolution, self.window):
                if clock is not None and clock.state == OPEN:
                    self._set_target(clock)

    def _update_pause(self, at: int) -> bool:
        """Begin or end the pause that waiting and severity require; returns whether anything changed."""
        paused = self.pauses.open
        targets = self._targets()
        pausing = self.ending is None and targets is not None and bool(self.waiting & targets.pause_on)
        if pausing and not paused:
            self.pauses.begin(at)
        elif paused and not pausing:
            self.pauses.end(at)
        else:
            return False
        return True

    def _stop(self, at: int, reason: str) -> None:
        """R8, R15, R16: open clocks are cancelled, also at exactly the deadline; resolution is met by resolving."""
        for clock in (self.response, self.resolution, self.window):
            if clock is not None and clock.state == OPEN:
                if clock.metric == RESOLUTION and reason == "resolved":
                    self._meet(clock, at)
                else:
                    clock.end(CANCELLED, at)
        self.window = None
        self.ending = Ending(at, reason)
        self._update_pause(at)

    # -- targets -----------------------------------------------------------------------------------------------------

    def _targets(self) -> SeverityTargets | None:
        decided = self.classification
        return self.policy.severities.get(decided.severity) if decided.covered else None

    def _updates(self) -> UpdateTarget | None:
        targets = self._targets()
        return targets.updates if targets is not None else None

    def _set_target(self, clock: SlaClock) -> bool:
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
            self.targeted += clock.target is None
            clock.set_target(updates.target, hours, self.pauses, (), updates.remind_before)
            return True
        target = targets.response if clock.metric == RESPONSE else targets.resolution
        if target is None:
            return False
        self.targeted += clock.target is None
        clock.set_target(target, hours, self.pauses, targets.warn_at, None)
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

    def _retarget_clock(self, clock: SlaClock, at: int) -> None:
        if not self._set_target(clock):
            if clock.state == OPEN:
                clock.end(CANCELLED, at)
        elif clock.deadline is not None and clock.deadline <= at:
            self._breach(clock, at, reclassified=True)

    # -- clocks ------------------------------------------------------------------------------------------------------

    def _start_clocks(self, at: int) -> None:
        """R7, R15: response (and resolution) are measured from the opening, or from the reopening."""
        self.response = self._clock(RESPONSE, self.response_instance, at)
        self.resolution = self._clock(RESOLUTION, self.response_instance, at)

    def _clock(self, metric: str, instance: int, at: int) -> SlaClock:
        clock = SlaClock(metric, instance, at)
        if not self._set_target(clock):
            clock.end(CANCELLED, at)
        self.clocks.append(clock)
        return clock

    def _open_window(self, at: int, *, requested: bool = False) -> None:
        """R8, R9: the next update window, where the severity has one of that kind."""
        updates = self._updates()
        if self.ending is not None or updates is None or updates.on_request != requested:
            return
        if self.update_count >= self.max_update_windows:
            self.windows_exhausted = True
            self.classification = self._with_limit(self.classification)
            return
        self.update_count += 1
        self.window = SlaClock(UPDATE, self.update_count, at, requested=requested)
        self._set_target(self.window)
        self.clocks.append(self.window)

    def _with_limit(self, decided: Classification) -> Classification:
        """R28: an incident that may have no more update windows is flagged."""
        if not self.windows_exhausted or UPDATE_LIMIT in decided.flags:
            return decided
        return decided._replace(flags=(*decided.flags, UPDATE_LIMIT))

    def _meet(self, clock: SlaClock, at: int) -> None:
        if clock.deadline is None:
            clock.set_target_as_if_resumed(self.policy.calendar, self.pauses, at)
        clock.end(MET, at)
        if clock.deadline is not None:
            self.mets.append(Met(clock.key, at))

    def _breach(self, clock: SlaClock, at: int, *, reclassified: bool) -> None:
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

    def next_deadline(self) -> SlaClock | None:
        """The open clock with the earliest deadline."""
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
