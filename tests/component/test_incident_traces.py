"""Which trace the outputs of an incident belong to: that of the input they follow from, and for timers and contract
terms that of the opening; the same after a restart, none once a tenant is erased."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent_harness import INCIDENTS, Cluster, StreamTask, play
from story import Line, contract, erased, opened, policies, reopened, resolved, responded, run, texts

from streams.sla.instants import DAY, parse_rfc3339

OPENING = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
RESPONSE = "00-11111111111111111111111111111111-2222222222222222-01"
EARLIER = "00-33333333333333333333333333333333-4444444444444444-01"
UNTIL = "14:00"
OF_INCIDENTS = (
    "incident.classified",
    "impact.changed",
    "sla.met",
    "sla.update_due",
    "sla.breached",
    "sla.warning",
    "incident.closed",
)
END = parse_rfc3339("2026-03-02T14:00:00Z")


def in_trace(line: Line, traceparent: str) -> Line:
    return {**line, "traceparent": traceparent}


STORY: list[Line] = [
    contract("2026-02-20T00:00:00Z"),
    in_trace(opened("10:00", "material_aspect", tenants=["acme"]), OPENING),
    in_trace(responded("10:05"), RESPONSE),
    contract("2026-02-20T00:00:00Z", tier=1, received="10:10"),
    resolved("13:30"),
]


def traces(outputs: list[dict[str, Any]], *kinds: str) -> dict[str, set[str | None]]:
    """Type of an output about incidents → the traces that outputs of the type belong to."""
    found: dict[str, set[str | None]] = {}
    for output in outputs:
        if output["type"] in (kinds or OF_INCIDENTS):
            found.setdefault(output["type"], set()).add(output.get("traceparent"))
    return found


def restart_incidents(cluster: Cluster) -> Callable[[StreamTask], None]:
    """Restart each task of the incidents agent before each input and each timer."""
    return lambda task: cluster.rebuild(task) if task.agent == INCIDENTS else None


def test_timers_and_contract_terms_belong_to_the_trace_of_the_opening_inputs_to_their_own() -> None:
    assert traces(run(*STORY, until=UNTIL)) == {
        "incident.classified": {OPENING},
        "impact.changed": {OPENING, None},
        "sla.met": {RESPONSE, OPENING},  # again, as its deadline is another by the later terms
        "sla.update_due": {OPENING},
        "sla.breached": {OPENING},
        "incident.closed": {None},
    }


def test_without_a_trace_of_the_opening_timers_have_none() -> None:
    untraced = [{key: value for key, value in line.items() if key != "traceparent"} for line in STORY[:2]]
    timers = traces(run(*untraced, STORY[2], until=UNTIL), "sla.update_due", "sla.breached", "sla.met")
    assert timers == {"sla.update_due": {None}, "sla.breached": {None}, "sla.met": {RESPONSE}}
    assert traces(run(*untraced, until=UNTIL), "sla.breached") == {"sla.breached": {None}}


def test_the_opening_that_stands_gives_the_trace() -> None:
    """R2: an opening of an earlier time, which arrives later, is the one that stands."""
    earlier = in_trace(opened("9:59", "material_aspect", tenants=["acme"], received="10:01"), EARLIER)
    found = traces(run(*STORY[:2], earlier, until=UNTIL), "sla.breached")
    assert found == {"sla.breached": {EARLIER}}
    again = [*STORY, in_trace(reopened("13:40"), RESPONSE)]
    assert traces(run(*again, until="23:00"), "sla.breached") == {"sla.breached": {OPENING}}


def test_the_agents_give_the_same_traces_whether_they_restart_or_not() -> None:
    expected = {o["id"]: o.get("traceparent") for o in run(*STORY, until=UNTIL) if o["type"] in OF_INCIDENTS}
    for restarts in (False, True):
        cluster = Cluster(policies(), max_cached=1, mark_every=DAY)
        if restarts:
            cluster.before_each = restart_incidents(cluster)
        play(cluster, texts(STORY), until=END)
        found = {o["id"]: o.get("traceparent") for o in cluster.outputs() if o["type"] in OF_INCIDENTS}
        assert found == expected
    alerts = [dict(send.headers) for send in cluster.sends if send.topic == "sla.alerts"]
    assert {headers.get("traceparent") for headers in alerts} == {OPENING.encode(), RESPONSE.encode()}


def test_erasure_clears_the_traces_that_are_stored() -> None:
    """As other external ids; the trace of a later input stands in what follows from it, and nowhere else (R29)."""
    later = in_trace(opened("10:20", "material_aspect", of="late", tenants=["acme"]), EARLIER)
    lines = [*STORY[:3], erased("10:15"), later]
    found = run(*lines, until=UNTIL)
    assert traces(found, "sla.breached", "sla.update_due") == {"sla.breached": {None}, "sla.update_due": {None}}
    assert traces([o for o in found if o["subject"] == "late"], "incident.classified") == {
        "incident.classified": {EARLIER}
    }
    cluster = Cluster(policies(), mark_every=DAY)
    cluster.before_each = restart_incidents(cluster)
    play(cluster, texts(lines), until=END)
    assert traces(cluster.outputs(), "sla.breached", "sla.update_due") == traces(
        found, "sla.breached", "sla.update_due"
    )
    rows = b"".join(row for task in cluster.tasks.values() for row in task.rows.values())
    assert OPENING.encode() not in rows
    assert EARLIER.encode() not in rows
