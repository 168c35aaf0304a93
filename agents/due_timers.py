"""Fires the timers of the incidents agent in order of time: of incidents, of watermarks, of states still to publish."""

from __future__ import annotations

from collections.abc import Callable

from agents.decision_spans import DecisionSpans
from agents.decision_writer import DecisionWriter
from agents.incident_states import IncidentStateWriter
from agents.watermarks import WatermarkWriter
from streams.runtime.processor import Effects, SubjectFailed
from streams.sla.incidents.contract_retention import EVICTION
from streams.sla.incidents.incident_store import IncidentStore
from streams.sla.incidents.steps import Applied, TimerDecision, outputs_of
from streams.time_source import TimeSource


class DueTimers:
    """The timers of one partition. Those that fire in one call are decoded together, then decided on one after the
    other, then written together: the code of each stage stays in the CPU's caches."""

    def __init__(
        self,
        store: IncidentStore,
        writer: DecisionWriter,
        watermarks: WatermarkWriter,
        states: IncidentStateWriter,
        *,
        clock: TimeSource,
        spans: DecisionSpans | None,
    ) -> None:
        self._store = store
        self._writer = writer
        self._watermarks = watermarks
        self._states = states
        self._clock = clock
        self._spans = spans

    def next_due(self) -> int | None:
        """The earliest instant at which something is due; None without timers."""
        due, watermark_due, states_due = self._store.next_due(), self._watermarks.next_due(), self._states.next_due()
        if states_due is not None:
            due = states_due if due is None else min(due, states_due)
        if watermark_due is None:
            return due
        waiting_since = self._store.waiting_since
        if waiting_since is not None and waiting_since <= watermark_due:
            return due
        return watermark_due if due is None else min(due, watermark_due)

    def fire(
        self, before: int, limit: int, effects: Effects, write_alone: Callable[[TimerDecision, Effects], None]
    ) -> int:
        """Fire and write what is due before an instant, at most `limit`; returns how many fired. `write_alone` writes
        what follows from one decision of any kind. Raises SubjectFailed."""
        store, fired = self._store, 0
        decided: list[tuple[str, Applied]] = []
        if limit > 1:
            store.load_due(before, limit)
        while fired < limit:
            first_due = store.first_due(before)
            following = before if first_due is None else first_due[0]
            states_due = self._states.next_due()
            if states_due is not None and states_due < following:
                self._write(decided, effects)
                self._states.fire(effects)
                fired += 1
                continue
            waiting_since = store.waiting_since
            if waiting_since is not None:  # not all of that input has been applied yet
                following = min(following, waiting_since)
            watermark_due = self._watermarks.next_due()
            evicting = first_due is not None and first_due[1] == EVICTION  # has no outputs: it dates no watermark
            if watermark_due is not None and watermark_due < following and not evicting:  # in order of time (R11)
                self._write(decided, effects)
                self._watermarks.write(following - 1, effects)
                fired += 1
                continue
            if first_due is None:
                break
            # At most one decision of an incident waits: the next may evict it, and writing would bring it back.
            if evicting or any(first_due[1] == incident_id for incident_id, _ in decided):
                self._write(decided, effects)
            try:
                now = self._clock.now()
                decision = store.fire_first(first_due, before, seen_at=now)
            except Exception as error:
                raise SubjectFailed(first_due[1]) from error
            if isinstance(decision, Applied) and self._spans is None:
                decided.append((first_due[1], decision))
            else:
                self._write(decided, effects)
                self._write_one(first_due[1], decision, now, effects, write_alone)
            fired += 1
        self._write(decided, effects)
        return fired

    def _write(self, decided: list[tuple[str, Applied]], effects: Effects) -> None:
        """Write decisions in their order, and forget them."""
        if decided:
            self._writer.write_timers(decided, effects)
            decided.clear()
            self._store.trim_cache()

    def _write_one(
        self,
        incident_id: str,
        decision: TimerDecision,
        decided_at: int,
        effects: Effects,
        write_alone: Callable[[TimerDecision, Effects], None],
    ) -> None:
        try:
            write_alone(decision, effects)
            if self._spans is not None:
                self._spans.of_timer(incident_id, outputs_of(decision), decided_at)
            self._store.trim_cache()
        except Exception as error:
            raise SubjectFailed(incident_id) from error
