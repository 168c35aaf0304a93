"""States on `sla.incident-state`, months on `sla.tenant-months`: once per transaction, deleted with what they tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import structlog
from agent_harness import INCIDENTS, LEDGER, Cluster, play, ready_of
from story import (
    Line,
    amended,
    claimed,
    contract,
    erased,
    micros,
    opened,
    policies,
    reopened,
    resolved,
    responded,
    texts,
    updated,
)

from agents.incident_states import PROGRESS
from streams.metrics import REGISTRY
from streams.runtime.processor import Effects, Record, Send
from streams.sla.arrival import TimeLimits
from streams.sla.erasure import Erasures
from streams.sla.events import Rejection
from streams.sla.incidents import incident_store
from streams.sla.incidents.timeline import Timeline
from streams.sla.instants import DAY, HOUR, MINUTE, SECOND, parse_rfc3339

START = micros("10:00")
BEGIN = START + MINUTE
STATES = "sla.incident-state"
KEYED = replace(TimeLimits(), pseudonym_key=b"a key")


def sent(effects: Effects, topic: str = STATES) -> list[Send]:
    return [each for each in effects.sends if each.topic == topic]


def record_of(cluster: Cluster, line: dict[str, Any], offset: int, arrival: int) -> Record:
    ready = ready_of(line)
    place = ("sla.incident-events", cluster.own(ready.subject), offset)
    return Record(*place, arrival, ready.subject.encode(), ready.value, tuple(ready.headers))


def revisions(cluster: Cluster, incident: str = "inc") -> list[int | None]:
    """Of each record about an incident; None for a deletion."""
    found: list[int | None] = []
    for send in cluster.sends:
        if send.topic == STATES and send.key == incident.encode():
            decoded = None if send.value is None else cluster.codec.decode(send.value)
            assert not isinstance(decoded, Rejection)
            found.append(None if decoded is None else decoded[1]["revision"])  # type: ignore[arg-type]
    return found


def test_a_transaction_writes_the_state_of_a_changed_incident_once() -> None:
    cluster = Cluster(policies())
    task = cluster.tasks[INCIDENTS, cluster.own("inc")]
    effects = Effects()
    for offset, line in enumerate([opened("10:00"), responded("10:05"), updated("10:10")]):
        task.processor.apply(record_of(cluster, line, offset, START + HOUR + offset), effects)
    assert sent(effects) == []
    expected = effects.bytes
    while not task.processor.finish(effects, 1):
        pass
    (state,) = sent(effects)
    assert (state.partition, state.key) == (cluster.own("inc"), b"inc")
    headers = dict(state.headers)
    assert (headers["ce_type"], headers["ce_subject"]) == (b"incident.state", b"inc")
    assert state.value is not None
    decoded = cluster.codec.decode(state.value)
    assert not isinstance(decoded, Rejection)
    assert decoded[1]["revision"] == 3
    # About what the state takes was counted before, so that transactions end in time.
    others = sum(len(each.value or b"") for each in effects.sends[:-1])
    rows = sum(len(value or b"") for key, value in effects.rows.items() if key != PROGRESS.encode())
    assert len(state.value) / 2 < expected - others - rows < len(state.value) * 2
    assert task.processor.finish(effects, 1)
    assert len(sent(effects)) == 1


def test_repeated_and_rejected_inputs_write_no_state() -> None:
    cluster = Cluster(policies())
    cluster.publish(opened("10:00", id="a"), START)
    assert revisions(cluster) == [1]
    cluster.publish(opened("10:00", id="a"), START + MINUTE)
    cluster.publish(opened("09:00", id="a"), START + MINUTE)
    assert cluster.codes() == ["conflict"]
    assert revisions(cluster) == [1]


def test_facts_that_wait_for_their_opening_have_no_state() -> None:
    cluster = Cluster(policies())
    cluster.publish(responded("10:05"), START)
    assert revisions(cluster) == []
    cluster.publish(opened("10:00"), START + MINUTE)
    assert revisions(cluster) == [1]
    cluster.publish(responded("10:05", of="orphan"), START)
    cluster.pass_time(START + 2 * DAY)
    assert "orphan" in str(cluster.codes())
    assert revisions(cluster, "orphan") == []


def test_revisions_go_on_after_a_restart() -> None:
    cluster = Cluster(policies(), max_cached=1)
    cluster.publish(opened("10:00"), START)
    cluster.rebuild_all()
    cluster.publish(responded("10:05"), START + 5 * MINUTE)
    cluster.publish(opened("10:00", of="another"), START + 5 * MINUTE)
    cluster.publish(resolved("10:30"), START + 30 * MINUTE)
    assert revisions(cluster) == [1, 2, 3]


def test_an_evicted_incidents_state_is_deleted() -> None:
    cluster = Cluster(policies(), replace(TimeLimits(), retain_closed=DAY))
    cluster.publish(opened("10:00"), START)
    cluster.publish(resolved("10:30"), START + HOUR)
    assert cluster.latest("incident-state").keys() == {"inc"}
    cluster.pass_time(START + 3 * DAY)
    assert revisions(cluster) == [1, 2, None]
    assert cluster.latest("incident-state") == {}


@pytest.mark.parametrize("restarts", [False, True])
def test_r29_an_erased_tenants_incidents_are_published_anew_without_texts(restarts: bool) -> None:
    cluster = Cluster(policies(), KEYED)
    opening = opened("10:00", tenants=["acme"])
    opening["data"] |= {"summary": "acme is down", "ticket_id": "ACME-1"}
    cluster.publish(contract("2026-02-20T00:00:00Z"), START)
    cluster.publish(opening, START)
    cluster.publish(responded("10:05"), START + 5 * MINUTE)
    before = cluster.latest("incident-state")["inc"]["data"]
    assert (before["summary"], before["ticket_id"], before["tenant_ids"]) == ("acme is down", "ACME-1", ["acme"])
    if restarts:
        cluster.rebuild_all()
    cluster.publish(erased("10:10", id="gone"), START + 10 * MINUTE)
    if restarts:
        cluster.rebuild_all()
    after = cluster.latest("incident-state")["inc"]
    assert "acme" not in str(after).lower()
    assert after["data"]["tenant_ids"] == [Erasures(b"a key").pseudonym("acme")]
    cluster.publish(updated("10:20"), START + 20 * MINUTE)
    cluster.publish(resolved("10:30"), START + 30 * MINUTE)
    assert revisions(cluster) == [1, 2, 3, 4, 5]
    rows = [row for key, row in cluster.rows(INCIDENTS, "i").items() if b"\x1finc\x1f" in key]
    assert len(rows) == 3
    assert not any(b"acme" in row.lower() for row in rows)


def test_a_state_that_can_not_be_made_stops_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def fragile(timeline: Timeline, revision: int) -> Any:
        raise ValueError(f"{timeline.id} at {revision}")

    cluster = Cluster(policies())
    before = REGISTRY.get_sample_value("sla_incident_states_failed_total") or 0.0
    monkeypatch.setattr(incident_store, "state_of", fragile)
    with structlog.testing.capture_logs() as logs:
        cluster.publish(opened("10:00"), START)
    assert [(each["event"], each["incident"]) for each in logs if each["log_level"] == "error"] == [
        ("incident_state_failed", "inc")
    ]
    assert REGISTRY.get_sample_value("sla_incident_states_failed_total") == before + 1
    assert [each["type"] for each in cluster.outputs()] == ["incident.classified", "impact.changed"]
    monkeypatch.undo()
    cluster.publish(responded("10:05"), START + 5 * MINUTE)
    assert revisions(cluster) == [2]


def test_want_of_memory_takes_no_state_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state is right: the task makes it at its next attempt."""

    def scarce(*_: object) -> None:
        raise MemoryError

    cluster = Cluster(policies())
    monkeypatch.setattr(incident_store, "state_of", scarce)
    with pytest.raises(MemoryError):
        cluster.publish(opened("10:00"), START)


def test_r29_a_state_that_can_not_be_made_anew_without_an_erased_tenant_is_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fragile(timeline: Timeline, *_: Any) -> None:
        raise ValueError(timeline.id)

    cluster = Cluster(policies(), KEYED)
    cluster.publish(contract("2026-02-20T00:00:00Z"), START)
    cluster.publish(opened("10:00", tenants=["acme"]), START)
    cluster.publish(opened("10:00", of="other"), START)
    monkeypatch.setattr(Timeline, "refold", fragile)
    cluster.publish(erased("10:10", id="gone"), START + 10 * MINUTE)
    assert cluster.latest("incident-state").keys() == {"other"}


# -- state of a version that published none ------------------------------------------------------------


def upgraded(incidents: int) -> Cluster:
    """A cluster of one partition whose incidents a version before has stored."""
    cluster = Cluster(policies(), partitions=1)
    for number in range(incidents):
        cluster.publish(opened("10:00", of=f"inc-{number:02}"), START)
    cluster.sends.clear()
    task = cluster.tasks[INCIDENTS, 0]
    del task.rows[PROGRESS.encode()]
    cluster.clock.instant = BEGIN
    cluster.rebuild(task)
    return cluster


def test_states_of_incidents_that_were_stored_before_are_published_once() -> None:
    cluster = upgraded(70)
    task = cluster.tasks[INCIDENTS, 0]
    cluster.pass_time(BEGIN + 110_000)  # the second slice of 32 is due after 100 ms
    assert sorted(cluster.latest("incident-state")) == [f"inc-{number:02}" for number in range(64)]
    cluster.rebuild(task)
    cluster.pass_time(BEGIN + SECOND)
    assert len(cluster.latest("incident-state")) == 70
    cluster.rebuild(task)
    cluster.pass_time(BEGIN + 2 * SECOND)
    assert sum(send.topic == STATES for send in cluster.sends) == 70, "each once, also across restarts"


def test_a_deployment_that_begins_with_states_never_publishes_them_again() -> None:
    cluster = Cluster(policies(), partitions=1)
    cluster.rebuild_all()
    cluster.publish(opened("10:00"), START)
    cluster.rebuild_all()
    cluster.pass_time(START + MINUTE)
    assert revisions(cluster) == [1]


def test_a_change_meanwhile_is_published_at_once() -> None:
    cluster = upgraded(20)
    cluster.publish(responded("10:01", of="inc-19"), BEGIN)
    assert revisions(cluster, "inc-19") == [2]
    cluster.pass_time(BEGIN + SECOND)
    assert revisions(cluster, "inc-19") == [2, 2], "the same state again does no harm"


# -- months ------------------------------------------------------------------------------------------


def test_the_latest_statement_of_each_month_stays_until_the_month_is_evicted() -> None:
    until = parse_rfc3339("2026-04-20T00:00:00Z")
    cluster = Cluster(policies(), replace(KEYED, retain_months=2), mark_every=DAY)
    lines = [
        contract("2026-02-20T00:00:00Z", id="c-1"),
        opened("10:00", tenants=["acme"]),
        resolved("2 10:00"),
        claimed("3 12:00", "2026-03"),
    ]
    play(cluster, texts(lines), until=until)
    statements = [each for each in cluster.outputs() if each["type"] == "credit.statement"]
    march = [each for each in statements if each["data"]["month"] == "2026-03"]
    assert march[-1]["data"]["status"] == "final"
    assert cluster.latest("tenant-months")["acme/2026-03"] == march[-1]
    (partition,) = {send.partition for send in cluster.sends if send.topic == "sla.tenant-months"}
    assert partition == cluster.own("acme")
    cluster.pass_time(until + 120 * DAY)
    assert "acme/2026-03" not in cluster.latest("tenant-months")
    assert set(cluster.latest("tenant-months")) == {key[2:].replace("\x1f", "/") for key in months_of(cluster)}


def months_of(cluster: Cluster) -> set[str]:
    return {key.decode().partition("@")[0] for key in cluster.rows(LEDGER, "s")}


def test_r29_an_erased_tenants_months_are_deleted() -> None:
    cluster = Cluster(policies(), KEYED, mark_every=DAY)
    lines = [contract("2026-02-20T00:00:00Z", id="c-1"), opened("10:00", tenants=["acme"]), resolved("2 10:00")]
    play(cluster, texts(lines), until=parse_rfc3339("2026-04-20T00:00:00Z"))
    assert {"acme/2026-02", "acme/2026-03"} <= cluster.latest("tenant-months").keys()
    cluster.publish(erased("49 00:00", id="gone"), parse_rfc3339("2026-04-20T00:00:00Z"))
    assert not any("acme" in key for key in cluster.latest("tenant-months"))
    cluster.pass_time(parse_rfc3339("2026-05-20T00:00:00Z"))
    assert f"{Erasures(b'a key').pseudonym('acme')}/2026-04" in cluster.latest("tenant-months")


def test_r21_an_incident_that_ends_before_it_begins_is_counted_and_logged() -> None:
    counted = lambda: REGISTRY.get_sample_value("sla_contradictory_times_total") or 0.0  # noqa: E731
    cluster = Cluster(policies())
    before = counted()
    with structlog.testing.capture_logs() as logs:
        cluster.publish(opened("10:00", started="09:30", of="fine"), START)
        cluster.publish(resolved("10:20", restored="10:10", of="fine"), START)
        cluster.publish(opened("10:00", started="09:30"), START)
        assert counted() == before
        cluster.publish(resolved("10:20", restored="09:00"), START + 20 * MINUTE)
    assert counted() == before + 1
    (log,) = [each for each in logs if each["event"] == "ends_before_it_begins"]
    assert (log["incident"], log["started_at"], log["restored_at"]) == (
        "inc",
        "2026-03-02T09:30:00Z",
        "2026-03-02T09:00:00Z",
    )


EARLY = resolved("09:30")


@pytest.mark.parametrize(
    ("lines", "end"),
    [
        ([opened("10:00"), EARLY], "2026-03-02T09:30:00Z"),
        ([EARLY, opened("10:00")], "2026-03-02T09:30:00Z"),
        ([opened("10:00", started="09:00"), EARLY], "2026-03-02T09:30:00Z"),
        ([EARLY, opened("10:00", started="09:00")], "2026-03-02T09:30:00Z"),
        ([opened("10:00"), resolved("09:30", restored="10:00")], None),
        ([opened("10:00"), EARLY, amended("10:30", restored="10:20")], None),
        ([opened("10:00"), EARLY, amended("10:30", started="09:00")], "2026-03-02T09:30:00Z"),
        ([opened("10:00"), EARLY, reopened("10:30")], None),
    ],
    ids=[
        "early",
        "before its opening",
        "begun before",
        "begun before, before its opening",
        "end given",
        "end amended",
        "start amended",
        "reopened",
    ],
)
def test_r21_a_resolution_whose_own_time_is_early_is_counted_and_logged(lines: list[Line], end: str | None) -> None:
    """Its end is shown as that of the opening (R2), as before."""
    cluster = Cluster(policies())
    with structlog.testing.capture_logs() as logs:
        for number, line in enumerate(lines):
            before = REGISTRY.get_sample_value("sla_contradictory_times_total") or 0.0
            cluster.publish(line | {"id": f"e{number}"}, START + (30 + number) * MINUTE)
    assert REGISTRY.get_sample_value("sla_contradictory_times_total") == before + (end is not None)
    found = [each for each in logs if str(each["event"]).startswith("ends_before_")]
    if end is None and len(lines) == 2:
        assert not found
        return
    began = lines[0]["data"].get("started_at") or lines[1]["data"].get("started_at") or "2026-03-02T10:00:00Z"
    event = "ends_before_it_begins" if began == "2026-03-02T10:00:00Z" else "ends_before_its_opening"
    first = found[0]
    assert (first["event"], first["started_at"]) == (event, began), "downtime from there to the opening (R2)"
    assert (first["opened_at"], first["restored_at"]) == ("2026-03-02T10:00:00Z", "2026-03-02T09:30:00Z")
