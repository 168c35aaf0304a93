"""The effect of an added event is what the workers say of it: the difference of two simulations (R31)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from histories import LAGS, PATIENT, arriving, stories
from hypothesis import given, settings
from hypothesis import strategies as st
from story import (
    MONDAY,
    Line,
    amended,
    annulled,
    contract,
    opened,
    policies,
    policy_applied,
    resolved,
    shipped,
    texts,
    updated,
    with_severity,
)

from streams.replay.added_event import AddedEvent, AddedEventEffect, MonthFigures
from streams.replay.simulate import simulate
from streams.sla.instants import DAY, HOUR, MINUTE, format_rfc3339, parse_rfc3339
from streams.sla.policy import Target

LIMITS = replace(PATIENT, backfill_quiet=HOUR)
STRICTER = with_severity(replace(shipped(), version="2", digest="2"), "P1", response=Target(HOUR))
DEPLOYED = policies(STRICTER)
Terms = dict[tuple[str, str], MonthFigures]


def proposed(at: int, draw: Any) -> Line:
    """What two people may decide, at an instant; its own facts name instants of the story."""
    time = format_rfc3339(at)
    named = format_rfc3339(MONDAY + draw(st.integers(0, 4 * 96)) * 15 * MINUTE)
    one_person = annulled(time)
    one_person["data"]["approver"] = one_person["data"]["who"]
    return draw(
        st.sampled_from(
            [
                annulled(time),
                amended(time, started=named),
                amended(time, restored=named),
                amended(time, counts=True),
                amended(time, counts=False),
                policy_applied(time, "scalr-emergency", "2"),
                policy_applied(time, "scalr-emergency", "9"),
                one_person,
            ]
        )
    ) | {"id": "proposed"}


def effect_of(lines: list[str], event: Line, at: int) -> AddedEventEffect:
    replayed = AddedEvent(DEPLOYED, LIMITS, event, at)
    for number, line in enumerate(lines, 1):
        replayed.read(number, line)
    return replayed.end()


def simulated(lines: list[str], until: int) -> list[dict[str, Any]]:
    return list(simulate(lines, DEPLOYED, until=until, time_limits=LIMITS, states=True))


def breaches(outputs: list[dict[str, Any]]) -> set[tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for output in outputs:
        data = output["data"]
        if output["type"] == "sla.breached":
            key = output["subject"], data["metric"], data["instance"]
            found[output["id"]] = (*key, parse_rfc3339(data["deadline"]))
        elif output["type"] == "sla.breach_retracted":
            found.pop(data["breach_id"], None)
    return set(found.values())


def months(outputs: list[dict[str, Any]]) -> Terms:
    found: Terms = {}
    for output in outputs:
        if output["type"] == "credit.statement":
            data = output["data"]
            found[data["tenant_id"], data["month"]] = MonthFigures(
                round(data["downtime_s"] * 1_000_000),
                data["availability"]["percent"],
                data["guarantee_met"],
                data["credit"]["amount_minor"],
            )
    return found


def state_of(outputs: list[dict[str, Any]], incident: str) -> Any:
    states = [each["data"] for each in outputs if each["type"] == "incident.state" and each["subject"] == incident]
    return states[0] if states else None


def check(lines: list[str], event: Line, at: int) -> AddedEventEffect:
    """The prediction at `at` against the outputs of simulations with and without the event."""
    found = effect_of(lines, event, at)
    extended = [*lines, json.dumps(event)]
    without, added = simulated(lines, at), simulated(extended, at)
    before, after = breaches(without), breaches(added)
    key = [(each.incident_id, each.metric, each.instance, each.deadline) for each in found.gone]
    clocks = {each[:3] for each in after}
    assert set(key) == {each for each in before if each[:3] not in clocks}
    key = [(each.incident_id, each.metric, each.instance, each.deadline) for each in found.new]
    clocks = {each[:3] for each in before}
    assert set(key) == {each for each in after if each[:3] not in clocks}
    assert found.before == state_of(without, event["subject"])
    assert found.after == state_of(added, event["subject"])
    rejected = [each["data"]["code"] for each in added if each["type"] == "sla.rejected" and each not in without]
    assert rejected == ([] if found.rejection is None else [found.rejection.code])
    # The months once every statement has followed.
    settled = at + 120 * DAY
    was, becomes = months(simulated(lines, settled)), months(simulated(extended, settled))
    predicted = {(each.tenant, each.month): each for each in found.months}
    assert {key: each.before for key, each in predicted.items()} == {key: was[key] for key in predicted}
    assert {key: each.after for key, each in predicted.items()} == {key: becomes[key] for key in predicted}
    assert {key for key in was if was[key] != becomes[key]} <= predicted.keys()
    return found


@settings(max_examples=settings.default.max_examples * 3 // 5)
@given(stories(), st.data())
def test_the_effect_is_the_difference_of_two_simulations(lines: list[Line], data: st.DataObject) -> None:
    lags = data.draw(st.lists(LAGS, min_size=len(lines), max_size=len(lines)))
    loaded = data.draw(st.sets(st.integers(0, len(lines) - 1), max_size=3))
    marked = [line | ({"backfill": True} if index in loaded else {}) for index, line in enumerate(lines)]
    history = arriving(marked, lags)
    at = parse_rfc3339(str(history[-1]["receivedtime"])) + data.draw(st.sampled_from([0, HOUR, 5 * DAY, 40 * DAY]))
    check(texts(history), proposed(at, data.draw), at)


def test_an_annulled_outage_gives_back_what_it_alone_was_counted_for() -> None:
    story = [
        contract("2026-02-01T00:00:00Z", of="acme", id="c"),
        opened("10:00", of="inc", tenants=["acme"], id="1"),
        updated("16:00", of="inc", id="2"),
        resolved("2 20:00", of="inc", id="3"),
        opened("2 18:00", of="other", tenants=["acme"], id="4"),
        resolved("2 22:00", of="other", id="5"),
    ]
    at = parse_rfc3339("2026-05-20T00:00:00Z")
    lines = texts(sorted(story, key=lambda line: str(line["time"])))
    found = check(lines, annulled(format_rfc3339(at), id="a"), at)
    (month,) = found.months
    assert (month.tenant, month.month, month.final) == ("acme", "2026-03", True)
    assert (month.before.downtime, month.after.downtime) == (60 * HOUR, 4 * HOUR)
    assert month.before.credit > month.after.credit
    assert [breach.metric for breach in found.gone][:1] == ["response"]
    assert found.new == ()
    assert found.after is not None
    assert found.after["status"] == "annulled"
