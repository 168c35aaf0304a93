"""Histories drawn by Hypothesis: facts of an incident, contracts, maintenance, and when each arrives."""

from __future__ import annotations

from hypothesis import strategies as st
from story import (
    MONDAY,
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
    reclassified,
    reopened,
    requested,
    resolved,
    responded,
    severity_set,
    updated,
    waiting,
)

from streams.sla.arrival import TimeLimits
from streams.sla.instants import DAY, MINUTE, format_rfc3339, parse_rfc3339

PATIENT = TimeLimits(orphan_after=40 * DAY)
FEBRUARY = "2026-02-20T00:00:00Z"
IMPACTS = ["complete_outage", "material_aspect", "processing_delay", "cosmetic"]
TENANTS = st.sampled_from([None, ["acme"], ["b"], ["acme", "b"], ["nobody"]])

#: Quarter hours, so that facts often fall on deadlines and on each other.
TIMES = st.integers(0, 3 * 96).map(lambda n: format_rfc3339(MONDAY + n * 15 * MINUTE))
LAGS = st.sampled_from([0, 0, 1, 60, 300, 24 * 60, 3 * 24 * 60, 30 * 24 * 60])


@st.composite
def facts(draw: st.DrawFn) -> Line:
    at, other = draw(TIMES), draw(TIMES)
    past = min(at, other)  # R5: what a payload names is never ahead of its event
    perhaps = draw(st.sampled_from([None, past]))
    kind = draw(st.integers(0, 14))
    match kind:
        case 0:
            return opened(at, draw(st.sampled_from(IMPACTS)), tenants=draw(TENANTS), started=perhaps)
        case 1:
            return responded(at)
        case 2 | 3:
            return updated(at, visibility=draw(st.sampled_from(["public", "internal"])))
        case 4:
            return requested(at)
        case 5:
            return reclassified(at, impact=draw(st.sampled_from(IMPACTS)))
        case 6:
            return reclassified(at, component=draw(st.sampled_from(["api", "guest_agent", "backups", "other"])))
        case 7:
            return reclassified(at, tenants=draw(st.sampled_from([["acme"], ["b"], ["acme", "b"]])))
        case 8:
            return severity_set(at, draw(st.sampled_from(["P1", "P2", "P3", "P4", None])))
        case 9:
            return resolved(at, restored=perhaps)
        case 10:
            return reopened(at, started=perhaps)
        case 11:
            times = draw(st.sampled_from([{"started": past}, {"restored": past}, {"counts": True}, {"counts": False}]))
            return amended(at, **times)
        case 12:
            return draw(st.sampled_from([merged(at), annulled(at), annulled(at)]))
        case 13:
            return draw(st.sampled_from([waiting(at), linked(at)]))
        case _:
            end = format_rfc3339(parse_rfc3339(other) + 90 * MINUTE)
            window = maintenance(at, other, end, components=draw(st.sampled_from([["api"], ["ui", "backups"]])))
            return draw(st.sampled_from([window, window, maintenance_cancelled(at)]))


@st.composite
def contracts(draw: st.DrawFn) -> Line:
    of = draw(st.sampled_from(["acme", "b"]))
    start = draw(st.sampled_from([FEBRUARY, "2026-03-02T12:00:00Z", "2026-03-03T00:00:00Z", "2026-04-01T00:00:00Z"]))
    end = draw(st.sampled_from([None, None, "2026-05-01T00:00:00Z"]))
    zone = draw(st.sampled_from([None, "Asia/Tokyo", "America/New_York"]))
    tier, charge = draw(st.sampled_from([None, 1, 3])), draw(st.sampled_from([99_999, 7]))
    time = draw(st.sampled_from([FEBRUARY, "2026-02-21T00:00:00Z", "2026-03-02T10:00:00Z"]))
    return contract(time, start, of=of, end=end, zone=zone, tier=tier, charge=charge)


@st.composite
def stories(draw: st.DrawFn) -> list[Line]:
    lines = [opened(draw(TIMES), draw(st.sampled_from(IMPACTS)), tenants=draw(TENANTS))]
    lines += draw(st.lists(facts(), max_size=9))
    lines += draw(st.lists(contracts(), max_size=3))
    lines += [resolved("4 00:00"), claimed("4 00:00", "2026-03"), opened("10:00", "cosmetic", of="other")]
    return [line | {"id": f"e{n}"} for n, line in enumerate(lines)]


def arriving(lines: list[Line], lags: list[int]) -> list[Line]:
    """The lines in the order of their arrival, each so many minutes after its time."""
    arrivals = [parse_rfc3339(str(line["time"])) + lag * MINUTE for line, lag in zip(lines, lags, strict=True)]
    late = [line | {"receivedtime": format_rfc3339(at)} for line, at in zip(lines, arrivals, strict=True)]
    return [line for _, line in sorted(zip(arrivals, late, strict=True), key=lambda pair: pair[0])]
