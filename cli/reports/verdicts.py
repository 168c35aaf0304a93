"""Which clocks were met: verdicts from the alerts topic, folded and counted as the board does it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from board.ingest.rows import Row, verdict
from board.ingest.verdicts import folded
from board.queries.attainment import AttainmentRow, VerdictCount, shares_by_severity
from streams.sla.instants import month_of


class Verdicts:
    """Takes alerts, each partition's in its order. Incidents that were loaded as history are not counted."""

    def __init__(self) -> None:
        self._standing: dict[tuple[str, str, int], list[Row]] = {}

    def take(self, event_type: str, fields: Mapping[str, Any]) -> None:
        """An `sla.met`, `sla.breached` or `sla.breach_retracted`."""
        key = fields["incident_id"], fields["metric"], fields["instance"]
        if event_type == "sla.breach_retracted":
            change: Row = {"deadline": fields["deadline"]}
        else:
            change = verdict(event_type, fields)
        self._standing[key] = folded(self._standing.get(key, []), change)

    def by_severity(self, zone: str, months: Collection[str] | None) -> list[AttainmentRow]:
        """The shares of clocks that ended in these months of a zone; None: in any."""
        counts: Counter[tuple[str, str, str, bool, bool]] = Counter()
        for standing in self._standing.values():
            if standing:
                row = standing[-1]
                met = row["verdict"] == "met"
                counts[month_of(row["at"], zone), row["severity"], row["metric"], row["backfill"], met] += 1
        found = [
            VerdictCount(month, severity, metric, backfill, number if met else 0, number)
            for (month, severity, metric, backfill, met), number in counts.items()
        ]
        wanted = {one.month for one in found} if months is None else months
        return shares_by_severity(found, wanted, backfill=False)
