"""Publishes the present state of each incident that changed: once per incident and transaction."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import cast

import structlog

from agents.changelog.input_rows import row_key
from agents.context import AgentContext
from agents.egress import Egress
from streams.log_damper import CrashLog, LogDamper
from streams.runtime.processor import Effects
from streams.serde.codec import Fields
from streams.sla.incidents.incident_store import IncidentStore
from streams.sla.incidents.present_state import TYPE
from streams.sla.instants import SECOND, format_rfc3339
from streams.topics import TOPIC_OF

#: The row that says up to which incident, in order of ids, the states of incidents have been published that a version
#: before states had stored; `until` is 1 once all are.
PROGRESS = "@states"
#: Incidents in one slice of that, and how much time passes between two slices: 320 states and 10 transactions a second.
_SLICE = 32
_SLICE_INTERVAL = SECOND // 10
_LOG_EVERY_S = 1.0


class IncidentStateWriter:
    """The incidents of one partition whose states are to be published before the open transaction is committed."""

    def __init__(self, context: AgentContext, store: IncidentStore, egress: Egress) -> None:
        self._context = context
        self._store = store
        self._egress = egress
        self._changed: dict[str, None] = {}
        self._progress: str | None = ""
        """The states of incidents up to this one have been published; None: of all."""
        self._unpublished: list[str] = []
        """Incidents whose state no version has published yet, in descending order of ids."""
        self._due = 0
        self._logger = structlog.get_logger(__name__).bind(partition=context.partition)
        self._crashes = CrashLog(self._logger, "incident_state_failed")
        self._damper = LogDamper(_LOG_EVERY_S)

    def changed(self, incident_id: str, effects: Effects) -> None:
        """An incident changed, or was evicted. Its state is published by `finish`; until then `effects` counts the
        bytes that it will need."""
        if incident_id not in self._changed:
            self._changed[incident_id] = None
            effects.bytes += self._store.size_of_state(incident_id)

    def finish(self, effects: Effects, limit: int) -> bool:
        """Publish at most `limit` states; False while more are left."""
        for _ in range(min(limit, len(self._changed))):
            self._publish(self._changed.popitem()[0], effects)
            self._store.trim_cache()
            if self._progress is not None and not self._unpublished:
                self._record_progress(None, effects)
        return not self._changed

    def _publish(self, incident_id: str, effects: Effects) -> None:
        """A state is a view: where it can't be made, alerts go on all the same, and the one before stays unless it
        may name an erased tenant (R29). That of an incident that still names one follows once it is rewritten."""
        if self._store.names_erased(incident_id):
            return
        topic = TOPIC_OF[TYPE]
        try:
            state = self._store.present_state(incident_id)
        except MemoryError:  # the state is right, and is made at the next attempt
            raise
        except Exception as error:
            self._context.count.state_failed()
            self._crashes.caught(error, incident=incident_id)
            if not self._store.redacted(incident_id):
                return
            state = None
        if state is None:
            self._egress.delete(topic, incident_id, incident_id, effects)
        else:
            self._report_times(incident_id)
            self._egress.publish(state, topic, effects)

    def _report_times(self, incident_id: str) -> None:
        """An incident that ends before it begins has no downtime (R21), and one that is resolved before its opening
        has some until then (R2): its sender made a mistake, or the amendment that corrects it is still to come."""
        times = self._store.contradictory_times(incident_id)
        if times is None:
            return
        self._context.count.contradictory_times()
        left_out = self._damper.admit("", time.monotonic())
        if left_out is not None:
            logged = dict(zip(("started_at", "opened_at", "restored_at"), map(format_rfc3339, times), strict=True))
            event = "ends_before_it_begins" if times.ended < times.started else "ends_before_its_opening"
            self._logger.warning(event, incident=incident_id, left_out=left_out, **logged)

    # -- incidents of versions before --------------------------------------------------------------------------------

    def restore(self, row: Fields) -> None:
        """Restore how far states have been published."""
        self._progress = None if row["until"] else cast(str, row["incident_id"])

    def restored(self, incidents: Iterable[str], now: int) -> None:
        """All rows are restored: find the incidents whose states are to be published from `now` on."""
        done = self._progress
        if done is not None:
            self._unpublished = sorted((one for one in incidents if one > done), reverse=True)
            self._due = now

    def next_due(self) -> int | None:
        """When the next slice is due; None when all states are published."""
        return self._due if self._unpublished else None

    def fire(self, effects: Effects) -> None:
        """Publish the states of the next slice."""
        following = self._unpublished[-_SLICE:]
        del self._unpublished[-_SLICE:]
        self._changed.update(dict.fromkeys(following))
        self._due += _SLICE_INTERVAL
        self._record_progress(following[0] if self._unpublished else None, effects)

    def _record_progress(self, progress: str | None, effects: Effects) -> None:
        self._progress = progress
        fields = {"incident_id": progress or "", "until": int(progress is None)}
        effects.put(row_key(PROGRESS), self._context.codec.encode("state.marker", fields))
