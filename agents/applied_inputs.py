"""Inputs of the incidents agent that are decided on one after the other and written together, because the code of each
stage then stays in the CPU's caches."""

from __future__ import annotations

from typing import Any, Final

from agents.context import position_of
from agents.decision_writer import DecisionWriter
from agents.ingress import Checked
from streams.runtime.processor import Effects
from streams.sla.incidents.incident_store import IncidentStore
from streams.sla.incidents.steps import Applied

MOST: Final = 16
"""Decisions that are written together."""
_LARGE: Final = 256
"""Items in an impact list from which its decision is written at once, so that limits of bytes hold."""


class AppliedInputs:
    """The decisions of one partition that are not written yet, at most one of each incident. What their writing needs
    to know of the incident and of erasures is what was known when they were made: whoever changes that by anything but
    `apply` calls `write` before."""

    def __init__(self, store: IncidentStore, writer: DecisionWriter) -> None:
        self._store = store
        self._writer = writer
        self._decided: dict[str, tuple[Applied, Checked]] = {}

    def apply(self, checked: Checked, effects: Effects) -> bool:
        """Decide on an input. False for a rare one, which is to be applied and written by itself."""
        event, _, record = checked
        incident_id = event.subject
        if event.backfill or self._store.interrupted(incident_id):
            return False
        if incident_id in self._decided:
            self.write(effects)
        decision = self._store.apply(event, record.arrival, position_of(record))
        if not isinstance(decision, Applied):
            self._write_decided(effects)
            self._writer.write_input(decision, checked, effects)
            self._store.trim_cache()
            return True
        self._decided[incident_id] = decision, checked
        if len(self._decided) >= MOST or _is_large(decision):
            self.write(effects)
        return True

    def write(self, effects: Effects) -> None:
        """Write what was decided, in its order. Raises WriteFailed."""
        if self._decided:
            self._write_decided(effects)
            self._store.trim_cache()  # not before: an incident that is not cached is read from its rows

    def _write_decided(self, effects: Effects) -> None:
        self._writer.write_applied(self._decided.values(), effects)
        self._decided.clear()


def _is_large(decision: Applied) -> bool:
    """Whether a decision may take very many bytes: an impact list names tenants in each of its intervals."""
    for output in decision.outputs:
        if output.type == "impact.changed":
            data: Any = output.data
            if (1 + len(data["tenant_ids"])) * len(data["intervals"]) + len(data["evidence"]) > _LARGE:
                return True
    return False
