"""R29: the incidents and impact lists of an erased tenant are rewritten in slices, and an interrupted one continues."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from io import BytesIO
from itertools import count
from typing import Any

import pytest
from agent_harness import INCIDENTS, LEDGER, Cluster, StreamTask, play
from fastavro import schemaless_writer
from story import Line, contract, erased, linked, micros, opened, policies, reclassified, resolved, texts, updated

from agents.changelog.erasures import KIND
from agents.changelog.incidents import STEP_KEY
from agents.incident_states import PROGRESS
from cli.replay.outcome import disagreements, outcome_of
from schemas import registry
from streams.replay.simulate import simulate
from streams.runtime.processor import Effects, Record
from streams.serde.codec import SINGLE_OBJECT
from streams.sla.arrival import TimeLimits
from streams.sla.credits import erase_tenant, ledger
from streams.sla.erasure import Erasures
from streams.sla.incidents import incident_queue
from streams.sla.incidents.incident_queue import SLICE
from streams.sla.incidents.timeline import Timeline
from streams.sla.instants import DAY, HOUR, MINUTE, SECOND, parse_rfc3339

KEYED = replace(TimeLimits(), pseudonym_key=b"a key")
NAME = Erasures(b"a key").pseudonym("acme")
START = micros("10:00")
GONE = START + 67 * MINUTE
MANY = 3 * SLICE
NAMES = [f"inc-{number:04d}" for number in range(MANY)]


def openings(number: int = MANY) -> list[Line]:
    return [opened("10:00", "complete_outage", tenants=["acme", "other"], of=name, id=name) for name in NAMES[:number]]


def cluster_of(openings_made: int = MANY, **more: int) -> Cluster:
    """Incidents of a tenant, opened seconds apart, in one partition."""
    cluster = Cluster(policies(), KEYED, partitions=1, **more)
    cluster.publish(contract("09:00", id="terms"), START - HOUR)
    for number, line in enumerate(openings(openings_made)):
        cluster.publish(line, START + number * SECOND)
    return cluster


def incidents_of(cluster: Cluster) -> StreamTask:
    return cluster.tasks[INCIDENTS, 0]


def slice_of(cluster: Cluster, task: StreamTask | None = None) -> None:
    """Let one slice through."""
    task = task or incidents_of(cluster)
    due = task.processor.next_due()
    assert due is not None
    cluster.fire(task, due + 1)


def naming(rows: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    return [key for key, row in rows if b"acme" in key + row]


def left(cluster: Cluster) -> list[bytes]:
    """The incidents agent's rows that name the tenant."""
    return naming(incidents_of(cluster).rows.items())


def sent_names(cluster: Cluster, since: int) -> list[str]:
    return [each.topic for each in cluster.sends[since:] if b"acme" in (each.key or b"") + (each.value or b"")]


def test_r29_a_few_incidents_are_rewritten_with_the_erasure() -> None:
    cluster = cluster_of(SLICE)
    cluster.publish(erased("11:00"), GONE)
    assert left(cluster) == []


def test_r29_many_are_rewritten_slice_by_slice_across_restarts() -> None:
    cluster = cluster_of()
    cluster.publish(erased("11:00"), GONE)
    sent = len(cluster.sends)
    assert len(left(cluster)) == MANY
    assert {key[: len(STEP_KEY)] for key in left(cluster)} == {STEP_KEY}, "all others are rewritten at once"
    for remaining in (2 * SLICE, SLICE, 0):
        slice_of(cluster)
        assert len(left(cluster)) == remaining
        cluster.rebuild_all()
    assert sent_names(cluster, sent) == []
    assert set(cluster.latest("incident-state")) == set(NAMES)
    assert all(NAME in state["data"]["tenant_ids"] for state in cluster.latest("incident-state").values())
    assert cluster.doubled() == []


def test_r29_a_slice_that_is_not_committed_is_done_again() -> None:
    cluster = cluster_of()
    cluster.publish(erased("11:00"), GONE)
    task = incidents_of(cluster)
    effects = Effects()
    task.processor.fire(GONE + 1, SLICE, effects)
    rewritten = {key.split(b"\x1f")[1] for key in effects.rows if key.startswith(STEP_KEY)}
    assert len(rewritten) == SLICE
    cluster.rebuild(task)
    assert len(left(cluster)) == MANY
    cluster.pass_time(GONE + MINUTE)
    assert left(cluster) == []


def test_r29_an_input_about_an_incident_that_still_names_the_tenant() -> None:
    cluster = cluster_of()
    cluster.publish(erased("11:00"), GONE)
    sent, last = len(cluster.sends), NAMES[-1]
    cluster.publish(linked("11:00", "ACME-77", of=last, id="link"), GONE)
    cluster.publish(resolved("11:00", of=last, id="end"), GONE)
    assert len(left(cluster)) == MANY - 1
    assert not any(key.startswith(b"%s%s" % (STEP_KEY, last.encode())) for key in left(cluster))
    assert sent_names(cluster, sent) == []
    assert any(each["subject"] == last and each["type"] == "incident.closed" for each in cluster.outputs())
    rows = incidents_of(cluster).rows
    assert not any(b"ACME-77" in row for row in rows.values())


def test_r29_timers_of_incidents_that_still_name_the_tenant() -> None:
    """Their timers are due in the same instant as the first slice."""
    cluster = cluster_of(max_cached=1)
    due = incidents_of(cluster).processor.next_due()
    cluster.pass_time(due)
    cluster.publish(erased("10:10"), due)
    sent = len(cluster.sends)
    assert incidents_of(cluster).processor.next_due() == due
    cluster.fire(incidents_of(cluster), due + 1)
    assert left(cluster) == []
    assert {send.key for send in cluster.sends[sent:] if send.topic == "sla.alerts"} == {n.encode() for n in NAMES}
    assert sent_names(cluster, sent) == []


def test_r29_no_state_of_the_same_transaction_names_the_tenant() -> None:
    """States are published at the end of a transaction, maybe after an erasure in it."""
    cluster = cluster_of()
    cluster.publish(erased("11:00"), GONE)
    task = incidents_of(cluster)
    effects = Effects()
    task.processor._states.changed(NAMES[-1], effects)
    while not task.processor.finish(effects, 1):
        pass
    assert effects.sends == []
    cluster.pass_time(GONE + MINUTE)
    assert NAME in cluster.latest("incident-state")[NAMES[-1]]["data"]["tenant_ids"]


def test_r29_states_that_a_version_before_has_not_published_follow_the_rewriting() -> None:
    cluster = cluster_of()
    cluster.publish(erased("11:00"), GONE)
    task = incidents_of(cluster)
    del task.rows[PROGRESS.encode()]
    sent = len(cluster.sends)
    cluster.rebuild(task)
    cluster.pass_time(GONE + HOUR)
    assert sent_names(cluster, sent) == []
    assert all(NAME in state["data"]["tenant_ids"] for state in cluster.latest("incident-state").values())


def test_r20_r29_terms_under_the_pseudonym_concern_incidents_that_wait() -> None:
    cluster = cluster_of()
    cluster.publish(erased("11:00"), GONE)
    sent = len(cluster.sends)
    cluster.publish(contract("09:01", "09:00", plan="unknown", id="late"), GONE)
    cluster.rebuild_all()
    cluster.pass_time(GONE + HOUR)
    flags = {
        each["subject"]: each["data"]["flags"] for each in cluster.outputs() if each["type"] == "incident.classified"
    }
    assert all("unknown_plan" in flags[name] for name in NAMES)
    assert sent_names(cluster, sent) == []


def test_r29_two_erasures_of_one_incident_rewrite_it_once() -> None:
    cluster = cluster_of()
    cluster.publish(erased("11:00"), GONE)
    sent = len(cluster.sends)
    cluster.publish(erased("11:00", of="other"), GONE)
    slice_of(cluster)
    assert sum(each.topic == "sla.incident-state" for each in cluster.sends[sent:]) == SLICE
    cluster.rebuild_all()
    cluster.pass_time(GONE + MINUTE)
    assert sum(each.topic == "sla.incident-state" for each in cluster.sends[sent:]) == MANY
    assert not any(b"other" in row for key, row in incidents_of(cluster).rows.items() if key.startswith(STEP_KEY))


def test_r26_no_watermark_passes_an_erasure_that_is_not_applied_everywhere() -> None:
    cluster = cluster_of(mark_every=SECOND)
    cluster.publish(erased("11:00"), GONE)
    slice_of(cluster)
    assert incidents_of(cluster).processor._store.waiting_since == GONE
    cluster.rebuild_all()
    assert incidents_of(cluster).processor._store.waiting_since == GONE
    cluster.pass_time(GONE + MINUTE)
    assert incidents_of(cluster).processor._store.waiting_since is None


def test_r27_r29_a_crashed_timer_leaves_the_rewriting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarantined incident loses its names too, and one that can't be folded then is quarantined."""
    cluster = cluster_of()
    refold = Timeline.refold

    def fragile(self: Timeline, *args: Any) -> None:
        if self.id == NAMES[-1]:
            raise ValueError("it crashes")
        refold(self, *args)

    cluster.publish(erased("11:00"), GONE)
    effects = Effects()
    incidents_of(cluster).processor.quarantine(NAMES[0], "it crashed", effects, 3)
    cluster._commit(incidents_of(cluster), effects)
    monkeypatch.setattr(Timeline, "refold", fragile)
    cluster.pass_time(GONE + MINUTE)
    assert left(cluster) == []
    quarantined = {key.split(b"\x1f")[1].partition(b"@")[0].decode() for key in cluster.rows(INCIDENTS, "q")}
    assert quarantined == {NAMES[0], NAMES[-1]}


def test_r27_r29_want_of_memory_while_an_incident_is_rewritten_quarantines_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = cluster_of(1)

    def scarce(*_: object) -> None:
        raise MemoryError

    delivered: list[tuple[StreamTask, Record]] = []
    deliver = cluster.deliver

    def noted(task: StreamTask, record: Record) -> None:
        delivered.append((task, record))
        deliver(task, record)

    with monkeypatch.context() as short:
        short.setattr(Timeline, "refold", scarce)
        short.setattr(cluster, "deliver", noted)
        with pytest.raises(MemoryError):
            cluster.publish(erased("11:00"), GONE)
    assert left(cluster) != []
    cluster.rebuild_all()
    cluster.deliver(*delivered[-1])  # the task reads the copy of the erasure again
    cluster.settle()
    cluster.pass_time(GONE + 2 * MINUTE)
    assert left(cluster) == []
    assert not cluster.rows(INCIDENTS, "q")


def test_r29_rows_of_a_version_before_tell_no_arrival() -> None:
    cluster = cluster_of(SLICE)
    cluster.publish(erased("11:00"), GONE)
    schemas = registry.load().by_fingerprint.values()
    (old,) = [each for each in schemas if each.name == "state.erased" and each.version == 1]
    for task in cluster.tasks.values():
        for key, value in [item for item in task.rows.items() if item[0].startswith(KIND.encode())]:
            decoded = cluster.codec.decode(value)
            assert isinstance(decoded, tuple)
            stream = BytesIO()
            stream.write(SINGLE_OBJECT + old.fingerprint)
            names = ("pseudonym", "home", "key_check")
            schemaless_writer(stream, old.parsed, {name: decoded[1][name] for name in names})  # type: ignore[index]
            task.rows[key] = stream.getvalue()
    cluster.rebuild_all()
    sent = len(cluster.sends)
    cluster.publish(resolved("11:30", of=NAMES[0], id="end"), GONE + HOUR)
    assert sent_names(cluster, sent) == []


def ledger_of(cluster: Cluster) -> StreamTask:
    return cluster.tasks[LEDGER, 0]


def named_lists(cluster: Cluster) -> list[bytes]:
    """The ledger's rows that name the tenant."""
    return naming(ledger_of(cluster).rows.items())


def settled(cluster: Cluster) -> Cluster:
    """An erasure whose incidents are all rewritten, but only in the incidents agent."""
    cluster.publish(erased("11:00"), GONE)
    return cluster


def test_r29_rows_of_impact_lists_are_rewritten_slice_by_slice_across_restarts() -> None:
    cluster = settled(cluster_of())
    sent = len(cluster.sends)
    assert len(named_lists(cluster)) == MANY
    assert {key.split(b"\x1f")[0] for key in named_lists(cluster)} == {b"i"}, "all others are rewritten at once"
    for remaining in (2 * SLICE, SLICE, 0):
        slice_of(cluster, ledger_of(cluster))
        assert len(named_lists(cluster)) == remaining
        cluster.rebuild_all()
    assert sent_names(cluster, sent) == []


def test_r29_a_few_impact_lists_are_rewritten_with_the_erasure() -> None:
    assert named_lists(settled(cluster_of(SLICE))) == []


def test_r29_a_slice_of_impact_lists_that_is_not_committed_is_done_again() -> None:
    cluster = settled(cluster_of())
    task = ledger_of(cluster)
    effects = Effects()
    assert task.processor.fire(GONE + 1, 1, effects) == 1
    assert len(effects.rows) == SLICE
    cluster.rebuild(task)
    assert len(named_lists(cluster)) == MANY
    cluster.fire(task, GONE + MINUTE)
    assert named_lists(cluster) == []


def test_r29_an_impact_list_that_changes_before_its_slice_has_its_new_row() -> None:
    cluster = settled(cluster_of())
    ending = resolved("11:07", of=NAMES[-1], id="end")
    cluster.publish(ending, GONE)
    (key,) = [key for key in ledger_of(cluster).rows if key == b"i\x1f" + NAMES[-1].encode()]
    row = ledger_of(cluster).rows[key]
    assert NAME.encode() in row
    assert len(named_lists(cluster)) == MANY - 1
    cluster.fire(ledger_of(cluster), GONE + MINUTE)
    assert ledger_of(cluster).rows[key] == row
    assert named_lists(cluster) == []


HISTORY = [
    contract("2026-02-20T00:00:00Z", id="c-1"),
    contract("2026-02-20T00:00:00Z", of="other", id="c-2"),
    *openings(12),
    *(reclassified("12:00", impact="material_aspect", of=name) | {"id": f"r-{name}"} for name in NAMES[:12:3]),
    erased("13:00", id="gone"),
    *(updated("13:00", of=name, id=f"u-{name}") for name in NAMES[:12:4]),
    *(resolved("2 13:00", of=name, id=f"e-{name}") for name in NAMES[:12:2]),
    contract("2026-02-20T00:00:00Z", id="c-3", charge=4_321, received="3 00:00"),
    *(resolved("9 13:00", of=name, id=f"e-{name}") for name in NAMES[1:12:2]),
]
UNTIL = parse_rfc3339("2026-04-04T12:00:00Z")


@pytest.mark.parametrize("restarts", [0, 11])
@pytest.mark.parametrize("size", [3, 1_000])
def test_r29_slices_and_restarts_change_no_meaning(size: int, restarts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the simulation, which erases at once."""
    monkeypatch.setattr("agents.incidents.SLICE", size)
    monkeypatch.setattr(incident_queue, "SLICE", size)
    monkeypatch.setattr(erase_tenant, "SLICE", size)
    monkeypatch.setattr(ledger, "SLICE", size)
    lines = texts(HISTORY)
    cluster = Cluster(policies(), KEYED, partitions=1, mark_every=DAY)
    turns = count()
    if restarts:
        cluster.before_each = lambda task: cluster.rebuild(task) if next(turns) % restarts == 0 else None
    play(cluster, lines, until=UNTIL)
    expected = outcome_of(simulate(lines, policies(), until=UNTIL, time_limits=KEYED))
    assert disagreements(expected, cluster.outcome()) == []
    assert cluster.outcome().issued == expected.issued
    assert any(tenant == NAME for tenant, _ in expected.statements)
    assert cluster.doubled() == []
    assert naming((key, row) for task in cluster.tasks.values() for key, row in task.rows.items()) == []
