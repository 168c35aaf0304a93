"""What occurs in a drawn history, so that one can count whether the strategy draws every corner often enough."""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from slow import Expected, distinct
from slow_contracts import Contracts
from slow_time import MICROS, minute, month_span, utc
from story import Line
from worlds import World, by_meaning

from streams.sla.policy import Policies

#: Each occurs in more than this share of the drawn histories, which test_worlds.py counts; meant are five percent.
RARE = 0.04
FEATURES = [
    # arrivals
    "a duplicate",
    "a line that comes before an earlier one",
    "a line that comes weeks late",
    "an incident whose facts come before its opening",
    # time
    "a month with a change of the clock",
    "a fact within a day of a change of the clock in its tenant's zone",
    "a fact on Feb 29",
    "downtime in a February of 29 days",
    "downtime on both sides of a month's end",
    # policies and contracts
    "incidents opened under two versions of one policy",
    "a month judged by a version that came into force within it",
    "a month judged by the version that its border cuts off",
    "policy_applied an open incident",
    "policy_applied an ended incident",
    "tenants of several plans in one incident",
    "a tenant's plan that changes within a month",
    "a contract that begins within a month",
    "a contract that ends within a month",
    "an unknown plan",
    "a tenant without a contract",
    # incidents
    "several incidents at once",
    "a platform-wide incident",
    "not covered",
    "a severity by hand",
    "a change of what is promised",
    "a breach by reclassification",
    "a pause held clocks",
    "amended an open incident",
    "amended an ended incident",
    "counts_as_downtime amended to true",
    "counts_as_downtime amended to false",
    "merged an open incident",
    "annulled an open incident",
    "annulled an ended incident",
    "reopened an ended incident",
    *(
        f"a clock of {metric} {state}"
        for metric in ("response", "update", "resolution")
        for state in ("met", "breached")
    ),
    # money
    "maintenance that cuts an outage",
    "maintenance announced late",
    "maintenance cancelled",
    "maintenance told twice",
    "maintenance changed late that still excludes",
    "excluded time",
    "credit",
    "credit at the cap",
    "a guarantee missed without credit",
    "a claim before its month was over",
    "a claim in time after it",
    "a claim too late",
    "a credit that is due",
    "a month with no second down",
]


def features(world: World, arrived: list[Line], policies: Policies, told: Expected) -> set[str]:
    """The names of `FEATURES` that hold of a history, its arrival, and the model's truth of it."""
    lines = distinct(world.lines)
    contracts = Contracts([line for line in lines if line["type"] == "contract.set"], policies)
    return {
        *of_arrivals(arrived),
        *of_time(lines, contracts, told),
        *of_versions(lines, contracts, policies, told),
        *of_contracts(lines, contracts),
        *of_incidents(lines, told),
        *of_money(lines, told),
    }


def of_arrivals(arrived: list[Line]) -> Iterator[str]:
    if len({line["id"] for line in arrived}) < len(arrived):
        yield "a duplicate"
    if [line["id"] for line in by_meaning(arrived)] != [line["id"] for line in arrived]:
        yield "a line that comes before an earlier one"
    if any(minute(line["receivedtime"]) - minute(line["time"]) > 14 * 1440 for line in arrived):
        yield "a line that comes weeks late"
    begun: set[str] = set()
    for line in arrived:
        if line["type"] == "incident.opened":
            begun.add(line["subject"])
        elif line["type"].startswith("incident.") and line["subject"] not in begun:
            yield "an incident whose facts come before its opening"


def of_time(lines: list[Line], contracts: Contracts, told: Expected) -> Iterator[str]:
    if any("-02-29T" in line["time"] for line in lines):
        yield "a fact on Feb 29"
    facts = [minute(line["time"]) for line in lines if line["type"].startswith("incident.")]
    down = {key for key, amounts in told.months.items() if amounts.downtime}
    for tenant, month in told.months:
        zone = contracts.first(tenant)["data"].get("time_zone", "UTC")
        start, end = month_span(month, zone)
        if (end - start) % 1440:
            yield "a month with a change of the clock"
            if any(changes_near(at, zone) for at in facts):
                yield "a fact within a day of a change of the clock in its tenant's zone"
        if (tenant, month) in down:
            if month.endswith("-02") and end - start == 29 * 1440:
                yield "downtime in a February of 29 days"
            if (tenant, following(month)) in down:
                yield "downtime on both sides of a month's end"


def changes_near(at: int, zone: str) -> bool:
    near = {utc(at + hours * 60).astimezone(ZoneInfo(zone)).utcoffset() for hours in (-24, 0, 24)}
    return len(near) > 1


def following(month: str) -> str:
    year, number = int(month[:4]), int(month[5:])
    return f"{year + number // 12}-{number % 12 + 1:02d}"


def of_versions(lines: list[Line], contracts: Contracts, policies: Policies, told: Expected) -> Iterator[str]:
    starts = sorted(
        {p.effective_from // MICROS for each in policies.by_name.values() for p in each if p.effective_from}
    )
    openings = [minute(line["time"]) for line in lines if line["type"] == "incident.opened"]
    if any(min(openings) < start <= max(openings) for start in starts):
        yield "incidents opened under two versions of one policy"
    for tenant, month in told.months:
        start, end = month_span(month, contracts.first(tenant)["data"].get("time_zone", "UTC"))
        last = contracts.ruling(tenant, end - 1)
        if last is None:
            continue
        versions = policies.by_name.get(last["plan"]) or policies.by_name[policies.default]
        begun = [version.effective_from // MICROS for version in versions if version.effective_from is not None]
        if any(start < at < end for at in begun):
            yield "a month judged by a version that came into force within it"
        if end in begun:
            yield "a month judged by the version that its border cuts off"


def of_contracts(lines: list[Line], contracts: Contracts) -> Iterator[str]:
    terms = [line["data"] for line in lines if line["type"] == "contract.set"]
    if any(each["plan"] == "unheard-of" for each in terms):
        yield "an unknown plan"
    for line in lines:
        if line["type"] == "incident.opened" and line["data"]["scope"] == "tenants":
            ruling = [contracts.ruling(each, minute(line["time"])) for each in line["data"]["tenant_ids"]]
            if None in ruling:
                yield "a tenant without a contract"
            if len({each["plan"] for each in ruling if each is not None}) > 1:
                yield "tenants of several plans in one incident"
    for tenant in contracts.tenants():
        for at in contracts.changes(tenant):
            before, after = contracts.ruling(tenant, at - 1), contracts.ruling(tenant, at)
            if before is None and after is not None:
                yield "a contract that begins within a month"
            elif before is not None and after is None:
                yield "a contract that ends within a month"
            elif before is not None and after is not None and before["plan"] != after["plan"]:
                yield "a tenant's plan that changes within a month"


def of_incidents(lines: list[Line], told: Expected) -> Iterator[str]:
    if len(told.incidents) > 1:
        yield "several incidents at once"
    for clocks in told.incidents.values():
        yield from clocks.events
        if not clocks.judged.covered:
            yield "not covered"
        if clocks.judged.rule == "severity_set":
            yield "a severity by hand"
        yield from (f"a clock of {clock.metric} {clock.state}" for clock in clocks.clocks)
    for line in lines:
        data = line["data"]
        if line["type"] == "incident.opened" and data["scope"] == "platform":
            yield "a platform-wide incident"
        if line["type"] == "incident.amended" and "counts_as_downtime" in data:
            yield f"counts_as_downtime amended to {str(data['counts_as_downtime']).lower()}"


def of_money(lines: list[Line], told: Expected) -> Iterator[str]:
    windows = [line for line in lines if line["type"] == "maintenance.scheduled"]
    if any(minute(each["data"]["announced_at"]) > minute(each["data"]["start"]) for each in windows):
        yield "maintenance announced late"
    told_of = [line["subject"] for line in lines if line["type"].startswith("maintenance.")]
    if len(set(told_of)) < len(told_of):
        yield "maintenance told twice"
    for name in {line["subject"] for line in windows}:
        last = max((x for x in windows if x["subject"] == name), key=lambda x: (minute(x["time"]), x["id"]))["data"]
        late = minute(last["announced_at"]) > minute(last["start"])
        if late and any(amounts.excluded for amounts in told.months.values()):
            yield "maintenance changed late that still excludes"
    if any(line["type"] == "maintenance.cancelled" and told_of.count(line["subject"]) > 1 for line in lines):
        yield "maintenance cancelled"
    for amounts in told.months.values():
        if amounts.excluded:
            yield "excluded time"
        if amounts.spared:
            yield "maintenance that cuts an outage"
        if amounts.credit:
            yield "credit"
            if amounts.month.entitled:
                yield "a credit that is due"
        if amounts.credit_percent in (30, 100):
            yield "credit at the cap"
        if not amounts.guarantee_met and not amounts.credit_percent:
            yield "a guarantee missed without credit"
        if not amounts.downtime:
            yield "a month with no second down"
    for line in lines:
        if line["type"] == "credit.claimed":
            yield from of_claim(line, told)


def of_claim(line: Line, told: Expected) -> Iterator[str]:
    amounts = told.months.get((line["subject"], line["data"]["month"]))
    if amounts is not None:
        at = minute(line["time"])
        if at < amounts.month.end:
            yield "a claim before its month was over"
        elif at <= amounts.month.claimable_until:
            yield "a claim in time after it"
        else:
            yield "a claim too late"
