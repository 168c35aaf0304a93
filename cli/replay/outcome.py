"""The result of a run, collected from its outputs: for the demo, and to compare a simulation with Kafka (R32)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

Event = Mapping[str, object]
"""An output event in the contract's JSON form."""

#: Fields that may differ between two equivalent statements (R32).
_FREE = frozenset(["status", "revision", "delta", "evidence", "digest", "claimable_until", "policy"])


@dataclass
class Outcome:
    """The sum of output events in the order in which they were published; repeated reads count once."""

    seen: set[str] = field(default_factory=set)
    kinds: Counter[str] = field(default_factory=Counter)
    classified: dict[str, Event] = field(default_factory=dict)
    breaches: dict[str, Event] = field(default_factory=dict)
    retracted: set[str] = field(default_factory=set)
    mets: dict[tuple[str, str, int], Event] = field(default_factory=dict)
    closed: dict[str, Event] = field(default_factory=dict)
    statements: dict[tuple[str, str], Event] = field(default_factory=dict)
    issued: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, event: Event) -> bool:
        """Add one event; False when it was seen before and changes nothing. What late evidence has taken back and later
        evidence brings back is published again with its id (R3): a classification, a breach, its retraction, a
        `met`, a closing."""
        name = str(event["id"])
        if name in self.seen:
            back = self._is_back(event)
            if back:
                self._take(event)
            return back
        self.seen.add(name)
        self.kinds[str(event["type"])] += 1
        self._take(event)
        return True

    def _is_back(self, event: Event) -> bool:
        """Whether an event whose id was seen differs from what stands."""
        data = data_of(event)
        match event["type"]:
            case "incident.classified":
                return self.classified[str(event["subject"])]["id"] != event["id"]
            case "sla.breached":
                return str(event["id"]) in self.retracted
            case "sla.breach_retracted":
                return str(data["breach_id"]) not in self.retracted
            case "sla.met":
                return self.mets[_met_key(event)]["id"] != event["id"]
            case "incident.closed":
                return self.closed[str(event["subject"])]["id"] != event["id"]
            case _:
                return False

    def _take(self, event: Event) -> None:
        name, data, incident = str(event["id"]), data_of(event), str(event["subject"])
        match event["type"]:
            case "incident.classified":
                self.classified[incident] = event
            case "incident.closed":
                self.closed[incident] = event
            case "sla.breached":
                self.breaches[name] = event
                self.retracted.discard(name)
            case "sla.breach_retracted":
                self.retracted.add(str(data["breach_id"]))
            case "sla.met":
                self.mets[_met_key(event)] = event
            case "credit.statement":
                key = (str(data["tenant_id"]), str(data["month"]))
                known = self.statements.get(key)
                if known is None or _revision(event) > _revision(known):
                    self.statements[key] = event
            case "credit.issued":
                amount = cast(Mapping[str, int], data["amount"])["amount_minor"]
                self.issued[str(data["tenant_id"]), str(data["month"])] += amount

    def standing_breaches(self) -> list[Event]:
        """Breaches that were not retracted."""
        return [event for name, event in self.breaches.items() if name not in self.retracted]


def _met_key(event: Event) -> tuple[str, str, int]:
    data = data_of(event)
    return str(event["subject"]), str(data["metric"]), cast(int, data["instance"])


def data_of(event: Event) -> Mapping[str, object]:
    return cast(Mapping[str, object], event["data"])


def _revision(event: Event) -> int:
    return cast(int, data_of(event)["revision"])


def outcome_of(events: Iterable[Event]) -> Outcome:
    outcome = Outcome()
    for event in events:
        outcome.add(event)
    return outcome


def disagreements(left: Outcome, right: Outcome) -> list[str]:
    """Where two runs over the same input do not agree in the sense of R32; empty when they do."""
    found = [
        f"classification of {incident}: {left.classified.get(incident)} and {right.classified.get(incident)}"
        for incident in sorted(left.classified.keys() | right.classified.keys())
        if _classification(left.classified.get(incident)) != _classification(right.classified.get(incident))
    ]
    for what, ours, theirs in (
        ("breach", _clocks(left.standing_breaches()), _clocks(right.standing_breaches())),
        ("met", _clocks(left.mets.values()), _clocks(right.mets.values())),
    ):
        found += [f"{what} {key} only in the one" for key in sorted(ours - theirs)]
        found += [f"{what} {key} only in the other" for key in sorted(theirs - ours)]
    for key in sorted(left.statements.keys() | right.statements.keys()):
        mine, other = left.statements.get(key), right.statements.get(key)
        if _amounts(mine) != _amounts(other):
            found.append(f"statement of {' '.join(key)}: {_amounts(mine)} and {_amounts(other)}")
    return found


def _classification(event: Event | None) -> tuple[object, ...] | None:
    if event is None:
        return None
    data = data_of(event)
    return tuple(str(data[name]) for name in ("severity", "coverage", "rule", "counts_as_downtime", "flags"))


def _clocks(events: Iterable[Event]) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for event in events:
        data = data_of(event)
        clock = (str(data["metric"]), str(data["instance"]), str(data["deadline"]), str(data.get("met_at", "")))
        found.add((str(event["subject"]), *clock))
    return found


def _amounts(event: Event | None) -> dict[str, object] | None:
    return None if event is None else {k: v for k, v in data_of(event).items() if k not in _FREE}
