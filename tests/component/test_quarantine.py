"""R27: an incident or tenant whose timers crash is set aside with its state; the others go on, a new input lifts it."""

from __future__ import annotations

from typing import Any

import pytest
from agent_harness import INCIDENTS, LEDGER, Cluster, StreamTask
from story import contract, erased, micros, opened, policies, reclassified, resolved, responded, updated

from agents.changelog.incidents import StepRows
from streams.kafka.partitioner import partition_of
from streams.runtime.processor import Effects, SubjectFailed
from streams.sla.credits.account import Account
from streams.sla.credits.month_close import MonthClose
from streams.sla.credits.statement import MonthResult
from streams.sla.credits.work_steps import Steps
from streams.sla.incidents.steps import Step
from streams.sla.incidents.timeline import Timeline

START = micros("10:00")


def set_aside(cluster: Cluster, task: StreamTask, subject: str) -> None:
    effects = Effects()
    task.processor.quarantine(subject, "odd", effects, 3)
    cluster._commit(task, effects)


def test_r27_an_incident_whose_timer_crashes_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(policies(), partitions=1)
    good = cluster.publish(opened("10:00", of="good"), START)
    bad = cluster.publish(opened("10:00", of="bad"), START)
    assert (good.offset, bad.offset) == (0, 1)
    task = cluster.tasks[INCIDENTS, 0]
    fire = Timeline.fire

    def crashing(self: Timeline, due: int, detected_at: int) -> None:
        if self.id == "bad":
            raise ValueError("odd")
        fire(self, due, detected_at)

    monkeypatch.setattr(Timeline, "fire", crashing)
    with pytest.raises(SubjectFailed) as failed:
        task.processor.fire(micros("12:30"), 100, Effects())
    assert failed.value.subject == "bad"
    cluster.rebuild(task)
    set_aside(cluster, task, "bad")
    cluster.rebuild(task)
    cluster.pass_time(micros("12:30"))
    assert {o["subject"] for o in cluster.outputs() if o["type"] == "sla.breached"} == {"good"}
    (rejects,) = cluster.rejects()
    assert rejects.code == "internal"
    assert dict(rejects.send.headers)["sla_original_offset"] == b"1"
    assert cluster.rows(INCIDENTS, "q")

    monkeypatch.undo()
    cluster.publish(responded("12:40", of="bad"), micros("12:40"))
    assert not cluster.rows(INCIDENTS, "q")
    cluster.rebuild(task)
    cluster.pass_time(micros("12:41"))
    assert {o["subject"] for o in cluster.outputs() if o["type"] == "sla.breached"} == {"good", "bad"}


def test_r27_an_incident_whose_rows_cannot_be_read_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(policies(), partitions=1)
    for incident in ("good", "bad"):
        cluster.publish(opened("10:00", of=incident), START)
    task, steps = cluster.tasks[INCIDENTS, 0], StepRows.steps

    def unreadable(self: StepRows, incident_id: str) -> list[Step]:
        if incident_id == "bad":
            raise ValueError("odd")
        return steps(self, incident_id)

    monkeypatch.setattr(StepRows, "steps", unreadable)
    cluster.rebuild(task)
    with pytest.raises(SubjectFailed) as failed:
        task.processor.fire(micros("12:30"), 100, Effects())
    assert failed.value.subject == "bad"
    cluster.rebuild(task)
    set_aside(cluster, task, "bad")
    cluster.pass_time(micros("12:30"))
    assert {o["subject"] for o in cluster.outputs() if o["type"] == "sla.breached"} == {"good"}
    (reject,) = cluster.rejects()
    assert (reject.code, dict(reject.send.headers)["sla_original_offset"]) == ("internal", b"-1")


def test_r27_a_tenant_whose_close_crashes_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(policies(), partitions=1)
    for tenant in ("acme", "beta"):
        cluster.publish(contract("2026-03-01T00:00:00Z", of=tenant), START)
    task = cluster.tasks[LEDGER, 0]
    close = MonthClose.fire

    def crashing(self: MonthClose, account: Account, due: int, **more: bool) -> Steps[None]:
        if account.tenant == "acme":
            raise ValueError("odd")
        yield from close(self, account, due, **more)

    monkeypatch.setattr(MonthClose, "fire", crashing)
    set_aside(cluster, task, "acme")
    cluster.rebuild(task)
    cluster.pass_time(micros("2026-04-10T00:00:00Z"))
    assert {o["subject"] for o in cluster.outputs() if o["type"] == "credit.statement"} == {"beta"}
    assert cluster.codes() == ["internal"]


def test_r27_the_last_input_sent_again_lifts_the_quarantine() -> None:
    """What `sla rejected retry` does: the input is a duplicate, so nothing else follows from it."""
    cluster = Cluster(policies(), partitions=1)
    cluster.publish(opened("10:00", of="bad"), START)
    task = cluster.tasks[INCIDENTS, 0]
    set_aside(cluster, task, "bad")
    cluster.rebuild(task)
    cluster.pass_time(micros("12:30"))
    before = cluster.outputs()
    assert not any(output["type"] == "sla.breached" for output in before)
    cluster.publish(opened("10:00", of="bad"), micros("12:40"))
    assert not cluster.rows(INCIDENTS, "q")
    assert cluster.codes() == ["internal"]
    cluster.pass_time(micros("12:41"))
    assert "sla.breached" in {output["type"] for output in cluster.outputs()[len(before) :]}


def unreadable(monkeypatch: pytest.MonkeyPatch, cluster: Cluster, incident: str) -> None:
    """The rows of an incident can't be read any more, and it is not cached."""
    steps = StepRows.steps

    def reading(self: StepRows, incident_id: str) -> list[Step]:
        if incident_id == incident:
            raise ValueError("odd")
        return steps(self, incident_id)

    monkeypatch.setattr(StepRows, "steps", reading)
    cluster.sets_aside = True
    cluster.rebuild_all()


def test_r20_an_incident_that_cannot_be_read_costs_its_tenant_no_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(policies(), partitions=1)
    for incident in ("bad", "good"):
        cluster.publish(opened("10:00", of=incident, tenants=["acme"]), START)
    unreadable(monkeypatch, cluster, "bad")
    cluster.publish(contract("09:00"), micros("10:01"))
    cluster.publish(opened("10:02", of="later", tenants=["acme"]), micros("10:02"))
    cluster.pass_time(micros("10:03"))
    latest = cluster.latest("incidents")
    assert {name: latest[name]["data"]["flags"] for name in ("bad", "good", "later")} == {
        "bad": ["no_contract"],
        "good": [],
        "later": [],
    }
    assert cluster.codes() == ["internal"]
    assert cluster.rows(INCIDENTS, "q")


def test_r29_an_incident_that_cannot_be_read_keeps_no_erasure_away(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(policies(), partitions=1)
    cluster.publish(contract("09:00"), START)
    for incident in ("bad", "good"):
        cluster.publish(opened("10:00", of=incident, tenants=["acme"]), START)
    unreadable(monkeypatch, cluster, "bad")
    cluster.publish(erased("10:01"), micros("10:01"))
    cluster.publish(opened("10:02", of="later", tenants=["acme"]), micros("10:02"))
    cluster.pass_time(micros("10:03"))
    states = {send.key: send.value for send in cluster.sends if send.topic == cluster.topics.name("incident-state")}
    assert b"acme" in states[b"bad"]
    assert not [name for name in (b"good", b"later") if b"acme" in states[name]]
    assert set(cluster.codes()) == {"internal"}


def test_r27_a_tenant_whose_months_cannot_be_computed_costs_no_other_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(policies(), partitions=1)
    for tenant in ("acme", "beta"):
        cluster.publish(contract("2026-03-01T00:00:00Z", of=tenant), START)
    cluster.pass_time(micros("2026-04-10T00:00:00Z"))
    compute = MonthClose._compute

    def crashing(self: MonthClose, account: Account, *rest: Any) -> Steps[MonthResult]:
        if account.tenant == "acme":
            raise ValueError("odd")
        return (yield from compute(self, account, *rest))

    monkeypatch.setattr(MonthClose, "_compute", crashing)
    cluster.sets_aside = True
    late = micros("2026-04-10T00:00:00Z")
    outage = opened("2026-03-30T00:00:00Z"), resolved("2026-03-31T00:00:00Z")
    for line in outage:
        cluster.publish(line | {"backfill": True}, late)
    cluster.pass_time(micros("2026-04-12T00:00:00Z"))
    adjusted = [o for o in cluster.outputs() if o["data"].get("status") == "adjusted"]
    assert [o["subject"] for o in adjusted] == ["beta"]
    assert cluster.codes() == ["internal"]

    monkeypatch.undo()
    cluster.publish(contract("2026-04-12T00:00:00Z"), micros("2026-04-12T00:00:00Z"))
    cluster.pass_time(micros("2026-04-14T00:00:00Z"))
    adjusted = [o for o in cluster.outputs() if o["data"].get("status") == "adjusted"]
    assert [o["subject"] for o in adjusted] == ["beta", "acme"]


def half_stated(monkeypatch: pytest.MonkeyPatch, partitions: int) -> tuple[Cluster, int]:
    """The final statement is made in steps; what is half done is completed before anything is applied. Where the ledger
    has come to, too."""
    monkeypatch.setattr("streams.sla.credits.statement.ITEMS_PER_STEP", 1)
    cluster = Cluster(policies(), partitions=partitions)
    cluster.publish(contract("2026-03-01T00:00:00Z"), START)
    for name in ("one", "two", "three"):
        cluster.publish(opened("2026-03-30T00:00:00Z", of=name), micros("2026-03-30T00:00:00Z"))
        cluster.publish(resolved("2026-03-30T01:00:00Z", of=name), micros("2026-03-30T01:00:00Z"))
    final = micros("2026-04-04T00:00:00Z")
    cluster.pass_time(final - 1)
    task = cluster.tasks[LEDGER, partition_of("acme", partitions)]
    for partition in range(partitions):
        task.processor._ledger.timers.apply_watermark(partition, final)
    effects = Effects()
    assert task.processor.fire(final + 1, 1, effects) == 1
    cluster._commit(task, effects)
    assert task.processor._ledger.timers._work
    task.time = final
    return cluster, final


def test_r26_a_statement_that_an_input_without_effect_completes_is_written_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster, final = half_stated(monkeypatch, 1)
    before = len(cluster.outputs("credits"))
    impacts = [send for send in cluster.sends if send.topic == cluster.topics.internal(LEDGER)]
    (again,) = [send for send in impacts if b"three" in (send.value or b"")][-1:]
    cluster.put("ledger-internal", 0, again.value, final, key=again.key, headers=again.headers)
    assert [each["data"]["status"] for each in cluster.outputs("credits")[before:]] == ["final"]


def test_r26_a_statement_that_the_erasure_of_another_tenant_completes_is_written_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster, final = half_stated(monkeypatch, 2)
    before = len(cluster.outputs("credits"))
    other = next(name for name in ("a", "b", "c", "d") if partition_of(name, 2) != partition_of("acme", 2))
    cluster.publish(erased("2026-04-04T00:00:00Z", of=other), final)
    assert [each["data"]["status"] for each in cluster.outputs("credits")[before:]] == ["final"]


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_r27_an_incident_with_a_missing_row_is_set_aside_instead_of_judged_by_the_rest(missing: int) -> None:
    cluster = Cluster(policies(), partitions=1)
    for incident in ("good", "bad"):
        for line in (opened("10:00", of=incident), responded("10:10", of=incident), updated("10:20", of=incident)):
            cluster.publish(line, micros(line["time"]))
        cluster.publish(reclassified("10:30", of=incident, impact="material_aspect"), micros("10:30"))
    task = cluster.tasks[INCIDENTS, 0]
    keys = [key for key in task.rows if key.startswith(b"i\x1fbad\x1f")]
    assert len(keys) == 4
    del task.rows[keys[missing]]
    cluster.sets_aside = True
    cluster.rebuild(task)
    before = len(cluster.outputs("alerts"))
    cluster.pass_time(micros("4 10:00"))
    assert {output["subject"] for output in cluster.outputs("alerts")[before:]} == {"good"}
    (reject,) = cluster.rejects()
    assert (reject.code, reject.send.key) == ("internal", b"bad")
