"""A second model of the rules: everything folded from scratch, in the order of meaning, once all is known.

Written from the rules' text alone and sharing nothing with `streams.sla` but the values of a policy. It is slow and
simple on purpose. What it says of a whole history is what the product must have said last, whatever came when.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from slow_clocks import Clocks, Ruling, fold
from slow_contracts import Contracts
from slow_money import Amounts, amounts_of
from slow_outage import effective, outages_of
from slow_time import minute

from streams.sla.policy import Policies

Line = dict[str, Any]

#: R2: facts of one incident at the same time follow each other like this.
RANK = [
    f"incident.{name}"
    for name in (
        *("opened", "reopened", "linked", "reclassified", "severity_set", "policy_applied", "amended", "responded"),
        *("updated", "waiting", "waiting_ended", "update_requested", "merged", "resolved", "annulled"),
    )
]


@dataclass
class Expected:
    """What stands at an instant: per incident its clocks, per tenant and month its amounts, and who may claim."""

    incidents: dict[str, Clocks]
    months: dict[tuple[str, str], Amounts]


def expected(
    lines: Iterable[Line], policies: Policies, until: int, lateness_days: int = 35, max_windows: int = 10_000
) -> Expected:
    """What follows from lines (JSON form) by the minute `until`."""
    known = [line for line in distinct(lines) if refused(line) is None]
    contracts = Contracts([line for line in known if line["type"] == "contract.set"], policies)
    subjects = {line["subject"] for line in known if line["type"] == "incident.opened"}
    told = {of: in_order([line for line in known if line["subject"] == of and line["type"] in RANK]) for of in subjects}
    incidents = {
        of: fold(facts, Ruling(contracts, policies, facts[0]), until, max_windows) for of, facts in told.items()
    }
    outages = [outage for facts in told.values() for outage in outages_of(facts, until)]
    return Expected(incidents, amounts_of(known, contracts, outages, until, lateness_days))


def refused(line: Line) -> str | None:
    """The code of a line that is refused whatever else there is: it contradicts itself, or names a time too far from
    its own (R5, R20)."""
    data, at = line["data"], minute(line["time"])
    if data.get("scope") == "platform" and data.get("tenant_ids"):
        return "invalid"
    if not line["type"].startswith("incident."):
        return None
    for named in (data.get("started_at"), data.get("restored_at")):
        if named is not None and minute(named) > at + 5:
            return "future"
        if named is not None and minute(named) < at - 35 * 24 * 60 and line["type"] != "incident.amended":
            return "too_late"
    return None


def distinct(lines: Iterable[Line]) -> list[Line]:
    """R1: the same event again is ignored."""
    seen: dict[tuple[str, str], Line] = {}
    for line in lines:
        seen.setdefault((line["source"], line["id"]), line)
    return list(seen.values())


def in_order(lines: list[Line]) -> list[Line]:
    """R2: by meaning, the opening first; what is earlier counts as at the opening. Each line gets its minute `at`."""

    def rank(line: Line) -> int:
        return RANK.index(line["type"])

    openings = [line for line in lines if line["type"] == "incident.opened"]
    opening = min(openings, key=lambda line: (minute(line["time"]), line["id"]))
    start = minute(opening["time"])
    rest = [
        {**line, "at": max(start, minute(line["time"]))}
        for line in lines
        if line["type"] != "incident.opened"  # a second opening has no effect
    ]
    rest.sort(key=lambda line: (line["at"], rank(line), minute(line["time"]), line["id"]))
    return effective([{**opening, "at": start}, *rest])
