"""Impact lists: which component had which impact when, as the incidents agent reports and the ledger reads (R21)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from streams.sla.events import Position
from streams.sla.evidence import PositionsSummary, positions_of
from streams.sla.tenant_lists import shared


class Impact(NamedTuple):
    """Whom a component's impact affected over a half-open interval. `end` is None while open, `counts` None unless
    amended (R21)."""

    component: str
    impact: str
    start: int
    end: int | None
    counts: bool | None
    scope: str
    tenant_ids: tuple[str, ...]


class ImpactCopy(NamedTuple):
    """The whole current impact list of one incident, as the incidents agent published it. `summary` stands for the
    evidence where it is too large to be listed."""

    incident_id: str
    revision: int
    impacts: tuple[Impact, ...]
    evidence: tuple[Position, ...]
    summary: PositionsSummary | None = None

    def ends_by(self, instant: int) -> bool:
        """Whether there are impacts and all of them end by an instant."""
        return bool(self.impacts) and all(i.end is not None and i.end <= instant for i in self.impacts)


def impact_copy(data: Mapping[str, Any]) -> ImpactCopy:
    """The impact list that an `impact.changed` record carries."""
    return ImpactCopy(
        data["incident_id"],
        data["incident_revision"],
        tuple(
            [
                Impact(
                    item["component"],
                    item["impact"],
                    item["start"],
                    item["end"],
                    item["counts"],
                    item["scope"],
                    shared(tuple(item["tenant_ids"])).names,
                )
                for item in data["intervals"]
            ]
        ),
        positions_of(data["evidence"]),
        PositionsSummary.of_data(data.get("evidence_summary")),
    )
