"""Whole histories drawn by Hypothesis, on a grid of minutes: incidents, contracts, maintenance, claims, arrivals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from hypothesis import strategies as st
from slow import RANK
from story import (
    CUSTOMER,
    SUPPORT,
    Line,
    amended,
    annulled,
    claimed,
    contract,
    linked,
    maintenance,
    maintenance_cancelled,
    merged,
    opened,
    policy_applied,
    reclassified,
    reopened,
    requested,
    resolved,
    responded,
    severity_set,
    updated,
    waiting,
    waiting_ended,
)

from streams.sla.instants import DAY, HOUR, MINUTE, format_rfc3339, parse_rfc3339

#: Days around changes of daylight saving time (New York, Berlin, Lord Howe, all back), a new year, a leap day (twice).
BASES = ["2026-03-07", "2026-03-28", "2026-04-04", "2026-10-24", "2026-10-31", "2025-12-30"]
BASES += ["2028-02-27", "2028-02-28"]
ZONES = [None, None, "Asia/Tokyo", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu"]
PLANS = ["scalr-emergency", "team", "team", "retail", "retail", "unheard-of"]
APPLICABLE = [("scalr-emergency", "1"), ("scalr-emergency", "2"), ("team", "1"), ("retail", "1"), ("retail", "2")]
TENANTS = ["acme", "b", "c"]
IMPACTS = [
    "complete_outage",
    "complete_outage",
    "critical_performance",
    "material_aspect",
    "processing_delay",
    "cosmetic",
]
COMPONENTS = ["api", "api", "api", "api", "ui", "ui", "guest_agent", "backups", "other"]
WHO = st.sampled_from([SUPPORT, SUPPORT, SUPPORT, CUSTOMER])
#: Minutes by which a line comes late.
LAGS = st.sampled_from([0, 0, 0, 1, 60, 300, 24 * 60, 3 * 24 * 60, 30 * 24 * 60])
ODD = st.sampled_from([0, 0, 0, 0, 1, 7])


@cache  # a strategy that is new for each value takes longer than the value
def one_of(count: int) -> st.SearchStrategy[int]:
    return st.sampled_from(range(count))


@cache
def quarters_in(days: int) -> st.SearchStrategy[int]:
    return st.one_of(st.integers(32, 80), st.integers(96, 160), st.integers(0, days * 96))


@dataclass
class World:
    """A history in no order, when it begins, and when everything is over."""

    lines: list[Line]
    base: int
    until: int


def after(time: str, minutes: int) -> str:
    return format_rfc3339(parse_rfc3339(time) + minutes * MINUTE)


class Draws:
    """The values that the lines of one history share."""

    def __init__(self, draw: st.DrawFn, base: int) -> None:
        self.draw = draw
        self.base = base

    def one(self, values: list[Any]) -> Any:
        return values[self.draw(one_of(len(values)))]

    def instant(self, days: int = 3) -> str:
        """Mostly quarter hours, most of them in half a day, so that facts fall on deadlines and on each other."""
        quarters = self.draw(quarters_in(days))
        odd = self.draw(ODD)
        return format_rfc3339(self.base + quarters * 15 * MINUTE + odd * MINUTE)

    def perhaps(self, at: str, ahead: int = 1) -> str | None:
        """A time that an event may name, by its own time `at`; now and then one that it may not, ahead of it (R5)."""
        named = self.instant()
        return self.one([None] * 4 + [min(named, at)] * 4 + [named] * ahead)

    def tenants(self) -> list[str] | None:
        return self.one(
            [None, ["acme"], ["acme"], ["b"], ["acme", "b"], ["c", "b"], TENANTS, ["nobody"], ["nobody", "b"]]
        )

    def opening(self, of: str) -> Line:
        at = self.instant()
        tier, channel = self.one([None, None, 1, 2]), self.one(["monitor", "phone", "ticket"])
        component, impact = self.one(COMPONENTS), self.one(IMPACTS)
        more = {"of": of, "tenants": self.tenants(), "tier": tier, "channel": channel, "started": self.perhaps(at, 0)}
        return opened(at, impact, component=component, **more)

    def facts(self, of: str) -> list[Line]:
        """One fact, or two that belong together: a pause, a change there and back, what comes after an end."""
        first, second = sorted([self.instant(), self.instant()])
        match self.draw(st.integers(0, 13)):
            case 0 | 5:
                on = self.one(["customer", "customer", "customer", "third_party"])
                return [waiting(first, on, of=of), waiting_ended(second, on, of=of)]
            case 1 | 7:
                low, high = self.one(["P3", "P4"]), self.one(["P1", "P1", "P2"])
                return [severity_set(format_rfc3339(self.base), low, of=of), severity_set(second, high, of=of)]
            case 2:
                return [resolved(first, of=of), self.after_end(second, of)]
            case 3 | 6:
                return [responded(first, of=of), updated(after(first, 30), of=of)]
            case 4:
                return [self.one([merged, annulled])(first, of=of)]
            case _:
                return [self.fact(of)]

    def after_end(self, at: str, of: str) -> Line:
        match self.draw(st.integers(0, 4)):
            case 0:
                return annulled(at, of=of)
            case 1:
                return amended(at, restored=min(at, self.instant()), of=of)
            case 2:
                return amended(at, counts=self.one([True, False]), of=of)
            case 3:
                return policy_applied(at, *self.one(APPLICABLE), of=of)
            case _:
                return reopened(at, self.perhaps(at), of=of)

    def fact(self, of: str) -> Line:
        at = self.instant()
        match self.draw(st.integers(0, 17)):
            case 0:
                return self.opening(of)
            case 1 | 2:
                return responded(at, self.draw(WHO), of=of)
            case 3 | 4 | 5:
                return updated(at, self.draw(WHO), self.one(["public", "public", "internal"]), of=of)
            case 6:
                return requested(at, of=of)
            case 7:
                return reclassified(at, of=of, impact=self.one(IMPACTS))
            case 8:
                return reclassified(at, of=of, component=self.one(COMPONENTS), tier=self.one([None, 1, 3]))
            case 9:
                listed = self.tenants()
                return reclassified(at, of=of, tenants=listed) if listed else reclassified(at, of=of, scope="platform")
            case 10:
                return severity_set(at, self.one(["P1", "P2", "P3", "P4", None]), of=of)
            case 11:
                return resolved(at, self.perhaps(at), of=of)
            case 12:
                return reopened(at, self.perhaps(at), of=of)
            case 13:
                return amended(at, self.perhaps(at), self.perhaps(at), self.one([None, True, True, False]), of=of)
            case 14:
                make = self.one([merged, merged, linked, annulled])
                return make(at, of=of)
            case 15:
                return waiting(at, self.one(["customer", "third_party"]), of=of)
            case 16:
                return waiting_ended(at, self.one(["customer", "third_party"]), of=of)
            case _:
                name, version = self.one(APPLICABLE)
                return policy_applied(at, name, version, of=of)

    def contract(self) -> Line:
        """Most were agreed long before; some come in the midst of it and reach back or ahead."""
        moments = [self.base - 40 * DAY, self.base - 20 * DAY, self.base - 20 * DAY, self.base + 12 * HOUR]
        time = format_rfc3339(self.one(moments))
        before = format_rfc3339(self.base - 20 * DAY)
        start = self.one([before, before, before, before, self.instant(), self.instant(40)])
        end = self.one([None, None, None, None, self.instant(40)])
        if end is not None and parse_rfc3339(end) <= parse_rfc3339(start):
            end = None
        more: dict[str, Any] = {
            "of": self.one(["acme", *TENANTS]),
            "end": end,
            "plan": self.one(PLANS),
            "zone": self.one(ZONES),
        }
        more |= {
            "tier": self.one([None, 1, 3]),
            "charge": self.one([99_999, 7, 100_050]),
            "member": self.one([True, False]),
        }
        # One currency each: a late fact that turns out the earliest, in another currency, is no case of the model.
        return contract(time, start, currency={"acme": "USD", "b": "JPY", "c": "EUR"}[more["of"]], **more)

    def maintenance(self, outages: list[str]) -> Line:
        """Most windows begin when an outage does."""
        at, start, of = self.instant(), self.one([self.instant(), *outages, *outages]), self.one(["m-1", "m-2"])
        if self.one([False, False, False, True]):
            return maintenance_cancelled(at, of=of)
        end, announced = (
            after(start, self.one([30, 90, 1440])),
            after(start, self.one([-1440, -1440, -1440, -60, -59, 0, 1])),
        )
        components = self.one([["api"], ["ui", "backups"], ["guest_agent"], ["api", "ui"], ["api", "ui"]])
        tenants = self.one([None, None, ["acme"], ["b", "c"]])
        return maintenance(at, start, end, of=of, components=components, tenants=tenants, announced=announced)

    def edit(self, line: Line) -> Line:
        """A change of a maintenance, announced when it is told: mostly after the old start."""
        data = line["data"]
        at = after(data["start"], self.one([-1440, -30, 20, 20, 45]))
        start = after(data["start"], self.one([0, 0, 0, 15, -30]))
        end = after(data["end"], self.one([-10, -10, 0, 60]))
        components = self.one([data["components"], data["components"], ["api", "ui"]])
        tenants = self.one([data.get("tenant_ids") or None, data.get("tenant_ids") or None, ["acme"]])
        of = line["subject"]
        return maintenance(at, start, end, of=of, components=components, tenants=tenants, announced=at)

    def claim(self) -> Line:
        at = self.base + self.one([0, 20, 60, 63, 66, 90, 100, 120]) * DAY
        months = {format_rfc3339(self.base + days * DAY)[:7] for days in (0, 4, 31)}
        return claimed(format_rfc3339(at), self.one(sorted(months)), of=self.one(TENANTS))


@st.composite
def worlds(draw: st.DrawFn, day: str) -> World:
    base = parse_rfc3339(f"{day}T00:00:00Z")
    draws = Draws(draw, base)
    lines: list[Line] = []
    for number in range(draw(st.sampled_from([1, 1, 2, 3, 4]))):
        of = f"inc-{number}"
        lines.append(draws.opening(of))
        if draw(st.booleans()):
            lines.append(resolved(after(lines[-1]["time"], draws.one([45, 120, 360])), of=of))
        lines += [line for _ in range(draw(st.integers(0, 7))) for line in draws.facts(of)]
        lines.append(resolved(format_rfc3339(base + 4 * DAY), of=of))
    lines += [draws.contract() for _ in range(draw(st.sampled_from([0, 1, 2, 3, 3, 4, 4, 5])))]
    outages = [line["time"] for line in lines if line["type"] == "incident.opened"]
    lines += [draws.maintenance(outages) for _ in range(draw(st.sampled_from([0, 1, 3, 3, 3])))]
    scheduled = [line for line in lines if line["type"] == "maintenance.scheduled"]
    lines += [draws.edit(draws.one(scheduled)) for _ in range(draws.one([0, 1, 2, 2])) if scheduled]
    lines += [draws.claim() for _ in range(draw(st.integers(0, 2)))]
    named = [line | {"id": f"e{number}"} for number, line in enumerate(lines)]
    # An amendment has to say something, and ends come after starts.
    return World([line for line in named if sensible(line)], base, base + 125 * DAY)


def sensible(line: Line) -> bool:
    data = line["data"]
    if line["type"] != "incident.amended":
        return True
    said = [key for key in ("started_at", "restored_at", "counts_as_downtime") if key in data]
    times = [data.get("started_at"), data.get("restored_at")]
    return bool(said) and (None in times or parse_rfc3339(times[0]) < parse_rfc3339(times[1]))


def by_meaning(lines: list[Line]) -> list[Line]:
    """As they happened, each arriving at its time."""

    def key(line: Line) -> tuple[Any, ...]:
        kind = line["type"]
        return parse_rfc3339(line["time"]), kind in RANK, RANK.index(kind) if kind in RANK else kind, line["id"]

    return sorted(lines, key=key)


@st.composite
def arrivals(draw: st.DrawFn, lines: list[Line]) -> list[Line]:
    """The lines late by hours or weeks, some twice; what ends an incident comes soon, or it breaches for months."""
    late = []
    for line in lines:
        for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
            lag = draw(LAGS)
            lag = min(lag, 300) if line["type"] == "incident.resolved" else lag
            late.append((parse_rfc3339(line["time"]) + lag * MINUTE, line))
    order = draw(st.permutations(range(len(late))))
    found = sorted(zip([at for at, _ in late], order, [line for _, line in late], strict=True), key=lambda x: x[:2])
    return [line | {"receivedtime": format_rfc3339(at)} for at, _, line in found]
