"""Outages for the slow model: which component had which impact for whom, minute by minute (R16, R17, R21)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slow_time import minute

Line = dict[str, Any]


@dataclass
class Outage:
    """One stretch of one incident with one component and impact. `tenants` None: all; `counts` as amended."""

    start: int
    end: int
    component: str
    impact: str
    tenants: frozenset[str] | None
    counts: bool | None


@dataclass
class Episode:
    """From an opening or reopening to its end as reported (None: still open), and what amendments say instead."""

    start: int
    end: int | None = None
    amended_start: int | None = None
    amended_end: int | None = None
    taken_back: int = 0


def outages_of(facts: list[Line], until: int) -> list[Outage]:
    """The outages of one incident, its facts given in the order of meaning."""
    facts = [fact for fact in facts if fact["at"] <= until]
    if not facts or any(fact["type"] == "incident.annulled" for fact in facts):
        return []
    stretches = reported(facts)
    counts = None
    for fact in facts:
        if fact["type"] == "incident.amended" and fact["data"].get("counts_as_downtime") is not None:
            counts = fact["data"]["counts_as_downtime"]
    found = []
    for episode in episodes(facts):
        start = episode.start if episode.amended_start is None else episode.amended_start
        end = episode.end if episode.amended_end is None else episode.amended_end
        end = until if end is None else end
        for begin, finish, state in stretches:
            low, high = max(start, begin), min(end, finish)
            if low < high:
                tenants = None if state["scope"] == "platform" else frozenset(state["tenant_ids"])
                found.append(Outage(low, high, state["component"], state["impact"], tenants, counts))
    return found


def reported(facts: list[Line]) -> list[tuple[int, int, Line]]:
    """What was reported, from when to when; the opening's report also holds for the time before it."""
    state = dict(facts[0]["data"])
    found, begin = [], -(10**9)
    for fact in facts:
        if fact["type"] == "incident.reclassified":
            found.append((begin, fact["at"], dict(state)))
            begin = fact["at"]
            state |= fact["data"]
    return [*found, (begin, 10**9, state)]


def episodes(facts: list[Line]) -> list[Episode]:
    opening = facts[0]
    found = [Episode(minute(opening["data"].get("started_at", opening["time"])))]
    running = True
    for fact in facts[1:]:
        data, now = fact["data"], found[-1]
        match fact["type"]:
            case "incident.reopened" if not running and never_ended(opening, fact, now.end):
                now.taken_back = max(now.end, now.taken_back)
                now.end = None
                running = True
            case "incident.reopened" if not running:
                found.append(Episode(minute(data["started_at"]) if "started_at" in data else fact["at"]))
                running = True
            case "incident.resolved" if running:
                now.end = max(minute(data["restored_at"]) if "restored_at" in data else fact["at"], now.taken_back)
                running = False
            case "incident.merged" if running:
                now.end = fact["at"]
                running = False
            case "incident.amended":
                if "started_at" in data:
                    now.amended_start = minute(data["started_at"])
                if "restored_at" in data:
                    now.amended_end = minute(data["restored_at"])
    return found


def never_ended(opening: Line, fact: Line, end: int | None) -> bool:
    """Whether a monitor's reopening says that its outage did not end where it was reported to end (R15)."""
    started = fact["data"].get("started_at")
    return opening["data"]["channel"] == "monitor" and started is not None and end is not None and minute(started) < end


def effective(facts: list[Line]) -> list[Line]:
    """Without the reopenings by which a monitor would undo a merge: they have no effect (R15)."""
    found, end, reason = [facts[0]], None, None
    for fact in facts[1:]:
        match fact["type"].removeprefix("incident."):
            case "reopened" if reason is not None:
                if reason == "merged" and never_ended(facts[0], fact, end):
                    continue
                end = reason = None
            case "resolved" | "merged" as kind if reason is None:
                reported = fact["data"].get("restored_at") if kind == "resolved" else None
                end, reason = fact["at"] if reported is None else minute(reported), kind
        found.append(fact)
    return found
