"""R2: any order of arrival of the same facts ends in the same classification, verdicts and amounts."""

from __future__ import annotations

from typing import Any

from histories import LAGS, PATIENT, arriving, stories
from hypothesis import given, settings
from hypothesis import strategies as st
from story import Line, contract, micros, opened, policies, reclassified, run, statements, texts

from streams.replay.simulate import simulate
from streams.sla.instants import format_rfc3339

STATE = "incident.state"
UNTIL = "2026-06-20T00:00:00Z"


def final_states(lines: list[Line]) -> dict[str, Any]:
    """The states at the end, without what tells the changes apart that led to them."""
    found = [each for each in run(*lines, until=UNTIL, time_limits=PATIENT, states=True) if each["type"] == STATE]
    return {each["subject"]: {k: v for k, v in each["data"].items() if k != "revision"} for each in found}


def outcome(outputs: list[Line]) -> dict[str, Any]:
    """What is left standing once everything has been said."""
    classified: dict[str, Any] = {}
    standing: set[tuple[Any, ...]] = set()
    mets: dict[tuple[Any, ...], Any] = {}
    for output in outputs:
        data, of = output["data"], output["subject"]
        clock = (of, data.get("metric"), data.get("instance"))
        match output["type"]:
            case "incident.classified":
                classified[of] = (data["severity"], data["coverage"], data["counts_as_downtime"])
            case "sla.breached":
                assert (*clock, data["deadline"]) not in standing
                assert data["detected_at"] >= output["time"]
                standing.add((*clock, data["deadline"]))
            case "sla.breach_retracted":
                standing.remove((*clock, data["deadline"]))
            case "sla.met":
                mets[clock] = (data["deadline"], data["met_at"])
            case "sla.rejected":
                raise AssertionError(data["message"])
    amounts = {}
    for tenant in ("acme", "b"):
        for month, said in statements(outputs, tenant).items():
            numbers = (said["downtime_s"], said["eligible_s"], said["excluded_s"], said["availability"]["percent"])
            amounts[tenant, month] = (*numbers, said["monthly_charge"], said["credit"], said["guarantee_met"])
    return {"classified": classified, "breaches": standing, "mets": mets, "amounts": amounts}


@settings(max_examples=settings.default.max_examples * 7 // 10)
@given(stories(), st.data())
def test_r2_arrival_does_not_matter(lines: list[Line], data: st.DataObject) -> None:
    lags = data.draw(st.lists(LAGS, min_size=len(lines), max_size=len(lines)))
    # The last resolution comes soon, or thousands of windows breach for nothing.
    lags[-3] = min(lags[-3], 300)
    in_order = outcome(run(*arriving(lines, [0] * len(lines)), until=UNTIL, time_limits=PATIENT))
    shuffled = outcome(run(*arriving(lines, lags), until=UNTIL, time_limits=PATIENT))
    assert shuffled["classified"] == in_order["classified"]
    assert shuffled["breaches"] == in_order["breaches"]
    # What was met by the facts known then can't be unsaid, but what stands met was said last.
    assert in_order["mets"].items() <= shuffled["mets"].items()
    assert shuffled["amounts"] == in_order["amounts"]


@settings(max_examples=settings.default.max_examples * 7 // 10)
@given(stories(), st.data())
def test_r2_the_present_state_at_the_end_does_not_depend_on_arrival(lines: list[Line], data: st.DataObject) -> None:
    lags = data.draw(st.lists(LAGS, min_size=len(lines), max_size=len(lines)))
    lags[-3] = min(lags[-3], 300)
    in_order = final_states(arriving(lines, [0] * len(lines)))
    assert set(in_order) == {"inc", "other"}
    assert final_states(arriving(lines, lags)) == in_order


def test_r20_the_state_has_the_flags_in_any_order_and_the_last_classification_may_not() -> None:
    """A change of tenants alone publishes no classification."""
    lines = [
        contract("2026-02-20T00:00:00Z", of="other", plan="nobody-knows-it"),
        opened("10:00", "material_aspect", component="backups", tenants=["acme"]),
        reclassified("11:00", impact="cosmetic", received="15:00"),
        reclassified("12:00", tenants=["acme", "other"], received="16:00"),
    ]
    early = {**lines[3], "receivedtime": format_rfc3339(micros("14:00"))}
    last, states = [], []
    for order in (lines, [lines[0], lines[1], early, lines[2]]):
        outputs = list(simulate(texts(order), policies(), until=micros("20:00"), states=True))
        last.append([each["data"] for each in outputs if each["type"] == "incident.classified"][-1])
        states.append([each["data"] for each in outputs if each["type"] == "incident.state"])
    decided = ("severity", "coverage", "counts_as_downtime")
    assert [last[0][name] for name in decided] == [last[1][name] for name in decided]
    assert [each["flags"] for each in last] == [["no_contract"], ["unknown_plan"]]
    assert [{**each, "revision": 0} for each in states[0]] == [{**each, "revision": 0} for each in states[1]]
    assert states[0][0]["flags"] == ["unknown_plan"]
