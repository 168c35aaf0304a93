"""R3, R6: what an output is gives it its id; clocks are folded from facts, so neither asks how the facts came."""

from __future__ import annotations

from itertools import permutations

from story import (
    Line,
    amended,
    annulled,
    claimed,
    contract,
    opened,
    reclassified,
    reopened,
    resolved,
    responded,
    run,
    severity_set,
    tell,
    updated,
)

from streams.sla.ids import output_id

FEBRUARY = "2026-02-20T00:00:00Z"
FACTS = [
    opened("10:00", id="o", tenants=["acme"]),
    responded("10:30", id="r"),
    updated("11:00", id="u"),
    severity_set("12:30", "P2", id="s"),
    resolved("16:00", id="x"),
]


def what(output: Line) -> tuple[object, ...]:
    """What an output of a clock or a statement says, its place and the time it was found out aside."""
    data = output["data"]
    named = ("metric", "instance", "deadline", "met_at", "threshold", "tenant_id", "month", "revision", "digest")
    return output["type"], output["subject"], *(str(data.get(key)) for key in named)


def spoken(outputs: list[Line]) -> list[Line]:
    return [o for o in outputs if o["type"].startswith(("sla.", "credit.statement"))]


def test_r3_the_same_fact_has_one_id_and_different_facts_never_share_one() -> None:
    """In every order of arrival: five facts that come within five hours after the last, or each at its time."""
    ids: dict[tuple[object, ...], set[str]] = {}
    for order in permutations(FACTS):
        late = [line | {"receivedtime": f"2026-03-02T{17 + n}:00:00Z"} for n, line in enumerate(order)]
        for lines in (late, FACTS):
            for output in spoken(run(contract(FEBRUARY), *lines, until="2026-04-10T00:00:00Z")):
                ids.setdefault(what(output), set()).add(output["id"])
    assert len(ids) > 10
    assert all(len(names) == 1 for names in ids.values())
    assert len(set.union(*ids.values())) == len(ids)


def test_r3_a_breach_that_follows_again_is_the_same_breach() -> None:
    away, back = severity_set("11:00", "P4", received="12:30"), severity_set("11:00:01", "P1", received="12:40")
    outputs = [o for o in run(opened("10:00"), away, back, until="12:50") if o["type"].startswith("sla.breach")]
    assert tell(outputs) == [
        "breached response 1 12:00",
        "retracted response 1 12:00 late_evidence",
        "breached response 1 12:00 late_evidence",
    ]
    assert outputs[0]["id"] == outputs[2]["id"] == outputs[1]["data"]["breach_id"] != outputs[1]["id"]


def test_r3_ids_tell_incidents_instances_and_deadlines_apart() -> None:
    lines = [
        opened("10:00"),
        opened("10:00", of="b"),
        resolved("13:10"),
        reopened("14:00"),
        severity_set("14:10", "P2"),
    ]
    outputs = [o for o in run(*lines, until="2 00:00") if o["type"] == "sla.breached"]
    assert len(outputs) > 20
    assert len({o["id"] for o in outputs}) == len(outputs)


def test_r3_a_met_at_another_instant_has_another_id() -> None:
    lines = [opened("10:00"), responded("11:00"), responded("10:30", received="11:10")]
    ids = [o["id"] for o in run(*lines) if o["type"] == "sla.met"]
    straight = [o["id"] for o in run(lines[0], responded("10:30"), responded("11:00")) if o["type"] == "sla.met"]
    assert len({*ids}) == 2
    assert straight == ids[1:]


def test_r3_revisions_of_a_statement_and_their_credits_have_ids_of_their_own() -> None:
    lines = [
        opened("10:00"),
        claimed("12:00", "2026-03"),
        resolved("1 01:00"),
        amended("2026-04-05T00:00:00Z", restored="2 13:00"),
        annulled("2026-04-06T00:00:00Z"),
    ]
    outputs = run(contract(FEBRUARY), *lines, until="2026-04-07T00:00:00Z")
    ids = [o["id"] for o in outputs if o["type"].startswith("credit.")]
    assert len(set(ids)) == len(ids) == 8


def test_r3_ids_do_not_depend_on_how_parts_join() -> None:
    assert output_id("sla.met", "a", "bc") != output_id("sla.met", "ab", "c")
    assert output_id("sla.met", "inc", "update", 1, 11) != output_id("sla.met", "inc", "update", 11, 1)
    assert output_id("x")[14] == "5"


def test_r3_an_input_that_changes_nothing_says_nothing() -> None:
    lines = [opened("10:00"), responded("10:30"), reclassified("10:40", impact="critical_performance", component="api")]
    told = tell(run(*lines[:2]))
    assert tell(run(*lines))[: len(told)] == told
    assert tell(run(*lines))[len(told) :] == [
        "changed api:complete_outage:10:00–10:40, api:critical_performance:10:40–never"
    ]


def test_r6_how_often_time_is_looked_at_changes_nothing() -> None:
    """Clocks are derived from the facts: a tick every seven minutes, or one at the end, finds the same deadlines."""
    story = [opened("10:00", id="o"), responded("13:10", id="r"), severity_set("14:00", "P3", id="s")]
    ticks = [opened(f"{n * 7 // 60}:{n * 7 % 60:02d}", "cosmetic", of=f"x{n}", id=f"t{n}") for n in range(84, 200)]
    ticked = sorted([*story, *ticks], key=lambda line: str(line["time"]))

    def said(lines: list[Line]) -> list[tuple[str, str, str]]:
        found = [o for o in run(*lines, until="1 12:00") if o["subject"] == "inc"]
        return [(tell([o])[0], o["id"], o["time"]) for o in found]

    assert said(ticked) == said(story)


def test_r6_facts_folded_at_once_are_facts_folded_one_by_one() -> None:
    """What waits for its opening ends in the verdicts that its facts would have had in their order."""
    waiting = [line | {"receivedtime": "2026-03-02T17:00:00Z"} for line in reversed(FACTS)]
    once, stepwise = (tell(run(*lines), "met", "closed") for lines in (waiting, FACTS))
    assert once == stepwise
